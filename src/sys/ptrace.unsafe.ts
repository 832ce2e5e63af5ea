import { addressOf, failed, must, ptraceBuf, ptraceNum, waitpid } from "./libc.unsafe.ts";

/**
 * ptrace(2), typed. Every request must come from the thread that attached: the engine's main thread.
 * All functions throw SysError; ESRCH means that the tracee is gone or not stopped.
 */
const R = {
  CONT: 7,
  SINGLESTEP: 9,
  GETREGS: 12,
  SETREGS: 13,
  DETACH: 17,
  SYSCALL: 24,
  SETOPTIONS: 0x4200,
  GETEVENTMSG: 0x4201,
  GETSIGINFO: 0x4202,
  SETSIGINFO: 0x4203,
  GETREGSET: 0x4204,
  SETREGSET: 0x4205,
  SEIZE: 0x4206,
  INTERRUPT: 0x4207,
  LISTEN: 0x4208,
  PEEKSIGINFO: 0x4209,
  GETSIGMASK: 0x420a,
  SETSIGMASK: 0x420b,
  GET_RSEQ_CONFIGURATION: 0x420f,
} as const;

/** PTRACE_O_*, include/uapi/linux/ptrace.h. */
export const Option = {
  TRACESYSGOOD: 0x1,
  TRACEFORK: 0x2,
  TRACEVFORK: 0x4,
  TRACECLONE: 0x8,
  TRACEEXEC: 0x10,
  TRACEEXIT: 0x40,
  TRACESECCOMP: 0x80,
  EXITKILL: 0x100000,
} as const;

/** PTRACE_EVENT_*. */
export const Event = { FORK: 1, VFORK: 2, CLONE: 3, EXEC: 4, VFORK_DONE: 5, EXIT: 6, SECCOMP: 7, STOP: 128 } as const;

const NT_X86_XSTATE = 0x202;
const MAX_XSTATE = 16384;
export const SIGINFO_SIZE = 128;

const num = (call: string, req: number, tid: number, addr: number | bigint, data: number | bigint): void => {
  must(`ptrace ${call}`, ptraceNum(req, tid, addr, data));
};
const buf = (call: string, req: number, tid: number, addr: number | bigint, data: Uint8Array): number =>
  must(`ptrace ${call}`, ptraceBuf(req, tid, addr, data));

export const seize = (tid: number, options: number): void => num("seize", R.SEIZE, tid, 0, options);
export const interrupt = (tid: number): void => num("interrupt", R.INTERRUPT, tid, 0, 0);
export const cont = (tid: number, signal = 0): void => num("cont", R.CONT, tid, 0, signal);
export const contToSyscall = (tid: number, signal = 0): void => num("syscall", R.SYSCALL, tid, 0, signal);
/** Lets it make one instruction: a SIGTRAP follows, which is not to be delivered. */
export const singleStep = (tid: number): void => num("singlestep", R.SINGLESTEP, tid, 0, 0);
export const listen = (tid: number): void => num("listen", R.LISTEN, tid, 0, 0);
export const detach = (tid: number, signal = 0): void => num("detach", R.DETACH, tid, 0, signal);
export const setOptions = (tid: number, options: number): void => num("setoptions", R.SETOPTIONS, tid, 0, options);

const msg = new BigUint64Array(1);
const msgBytes = new Uint8Array(msg.buffer);
export function eventMessage(tid: number): bigint {
  buf("geteventmsg", R.GETEVENTMSG, tid, 0, msgBytes);
  return msg[0] as bigint;
}

/** `into` is a struct user_regs_struct, 27 words. */
export const getRegs = (tid: number, into: Uint8Array): void => void buf("getregs", R.GETREGS, tid, 0, into);
export const setRegs = (tid: number, from: Uint8Array): void => void buf("setregs", R.SETREGS, tid, 0, from);

const iov = new BigUint64Array(2);
const iovBytes = new Uint8Array(iov.buffer);

/** The extended registers in the XSAVE standard format (NT_X86_XSTATE, arch/x86/kernel/fpu/regset.c). */
export function getXstate(tid: number): Buffer {
  const out = Buffer.alloc(MAX_XSTATE);
  iov[0] = addressOf(out);
  iov[1] = BigInt(MAX_XSTATE);
  buf("getregset", R.GETREGSET, tid, NT_X86_XSTATE, iovBytes);
  return Buffer.from(out.subarray(0, Number(iov[1])));
}

