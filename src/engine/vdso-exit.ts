import { TeselaError } from "../base/mod.ts";
import { isEnd, libc, memory, proc, ptrace, Reg, Regs, SYSCALL_INSN, type Tracees } from "../sys/mod.ts";
import { ALL_BUT_TRAP } from "./guest-build.ts";

/**
 * A thread in the middle of a function of the vdso counts on the kernel's data beside it, which is another machine's elsewhere. It is
 * made to return from there, one instruction at a time, before it goes on anywhere else.
 */
const SIGTRAP = 5;
const SIGSTOP = 19;
const SI_CODE = 8;
/** siginfo_t's si_code of SIGTRAP (include/uapi/asm-generic/siginfo.h), TRAP_BRKPT to TRAP_UNK: the processor's, not somebody's. */
const isTrap = (info: Buffer): boolean => info.readInt32LE(0) === SIGTRAP && info.readInt32LE(SI_CODE) > 0 && info.readInt32LE(SI_CODE) < 6;
/** They take some hundred instructions, and some thousand for much random data. */
const MAX_STEPS = 20_000;
const SYSCALL = Buffer.from([0x0f, 0x05]);

/** Where a thread has come to. */
export type Came =
  /** It is out, at the stop of a signal that is ours to replace. */
  | "out"
  /** It is out, or before a call that it has not made, but does not stand in a stop of ours: nothing was done. */
  | "was out"
  /** It faults where it stands. */
  | "faults"
  /** It stands before a system call, which it has not made; at the stop of a signal that is ours to replace. */
  | "before call"
  /** The same, at the stop of its filter. */
  | "at call"
  /** It did not come out within the steps that it was given. */
  | "still in";

/**
 * Makes a stopped thread run until it is out. Its signals wait meanwhile, and so does its mask; SIGTRAP has to have an action that is not to
 * ignore it, or the kernel would forget that, and may not be pending. No call is made that a guest's filter would stop.
 * @param calls makes those that it comes to
 * @throws TeselaError E_GONE
 */
export function stepOut(tracees: Tracees, tid: number, inside: (rip: bigint) => boolean, calls: boolean): Came {
  const regs = new Regs();
  ptrace.getRegs(tid, regs.bytes);
  if (!inside(regs.get(Reg.rip))) return "was out";
  const mask = ptrace.getSigmask(tid);
  ptrace.setSigmask(tid, ALL_BUT_TRAP);
  let stopped = false;
  try {
    for (let steps = 0; steps < MAX_STEPS; steps++) {
      if (!calls && beforeCall(tid, regs.get(Reg.rip))) return steps === 0 ? "was out" : "before call";
      ptrace.singleStep(tid);
      const s = tracees.wait(tid);
      if (isEnd(s)) throw new TeselaError("E_GONE", `thread ${tid} ended`);
      stopped ||= s.kind === "signal" && s.signal === SIGSTOP;
      if (s.kind === "event" && s.event === ptrace.Event.SECCOMP) {
        ptrace.getRegs(tid, regs.bytes);
        Regs.repeat(regs, regs.syscallNumber);
        ptrace.setRegs(tid, regs.bytes);
        return "at call";
      }
      if (s.kind !== "signal" || s.signal === SIGSTOP) continue;
      if (s.signal !== SIGTRAP || !isTrap(ptrace.getSiginfo(tid))) return "faults";
      ptrace.getRegs(tid, regs.bytes);
      if (!inside(regs.get(Reg.rip))) return "out";
    }
    return "still in";
  } finally {
    if (proc.exists(tid)) ptrace.setSigmask(tid, mask);
    // It is met again when the thread goes on.
    if (stopped) libc.kill(tid, SIGSTOP);
  }
}

/** Whether the next instruction is a system call: nothing of the kernel's data is half read then. */
export function beforeCall(tid: number, rip: bigint): boolean {
  const code = Buffer.alloc(Number(SYSCALL_INSN));
  return memory.readUpTo(tid, rip, code) === code.length && code.equals(SYSCALL);
}

/**
 * At home: the threads of a stopped process come out, as far as they can. One that does not is brought home again where the vdso is another,
 * and begins to read the clock anew where it is the same: the count of changes beside the data is then odd (time namespaces).
 */
export function comeOut(tracees: Tracees, pid: number, tids: Iterable<number>): void {
  const code = proc.readMaps(pid).find((l) => l.name === "[vdso]");
  if (!code) return;
  const inside = (rip: bigint): boolean => code.start <= rip && rip < code.end;
  const regs = new Regs();
  for (const tid of tids) {
    ptrace.getRegs(tid, regs.bytes);
    const rip = regs.get(Reg.rip);
    if (inside(rip) && mayStep(tid)) stepOut(tracees, tid, inside, true);
  }
}

/** Otherwise the kernel would forget that SIGTRAP is ignored, or let out one that waits. */
function mayStep(tid: number): boolean {
  const status = proc.readStatus(tid);
  return ["SigIgn", "SigPnd", "ShdPnd"].every((name) => (BigInt(`0x${proc.statusField(status, name) ?? "0"}`) & TRAP_BIT) === 0n);
}
const TRAP_BIT = 1n << BigInt(SIGTRAP - 1);
