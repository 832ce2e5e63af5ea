import { printable } from "../../base/mod.ts";
import { examine, type Finding } from "../../doctor/mod.ts";
import { DONE, FAILED, type Invocation } from "../command.ts";
import { print, printJson } from "../out.ts";

export async function run(call: Invocation): Promise<number> {
  const findings = await examine();
  const healthy = findings.every((f) => f.state !== "missing");
  if (call.json) printJson({ ok: healthy, findings });
  else print(findingsText(findings));
  return healthy ? DONE : FAILED;
}

/** A line for each, and one below it with what to do. */
export function findingsText(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map((f) => f.check.length));
  return findings
    .map(({ check, state, found, todo }) => {
      const line = `${state.padEnd("degraded".length)}  ${check.padEnd(width)}  ${printable(found)}`;
      return todo === undefined ? line : `${line}\n${" ".repeat("degraded".length + width + 4)}-> ${todo}`;
    })
    .join("\n");
}