export function setXstate(tid: number, state: Uint8Array): void {
  iov[0] = addressOf(state);
  iov[1] = BigInt(state.length);
  buf("setregset", R.SETREGSET, tid, NT_X86_XSTATE, iovBytes);
}

const mask = new BigUint64Array(1);
const maskBytes = new Uint8Array(mask.buffer);
/** The blocked signals as a kernel sigset: bit n-1 for signal n. */
export function getSigmask(tid: number): bigint {
  buf("getsigmask", R.GETSIGMASK, tid, 8, maskBytes);
  return mask[0] as bigint;
}
export function setSigmask(tid: number, value: bigint): void {
  mask[0] = value;
  buf("setsigmask", R.SETSIGMASK, tid, 8, maskBytes);
}

/** The siginfo_t of the signal-delivery-stop that the tracee is in. */
export function getSiginfo(tid: number): Buffer {
  const out = Buffer.alloc(SIGINFO_SIZE);
  buf("getsiginfo", R.GETSIGINFO, tid, 0, out);
  return out;
}
export const setSiginfo = (tid: number, info: Uint8Array): void => void buf("setsiginfo", R.SETSIGINFO, tid, 0, info);

/** True when an event stop is a group-stop: then GETSIGINFO fails with EINVAL (ptrace(2), group-stop). */
const PEEK_BATCH = 32;
const PEEK_SHARED = 1;
/** Pending signals, oldest first, without taking them. */
export function peekSiginfo(tid: number, shared: boolean): Buffer[] {
  const out: Buffer[] = [];
  const args = Buffer.alloc(16);
  for (;;) {
    const batch = Buffer.alloc(PEEK_BATCH * SIGINFO_SIZE);
    args.writeBigUInt64LE(BigInt(out.length), 0);
    args.writeUInt32LE(shared ? PEEK_SHARED : 0, 8);
    args.writeInt32LE(PEEK_BATCH, 12);
    const n = must("ptrace peeksiginfo", ptraceBuf(R.PEEKSIGINFO, tid, addressOf(args), batch));
    for (let i = 0; i < n; i++) out.push(batch.subarray(i * SIGINFO_SIZE, (i + 1) * SIGINFO_SIZE));
    if (n < PEEK_BATCH) return out;
  }
}

export interface RseqConfiguration {
  readonly pointer: bigint;
  readonly size: number;
  readonly signature: number;
  readonly flags: number;
}
/** rseq(2)'s registration; a null pointer when there is none. Linux 5.13. */
export function getRseq(tid: number): RseqConfiguration {
  const b = Buffer.alloc(24);
  buf("get_rseq_configuration", R.GET_RSEQ_CONFIGURATION, tid, 24, b);
  return { pointer: b.readBigUInt64LE(0), size: b.readUInt32LE(8), signature: b.readUInt32LE(12), flags: b.readUInt32LE(16) };
}

const status = new Int32Array(1);
const statusBytes = new Uint8Array(status.buffer);
const WNOHANG = 1;
const WALL = 0x40000000;
const ECHILD = 10;

/** waitpid(2) for any tracee or child, `__WALL | WNOHANG`; null when there is nothing to report. */
export function waitAny(): { tid: number; status: number } | null {
  const tid = waitpid(-1, statusBytes, WNOHANG | WALL);
  if (tid > 0) return { tid, status: status[0] as number };
  if (tid === 0) return null;
  const e = failed("waitpid");
  if (e.errno === ECHILD) return null;
  throw e;
}

/**
 * The same, blocking. Not for one of them by its number: the end of a process's first thread is told only when those of all others have been
 * heard of (kernel/exit.c, delay_group_leader), so who waits for that one alone may wait for ever. @throws SysError ECHILD
 */
export function waitNext(): { tid: number; status: number } {
  const tid = Number(must("waitpid", waitpid(-1, statusBytes, WALL)));
  return { tid, status: status[0] as number };
}

/** waitpid(2) for one tracee, without blocking; null when it has not changed state. */
export function pollOne(tid: number): number | null {
  const r = must("waitpid", waitpid(tid, statusBytes, WALL | WNOHANG));
  return r === 0 ? null : (status[0] as number);
}
