import { memory, proc, Reg, type Regs, SYSCALL_INSN } from "../sys/mod.ts";
import { Sys } from "./numbers.ts";

/** Kernel-internal results of an interrupted call (include/linux/errno.h). */
export const Restart = { SYS: -512n, NOINTR: -513n, NOHAND: -514n, BLOCK: -516n } as const;

/** Whether a result is the kernel's own mark of an interrupted call, which no program ever sees. */
export const isRestart = (result: bigint): boolean => RESTARTS.has(result);
const RESTARTS: ReadonlySet<bigint> = new Set(Object.values(Restart));

/**
 * Waits with a limit that were interrupted go on by restart_syscall(2), which tells the number of no call: whoever meets a thread there,
 * or on its way there, has to know what it waits in. Only the kernel that began the wait can go on with it.
 */

/** Calls that go on so: poll, nanosleep, futex, clock_nanosleep. */
const GO_ON: ReadonlySet<number> = new Set([7, Sys.nanosleep, Sys.futex, Sys.clockNanosleep]);
const RESTART = BigInt(Sys.restartSyscall);

interface Begun {
  readonly nr: number;
  /** Of the call's instruction. */
  readonly at: bigint;
  readonly startTime: bigint;
}
const begun = new Map<number, Begun>();
/** Before another is kept, those of tasks that have ended go. */
const MOST = 1024;

/** A thread that is sent into restart_syscall(2), its instruction at `at`, will be going on with call `nr`. */
export function sendOn(tid: number, nr: number, at: bigint): void {
  if (begun.size >= MOST) for (const old of begun.keys()) if (!proc.exists(old)) begun.delete(old);
  const startTime = startTimeOf(tid);
  if (startTime !== null) begun.set(tid, { nr, at, startTime });
}

/** Null for a thread that has just been killed. */
function startTimeOf(tid: number): bigint | null {
  try {
    return proc.readStat(tid).startTime;
  } catch {
    return null;
  }
}

/** `mov eax, imm32`, before the call, as C libraries make most of theirs. */
const MOV_EAX = 0xb8;
const MOV_BYTES = 5;
const SYSCALL = Buffer.from([0x0f, 0x05]);

/** What a thread waits in whose restart_syscall(2) is at `at`; null where it cannot be told. */
function begunAt(tid: number, at: bigint, code: Buffer): number | null {
  const known = begun.get(tid);
  if (known?.at === at && known.startTime === startTimeOf(tid)) return known.nr;
  const nr = code.readUInt32LE(1);
  return code[0] === MOV_EAX && GO_ON.has(nr) ? nr : null;
}

/**
 * Makes the registers of a thread that goes on with a wait, or is about to, show it as interrupted in that wait: one that stands before the
 * call has been let go by us, or by a kernel, and has not run since. @returns false where it cannot be told what it waits in
 */
export function nameRestarted(tid: number, regs: Regs): boolean {
  const behind = regs.syscallNumber === Sys.restartSyscall && regs.result === Restart.BLOCK;
  const before = !behind && regs.get(Reg.rax) === RESTART;
  if (!behind && !before) return true;
  const at = behind ? regs.get(Reg.rip) - SYSCALL_INSN : regs.get(Reg.rip);
  const code = Buffer.alloc(MOV_BYTES + SYSCALL.length);
  memory.readUpTo(tid, at - BigInt(MOV_BYTES), code);
  // A register that just holds that number.
  if (!code.subarray(MOV_BYTES).equals(SYSCALL)) return before;
  // The kernel leaves the number there when it sends a thread back.
  const left = before && GO_ON.has(regs.syscallNumber) ? regs.syscallNumber : null;
  const nr = left ?? begunAt(tid, at, code);
  if (nr === null) return false;
  regs.set(Reg.rip, at + SYSCALL_INSN);
  regs.set(Reg.rax, Restart.BLOCK);
  regs.set(Reg.origRax, BigInt(nr));
  return true;
}
