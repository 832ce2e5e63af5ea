import { nodePaths, TeselaError } from "../../base/mod.ts";
import { type Controlled, DaemonClient } from "../../daemon/mod.ts";
import { DONE, type Invocation, lastValue } from "../command.ts";
import { print, printJson, write } from "../out.ts";
import { usage } from "../parse.ts";
import { toldText } from "./ctl.ts";

/** Processes move by themselves from now on, or do not; those that run are not touched. */
export async function run(call: Invocation): Promise<number> {
  const [word] = call.operands;
  if (word === undefined) return await tellState(call);
  if (word !== "on" && word !== "off") throw usage(call.command, `loadlevel '${word}': want on or off`);
  const verb = word === "on" ? "level" : "nolevel";
  const client = new DaemonClient(nodePaths());
  const one = lastValue(call, "node");
  const all = call.switches.has("all") ? await client.nodes() : null;
  const nodes = all?.filter((n) => n.state === "up").map((n) => String(n.id)) ?? [one];
  const done: Controlled[] = [];
  for (const node of nodes) done.push(await client.ctl({ verb, ...(node !== undefined && { node }) }));
  if (done.length === 0) throw new TeselaError("E_NODE_DOWN", "no node is up");
  if (call.json) printJson(done);
  else print(done.map((d) => toldText(d)).join("\n"));
  const away = all?.filter((n) => n.state !== "up").map((n) => n.id) ?? [];
  if (away.length > 0) write(2, `tesela: not told, since they are down: node ${away.join(", ")}\n`);
  return DONE;
}

/** Without a word: as it is here. */
async function tellState(call: Invocation): Promise<number> {
  if (call.switches.has("all") || call.values.size > 0) throw usage(call.command, "-a and -n want on or off");
  const { node, level } = await new DaemonClient(nodePaths()).status();
  if (call.json) printJson({ node, level });
  else print(`node ${node}: load levelling ${level ? "on" : "off"}`);
  return DONE;
}
