/** Waiting for descriptors: poll, select, epoll. */
import { EPOLL_EVENT, ERRNO, NR, POLLFD, TIMESPEC, TIMEVAL } from "../abi/mod.ts";
import {
  answer,
  asInt,
  asUint,
  BAD_ADDRESS,
  cannotWrite,
  done,
  EFAULT_RESULT,
  fail,
  fdArg,
  Forward,
  isReserved,
  NEVER_OPEN,
  outLengths,
  six,
  TOO_BIG,
  tryRead,
  tryWrite,
} from "./forward.ts";
import { Layout } from "./layout.ts";
import { type Mask, readMask, readMaskArg } from "./sigmask.ts";
import type { Specials } from "./special.ts";
import type { CallContext, Finish, GuestMemory, OutRange, Plan, Planner, Timeout } from "./types.ts";

/** Gives a plan the mask that the guest waits with; the deputy's call gets none. */
function withMask(plan: Forward, mask: Mask): Plan {
  if (mask === null) return plan;
  if ("error" in mask) return answer(mask.error);
  plan.sigmaskPtr = mask.address;
  plan.sigmask = mask.value;
  return plan;
}

/** Descriptors of the deputy's own are closed to the program: POLLNVAL. */
function hideReserved(fds: Buffer, ctx: CallContext): Buffer {
  let copy: Buffer | null = null;
  for (let at = 0; at < fds.length; at += POLLFD.size) {
    if (!isReserved(fds.readInt32LE(at), ctx)) continue;
    copy ??= Buffer.from(fds);
    copy.writeInt32LE(NEVER_OPEN, at);
  }
  return copy ?? fds;
}

interface TimeLimit {
  readonly address: bigint;
  readonly offset: number;
}

/** Places a relative time that the kernel writes back; null for none, undefined for a bad pointer. */
function putTime(layout: Layout, mem: GuestMemory, address: bigint): TimeLimit | null | undefined {
  if (address === 0n) return null;
  const bytes = tryRead(mem, address, TIMESPEC.size);
  return bytes === null ? undefined : { address, offset: layout.put(bytes) };
}

/** Places a time limit of nothing. */
const noTime = (layout: Layout): bigint => layout.address(layout.put(Buffer.alloc(TIMESPEC.size)));

const poller =
  (nr: number): Planner =>
  (args, mem, area, ctx): Plan => {
    const a = six(args);
    const count = asUint(a[1]);
    const layout = new Layout(area);
    const fdsAt = args[0] ?? 0n;
    const size = count * POLLFD.size;
    if (size > area.size) return TOO_BIG;
    const fds = count === 0 ? Buffer.alloc(0) : tryRead(mem, fdsAt, size);
    const writable = fds !== null && (count === 0 || !cannotWrite(mem, fdsAt, size));
    const offset = layout.put(writable && fds !== null ? hideReserved(fds, ctx) : Buffer.alloc(0));
    a[0] = writable ? layout.address(offset) : BAD_ADDRESS;

    let time: TimeLimit | null | undefined = null;
    let mask: Mask = null;
    let timeout: Timeout = { kind: "ms", relative: true, argIndex: 2 };
    if (nr === NR.ppoll) {
      mask = readMask(mem, args[3] ?? 0n, args[4] ?? 0n);
      time = ctx.atOnce ? null : putTime(layout, mem, args[2] ?? 0n);
      a[2] = ctx.atOnce ? noTime(layout) : time === null ? 0n : time === undefined ? BAD_ADDRESS : layout.address(time.offset);
      a[3] = 0n;
      if (time) timeout = { kind: "timespec", relative: true, areaOffset: time.offset };
    }
    if (layout.full) return TOO_BIG;
    const outs: OutRange[] = [];
    if (writable && size > 0) outs.push({ offset, length: size });
    if (time) outs.push({ offset: time.offset, length: TIMESPEC.size, onError: true });
    const plan = new Forward(nr, a, layout.blob(), outs, finishPoll(outs, fds, fdsAt, writable && size > 0, time ?? null)).waits();
    if (nr === NR.poll || time) plan.timeout = timeout;
    return withMask(plan, mask);
  };

