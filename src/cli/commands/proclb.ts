import { isGood, outcomeLines, runLocal } from "../../demo/mod.ts";
import { DONE, FAILED, type Invocation, lastValue } from "../command.ts";
import { print } from "../out.ts";
import { wholeNumber } from "../parse.ts";
import { stoppable } from "../stoppable.ts";

const CHILDREN = 50;
const MOST_CHILDREN = 1000;
const SECONDS = 45;
const MOST_SECONDS = 86_400;
/** The second at which OpenSSI's demonstration switched levelling on. */
const ON = 9;
const MOST_MAX = 1e9;

/** proclb on the cluster at hand. */
export async function run(call: Invocation): Promise<number> {
  const children = wholeNumber(call, "children", CHILDREN, 1, MOST_CHILDREN);
  const seconds = wholeNumber(call, "seconds", SECONDS, 1, MOST_SECONDS);
  const on = wholeNumber(call, "on", ON, 0, MOST_SECONDS);
  const max = lastValue(call, "max") === undefined ? null : wholeNumber(call, "max", 1, 1, MOST_MAX);
  const file = call.operands[0] ?? null;
  return await stoppable(async (signal) => {
    const outcome = await runLocal({ children, seconds, on, max, file, tell: print, signal });
    for (const line of outcomeLines(outcome, children)) print(line);
    return isGood(outcome) ? DONE : FAILED;
  });
}
