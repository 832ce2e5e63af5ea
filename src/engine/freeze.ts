import { SYSCALLS } from "../abi/mod.ts";
import { TeselaError } from "../base/mod.ts";
import { leaveCriticalSection, readRseq, type RseqConfiguration } from "../image/mod.ts";
import { isEnd, NO_SYSCALL, proc, ptrace, Reg, Regs, SYSCALL_INSN, SysError, type Tracees, USER_CS, type WaitStatus } from "../sys/mod.ts";
import type { FrozenThread } from "./deputy.ts";
import { fillUp } from "./filled-reads.ts";
import type { Cut } from "./guest-types.ts";
import { Sys } from "./numbers.ts";
import { rememberXstate } from "./own-xstate.ts";
import { isRestart, nameRestarted, Restart, sendOn } from "./restarts.ts";
import { hasPendingFault } from "./signals.ts";
import { type Written, writtenAtHome } from "./partial-writes.ts";

/** A thread that does not stop within this time waits in the kernel for something that cannot be interrupted. */
export const FREEZE_TIMEOUT_MS = 2000;

const SIGTRAP = 5;
export const ALL_SIGNALS = 0xffff_ffff_ffff_ffffn;

const EINTR = -4n;

/**
 * Calls that the kernel ends with EINTR although no handler ran (signal(7), "Interruption of system calls and library
 * functions by stop signals"). When our own stop was all that happened, they are started again.
 */
const EINTR_WITHOUT_HANDLER: ReadonlySet<number> = new Set(SYSCALLS.filter((row) => row.restartOnEintr).map(({ nr }) => nr));

/** Calls whose restart block holds no pointer that matters, see {@link restOfSleep}: home's kernel may finish them for a guest. */
const RESTARTED_AT_HOME: ReadonlySet<number> = new Set([35 /* nanosleep */, 230 /* clock_nanosleep */]);

export interface Frozen extends FrozenThread {
  /** The signal mask that the program had. */
  readonly sigmask: bigint;
  readonly rseq: RseqConfiguration | null;
  readonly restart: { nr: number } | null;
  /** It stands at the end of a write that our stop has cut short. */
  readonly written: Written | null;
  /** Signals that wait for this thread alone; they stay in its queue. */
  readonly pending: readonly Uint8Array[];
}

/** All threads of a process, stopped. */
export interface FrozenProcess {
  /** The one that bears the process's number. */
  readonly leader: Frozen;
  readonly others: readonly Frozen[];
  /** Signals that wait for the process; they stay in its queue. */
  readonly pending: readonly Uint8Array[];
}
export const threadsOf = (p: FrozenProcess): readonly Frozen[] => [p.leader, ...p.others];

/** Waits for a tracee's next stop on the event loop. */
export function nextStop(tracees: Tracees, tid: number, timeoutMs: number): Promise<WaitStatus | null> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(null), timeoutMs);
    tracees.claim(tid, (s) => {
      clearTimeout(timer);
      resolve(s);
    });
  });
}

/**
 * Waits until a thread that was attached to and interrupted stands somewhere that it can go on from elsewhere. Signals that are
 * delivered meanwhile are let through first.
 * @returns false when it has ended
 * @throws TeselaError E_BUSY (does not stop), E_CANTMOVE (`stopped`)
 */
export async function stopThread(tracees: Tracees, tid: number): Promise<boolean> {
  let rounds = 0;
  let afterSignal = false;
  for (;;) {
    const s = await nextStop(tracees, tid, afterSignal ? SIGNAL_MS : FREEZE_TIMEOUT_MS);
    if (s === null) {
      if (!afterSignal)
        throw new TeselaError("E_BUSY", `thread ${tid} waits in the kernel for something that cannot be interrupted; try again`);
      // Another thread has taken the signal.
      afterSignal = false;
      if (!proc.exists(tid)) return false;
      ptrace.interrupt(tid);
      continue;
    }
    if (isEnd(s)) return false;
    if (s.kind === "signal") {
      afterSignal = false;
      goOn(tid, s.signal);
      continue;
    }
    if (s.kind === "event" && s.event === ptrace.Event.STOP) {
      if (s.signal !== SIGTRAP) {
        throw new TeselaError("E_CANTMOVE", `process ${tid} is stopped; continue it first`, { reasons: ["stopped"] });
      }
      if (hasPendingFault(tid) || (rounds++ < MAX_ROUNDS && interruptedBySignal(tid))) {
        afterSignal = true;
        ptrace.cont(tid);
        continue;
      }
      keepCall(tid);
      return true;
    }
    goOn(tid);
  }
}
/** What our stop has ended is whole, or begun again, though nothing more should come of the move, or of this engine. */
function keepCall(tid: number): void {
  const regs = new Regs();
  ptrace.getRegs(tid, regs.bytes);
  fillUp(tid, regs);
  if (regs.result !== EINTR || !EINTR_WITHOUT_HANDLER.has(regs.syscallNumber)) return;
  regs.set(Reg.rax, Restart.NOHAND);
  ptrace.setRegs(tid, regs.bytes);
}

