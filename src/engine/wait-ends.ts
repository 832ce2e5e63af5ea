import { NR, TIMESPEC } from "../abi/mod.ts";
import type { ForwardPlan, Timeout } from "../forward/mod.ts";
import type { ThreadImage } from "../image/mod.ts";
import type { Regs } from "../sys/mod.ts";

/**
 * Waits for so long keep their end however often moves interrupt them: when the call is made again it waits for what is left by then.
 * All times are of CLOCK_MONOTONIC as the program reads it, in nanoseconds.
 */
export type WaitEnd = NonNullable<ThreadImage["waitEnd"]>;

const MS = 1_000_000n;
const US = 1000n;
const SECOND = 1_000_000_000n;
/** An end that is further off than this has none (a year): such numbers mean for ever. */
const FOREVER = 31_536_000n * SECOND;
const upwards = (n: bigint, unit: bigint): bigint => (n + unit - 1n) / unit;

/** How long a call is to wait; null for ever, and for what the kernel will not take. */
export function limitOf({ timeout, args, blob }: Pick<ForwardPlan, "timeout" | "args" | "blob">): bigint | null {
  if (!timeout?.relative) return null;
  let limit: bigint;
  if ("argIndex" in timeout) limit = BigInt.asIntN(32, args[timeout.argIndex] ?? 0n) * MS;
  else {
    const at = Buffer.from(blob.buffer, blob.byteOffset, blob.length);
    const [seconds, rest] = [at.readBigInt64LE(timeout.areaOffset), at.readBigInt64LE(timeout.areaOffset + 8)];
    const unit = timeout.kind === "timeval" ? US : 1n;
    if (seconds < 0n || rest < 0n || rest * unit >= SECOND) return null;
    limit = seconds * SECOND + rest * unit;
  }
  return limit < 0n || limit > FOREVER ? null : limit;
}

/** The same call with another limit. */
export function withLimit<T extends ForwardPlan>(plan: T, limit: bigint): T {
  const { timeout } = plan;
  if (!timeout) return plan;
  if ("argIndex" in timeout) return { ...plan, args: plan.args.with(timeout.argIndex, upwards(limit, MS)) };
  const blob = Buffer.from(plan.blob);
  timeBytes(timeout.kind, limit).copy(blob, timeout.areaOffset);
  return { ...plan, blob };
}

/** A struct timespec, or struct timeval. */
export function timeBytes(kind: Timeout["kind"], time: bigint): Buffer {
  const unit = kind === "timeval" ? US : 1n;
  const whole = upwards(time, unit) * unit;
  const bytes = Buffer.alloc(TIMESPEC.size);
  bytes.writeBigInt64LE(whole / SECOND, 0);
  bytes.writeBigInt64LE((whole % SECOND) / unit, 8);
  return bytes;
}

/**
 * A call that waits is about to be made, for the first time or again.
 * @param before the wait that the thread was last interrupted in
 * @returns the call with what is left of its limit, and its end
 */
export function keepEnd(plan: ForwardPlan, nr: number, rip: bigint, now: bigint, before: WaitEnd | null): [ForwardPlan, WaitEnd | null] {
  const limit = limitOf(plan);
  if (limit === null) return [plan, null];
  if (before?.nr === nr && before.rip === rip) return [withLimit(plan, before.end > now ? before.end - now : 0n), before];
  // Nothing to wait for needs no end, and what goes on by itself has one that is not known here.
  return [plan, limit === 0n ? null : { nr, rip, end: now + limit }];
}

/** Where the program has its own copy of the limit, in which the kernel leaves what is left of it: argument, kind. */
const WRITTEN_BACK: Readonly<Record<number, readonly [number, Timeout["kind"]]>> = {
  [NR.select]: [4, "timeval"],
  [NR.pselect6]: [4, "timespec"],
  [NR.ppoll]: [2, "timespec"],
  // What is left of a sleep: the rest begins with that (freeze.ts, restOfSleep).
  [NR.nanosleep]: [1, "timespec"],
  [NR.clock_nanosleep]: [3, "timespec"],
};

/** At home, before an interrupted call goes on: where to write how much is left of it, and that. */
export function leftAtHome(regs: Regs, nr: number, left: bigint): { readonly at: bigint; readonly bytes: Buffer } | null {
  const where = WRITTEN_BACK[nr];
  const at = where ? (regs.args[where[0]] ?? 0n) : 0n;
  return where && at !== 0n ? { at, bytes: timeBytes(where[1], left) } : null;
}
