import { nodePaths } from "../../base/mod.ts";
import { DONE, type Invocation } from "../command.ts";
import { addressValue, idValue, nameValue, ttlValue } from "../membership.ts";
import { openToken } from "../open-token.ts";
import { print, printJson } from "../out.ts";

/** Opens the door for one machine, for a while. */
export async function run(call: Invocation): Promise<number> {
  const { expires, ...made } = openToken(nodePaths(), {
    ttl: ttlValue(call),
    address: addressValue(call),
    node: idValue(call, "id"),
    name: nameValue(call, "node-name"),
  });
  if (call.json) printJson({ ...made, expires: new Date(expires * 1000).toISOString() });
  else print(made.token);
  return DONE;
}
