import { readFileSync, statSync } from "node:fs";
import { MSG, NR, SO, SOCK, SOL } from "../abi/mod.ts";
import { type FinishResult, type ForwardPlan, type Plan, planCall, planIfStream } from "../forward/mod.ts";
import type { ThreadImage } from "../image/mod.ts";
import { libc, NO_SYSCALL, ptrace, Reg, type Regs, SYSCALL_INSN } from "../sys/mod.ts";
import type { Deputy } from "./deputy.ts";
import type { Guest } from "./guest.ts";
import type { InFlight } from "./guest-types.ts";
import { isRestart } from "./restarts.ts";
import { fetchDescriptor } from "./seat.ts";

/**
 * A write that waits for room in a pipe, a stream socket or a terminal tells how much it has written when it is interrupted. Where no
 * handler has run, only a move or a tracer's stop has interrupted it, which the program must not see: it gets the rest written before its
 * call is over. See docs/decisions/0059. The same goes for a receive from a stream that waits for all (MSG_WAITALL): see 0083.
 */
export type Written = NonNullable<ThreadImage["written"]>;

/** write(2), sendto(2): descriptor, data, how much. */
const WRITES: ReadonlySet<number> = new Set([NR.write, NR.sendto]);

/** ... of vectors, as home makes them for calls that bring more than fits its buffer. */
const VECTORS: ReadonlySet<number> = new Set([NR.writev, NR.sendmsg]);

/** recvfrom(2) that takes what it gives, and waits for all of it: the same arguments. */
const waitsForAll = (nr: number, args: readonly bigint[]): boolean =>
  nr === NR.recvfrom && (Number(BigInt.asUintN(32, args[3] ?? 0n)) & HOW) === MSG.WAITALL;
const HOW = MSG.WAITALL | MSG.DONTWAIT | MSG.PEEK | MSG.OOB | MSG.ERRQUEUE;

/** Whether so much is a part of what a call was to write, or to receive. */
const isPart = (nr: number, args: readonly bigint[], result: bigint): boolean =>
  result > 0n && result < (args[2] ?? 0n) && (WRITES.has(nr) || waitsForAll(nr, args));

// --- at home

/** Whether a write to it waits for room, and then goes on: a count that falls short there is an interruption's. */
function waitsForRoom(pid: number, fd: bigint): boolean {
  const path = `/proc/${pid}/fd/${BigInt.asIntN(32, fd)}`;
  try {
    const st = statSync(path);
    return st.isFIFO() || st.isSocket() || st.isCharacterDevice();
  } catch {
    return false;
  }
}

/** Whether a descriptor is a socket that keeps no bounds of messages, as each receive takes one. */
function isStream(pid: number, fd: bigint): boolean {
  let copy = -1;
  try {
    copy = fetchDescriptor(pid, Number(BigInt.asIntN(32, fd)));
    const [value, length] = [Buffer.alloc(4), Buffer.from([4, 0, 0, 0])];
    libc.syscall("getsockopt", NR.getsockopt, copy, SOL.SOCKET, SO.TYPE, libc.addressOf(value), libc.addressOf(length));
    return value.readInt32LE(0) === SOCK.STREAM;
  } catch {
    return false;
  } finally {
    if (copy >= 0) libc.close(copy);
  }
}

/** Whether a call goes on where an interruption has ended it, as far as its descriptor tells. */
const goesOn = (pid: number, nr: number, fd: bigint): boolean => (nr === NR.recvfrom ? isStream(pid, fd) : waitsForRoom(pid, fd));

/** struct iovec, and struct msghdr. */
const IOV_BYTES = 16n;
const MSG_IOV = 16n;
const MSG_CONTROL_LENGTH = 40n;

/** The call that does what one of the deputy's has not, when it was interrupted; null where that is no such call. */
export function restOfCall(deputy: Deputy, request: Buffer, result: bigint): Buffer | null {
  const nr = Number(request.readBigInt64LE(0));
  if (result <= 0n || !(WRITES.has(nr) || VECTORS.has(nr) || nr === NR.recvfrom)) return null;
  const [fd = 0n, at = 0n, count = 0n, flags = 0n] = [0, 1, 2, 3].map((i) => request.readBigUInt64LE(8 + 8 * i));
  if (!VECTORS.has(nr) && !isPart(nr, [fd, at, count, flags], result)) return null;
  if (!goesOn(deputy.pid, nr, fd)) return null;
  const rest = Buffer.from(request);
  const set = (index: number, value: bigint): number => rest.writeBigUInt64LE(value, 8 + 8 * index);
  if (!VECTORS.has(nr)) {
    set(1, at + result);
    set(2, count - result);
  } else if (nr === NR.writev) {
    const left = advance(deputy, at, count, result);
    if (!left) return null;
    set(1, left.at);
    set(2, left.count);
  } else {
    const head = deputy.peek(at + MSG_IOV, 16);
    const left = advance(deputy, head.readBigUInt64LE(0), head.readBigUInt64LE(8), result);
    if (!left) return null;
    head.writeBigUInt64LE(left.at, 0);
    head.writeBigUInt64LE(left.count, 8);
    deputy.poke(at + MSG_IOV, head);
    // What came with the first byte has gone with it.
    deputy.poke(at + MSG_CONTROL_LENGTH, Buffer.alloc(8));
  }
  // A reader that has gone meanwhile ends the call with what was written, as it would have (net/core/stream.c).
  if (nr === NR.sendto) set(3, flags | BigInt(MSG.NOSIGNAL));
  if (nr === NR.sendmsg) set(2, count | BigInt(MSG.NOSIGNAL));
  return rest;
}

