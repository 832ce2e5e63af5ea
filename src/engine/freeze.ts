import { TeselaError } from "../base/mod.ts";
import { leaveCriticalSection, readRseq, type RseqConfiguration } from "../image/mod.ts";
import { isEnd, NO_SYSCALL, proc, ptrace, Reg, Regs, SysError, type Tracees, USER_CS, type WaitStatus } from "../sys/mod.ts";
import type { FrozenThread } from "./deputy.ts";
import { Sys } from "./numbers.ts";
import { hasPendingFault } from "./signals.ts";

/** A thread that does not stop within this time waits in the kernel for something that cannot be interrupted. */
export const FREEZE_TIMEOUT_MS = 2000;

const SIGTRAP = 5;
export const ALL_SIGNALS = 0xffff_ffff_ffff_ffffn;

/** Kernel-internal results of an interrupted call (include/linux/errno.h). */
export const Restart = { SYS: -512n, NOINTR: -513n, NOHAND: -514n, BLOCK: -516n } as const;
const EINTR = -4n;

/**
 * Calls that the kernel ends with EINTR although no handler ran (signal(7), "Interruption of system calls and library
 * functions by stop signals"). When our own stop was all that happened, they are started again.
 */
const EINTR_WITHOUT_HANDLER: ReadonlySet<number> = new Set([
  0 /* read of inotify */, 42 /* connect */, 43 /* accept */, 45 /* recvfrom */, 46, 47, 44 /* send with SO_SNDTIMEO */, 65 /* semop */,
  69 /* msgsnd */, 70 /* msgrcv */, 128 /* rt_sigtimedwait */, 208 /* io_getevents */, 220 /* semtimedop */, 232 /* epoll_wait */,
  281 /* epoll_pwait */, 288 /* accept4 */, 299 /* recvmmsg */, 307 /* sendmmsg */, 441 /* epoll_pwait2 */,
]);

/** Calls whose restart block holds no pointer into the program, so home's kernel may finish them for a guest. */
const RESTARTED_AT_HOME: ReadonlySet<number> = new Set([35 /* nanosleep */, 230 /* clock_nanosleep */]);

export interface Frozen extends FrozenThread {
  /** The signal mask that the program had. */
  readonly sigmask: bigint;
  readonly rseq: RseqConfiguration | null;
  readonly restart: { nr: number } | null;
}

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
 * Stops a running process of one thread wherever it is, and blocks its signals. The caller has attached and interrupted
 * it. Signals that are delivered meanwhile are let through first.
 * @throws TeselaError E_GONE, E_BUSY (does not stop), E_CANTMOVE (`stopped`, `code_32bit`)
 */
export async function freeze(tracees: Tracees, tid: number): Promise<Frozen> {
  let rounds = 0;
  let afterSignal = false;
  for (;;) {
    const s = await nextStop(tracees, tid, FREEZE_TIMEOUT_MS);
    if (s === null)
      throw new TeselaError("E_BUSY", `process ${tid} waits in the kernel for something that cannot be interrupted; try again`);
    if (isEnd(s)) throw new TeselaError("E_GONE", `process ${tid} ended`);
    if (s.kind === "signal") {
      if (afterSignal) ptrace.interrupt(tid);
      afterSignal = false;
      ptrace.cont(tid, s.signal);
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
      return describe(tid);
    }
    ptrace.cont(tid);
  }
}
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
  const sigmask = ptrace.getSigmask(tid);
  ptrace.setSigmask(tid, ALL_SIGNALS);
  const rseq = readRseq(tid);
  const restart = rewind(regs);
  if (rseq) leaveCriticalSection(tid, rseq, regs);
  return { tid, regs, xstate: ptrace.getXstate(tid), sigmask, altStack: KEEP_STACK, rseq, restart };
}

/** The registers with which a frozen thread goes on at home, as if nothing had been: a part-done sleep is continued. */
export function resumeRegs(frozen: { regs: Regs; restart: { nr: number } | null }): Regs {
  const regs = frozen.regs.clone();
  if (frozen.restart) Regs.repeat(regs, Sys.restartSyscall);
  return regs;
}

/** The same for a thread whose restart block is lost: the call begins anew. */
export function repeatRegs(frozen: { regs: Regs; restart: { nr: number } | null }): Regs {
  const regs = frozen.regs.clone();
  if (frozen.restart) Regs.repeat(regs, frozen.restart.nr);
  return regs;
}
/**
 * What rt_sigreturn(2) finds in a frame made here: it ignores flags that cannot be, so that the thread keeps the alternate
 * stack that it has (kernel/signal.c, restore_altstack).
 */
const KEEP_STACK = { sp: 0n, flags: 3, size: 0n } as const;

/**
 * Sets an interrupted call to be made again. Returns the call's number when only the kernel that began it can go on
 * with it (its time has partly passed): then the registers stand behind the call, waiting for a result.
 */
export function rewind(regs: Regs): { nr: number } | null {
  const nr = regs.syscallNumber;
  if (nr < 0) return null;
  const result = regs.result;
  regs.set(Reg.origRax, NO_SYSCALL);
  if (result === Restart.BLOCK && RESTARTED_AT_HOME.has(nr)) {
    regs.set(Reg.rax, BigInt(EINTR));
    return { nr };
  }
  const again =
    result === Restart.SYS ||
    result === Restart.NOINTR ||
    result === Restart.NOHAND ||
    result === Restart.BLOCK ||
    (result === EINTR && EINTR_WITHOUT_HANDLER.has(nr));
  if (again) Regs.repeat(regs, nr);
  return null;
}

/** True for the error of a ptrace request on a task that is gone or was never stopped. */
export const isGone = (e: unknown): boolean => e instanceof SysError && e.code === "ESRCH";