/** Any other stop than the one that was asked for makes the kernel forget that: it is asked for again. */
function goOn(tid: number, signal = 0): void {
  ptrace.interrupt(tid);
  ptrace.cont(tid, signal);
}
/** A signal that is pending for all threads comes to this one within microseconds, or to another. */
const SIGNAL_MS = 20;
/** A program that gets signals faster than it handles them is frozen all the same. */
const MAX_ROUNDS = 16;

/**
 * A call that a signal has ended must see its handler run here, where the kernel knows whether it is begun again: our own
 * stop came between the two.
 */
function interruptedBySignal(tid: number): boolean {
  const regs = new Regs();
  ptrace.getRegs(tid, regs.bytes);
  const { result } = regs;
  const cut = (result <= Restart.SYS && result >= Restart.BLOCK) || result === EINTR;
  return regs.syscallNumber >= 0 && cut && signalWaits(tid);
}

const signalSet = (status: string, name: string): bigint => BigInt(`0x${proc.statusField(status, name) ?? "0"}`);

/** The signals that wait for a thread or its process, as a kernel sigset. */
export function pendingSignals(tid: number): bigint {
  const status = proc.readStatus(tid);
  return signalSet(status, "SigPnd") | signalSet(status, "ShdPnd");
}

/** Whether a signal is about to be delivered. */
export function signalWaits(tid: number): boolean {
  const status = proc.readStatus(tid);
  return ((signalSet(status, "SigPnd") | signalSet(status, "ShdPnd")) & ~signalSet(status, "SigBlk")) !== 0n;
}

/** Reads the state of a stopped thread, ready to be resumed anywhere: an interrupted call is set to start again. */
export function describe(tid: number): Frozen {
  const regs = new Regs();
  ptrace.getRegs(tid, regs.bytes);
  if (regs.get(Reg.cs) !== USER_CS) {
    throw new TeselaError("E_CANTMOVE", `process ${tid} runs 32-bit code`, { reasons: ["code_32bit"] });
  }
  if (!nameRestarted(tid, regs)) {
    throw new TeselaError("E_BUSY", `thread ${tid} waits in a call with which only this kernel can go on; try again`);
  }
  const sigmask = ptrace.getSigmask(tid);
  const rseq = readRseq(tid);
  const written = writtenAtHome(tid, regs);
  const restart = rewind(regs);
  const pending = ptrace.peekSiginfo(tid, false);
  if (rseq) leaveCriticalSection(tid, rseq, regs);
  const xstate = ptrace.getXstate(tid);
  rememberXstate(xstate);
  return { tid, regs, xstate, sigmask, altStack: KEEP_STACK, rseq, restart, written, pending, stopRequested: false };
}

/** The registers with which a frozen thread goes on at home, as if nothing had been: a part-done sleep is continued. */
export function resumeRegs({ tid, regs: frozen, restart }: Pick<Frozen, "tid" | "regs" | "restart">): Regs {
  const regs = frozen.clone();
  if (!restart) return regs;
  Regs.repeat(regs, Sys.restartSyscall);
  sendOn(tid, restart.nr, regs.get(Reg.rip));
  return regs;
}