const REVENTS = POLLFD.at.revents;

function finishPoll(outs: readonly OutRange[], fds: Buffer | null, address: bigint, hasFds: boolean, time: TimeLimit | null): Finish {
  return (result, out, mem) => {
    const lengths = outLengths(outs, result);
    const size = hasFds ? (lengths[0] ?? 0) : 0;
    if (size > 0 && fds !== null) {
      // Only revents change: descriptors that were hidden on the way stay what they are.
      const after = Buffer.from(fds);
      for (let at = REVENTS; at < size; at += POLLFD.size) {
        after[at] = out[at] ?? 0;
        after[at + 1] = out[at + 1] ?? 0;
      }
      if (!tryWrite(mem, address, after)) return done(EFAULT_RESULT);
    }
    // A time that cannot be written back is ignored by the kernel, too.
    if (time !== null) tryWrite(mem, time.address, out.subarray(size, size + TIMESPEC.size));
    return done(result);
  };
}

/** Bytes of a descriptor set for `n` descriptors: whole longs. */
const setBytes = (n: number): number => Math.ceil(n / 64) * 8;
/** No table of descriptors is larger by default (fs.nr_open); the kernel cuts larger counts to the table it has. */
const MAX_FDS = 1024 * 1024;

/** One past the highest descriptor in a set. */
function extent(set: Buffer): number {
  let i = set.length - 1;
  while (i >= 0 && set[i] === 0) i--;
  return i < 0 ? 0 : i * 8 + 32 - Math.clz32(set[i] ?? 0);
}

const selector =
  (nr: number): Planner =>
  (args, mem, area, ctx): Plan => {
    const a = six(args);
    const count = asInt(a[0]);
    const layout = new Layout(area);
    const size = count > 0 ? setBytes(Math.min(count, MAX_FDS)) : 0;
    let bad = false;
    const sets: { readonly index: number; readonly address: bigint; readonly set: Buffer; offset: number }[] = [];
    for (const index of [1, 2, 3]) {
      const address = args[index] ?? 0n;
      if (address === 0n || size === 0) continue;
      const set = readSet(mem, address, size);
      if (set === null || cannotWrite(mem, address, set.length)) {
        a[index] = BAD_ADDRESS;
        bad = true;
      } else if (namesReserved(set, count, ctx)) return fail(ERRNO.EBADF);
      else sets.push({ index, address, set, offset: 0 });
    }
    // Programs give counts far beyond what is in their sets: zeros at the end mean nothing, neither before nor after.
    const used = bad ? Math.min(count, MAX_FDS) : Math.min(Math.max(0, ...sets.map(({ set }) => extent(set))), Math.max(count, 0));
    const travels = setBytes(used);
    if (count > 0 && sets.length > 0 && !bad) a[0] = BigInt(used);
    for (const s of sets) {
      s.offset = layout.put(s.set.subarray(0, travels));
      a[s.index] = layout.address(s.offset);
    }
    const time = ctx.atOnce ? null : putTime(layout, mem, args[4] ?? 0n);
    a[4] = ctx.atOnce ? noTime(layout) : time === null ? 0n : time === undefined ? BAD_ADDRESS : layout.address(time.offset);
    const mask = nr === NR.pselect6 ? readMaskArg(mem, args[5] ?? 0n) : null;
    a[5] = 0n;
    if (layout.full) return TOO_BIG;
    const outs: OutRange[] = sets.map(({ offset }) => ({ offset, length: travels }));
    if (time) outs.push({ offset: time.offset, length: TIMEVAL.size, onError: true });
    const plan = new Forward(nr, a, layout.blob(), outs, (result, out, memory) => {
      let at = 0;
      if (result >= 0n) {
        for (const { address } of sets) {
          if (!tryWrite(memory, address, out.subarray(at, at + travels))) return done(EFAULT_RESULT);
          at += travels;
        }
      }
      if (time) tryWrite(memory, time.address, out.subarray(at, at + TIMEVAL.size));
      return done(result);
    }).waits();
    if (time) plan.timeout = { kind: nr === NR.select ? "timeval" : "timespec", relative: true, areaOffset: time.offset };
    return withMask(plan, mask);
  };

