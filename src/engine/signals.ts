import { readFileSync } from "node:fs";
import { TeselaError } from "../base/mod.ts";
import { SIGACTION_BYTES, SIGNALS } from "../image/mod.ts";
import { ptrace } from "../sys/mod.ts";

/** What a signal does to a process, told from its dispositions (signal(7), sigaction(2)). */
export type Effect = "ignore" | "handler" | "terminate" | "core" | "stop";

const SIG_DFL = 0n;
const SIG_IGN = 1n;
const IGNORED_BY_DEFAULT: ReadonlySet<number> = new Set([17 /* CHLD */, 18 /* CONT */, 23 /* URG */, 28 /* WINCH */]);
export const STOPPING: ReadonlySet<number> = new Set([19 /* STOP */, 20 /* TSTP */, 21 /* TTIN */, 22 /* TTOU */]);
const DUMPING: ReadonlySet<number> = new Set([3, 4, 5, 6, 7, 8, 11, 24, 25, 31]);

/** siginfo_t's si_code (sigaction(2)). */
const SI_CODE = 8;
const SI_TKILL = -6;
const SI_TIMER = -2;

const view = (info: Uint8Array): Buffer => Buffer.from(info.buffer, info.byteOffset, info.length);

/** Sent to the one thread by tgkill(2), not to the process: the kernel keeps two queues. */
export const isThreadDirected = (info: Uint8Array): boolean => view(info).readInt32LE(SI_CODE) === SI_TKILL;

/** Of SIGPIPE and SIGXFSZ: what a thread's own call has brought on it (kill(2), send_sig in net/core/stream.c, mm/filemap.c). */
const BROUGHT_ON: ReadonlySet<number> = new Set([13, 25]);
const SI_PID = 16;
const SI_USER = 0;
/** struct siginfo's si_tid for timers: the timer's number. */
const SI_TIMERID = 16;

/** Whether a signal that has come to a thread, not the first, is for that one, and not for whichever takes it. */
export function isOfThread(info: Uint8Array, pid: number, tid: number): boolean {
  const v = view(info);
  const code = v.readInt32LE(SI_CODE);
  if (code === SI_TKILL) return true;
  if (code === SI_TIMER) return isTimerOfThread(pid, tid, v.readInt32LE(SI_TIMERID));
  if (code === SI_USER) return BROUGHT_ON.has(v.readInt32LE(0)) && v.readInt32LE(SI_PID) === pid;
  return isFault(info);
}

/** A POSIX timer made with SIGEV_THREAD_ID (timer_create(2)), told from /proc/PID/timers; one that is deleted has nobody else to tell. */
function isTimerOfThread(pid: number, tid: number, timer: number): boolean {
  try {
    const whose = new RegExp(`^ID: ${timer}\\n.*\\nnotify: signal/(.*)$`, "m").exec(readFileSync(`/proc/${pid}/timers`, "utf8"));
    return whose === null || whose[1] === `tid.${tid}`;
  } catch {
    // A kernel without that list (CONFIG_CHECKPOINT_RESTORE), or the process has ended.
    return false;
  }
}

/** Whether two looks at a queue saw the same signal. A timer's overrun count changes while it waits. */
export function isSameSignal(a: Uint8Array, b: Uint8Array): boolean {
  const [x, y] = [view(a), view(b)];
  if (x.readInt32LE(SI_CODE) !== SI_TIMER) return x.equals(y);
  return x.subarray(0, 20).equals(y.subarray(0, 20)) && x.subarray(24, 32).equals(y.subarray(24, 32));
}

/** A siginfo_t as a peer sent it: whole, and of a signal that there is. @throws TeselaError E_PROTOCOL */
export function siginfoOf(payload: Uint8Array): Buffer {
  const info = Buffer.from(payload);
  const signal = info.length === ptrace.SIGINFO_SIZE ? info.readInt32LE(0) : 0;
  if (signal < 1 || signal > SIGNALS) throw new TeselaError("E_PROTOCOL", "that is no siginfo_t");
  return info;
}

export const signalBit = (signal: number): bigint => 1n << BigInt(signal - 1);

/** The actions of signals 1 to 64, kept as the kernel's structures one after the other. */
export class Dispositions {
  readonly bytes: Buffer;

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes);
  }

  set(signal: number, action: Uint8Array): void {
    this.bytes.set(action, (signal - 1) * SIGACTION_BYTES);
  }

  effect(signal: number): Effect {
    const handler = this.bytes.readBigUInt64LE((signal - 1) * SIGACTION_BYTES);
    if (handler === SIG_IGN) return "ignore";
    if (handler !== SIG_DFL) return "handler";
    if (IGNORED_BY_DEFAULT.has(signal)) return "ignore";
    if (STOPPING.has(signal)) return "stop";
    return DUMPING.has(signal) ? "core" : "terminate";
  }

  /** What is ignored stays so, all else is as by default: what execve(2) and CLONE_CLEAR_SIGHAND make of them. */
  withoutHandlers(): Buffer {
    const out = Buffer.alloc(this.bytes.length);
    for (let at = 0; at < this.bytes.length; at += SIGACTION_BYTES) {
      if (this.bytes.readBigUInt64LE(at) === SIG_IGN) this.bytes.copy(out, at, at, at + SIGACTION_BYTES);
    }
    return out;
  }

  /** SA_RESETHAND: the kernel resets a one-shot handler when it delivers, and so must this copy. */
  delivered(signal: number): void {
    const at = (signal - 1) * SIGACTION_BYTES;
    const flags = this.bytes.readBigUInt64LE(at + 8);
    if ((flags & SA_RESETHAND) !== 0n) this.bytes.writeBigUInt64LE(SIG_DFL, at);
  }
}
const SA_RESETHAND = 0x80000000n;

/** Signals that the processor raises at an instruction which, made again, raises them again: SIGILL, SIGBUS, SIGFPE, SIGSEGV. */
const FAULTS: ReadonlySet<number> = new Set([4, 7, 8, 11]);

/** Tells a fault from a signal that somebody sent: positive codes are the kernel's own (sigaction(2), si_code). */
export function isFault(siginfo: Uint8Array): boolean {
  const info = view(siginfo);
  return FAULTS.has(info.readInt32LE(0)) && info.readInt32LE(SI_CODE) > 0;
}

/**
 * True for a thread that we stopped between its fault and the delivery of that. It must take the signal first: kept pending
 * it would come up again later, for the kernel delivers it before our own traps even when it is blocked
 * (kernel/signal.c, dequeue_synchronous_signal).
 */
export const hasPendingFault = (tid: number): boolean => ptrace.peekSiginfo(tid, false).some(isFault);
