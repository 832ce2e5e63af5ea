/** Clocks and timers beyond the time of day. */
import { CLOCK, ITIMER, NR, TIMESPEC } from "../abi/mod.ts";
import { asInt, engine, six } from "./forward.ts";
import { pointerCall } from "./fcntl.ts";
import { CPU_CLOCK, isCpuClock } from "./sleep.ts";
import { type Specials, unless } from "./special.ts";
import type { CallContext, Plan, Planner } from "./types.ts";

/** Only where the engine does not tell the time used away. */
const OWN_CPU_TIME = engine("clock_gettime");
const SECOND = 1_000_000_000n;

/** Clock numbers of CPU time below 0: ~(number >> 3) is whose, 0 the caller; bit 2 a thread's; the low bits which (linux/posix-timers.h). */
const PER_THREAD = 4;
const WHICH = 3;
const VIRTUAL = 1;

/** Whose CPU time a clock counts, if it is the caller's own. */
function ownClock(clock: number, ctx: CallContext): "self" | "thread" | null {
  if (clock === CLOCK.PROCESS_CPUTIME_ID) return "self";
  if (clock === CLOCK.THREAD_CPUTIME_ID) return "thread";
  const whose = ~(clock >> 3);
  if (whose !== 0 && whose !== ctx.pid && whose !== ctx.tid) return null;
  return clock & PER_THREAD ? "thread" : "self";
}

const ask =
  (nr: number): Planner =>
  (args, mem, area) =>
    pointerCall(nr, six(args), 1, 0, TIMESPEC.size, mem, area);

/** What home counted, and what was used away. */
const clockGettime: Planner = (args, mem, area, ctx): Plan => {
  const clock = asInt(args[0]);
  const plan = pointerCall(NR.clock_gettime, six(args), 1, 0, TIMESPEC.size, mem, area);
  const who = isCpuClock(clock) ? ownClock(clock, ctx) : null;
  if (who === null) return plan;
  if (ctx.cpuAway === undefined) return OWN_CPU_TIME;
  const inner = plan.finish;
  plan.finish = (result, out, memory) => {
    const away = result < 0n || out.length === 0 ? undefined : ctx.cpuAway?.(who);
    if (away === undefined) return inner(result, out, memory);
    const time = Buffer.from(out);
    const used = clock < 0 && (clock & WHICH) === VIRTUAL ? away.user : away.user + away.system;
    const total = time.readBigInt64LE(0) * SECOND + time.readBigInt64LE(8) + used;
    time.writeBigInt64LE(total / SECOND, 0);
    time.writeBigInt64LE(total % SECOND, 8);
    return inner(result, time, memory);
  };
  return plan;
};

export const clocks: Specials = {
  clock_gettime: clockGettime,
  clock_getres: ask(NR.clock_getres),
  timer_create: unless((args) => (isCpuClock(asInt(args[0])) ? CPU_CLOCK : null)),
  setitimer: unless((args) => (asInt(args[0]) === ITIMER.VIRTUAL || asInt(args[0]) === ITIMER.PROF ? CPU_CLOCK : null)),
};