/** Sets are often declared far larger than the memory behind them: beyond FD_SETSIZE only what is there counts. */
const FD_SETSIZE_BYTES = 128;

function readSet(mem: GuestMemory, address: bigint, size: number): Buffer | null {
  const set = tryRead(mem, address, size);
  if (set !== null || size <= FD_SETSIZE_BYTES) return set;
  const some = mem.readUpTo(address, size);
  return some.length < FD_SETSIZE_BYTES ? null : Buffer.concat([some], size);
}

const namesReserved = (set: Buffer, count: number, ctx: CallContext): boolean =>
  ctx.reservedFds.some((fd) => fd < count && fd >> 3 < set.length && ((set[fd >> 3] ?? 0) & (1 << (fd & 7))) !== 0);

const EVENT = EPOLL_EVENT.size;
/** The kernel refuses more (fs/eventpoll.c, EP_MAX_EVENTS). */
const MAX_EVENTS = Math.floor(0x7fffffff / EVENT);

const epoller =
  (nr: number): Planner =>
  (args, mem, area, ctx): Plan => {
    const a = six(args);
    a[0] = fdArg(a[0], ctx);
    const layout = new Layout(area);
    let timeout: Timeout | null = { kind: "ms", relative: true, argIndex: 3 };
    if (nr === NR.epoll_pwait2) {
      timeout = null;
      const address = args[3] ?? 0n;
      const time = ctx.atOnce ? Buffer.alloc(TIMESPEC.size) : address === 0n ? undefined : tryRead(mem, address, TIMESPEC.size);
      if (time === null) a[3] = BAD_ADDRESS;
      if (time) {
        const areaOffset = layout.put(time);
        a[3] = layout.address(areaOffset);
        timeout = { kind: "timespec", relative: true, areaOffset };
      }
    }
    if (nr === NR.epoll_pwait && ctx.atOnce) a[3] = 0n;
    const mask = nr === NR.epoll_wait ? null : readMask(mem, args[4] ?? 0n, args[5] ?? 0n);
    if (nr !== NR.epoll_wait) a[4] = 0n;
    const address = args[1] ?? 0n;
    const wanted = asInt(a[2]);
    const refused = wanted <= 0 || wanted > MAX_EVENTS;
    // Fewer events than the program has room for are as good: it asks again.
    const count = refused ? 0 : Math.min(wanted, Math.floor(layout.left / EVENT));
    if (refused || cannotWrite(mem, address, count * EVENT)) {
      a[1] = BAD_ADDRESS;
      return withMask(new Forward(nr, a, layout.blob()).waits(true), mask);
    }
    const offset = layout.room(count * EVENT);
    a[1] = layout.address(offset);
    a[2] = BigInt(count);
    const outs: OutRange[] = [{ offset, length: count * EVENT, limit: "return", unit: EVENT }];
    const plan = new Forward(nr, a, layout.blob(), outs, (result, out, memory) =>
      result > 0n && !tryWrite(memory, address, out) ? done(EFAULT_RESULT) : done(result),
    ).waits(true);
    if (timeout) plan.timeout = timeout;
    return withMask(plan, mask);
  };

export const polls: Specials = {
  poll: poller(NR.poll),
  ppoll: poller(NR.ppoll),
  select: selector(NR.select),
  pselect6: selector(NR.pselect6),
  epoll_wait: epoller(NR.epoll_wait),
  epoll_pwait: epoller(NR.epoll_pwait),
  epoll_pwait2: epoller(NR.epoll_pwait2),
};
