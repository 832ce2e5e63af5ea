import { nodeId, nodePaths, TeselaError } from "../../base/mod.ts";
import { caFingerprint, encodeToken, holdsCa, loadCa, newToken, readNodeConfig, TokenStore } from "../../cluster/mod.ts";
import { systemRandom } from "../../io/mod.ts";
import { DONE, type Invocation, lastValue } from "../command.ts";
import { idValue, nameValue, ttlValue } from "../membership.ts";
import { print, printJson } from "../out.ts";

/** Opens the door for one machine, for a while. */
export async function run(call: Invocation): Promise<number> {
  const paths = nodePaths();
  const own = readNodeConfig(paths);
  if (!holdsCa(paths.identity))
    throw new TeselaError("E_MISSING", `node ${own.id} does not hold the cluster's CA key: tokens are made where 'tesela init' ran`);
  const ca = loadCa(paths.identity);
  const [node, name] = [idValue(call, "id"), nameValue(call, "node-name")];
  const token = newToken(systemRandom, {
    cluster: ca.cluster,
    fingerprint: caFingerprint(ca.cert),
    node: nodeId(own.id),
    address: lastValue(call, "address") ?? own.address,
    port: own.port,
    expires: Math.ceil(Date.now() / 1000) + ttlValue(call),
  });
  const id = token.id.toString("hex");
  const { secret, expires } = token;
  new TokenStore(paths.identity).add({ id, secret, expires, ...(node !== undefined && { node }), ...(name !== undefined && { name }) });
  const text = encodeToken(token);
  const { address, port } = token;
  if (call.json) printJson({ token: text, id, address, port, expires: new Date(expires * 1000).toISOString() });
  else print(text);
  return DONE;
}
