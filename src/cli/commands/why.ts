import { nodePaths } from "../../base/mod.ts";
import { DaemonClient, type DecisionRow, maskText, type WhyMoved } from "../../daemon/mod.ts";
import { DONE, type Invocation } from "../command.ts";
import { print, printJson } from "../out.ts";
import { pidOperand } from "../parse.ts";
import { explainedHold } from "../reasons.ts";

/** The last decisions about a process, the newest first, with the nodes that were weighed. */
export async function run(call: Invocation): Promise<number> {
  const pid = pidOperand(call);
  const answer = await new DaemonClient(nodePaths()).whyMoved(pid);
  if (call.json) printJson(answer);
  else print(whyText(answer));
  return DONE;
}

export function whyText(answer: WhyMoved): string {
  const said = [
    ...heldBack(answer),
    ...(answer.job === undefined ? [] : [`it is ${answer.job === "cpu" ? "a CPU" : "an I/O"} job`]),
    ...(answer.mask === undefined ? [] : [`by itself it goes home and to ${maskText(answer.mask)}`]),
  ];
  const head = [`${answer.cpid} runs on node ${answer.node}`, ...said].join("; ");
  if (answer.decisions.length > 0) return [head, ...answer.decisions.flatMap(decisionLines)].join("\n");
  if (heldBack(answer).length > 0) return head;
  return `${head}; nothing has been decided about it yet: nodes that are not overloaded send nobody away`;
}

/** Why it does not move by itself, whatever was decided before, and what lets it. */
function heldBack({ levelled, lock, level, quiet, node }: WhyMoved): string[] {
  if (!levelled) return ["it is not under load levelling: start it with 'tesela run', or from 'tesela shell'"];
  if (lock) return ["it is locked, as tesela run -L and nomig do: it moves only when it is told to (tesela migrate)"];
  if (level === false)
    return [`load levelling is off on node ${node}: nothing moves from there by itself; tesela loadlevel on --node ${node} lets it`];
  if (quiet === true) return [`node ${node} is quiet: nothing moves from there by itself; tesela ctl noquiet --node ${node} lets it`];
  return [];
}

function decisionLines(d: DecisionRow, at: number): string[] {
  const when = `${(d.agoMs / 1000).toFixed(1)} s ago${d.times > 1 ? `, ${d.times} times in a row` : ""}`;
  const by = d.motive === "command" ? "by command" : `for ${d.motive}`;
  const words = at === 0 ? explainedHold(d.why) : [];
  return [`${when}, ${by}: ${d.why}`, ...[...words, ...d.considered.map((c) => c.verdict)].map((line) => `    ${line}`)];
}
