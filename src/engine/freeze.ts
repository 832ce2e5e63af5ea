import { TeselaError } from "../base/mod.ts";
import { leaveCriticalSection, readRseq, type RseqConfiguration } from "../image/mod.ts";
import { NO_SYSCALL, ptrace, Reg, Regs, SysError, type Tracees, USER_CS, type WaitStatus } from "../sys/mod.ts";
import type { FrozenThread } from "./deputy.ts";
import { Sys } from "./numbers.ts";

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
  for (;;) {
    const s = await nextStop(tracees, tid, FREEZE_TIMEOUT_MS);
    if (s === null)
      throw new TeselaError("E_BUSY", `process ${tid} waits in the kernel for something that cannot be interrupted; try again`);
    if (s.kind === "exited" || s.kind === "killed") throw new TeselaError("E_GONE", `process ${tid} ended`);
    if (s.kind === "signal") {
      ptrace.cont(tid, s.signal);
      continue;
    }
    if (s.kind === "event" && s.event === ptrace.Event.STOP) {
      if (s.signal !== SIGTRAP) {
        throw new TeselaError("E_CANTMOVE", `process ${tid} is stopped; continue it first`, { reasons: ["stopped"] });
      }
      return describe(tid);
    }
    if (s.kind === "event" && s.event === ptrace.Event.EXEC) return describe(tid);
    ptrace.cont(tid);
  }
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
  // The alternate stack is known once the thread can make calls; until then a frame restores "none set by us".
  return { tid, regs, xstate: ptrace.getXstate(tid), sigmask, altStack: { sp: 0n, flags: SS_DISABLE, size: 0n }, rseq, restart };
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
export const SS_DISABLE = 2;

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
