/** Clocks and timers beyond the time of day. */
import { ITIMER, NR, TIMESPEC } from "../abi/mod.ts";
import { asInt, engine, six } from "./forward.ts";
import { pointerCall } from "./fcntl.ts";
import { CPU_CLOCK, isCpuClock } from "./sleep.ts";
import { type Specials, unless } from "./special.ts";
import type { CallContext, Planner } from "./types.ts";

const OWN_CPU_TIME = engine("clock_gettime");

/** Clock numbers of CPU time name whose it is: ~(clock >> 3), 0 for the caller (clock_getcpuclockid(3)). */
const isOwnClock = (clock: number, ctx: CallContext): boolean => {
  if (clock >= 0) return true;
  const whose = ~(clock >> 3);
  return whose === 0 || whose === ctx.pid || whose === ctx.tid;
};

const ask =
  (nr: number): Planner =>
  (args, mem, area) =>
    pointerCall(nr, six(args), 1, 0, TIMESPEC.size, mem, area);

const atHome = ask(NR.clock_gettime);

export const clocks: Specials = {
  clock_gettime: (args, mem, area, ctx) => {
    const clock = asInt(args[0]);
    return isCpuClock(clock) && isOwnClock(clock, ctx) ? OWN_CPU_TIME : atHome(args, mem, area, ctx);
  },
  clock_getres: ask(NR.clock_getres),
  timer_create: unless((args) => (isCpuClock(asInt(args[0])) ? CPU_CLOCK : null)),
  setitimer: unless((args) => (asInt(args[0]) === ITIMER.VIRTUAL || asInt(args[0]) === ITIMER.PROF ? CPU_CLOCK : null)),
};
