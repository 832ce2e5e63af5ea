import { CLONE_ARGS } from "../abi/mod.ts";
import { assert, TeselaError } from "../base/mod.ts";
import { SKELETON_BASE, Stub } from "../image/mod.ts";
import { isEnd, ptrace, Regs, type Tracees, type WaitStatus } from "../sys/mod.ts";
import { ALL_BUT_TRAP } from "./guest-build.ts";
import { mustBeOurs, mustHaveStub } from "./guest-inject.ts";
import { Sys } from "./numbers.ts";
import { place } from "./skeleton.ts";

const SIGTRAP = 5;
const CALL_AT = SKELETON_BASE + BigInt(Stub.one);
const TIDS_AT = 0x100;
/** The filter's stop for the call, the new task's event, and one that was asked for by an interrupt. */
const MAX_STOPS = 4;

export interface NativeClone {
  /** CLONE_* */
  readonly flags: bigint;
  /** The number that the new task has at home. */
  readonly tid: number;
  readonly childTid: bigint;
  readonly parentTid: bigint;
}

/**
 * The kernel of a stopped guest makes it a thread or a child by clone3(2), with the number that it has at home. The guest gets its
 * registers and mask back. @returns the new task's TID on this node; it is stopped behind the call, on the guest's stack, with all
 * signals blocked
 */
export function nativeClone({ tid, tracees }: { readonly tid: number; readonly tracees: Tracees }, wanted: NativeClone): number {
  mustHaveStub(tid);
  const tids = Buffer.alloc(8);
  tids.writeInt32LE(wanted.tid);
  const args = Buffer.alloc(CLONE_ARGS.size);
  const set = (field: keyof typeof CLONE_ARGS.at, value: bigint): void => void args.writeBigUInt64LE(value, CLONE_ARGS.at[field]);
  set("flags", wanted.flags);
  set("child_tid", wanted.childTid);
  set("parent_tid", wanted.parentTid);
  set("set_tid", place(tid, TIDS_AT, tids));
  set("set_tid_size", 1n);
  const at = place(tid, 0, args);
  const regs = new Regs();
  ptrace.getRegs(tid, regs.bytes);
  const mask = ptrace.getSigmask(tid);
  ptrace.setSigmask(tid, ALL_BUT_TRAP);
  const call = regs.clone();
  call.setCall(CALL_AT, Sys.clone3, [at, args.length]);
  ptrace.setRegs(tid, call.bytes);
  let child = 0;
  for (let stops = 0; ; stops++) {
    ptrace.cont(tid);
    const s: WaitStatus = tracees.wait(tid);
    if (isEnd(s)) throw new TeselaError("E_GONE", "the guest ended");
    if (s.kind === "signal" && s.signal === SIGTRAP) break;
    assert(s.kind === "event" && stops < MAX_STOPS, `a guest's clone ends (${JSON.stringify(s)})`);
    if (s.event === ptrace.Event.SECCOMP) mustBeOurs(tid, Sys.clone3);
    if (s.event === ptrace.Event.CLONE || s.event === ptrace.Event.FORK || s.event === ptrace.Event.VFORK) {
      child = Number(ptrace.eventMessage(tid));
    }
  }
  ptrace.getRegs(tid, call.bytes);
  ptrace.setRegs(tid, regs.bytes);
  ptrace.setSigmask(tid, mask);
  if (child === 0) throw new TeselaError("E_NOMEM", `clone3 in a guest: errno ${-call.result}`);
  const stop = tracees.wait(child);
  assert(stop.kind === "event", `a new guest stops (${JSON.stringify(stop)})`);
  return child;
}
