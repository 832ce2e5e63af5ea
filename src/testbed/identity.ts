import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { DEFAULT_PORT, nodeId } from "../base/mod.ts";
import { type ClusterCa, issueNode, makeGossipKey } from "../cluster/mod.ts";
import type { ClusterState } from "./state.ts";

/** Writes every host's identity, number and peers into its state directory: what `tesela init` and `join` would do there. */
export async function writeIdentities(state: Pick<ClusterState, "dir" | "name" | "hosts">, ca: ClusterCa): Promise<void> {
  const nodes = state.hosts.map(({ id, name, address }) => ({ id, name, address, port: DEFAULT_PORT }));
  const gossipKey = makeGossipKey();
  for (const node of nodes) {
    const dir = `${state.dir}/${node.name}/state`;
    const identity = `${dir}/identity`;
    mkdirSync(identity, { recursive: true, mode: 0o700 });
    const issued = await issueNode(ca, nodeId(node.id), node.name);
    writeFileSync(`${identity}/ca.pem`, issued.ca);
    writeFileSync(`${identity}/node.pem`, issued.cert);
    writeFileSync(`${identity}/node.key`, issued.key, { mode: 0o600 });
    if (!existsSync(`${identity}/gossip.key`)) writeFileSync(`${identity}/gossip.key`, gossipKey, { mode: 0o600 });
    writeFileSync(`${dir}/node.json`, `${JSON.stringify({ ...node, cluster: state.name })}\n`);
    writeFileSync(`${dir}/peers.json`, `${JSON.stringify(nodes)}\n`);
  }
}
