/** Sleeping. The deputy sleeps, so that signals find it at home and `ps` tells the truth. */
import { CLOCK, ERRNO, NR, TIMER, TIMESPEC } from "../abi/mod.ts";
import { asInt, back, BAD_ADDRESS, buffer, cannotWrite, done, EFAULT_RESULT, Forward, six, tryRead, tryWrite } from "./forward.ts";
import { Layout } from "./layout.ts";
import type { Specials } from "./special.ts";
import type { DeputyArea, GuestMemory, OutRange, Plan } from "./types.ts";

export const CPU_CLOCK = back("cpu_clock");

/** Clocks of CPU time: the two by name, and negative numbers that name a process or thread (low bits other than 3 mark a descriptor). */
export const isCpuClock = (clock: number): boolean =>
  clock === CLOCK.PROCESS_CPUTIME_ID || clock === CLOCK.THREAD_CPUTIME_ID || (clock < 0 && (clock & 7) !== 3);

/** Results with which the kernel has written how much is left: EINTR, or its own marks for "go on later". */
const isInterrupted = (result: bigint): boolean => result === BigInt(-ERRNO.EINTR) || (result <= -512n && result >= -516n);

function sleep(
  nr: number,
  args: readonly bigint[],
  want: number,
  rest: number,
  relative: boolean,
  mem: GuestMemory,
  area: DeputyArea,
): Plan {
  const a = six(args);
  const layout = new Layout(area);
  const time = tryRead(mem, a[want] ?? 0n, TIMESPEC.size);
  const offset = layout.put(time ?? buffer(new Uint8Array(0)));
  a[want] = time === null ? BAD_ADDRESS : layout.address(offset);
  const address = args[rest] ?? 0n;
  const outs: OutRange[] = [];
  if (address !== 0n) {
    if (cannotWrite(mem, address, TIMESPEC.size)) a[rest] = BAD_ADDRESS;
    else {
      // Zeros go in, so that what comes out is never an older call's.
      const room = layout.put(Buffer.alloc(TIMESPEC.size));
      a[rest] = layout.address(room);
      outs.push({ offset: room, length: TIMESPEC.size, onError: true });
    }
  }
  const plan = new Forward(nr, a, layout.blob(), outs, (result, out, memory) => {
    if (relative && outs.length > 0 && isInterrupted(result) && !tryWrite(memory, address, out)) return done(EFAULT_RESULT);
    return done(result);
  }).waits();
  if (time !== null) plan.timeout = { kind: "timespec", relative, areaOffset: offset };
  return plan;
}

export const sleeps: Specials = {
  nanosleep: (args, mem, area) => sleep(NR.nanosleep, args, 0, 1, true, mem, area),
  clock_nanosleep: (args, mem, area) => {
    if (isCpuClock(asInt(args[0]))) return CPU_CLOCK;
    return sleep(NR.clock_nanosleep, args, 2, 3, (asInt(args[1]) & TIMER.ABSTIME) === 0, mem, area);
  },
};
