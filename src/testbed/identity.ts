import { DEFAULT_PORT, nodeId, nodePaths } from "../base/mod.ts";
import {
  certificateKeyHash,
  type ClusterCa,
  issueNode,
  makeGossipKey,
  saveCa,
  saveGossipKey,
  saveIdentity,
  signEntry,
  writeMembership,
  writeRecord,
} from "../cluster/mod.ts";
import type { ClusterState } from "./state.ts";

/** Writes every host's identity, number and peers into its state directory: what `tesela init` and `join` would do there. The first has the CA. */
export async function writeIdentities(state: Pick<ClusterState, "dir" | "name" | "hosts">, ca: ClusterCa): Promise<void> {
  const nodes = state.hosts.map(({ id, name, address }) => ({ id, name, address, port: DEFAULT_PORT }));
  const gossip = makeGossipKey();
  const issued = await Promise.all(
    nodes.map(async (node) => {
      const identity = await issueNode(ca, nodeId(node.id), node.name);
      const entry = signEntry(ca, { ...node, epoch: 1, standing: "member", key: certificateKeyHash(identity.cert) });
      return { node, identity, entry };
    }),
  );
  for (const [i, { node, identity }] of issued.entries()) {
    const paths = nodePaths({ TESELA_STATE: `${state.dir}/${node.name}/state` });
    saveIdentity(paths.identity, identity);
    saveGossipKey(paths.identity, gossip);
    if (i === 0) saveCa(paths.identity, ca);
    writeRecord(paths, { cluster: state.name, all: () => issued.map((x) => x.entry) });
    writeMembership(paths, { ...node, cluster: state.name }, nodes);
  }
}
