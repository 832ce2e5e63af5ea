import { type Hints, parseMask } from "../../daemon/mod.ts";
import { type Invocation, lastValue } from "../command.ts";
import { usage, wholeNumber } from "../parse.ts";

/** What an option of each kind says; of one kind there is one at most. */
const JOBS = { "cpu-job": "cpu", "io-job": "io" } as const;
const DECAYS = { "no-decay": "none", "slow-decay": "slow", "fast-decay": "fast" } as const;
const DAY = 86_400;
const THOUSAND = 1000;

/** What the options say of the program. @throws TeselaError E_USAGE */
export function readHints(call: Invocation): Hints {
  const job = oneOf(call, JOBS);
  const decay = readDecay(call);
  const mask = readMask(call);
  return { ...(job && { job }), ...(decay && { decay }), ...(mask !== undefined && { mask }) };
}

function oneOf<T extends string>(call: Invocation, table: Readonly<Record<string, T>>): T | undefined {
  const given = Object.keys(table).filter((long) => call.switches.has(long));
  if (given.length > 1) throw usage(call.command, `${given.map((long) => `--${long}`).join(" and ")} exclude one another`);
  return given[0] === undefined ? undefined : table[given[0]];
}

function readDecay(call: Invocation): Hints["decay"] {
  const named = oneOf(call, DECAYS);
  const own = [lastValue(call, "decay-interval"), lastValue(call, "decay")].filter((v) => v !== undefined).length;
  if (own === 0) return named;
  if (named !== undefined || own === 1) throw usage(call.command, "a decay of its own: want -t SECONDS and -d N, and no other decay");
  return { seconds: wholeNumber(call, "decay-interval", 1, 1, DAY), keep: wholeNumber(call, "decay", 0, 0, THOUSAND) };
}

function readMask(call: Invocation): string | undefined {
  const [only, not] = [lastValue(call, "nodes"), lastValue(call, "not")];
  if (only !== undefined && not !== undefined) throw usage(call.command, "--nodes and --not exclude one another");
  if (only === undefined && not === undefined) return undefined;
  try {
    return parseMask(not === undefined ? (only ?? "") : `!${not}`).text;
  } catch (e) {
    throw usage(call.command, (e as Error).message);
  }
}
