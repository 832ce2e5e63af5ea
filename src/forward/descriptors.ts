/** Calls that make, copy and close descriptors, with care for the deputy's own. */
import { ERRNO, NR } from "../abi/mod.ts";
import {
  again,
  asInt,
  asUint,
  back,
  BAD_ADDRESS,
  cannotWrite,
  done,
  EFAULT_RESULT,
  EMPTY,
  fail,
  fdArg,
  Forward,
  isReserved,
  NEVER_OPEN,
  six,
  tryWrite,
} from "./forward.ts";
import type { Specials } from "./special.ts";
import type { FinishResult, Plan, Planner } from "./types.ts";

/** The program wants a number that the deputy lives on: it can have it at home, where the deputy has none. */
const TAKEN = back("descriptor_taken");

const close: Planner = (args, _mem, _area, ctx) =>
  isReserved(asInt(args[0]), ctx) ? fail(ERRNO.EBADF) : new Forward(NR.close, six(args)).waits();

const duplicate =
  (nr: number): Planner =>
  (args, _mem, _area, ctx): Plan => {
    if (isReserved(asInt(args[1]), ctx)) return TAKEN;
    const a = six(args);
    a[0] = fdArg(a[0], ctx);
    return new Forward(nr, a);
  };

/** pipe, pipe2, socketpair: two new descriptors are written; where that fails they are closed again, as the kernel does. */
const pair =
  (nr: number, pointer: number): Planner =>
  (args, mem, area): Plan => {
    const a = six(args);
    const address = a[pointer] ?? 0n;
    if (cannotWrite(mem, address, 8)) {
      a[pointer] = BAD_ADDRESS;
      return new Forward(nr, a);
    }
    a[pointer] = area.base;
    return new Forward(nr, a, EMPTY, [{ offset: 0, length: 8 }], (result, out, memory) => {
      if (result < 0n || tryWrite(memory, address, out)) return done(result);
      const fds = Buffer.from(out);
      return closeThen([fds.readInt32LE(0), fds.readInt32LE(4)], EFAULT_RESULT);
    });
  };

/** Closes these at home, then ends with that result. */
export function closeThen(fds: readonly number[], result: bigint): FinishResult {
  const [fd, ...rest] = fds;
  if (fd === undefined) return done(result);
  return again(new Forward(NR.close, [BigInt(fd), 0n, 0n, 0n, 0n, 0n], EMPTY, [], () => closeThen(rest, result)));
}

/** Runs of numbers from `first` to `last` without the reserved ones. */
export function splitRange(first: number, last: number, reserved: readonly number[]): [number, number][] {
  const ranges: [number, number][] = [];
  let from = first;
  for (const fd of [...reserved].sort((x, y) => x - y)) {
    if (fd < from || fd > last) continue;
    if (fd > from) ranges.push([from, fd - 1]);
    from = fd + 1;
  }
  if (from <= last) ranges.push([from, last]);
  return ranges;
}

function closeRanges(ranges: readonly (readonly [number, number])[], flags: bigint): Plan {
  // Nothing left to close: the kernel still has to judge the flags.
  const [[first, last] = [NEVER_OPEN, NEVER_OPEN], ...rest] = ranges;
  return new Forward(NR.close_range, [BigInt(first), BigInt(last), flags, 0n, 0n, 0n], EMPTY, [], (result) =>
    result < 0n || rest.length === 0 ? done(result) : again(closeRanges(rest, flags)),
  );
}

const closeRange: Planner = (args, _mem, _area, ctx) => {
  const first = asUint(args[0]);
  const last = asUint(args[1]);
  if (!ctx.reservedFds.some((fd) => fd >= first && fd <= last)) return new Forward(NR.close_range, six(args));
  return closeRanges(splitRange(first, last, ctx.reservedFds), args[2] ?? 0n);
};

export const descriptors: Specials = {
  close,
  dup2: duplicate(NR.dup2),
  dup3: duplicate(NR.dup3),
  pipe: pair(NR.pipe, 0),
  pipe2: pair(NR.pipe2, 0),
  socketpair: pair(NR.socketpair, 3),
  close_range: closeRange,
};
