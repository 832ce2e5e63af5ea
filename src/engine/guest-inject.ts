import { assert, TeselaError } from "../base/mod.ts";
import { SKELETON_BASE, Stub, stubCode } from "../image/mod.ts";
import { libc, memory, ptrace, Reg, Regs, SYSCALL_INSN, type Tracees, type WaitStatus } from "../sys/mod.ts";
import { ALL_SIGNALS } from "./freeze.ts";
import { ALL_BUT_TRAP, signalOf } from "./guest-build.ts";
import { Sys } from "./numbers.ts";
import { place } from "./skeleton.ts";

const SIGTRAP = 5;

/** A stopped guest that can be made to do calls of ours. */
export interface Injectable {
  readonly tid: number;
  readonly tracees: Tracees;
  /** A SIGTRAP of the program's own may wait in its queue, where our calls must not let it out. */
  trapPending: boolean;
}

const CALL_AT = SKELETON_BASE + BigInt(Stub.one);
/** A guest that had other code here could make calls that its filter forbids, or never come back to us. */
const CALL_CODE = stubCode().subarray(Stub.one, Stub.one + 3);
/** The filter's stop for the call, and one that was asked for by an interrupt. */
const MAX_STOPS = 4;

/** @throws TeselaError E_CANTMOVE when it is not our code that would run */
export function mustHaveStub(tid: number): void {
  const code = Buffer.alloc(CALL_CODE.length);
  memory.readUpTo(tid, CALL_AT, code);
  if (!code.equals(CALL_CODE))
    throw new TeselaError("E_CANTMOVE", "the guest has changed Tesela's own pages", { reasons: ["low_address"] });
}

/**
 * At a stop of the filter for a call of ours, which is about to be let through: registers are the kernel's, and no guest can change them.
 * @throws TeselaError E_CANTMOVE for any other call: the guest must not run on from there
 */
export function mustBeOurs(tid: number, nr: number): void {
  const regs = new Regs();
  ptrace.getRegs(tid, regs.bytes);
  if (regs.syscallNumber === nr && regs.get(Reg.rip) === CALL_AT + SYSCALL_INSN) return;
  throw new TeselaError("E_CANTMOVE", `call ${regs.syscallNumber} came in place of Tesela's own ${nr}`, { reasons: ["low_address"] });
}

/**
 * Makes a stopped guest do one call of ours, at any stop but a signal-delivery-stop whose signal is still wanted, and puts
 * its registers and mask back. The guest's filter stops the call like its own, and it is let through. Afterwards the guest is
 * in a stop from which its kernel looks at its signals again, and at an interrupted call in its registers.
 */
export function injectCall(guest: Injectable, nr: number, args: readonly (bigint | number)[]): bigint {
  const { tid } = guest;
  mustHaveStub(tid);
  const saved = new Regs();
  ptrace.getRegs(tid, saved.bytes);
  const mask = ptrace.getSigmask(tid);
  const regs = saved.clone();
  regs.setCall(CALL_AT, nr, args);
  const { result, stopped } = guest.trapPending ? runQuietly(guest, regs, nr) : runToTrap(guest, regs, nr);
  ptrace.setRegs(tid, saved.bytes);
  ptrace.setSigmask(tid, mask);
  // It is met again when the guest goes on, unless this call has sent what takes it back.
  if (stopped && !sendsSigcont(nr, args)) libc.kill(tid, SIGSTOP);
  return result;
}

const SIGSTOP = 19;
const SIGCONT = 18;
const isSigstop = (s: WaitStatus): boolean => s.kind === "signal" && s.signal === SIGSTOP;

/** A pending stop is forgotten when a continuation comes (kernel/signal.c, prepare_signal). */
function sendsSigcont(nr: number, args: readonly (bigint | number)[]): boolean {
  const at = nr === Sys.rtSigqueueinfo ? 1 : nr === Sys.rtTgsigqueueinfo || nr === Sys.tgkill ? 2 : -1;
  return at > 0 && Number(args[at]) === SIGCONT;
}

interface Ran {
  readonly result: bigint;
  /** A SIGSTOP was in its queue, which no mask keeps there. */
  readonly stopped: boolean;
}

/** The quick way: the skeleton's int3 behind the call ends it, by a SIGTRAP that must be let in. */
function runToTrap({ tid, tracees }: Injectable, regs: Regs, nr: number): Ran {
  ptrace.setSigmask(tid, ALL_BUT_TRAP);
  ptrace.setRegs(tid, regs.bytes);
  let stopped = false;
  for (let stops = 0; ; stops++) {
    ptrace.cont(tid);
    const s = live(tracees.wait(tid));
    if (s.kind === "signal" && s.signal === SIGTRAP) break;
    if (isSigstop(s)) {
      stopped = true;
      continue;
    }
    assert(s.kind === "event" && stops < MAX_STOPS, `a call in a guest ends (${JSON.stringify(s)})`);
    if (s.event === ptrace.Event.SECCOMP) mustBeOurs(tid, nr);
  }
  ptrace.getRegs(tid, regs.bytes);
  return { result: regs.result, stopped };
}

/** With all signals blocked: from one system-call stop to the next, then to a stop of our own. */
function runQuietly({ tid, tracees }: Injectable, regs: Regs, nr: number): Ran {
  ptrace.setSigmask(tid, ALL_SIGNALS);
  ptrace.setRegs(tid, regs.bytes);
  const here = new Regs();
  let stopped = false;
  for (let stops = 0; stops < 2; ) {
    ptrace.contToSyscall(tid);
    const s = live(tracees.wait(tid));
    if (s.kind === "event" && s.event === ptrace.Event.SECCOMP) mustBeOurs(tid, nr);
    stopped ||= isSigstop(s);
    if (s.kind !== "syscall") continue;
    ptrace.getRegs(tid, here.bytes);
    // Where it stood in a call of its own, that one is skipped, and its end is told first.
    if (here.get(Reg.rip) === CALL_AT + SYSCALL_INSN) stops++;
  }
  ptrace.interrupt(tid);
  for (let trapped = false; !trapped; ) {
    ptrace.cont(tid);
    const s = live(tracees.wait(tid));
    stopped ||= isSigstop(s);
    trapped = s.kind === "event" && s.event === ptrace.Event.STOP;
  }
  return { result: here.result, stopped };
}

function live(s: WaitStatus): WaitStatus {
  if (s.kind === "exited" || s.kind === "killed") throw new TeselaError("E_GONE", "the guest ended");
  return s;
}

const EAGAIN = -11n;

/**
 * Puts a signal, with all it says, into the thread's own queue or into that of its process, which only the first thread may do
 * (rt_sigqueueinfo(2)).
 */
export function queueSignal(guest: Injectable & { readonly pid: number; readonly homeTid: number }, info: Uint8Array, own: boolean): void {
  const signal = signalOf(info);
  const { pid, homeTid } = guest;
  const at = place(guest.tid, 0, info);
  if (signal === SIGTRAP) guest.trapPending = true;
  const result = own
    ? injectCall(guest, Sys.rtTgsigqueueinfo, [pid, homeTid, signal, at])
    : injectCall(guest, Sys.rtSigqueueinfo, [pid, signal, at]);
  assert(result === 0n || result === EAGAIN, `a signal is queued (${result})`);
  // No room in the host's queue (RLIMIT_SIGPENDING): as where a process sends it, the signal comes without what it says.
  if (result === EAGAIN) injectCall(guest, Sys.tgkill, [pid, homeTid, signal]);
}
