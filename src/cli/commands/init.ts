import { existsSync } from "node:fs";
import { hostname, networkInterfaces } from "node:os";
import { nodeId, nodePaths, TeselaError } from "../../base/mod.ts";
import {
  createCluster,
  certificateKeyHash,
  issueNode,
  makeGossipKey,
  saveCa,
  saveGossipKey,
  saveIdentity,
  signEntry,
  writeMembership,
  writeRecord,
} from "../../cluster/mod.ts";
import { DONE, type Invocation, lastValue } from "../command.ts";
import { addressValue, daysValue, idValue, nameValue, portValue } from "../membership.ts";
import { print, printJson } from "../out.ts";

/** A new cluster, whose CA is kept on this node. */
export async function run(call: Invocation): Promise<number> {
  const paths = nodePaths();
  if (existsSync(paths.nodeJson)) {
    throw new TeselaError("E_EXISTS", `${paths.nodeJson}: this machine is a node already`);
  }
  const cluster = lastValue(call, "name") ?? "tesela";
  const id = idValue(call, "id") ?? 1;
  const name = nameValue(call, "node-name") ?? (hostname().split(".")[0] || `n${id}`);
  const given = addressValue(call);
  const node = { id, name, address: given ?? firstAddress(), port: portValue(call) };
  const days = daysValue(call);
  const ca = { ...(await createCluster(cluster)), ...(days !== undefined && { days }) };
  const identity = await issueNode(ca, nodeId(id), name);
  saveCa(paths.identity, ca);
  saveIdentity(paths.identity, identity);
  saveGossipKey(paths.identity, makeGossipKey());
  const first = signEntry(ca, { ...node, epoch: 1, standing: "member", key: certificateKeyHash(identity.cert) });
  writeRecord(paths, { cluster, all: () => [first] });
  writeMembership(paths, { ...node, cluster, ...(given !== undefined && { fixed: true }) }, [node]);
  if (call.json) printJson({ ...node, cluster });
  else print(`cluster '${cluster}' has its first node: ${id} (${name}) at ${node.address}:${node.port}`);
  return DONE;
}

/** The first one that is not a loopback's; IPv4 before IPv6. */
function firstAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const outside = all.filter((a) => !a.internal && !a.address.startsWith("fe80:"));
  const one = outside.find((a) => a.family === "IPv4") ?? outside[0];
  if (!one) throw new TeselaError("E_MISSING", "this machine has no network address: give one with --address");
  return one.address;
}
