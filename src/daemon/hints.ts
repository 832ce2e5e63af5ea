import { LONGEST_MASK, parseMask } from "./node-mask.ts";
import type { EngineRow, Hints } from "./shapes.ts";

/** How fast the averages of a process follow: after so many seconds so many thousandths of what was still count. 1000 forgets nothing. */
export interface Pace {
  readonly seconds: number;
  readonly keep: number;
}

/** What `setdecay INTERVAL SLOW FAST` sets, as openMosix has it: seconds, and thousandths that each interval keeps. */
export interface DecayRates {
  readonly seconds: number;
  readonly slow: number;
  readonly fast: number;
}
export const DECAY_RATES: DecayRates = { seconds: 15, slow: 975, fast: 926 };

export const THOUSAND = 1000;
/** A day: whoever wants longer wants no decay. */
export const MOST_SECONDS = 86_400;

/** Null: as is usual here, quickly (src/load/averages.ts). */
export function paceOf({ decay }: Pick<Hints, "decay">, rates: DecayRates): Pace | null {
  if (decay === undefined) return null;
  if (decay === "none") return { seconds: 1, keep: THOUSAND };
  if (decay === "slow" || decay === "fast") return { seconds: rates.seconds, keep: rates[decay] };
  return decay;
}

const within = (n: unknown, least: number, most: number): n is number =>
  Number.isInteger(n) && (n as number) >= least && (n as number) <= most;
const isPace = ({ seconds, keep }: Partial<Pace>): boolean => within(seconds, 1, MOST_SECONDS) && within(keep, 0, THOUSAND);
export const isRates = ({ seconds, slow, fast }: Partial<DecayRates>): boolean =>
  isPace({ seconds, keep: slow } as Partial<Pace>) && within(fast, 0, THOUSAND);

function isDecay(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return isPace(value);
  return value === "none" || value === "slow" || value === "fast";
}

function isMask(value: unknown): boolean {
  if (typeof value !== "string" || value.length > LONGEST_MASK) return false;
  try {
    parseMask(value);
    return true;
  } catch {
    // A RangeError: it is no mask.
    return false;
  }
}

/** What came in as JSON; null when it is not hints. */
export function readHints(value: unknown): Hints | null {
  if (typeof value !== "object" || value === null) return null;
  const { job, decay, mask } = value as Record<string, unknown>;
  const good =
    (job === undefined || job === "cpu" || job === "io") && (decay === undefined || isDecay(decay)) && (mask === undefined || isMask(mask));
  if (!good) return null;
  const hints = { ...(job !== undefined && { job }), ...(decay !== undefined && { decay }), ...(mask !== undefined && { mask }) };
  return hints as Hints;
}

/** A row with what was said of the process. */
export const withHints = (row: EngineRow, lock: boolean, { job, mask }: Hints): EngineRow => ({
  ...row,
  ...(lock && { lock }),
  ...(job !== undefined && { job }),
  ...(mask !== undefined && { mask }),
});