/** What of a vector in the deputy's buffer is not written; null when all of it is. */
function advance(deputy: Deputy, at: bigint, count: bigint, done: bigint): { at: bigint; count: bigint } | null {
  let left = done;
  for (let i = 0n; i < count; i++) {
    const iov = deputy.peek(at + i * IOV_BYTES, Number(IOV_BYTES));
    const [base, length] = [iov.readBigUInt64LE(0), iov.readBigUInt64LE(8)];
    if (left < length) {
      iov.writeBigUInt64LE(base + left, 0);
      iov.writeBigUInt64LE(length - left, 8);
      deputy.poke(at + i * IOV_BYTES, iov);
      return { at: at + i * IOV_BYTES, count: count - i };
    }
    left -= length;
  }
  return null;
}

const O_NONBLOCK = 0o4000;
/** What a thread has written, or received, that is stopped at home at the end of such a call, which our stop has cut short. */
export function writtenAtHome(tid: number, regs: Regs): Written | null {
  const { syscallNumber: nr, args, result } = regs;
  if (!isPart(nr, args, result) || !goesOn(tid, nr, args[0] ?? 0n)) return null;
  const flags = /^flags:\t(\d+)$/m.exec(fdinfo(tid, args[0] ?? 0n))?.[1] ?? "0";
  if ((Number.parseInt(flags, 8) & O_NONBLOCK) !== 0) return null;
  return { nr, rip: regs.get(Reg.rip) - SYSCALL_INSN, done: result };
}
function fdinfo(tid: number, fd: bigint): string {
  try {
    return readFileSync(`/proc/${tid}/fdinfo/${BigInt.asIntN(32, fd)}`, "utf8");
  } catch {
    return "";
  }
}

/** Makes registers at the end of such a write stand before it. */
export function beforeWrite(regs: Regs, { nr, rip }: Written): void {
  regs.set(Reg.rip, rip);
  regs.set(Reg.rax, BigInt(nr));
  regs.set(Reg.origRax, NO_SYSCALL);
}

/** The contrary: the call ends with what is written. @returns false when they stand somewhere else */
export function endWrite(regs: Regs, { nr, rip, done }: Written): boolean {
  if (regs.get(Reg.rip) !== rip || regs.syscallNumber >= 0 || regs.get(Reg.rax) !== BigInt(nr)) return false;
  regs.set(Reg.rip, rip + SYSCALL_INSN);
  regs.set(Reg.rax, done);
  return true;
}

// --- at the guest

/** A call at home is over: whether the guest stands before it again, since it has written a part and a move has met it. */
export function keepsWriting(guest: Guest, flight: InFlight, done: bigint): boolean {
  const moves = guest.freezing || guest.process.standing;
  if (!moves || flight.handlerWaits || !isPart(flight.nr, guest.regs.args, done)) return false;
  guest.rewindCall();
  // Nobody may make all of it again.
  guest.cut = null;
  guest.written = { nr: flight.nr, rip: guest.regs.get(Reg.rip), done };
  guest.settle();
  return true;
}

/** A handler is about to run: a write of which a part is written ends with that. */
export function endsWrite(guest: Guest): void {
  const { written, regs, tid } = guest;
  guest.written = null;
  if (written && endWrite(regs, written)) ptrace.setRegs(tid, regs.bytes);
}

/** The guest makes a call again of which a part is done: the rest. */
export function planRest(guest: Guest, nr: number): Plan | null {
  const { written, regs } = guest;
  guest.written = null;
  if (written?.nr !== nr || written.rip !== regs.get(Reg.rip) - SYSCALL_INSN) return null;
  const [fd = 0n, data = 0n, length = 0n, ...more] = regs.args;
  const rest = planCall(nr, [fd, data + written.done, length - written.done, ...more], guest.memory, guest.area, guest.context);
  guest.written = written;
  const whole = rest.kind === "forward" ? afterPart(rest, written.done) : rest;
  return planIfStream(fd, guest.area, whole, written.done);
}

/** The same plan, whose result comes on top of what is written. An interrupted one stays interrupted. */
function afterPart(plan: ForwardPlan, part: bigint): ForwardPlan {
  const finish: ForwardPlan["finish"] = (result, out, mem): FinishResult => {
    const end = plan.finish(result, out, mem);
    if ("again" in end) return end.again.kind === "forward" ? { again: afterPart(end.again, part) } : end;
    if (isRestart(end.done)) return end;
    return { done: end.done > 0n ? part + end.done : part };
  };
  return { ...plan, finish };
}
