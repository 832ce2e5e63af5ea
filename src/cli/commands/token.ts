import { nodeId, nodePaths, TeselaError } from "../../base/mod.ts";
import { encodeToken, issueNode, loadCa } from "../../cluster/mod.ts";
import { readPeers } from "../../daemon/mod.ts";
import { DONE, type Invocation, lastValue } from "../command.ts";
import { idValue, nameValue, portValue, writePeers } from "../membership.ts";
import { print, printJson } from "../out.ts";
import { usage } from "../parse.ts";

/** A new member: known here from now on, told to the machine by the token that it joins with. */
export async function run(call: Invocation): Promise<number> {
  const id = idValue(call, "id");
  const address = lastValue(call, "address");
  if (id === undefined || address === undefined) throw usage(call.command, "tesela token: want --id N --address IP");
  const paths = nodePaths();
  const ca = loadCa(paths.identity);
  const known = readPeers(paths);
  const name = nameValue(call, "node-name") ?? `n${id}`;
  for (const p of known) {
    if (p.id === id || p.name === name) throw new TeselaError("E_EXISTS", `node ${p.id} (${p.name}) at ${p.address} is a member already`);
  }
  const port = portValue(call);
  const peers = [...known, { id, name, address, port }].sort((a, b) => a.id - b.id);
  const credentials = await issueNode(ca, nodeId(id), name);
  const token = encodeToken({ credentials, address, port, peers: peers.map((p) => ({ ...p, id: nodeId(p.id) })) });
  writePeers(paths, peers);
  if (call.json) printJson({ id, name, address, port, token });
  else print(token);
  return DONE;
}
