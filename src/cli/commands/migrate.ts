import { humanBytes, nodePaths, parseCpid, TeselaError, toTeselaError } from "../../base/mod.ts";
import { DaemonClient, type Migrated } from "../../daemon/mod.ts";
import { DONE, FAILED, type Invocation } from "../command.ts";
import { print, printJson } from "../out.ts";
import { pidOperand } from "../parse.ts";

export async function run(call: Invocation): Promise<number> {
  const pid = pidOperand(call);
  const [, target = ""] = call.operands;
  const client = new DaemonClient(nodePaths());
  if (target === "balance") return await balanceNow(call, client, pid);
  if (call.switches.has("why")) return await why(call, client, pid, target);
  const done = await client.migrate({ pid, target, ...(call.switches.has("force") && { force: true }) });
  if (call.json) printJson(done);
  else print(sentence(done));
  return DONE;
}

/** To the node where it is best placed now, which may be the one where it is. */
async function balanceNow(call: Invocation, client: DaemonClient, pid: string): Promise<number> {
  const { node } = await client.best({ pid });
  try {
    const done = await client.migrate({ pid, target: String(node) });
    if (call.json) printJson(done);
    else print(sentence(done));
  } catch (e) {
    if (toTeselaError(e).code !== "E_THERE") throw e;
    if (call.json) printJson({ pid: parseCpid(pid).pid, from: node, to: node, bytes: 0, freezeMs: 0, totalMs: 0 });
    else print(`${pid}: node ${node} is the best place for it already`);
  }
  return DONE;
}

/** `4711: node 1 -> node 2, 4.0 MiB, stood still 11.2 ms`; ` with 4712, 4713` for those that share its memory. */
export function sentence(m: Migrated): string {
  return `${m.pid}: node ${m.from} -> node ${m.to}, ${humanBytes(m.bytes)}, stood still ${m.freezeMs.toFixed(1)} ms${m.with ? ` with ${m.with.join(", ")}` : ""}`;
}

/** Status 0 when nothing stops it, so that scripts can ask. */
async function why(call: Invocation, client: DaemonClient, pid: string, target: string): Promise<number> {
  const answer = await client.why(pid, target);
  if (call.json) printJson(answer);
  if (answer.reasons.length === 0) {
    if (!call.json) print(`${pid}: nothing stops it from moving to ${target}`);
    return DONE;
  }
  const message = answer.message ?? `process ${pid} cannot move to ${target}: ${answer.reasons.join(", ")}`;
  if (call.json) return FAILED;
  throw new TeselaError("E_CANTMOVE", message, { reasons: answer.reasons });
}
