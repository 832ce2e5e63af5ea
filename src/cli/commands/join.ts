import { existsSync, readFileSync } from "node:fs";
import { nodePaths, TeselaError } from "../../base/mod.ts";
import { decodeToken, saveIdentity } from "../../cluster/mod.ts";
import { DONE, type Invocation } from "../command.ts";
import { writeMembership } from "../membership.ts";
import { print, printJson } from "../out.ts";

/** This machine becomes the node that the token is for. The other nodes but the one that made it have to be told of it. */
export async function run(call: Invocation): Promise<number> {
  const paths = nodePaths();
  if (existsSync(paths.nodeJson)) throw new TeselaError("E_EXISTS", `${paths.nodeJson}: this machine is a node already`);
  const [given = ""] = call.operands;
  const { credentials, address, port, peers } = decodeToken(given === "-" ? readFileSync(0, "utf8") : given);
  const { cluster, node, name } = credentials;
  saveIdentity(paths.identity, credentials);
  writeMembership(paths, { id: node, name, address, port, cluster }, peers);
  if (call.json) printJson({ id: node, name, address, port, cluster });
  else print(`this machine is node ${node} (${name}) of cluster '${cluster}' now`);
  return DONE;
}
