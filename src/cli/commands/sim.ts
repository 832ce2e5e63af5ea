import { writeFileSync } from "node:fs";
import { fileTrouble, MAX_NODE_ID, TeselaError } from "../../base/mod.ts";
import {
  DEFAULT_SCENARIO,
  type Gossip,
  isPolicy,
  loadScenario,
  POLICIES,
  type PolicyName,
  reportHtml,
  reportText,
  resized,
  simulate,
  USUAL,
} from "../../sim/mod.ts";

import { DONE, type Invocation, lastValue } from "../command.ts";
import { print, printJson } from "../out.ts";
import { usage } from "../parse.ts";

/** Runs a scenario in virtual time and says what the policies made of it. */
export async function run(call: Invocation): Promise<number> {
  const scenario = loadScenario(call.operands[0] ?? DEFAULT_SCENARIO);
  const nodes = whole(call, "nodes", 1, MAX_NODE_ID);
  const seed = whole(call, "seed", 0, Number.MAX_SAFE_INTEGER);
  const sized = nodes === null ? scenario : resized(scenario, nodes);
  const { report, runs } = simulate(seed === null ? sized : { ...sized, seed }, { policies: policies(call), gossip: gossip(call) });
  const file = lastValue(call, "report");
  if (file !== undefined) save(file, reportHtml(report, runs));
  if (call.json) printJson(report);
  else print(reportText(report));
  return DONE;
}

function save(file: string, html: string): void {
  try {
    writeFileSync(file, html);
  } catch (cause) {
    throw new TeselaError("E_CONFIG", `--report ${file}: ${fileTrouble(cause)}`, {}, { cause });
  }
}

function whole(call: Invocation, long: string, least: number, most: number): number | null {
  const text = lastValue(call, long);
  if (text === undefined) return null;
  const n = Number(text);
  if (!/^\d+$/.test(text) || n < least || n > most)
    throw usage(call.command, `--${long} ${text}: want a whole number of ${least} to ${most}`);
  return n;
}

function policies(call: Invocation): readonly PolicyName[] {
  const text = lastValue(call, "policies");
  if (text === undefined) return USUAL;
  return text.split(",").map((name) => {
    if (!isPolicy(name)) throw usage(call.command, `--policies ${name}: there are ${POLICIES.join(", ")}`);
    return name;
  });
}

function gossip(call: Invocation): Gossip | undefined {
  const text = lastValue(call, "gossip");
  if (text === undefined || text === "members" || text === "vectors") return text;
  throw usage(call.command, `--gossip ${text}: want members or vectors`);
}
