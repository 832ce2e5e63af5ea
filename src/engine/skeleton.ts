import { assert, TeselaError } from "../base/mod.ts";
import { packCall, type RawCall, SKELETON_BASE, SKELETON_DATA, SKELETON_DATA_SIZE, Stub } from "../image/mod.ts";
import { isEnd, isErrno, memory, NO_SYSCALL, ptrace, Reg, Regs, SysError, type Tracees } from "../sys/mod.ts";

/** What is done to a skeleton, the empty process that a guest is made of: see image/skeleton.ts. */

const CALL_BYTES = 64;
/** Calls that fit the skeleton's list page; the rest of its data is for what they point to. */
const LIST_BYTES = 0x4000;
export const LIST_CALLS = LIST_BYTES / CALL_BYTES;
/** Where arguments of listed calls may be placed. */
export const SKELETON_ARGS = SKELETON_DATA + BigInt(LIST_BYTES);
export const SKELETON_ARGS_SIZE = SKELETON_DATA_SIZE - LIST_BYTES;

const SIGTRAP = 5;

/**
 * Makes a stopped skeleton fork, by the call given: clone(2) or clone3(2). The child is stopped, and a tracee like it.
 * @throws SysError
 */
export function forkSkeleton(tracees: Tracees, tid: number, nr: number, args: readonly (bigint | number)[]): number {
  const regs = new Regs();
  ptrace.getRegs(tid, regs.bytes);
  regs.setCall(SKELETON_BASE + BigInt(Stub.one), nr, args);
  ptrace.setRegs(tid, regs.bytes);
  ptrace.cont(tid);
  let child = 0;
  for (;;) {
    const s = tracees.wait(tid);
    if (s.kind === "event" && (s.event === ptrace.Event.FORK || s.event === ptrace.Event.CLONE)) {
      child = Number(ptrace.eventMessage(tid));
      ptrace.cont(tid);
      continue;
    }
    if (isEnd(s)) throw new TeselaError("E_GONE", "the parent of a new guest ended");
    assert(s.kind === "signal" && s.signal === SIGTRAP, `a skeleton forks (${JSON.stringify(s)})`);
    break;
  }
  if (child === 0) {
    ptrace.getRegs(tid, regs.bytes);
    throw new SysError("a new guest's clone", Number(-regs.result));
  }
  const s = tracees.wait(child);
  assert(s.kind === "event" && s.event === ptrace.Event.STOP, `a new guest stops (${JSON.stringify(s)})`);
  return child;
}

/** Puts bytes into a skeleton's argument pages. @returns their address there */
export function place(tid: number, offset: number, bytes: Uint8Array): bigint {
  assert(offset + bytes.length <= SKELETON_ARGS_SIZE, "the arguments fit");
  const at = SKELETON_ARGS + BigInt(offset);
  const n = memory.writeUpTo(tid, at, bytes);
  assert(n === bytes.length, "the skeleton's pages are there");
  return at;
}

/**
 * Makes a stopped skeleton run a list of calls, with one stop at its end for each LIST_CALLS of them.
 * @throws SysError for the first that failed, unless `lenient`
 */
export function runList(tracees: Tracees, tid: number, list: readonly RawCall[], lenient = false): bigint[] {
  const results: bigint[] = [];
  for (let from = 0; from < list.length; from += LIST_CALLS) {
    const part = list.slice(from, from + LIST_CALLS);
    const bytes = Buffer.alloc(part.length * CALL_BYTES);
    part.forEach((call, i) => {
      packCall(call, bytes, i * CALL_BYTES);
    });
    const written = memory.writeUpTo(tid, SKELETON_DATA, bytes);
    assert(written === bytes.length, "the skeleton's list page is there");
    const regs = new Regs();
    ptrace.getRegs(tid, regs.bytes);
    regs.set(Reg.rip, SKELETON_BASE + BigInt(Stub.list));
    regs.set(Reg.r15, SKELETON_DATA);
    regs.set(Reg.r14, BigInt(part.length));
    regs.set(Reg.origRax, NO_SYSCALL);
    ptrace.setRegs(tid, regs.bytes);
    ptrace.cont(tid);
    const stop = tracees.wait(tid);
    if (stop.kind === "exited" || stop.kind === "killed") throw new TeselaError("E_GONE", "the guest ended while it was set up");
    assert(stop.kind === "signal" && stop.signal === SIGTRAP, `a list of calls ends (${JSON.stringify(stop)})`);
    memory.readUpTo(tid, SKELETON_DATA, bytes);
    for (let i = 0; i < part.length; i++) {
      const r = bytes.readBigInt64LE(i * CALL_BYTES + 56);
      if (!lenient && isErrno(r)) throw new SysError(`call ${part[i]?.nr} in a guest`, Number(-r));
      results.push(r);
    }
  }
  return results;
}
