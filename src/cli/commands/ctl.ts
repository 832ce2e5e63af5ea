import { nodePaths, TeselaError } from "../../base/mod.ts";
import { type Controlled, DaemonClient, type NodeRow } from "../../daemon/mod.ts";
import { DONE, FAILED, type Invocation, lastValue } from "../command.ts";
import { print, printJson } from "../out.ts";
import { usage } from "../parse.ts";

/** What is asked of a node's row: mosctl(1). */
const QUESTIONS: Readonly<Record<string, (n: NodeRow) => string>> = {
  status: (n) => [n.state, ...n.flags].join(" "),
  whois: (n) => `node ${n.id} (${n.name}) at ${n.address}`,
  isup: (n) => (n.state === "up" ? "yes" : "no"),
  // In hundredths, as openMosix counts it.
  getload: (n) => String(Math.round(n.load * 100)),
  getspeed: (n) => String(n.speed),
  getmem: (n) => String(n.memTotal),
  getfree: (n) => String(n.memFree),
  // In per cent.
  getutil: (n) => String(Math.round((n.util ?? 0) * 100)),
};

export async function run(call: Invocation): Promise<number> {
  const [verb = "", which] = call.operands;
  const client = new DaemonClient(nodePaths());
  const question = Object.hasOwn(QUESTIONS, verb) ? QUESTIONS[verb] : undefined;
  if (question) return await answer(call, client, question, which);
  const value = verb === "setspeed" ? Number(which) : undefined;
  if (Number.isNaN(value)) throw usage(call.command, `setspeed '${which ?? ""}': want a speed, 10000 for the reference processor`);
  if (which !== undefined && value === undefined)
    throw usage(call.command, `tesela ctl ${verb}: unexpected '${which}'; another node is named by --node`);
  const node = lastValue(call, "node");
  const done = await client.ctl({ verb, ...(node !== undefined && { node }), ...(value !== undefined && { value }) });
  if (call.json) printJson(done);
  else print(toldText(done));
  if (done.failed.length > 0)
    throw new TeselaError("E_BUSY", `${done.failed.length} processes could not be moved: ${done.failed[0]?.reason}`);
  return DONE;
}

export function toldText({ node, flags, level, moved }: Controlled): string {
  const went = moved.length === 0 ? "" : `, ${moved.length} moved: ${moved.join(" ")}`;
  const words = [`load levelling ${level ? "on" : "off"}`, ...flags];
  return `node ${node}: ${words.join(", ")}${went}`;
}

async function answer(call: Invocation, client: DaemonClient, question: (n: NodeRow) => string, which?: string): Promise<number> {
  const nodes = await client.nodes();
  const wanted = which ?? String((await client.status()).node);
  const row = nodes.find((n) => String(n.id) === wanted || n.name === wanted || n.address === wanted);
  if (!row) throw new TeselaError("E_NONODE", `there is no node '${wanted}'`, { node: wanted });
  const text = question(row);
  if (call.json) printJson({ node: row.id, [call.operands[0] ?? ""]: text });
  else print(text);
  return text === "no" ? FAILED : DONE;
}