/** The same where the restart block is lost and the kernel does not look at an interrupted call: it begins anew. */
export function repeatRegs(frozen: { regs: Regs; restart: { nr: number } | null }): Regs {
  const regs = frozen.regs.clone();
  if (frozen.restart) Regs.repeat(regs, frozen.restart.nr);
  else if (regs.syscallNumber >= 0 && isRestart(regs.result)) Regs.repeat(regs, regs.syscallNumber);
  return regs;
}
/** The same for rt_sigreturn(2), whose frame cannot tell of an interrupted call: that is made again. */
export function frameRegs(frozen: { regs: Regs; restart: { nr: number } | null }): Regs {
  const regs = repeatRegs(frozen);
  rewind(regs);
  return regs;
}
/**
 * What rt_sigreturn(2) finds in a frame made here: it ignores flags that cannot be, so that the thread keeps the alternate
 * stack that it has (kernel/signal.c, restore_altstack).
 */
export const KEEP_STACK = { sp: 0n, flags: 3, size: 0n } as const;

/**
 * Makes an interrupted call of registers at a stop fit for any kernel: whichever lets the thread go on ends the call for a
 * signal that it delivers first, as SA_RESTART says, and begins it again when there is none. Returns the call's number when only the
 * kernel that began it can go on with it (its time has partly passed): then the registers stand behind the call, waiting for a result.
 */
export function rewind(regs: Regs): { nr: number } | null {
  const nr = regs.syscallNumber;
  if (nr < 0) return null;
  const result = regs.result;
  if (result === Restart.BLOCK && RESTARTED_AT_HOME.has(nr)) {
    regs.set(Reg.origRax, NO_SYSCALL);
    regs.set(Reg.rax, BigInt(EINTR));
    return { nr };
  }
  if (result === Restart.BLOCK || (result === EINTR && EINTR_WITHOUT_HANDLER.has(nr))) regs.set(Reg.rax, Restart.NOHAND);
  else if (!isRestart(result)) regs.set(Reg.origRax, NO_SYSCALL);
  return null;
}

/** Of a thread that stands before a call: shows it as interrupted in that call, with the kernel's mark of it. */
export function setInterrupted(regs: Regs, { rip, nr, result }: Cut): void {
  if (regs.get(Reg.rip) !== rip || regs.get(Reg.rax) !== BigInt(nr) || regs.syscallNumber >= 0) return;
  regs.set(Reg.rip, regs.get(Reg.rip) + SYSCALL_INSN);
  regs.set(Reg.origRax, BigInt(nr));
  regs.set(Reg.rax, result);
}

/** The same of registers that show it. */
export function cutOf(regs: Regs): Cut | null {
  const { syscallNumber: nr, result } = regs;
  return nr >= 0 && isRestart(result) ? { rip: regs.get(Reg.rip) - SYSCALL_INSN, nr, result } : null;
}

/** Where relative sleeps have their time and what is left of it when they are interrupted: indices of arguments. */
const SLEEPS: Readonly<Record<number, { readonly time: number; readonly left: number }>> = {
  [Sys.nanosleep]: { time: 0, left: 1 },
  [Sys.clockNanosleep]: { time: 2, left: 3 },
};

/** The arguments with which an interrupted sleep sleeps for the rest, where it has told the program how much that is. */
export function restOfSleep(nr: number, args: readonly bigint[]): bigint[] | null {
  const at = SLEEPS[nr];
  const left = at ? (args[at.left] ?? 0n) : 0n;
  if (!at || left === 0n) return null;
  const again = [...args];
  again[at.time] = left;
  return again;
}

const FUTEX_WAIT = 0n;
/** FUTEX_PRIVATE_FLAG, FUTEX_CLOCK_REALTIME. */
const FUTEX_COMMAND = 0x7fn;

/** Whether a thread was interrupted in a futex(2) that waits until a point in time: all kinds but FUTEX_WAIT, which waits for so long. */
export function isTimedFutex(regs: Regs): boolean {
  return regs.syscallNumber === Sys.futex && regs.result === Restart.BLOCK && ((regs.args[1] ?? 0n) & FUTEX_COMMAND) !== FUTEX_WAIT;
}

/** True for the error of a ptrace request on a task that is gone or was never stopped. */
export const isGone = (e: unknown): boolean => e instanceof SysError && e.code === "ESRCH";

/** Calls whose restart at home needs nothing but their data in the same place again. */
export const RESTARTABLE_AWAY: ReadonlySet<number> = new Set([7 /* poll */, Sys.nanosleep, Sys.clockNanosleep]);
