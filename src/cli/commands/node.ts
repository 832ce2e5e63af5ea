import { nodePaths } from "../../base/mod.ts";
import { DaemonClient } from "../../daemon/mod.ts";
import { DONE, type Invocation } from "../command.ts";
import { print, printJson } from "../out.ts";

/** `node remove`: whoever has the node's keys is out from now on. */
export async function run(call: Invocation): Promise<number> {
  const [node = ""] = call.operands;
  const { id, name, address, standing } = await new DaemonClient(nodePaths()).remove(node, call.switches.has("force"));
  if (call.json) printJson({ id, name, address, standing });
  else print(`node ${id} (${name}) is removed: the others refuse it from now on`);
  return DONE;
}
