import { PTRACE } from "../abi/mod.ts";
import { addressOf, failed, must, ptraceBuf, ptraceNum, waitpid } from "./libc.unsafe.ts";

/**
 * ptrace(2), typed. Every request must come from the thread that attached: the engine's main thread.
 * All functions throw SysError; ESRCH means that the tracee is gone or not stopped.
 */

export { PTRACE_EVENT as Event, PTRACE_O as Option } from "../abi/mod.ts";

const NT_X86_XSTATE = 0x202;
const MAX_XSTATE = 16384;
export const SIGINFO_SIZE = 128;

const num = (call: string, req: number, tid: number, addr: number | bigint, data: number | bigint): void => {
  must(`ptrace ${call}`, ptraceNum(req, tid, addr, data));
};
const buf = (call: string, req: number, tid: number, addr: number | bigint, data: Uint8Array): number =>
  must(`ptrace ${call}`, ptraceBuf(req, tid, addr, data));

export const seize = (tid: number, options: number): void => num("seize", PTRACE.SEIZE, tid, 0, options);
export const interrupt = (tid: number): void => num("interrupt", PTRACE.INTERRUPT, tid, 0, 0);
export const cont = (tid: number, signal = 0): void => num("cont", PTRACE.CONT, tid, 0, signal);
export const contToSyscall = (tid: number, signal = 0): void => num("syscall", PTRACE.SYSCALL, tid, 0, signal);
/** Lets it make one instruction: a SIGTRAP follows, which is not to be delivered. */
export const singleStep = (tid: number): void => num("singlestep", PTRACE.SINGLESTEP, tid, 0, 0);
export const listen = (tid: number): void => num("listen", PTRACE.LISTEN, tid, 0, 0);
export const detach = (tid: number, signal = 0): void => num("detach", PTRACE.DETACH, tid, 0, signal);
export const setOptions = (tid: number, options: number): void => num("setoptions", PTRACE.SETOPTIONS, tid, 0, options);

const msg = new BigUint64Array(1);
const msgBytes = new Uint8Array(msg.buffer);
export function eventMessage(tid: number): bigint {
  buf("geteventmsg", PTRACE.GETEVENTMSG, tid, 0, msgBytes);
  return msg[0] as bigint;
}

/** `into` is a struct user_regs_struct, 27 words. */
export const getRegs = (tid: number, into: Uint8Array): void => void buf("getregs", PTRACE.GETREGS, tid, 0, into);
export const setRegs = (tid: number, from: Uint8Array): void => void buf("setregs", PTRACE.SETREGS, tid, 0, from);

const iov = new BigUint64Array(2);
const iovBytes = new Uint8Array(iov.buffer);

/** The extended registers in the XSAVE standard format (NT_X86_XSTATE, arch/x86/kernel/fpu/regset.c). */
export function getXstate(tid: number): Buffer {
  const out = Buffer.alloc(MAX_XSTATE);
  iov[0] = addressOf(out);
  iov[1] = BigInt(MAX_XSTATE);
  buf("getregset", PTRACE.GETREGSET, tid, NT_X86_XSTATE, iovBytes);
  return Buffer.from(out.subarray(0, Number(iov[1])));
}

export function setXstate(tid: number, state: Uint8Array): void {
  iov[0] = addressOf(state);
  iov[1] = BigInt(state.length);
  buf("setregset", PTRACE.SETREGSET, tid, NT_X86_XSTATE, iovBytes);
}

const mask = new BigUint64Array(1);
const maskBytes = new Uint8Array(mask.buffer);
/** The blocked signals as a kernel sigset: bit n-1 for signal n. */
export function getSigmask(tid: number): bigint {
  buf("getsigmask", PTRACE.GETSIGMASK, tid, 8, maskBytes);
  return mask[0] as bigint;
}
export function setSigmask(tid: number, value: bigint): void {
  mask[0] = value;
  buf("setsigmask", PTRACE.SETSIGMASK, tid, 8, maskBytes);
}

/** The siginfo_t of the signal-delivery-stop that the tracee is in. */
export function getSiginfo(tid: number): Buffer {
  const out = Buffer.alloc(SIGINFO_SIZE);
  buf("getsiginfo", PTRACE.GETSIGINFO, tid, 0, out);
  return out;
}
export const setSiginfo = (tid: number, info: Uint8Array): void => void buf("setsiginfo", PTRACE.SETSIGINFO, tid, 0, info);

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
    const n = must("ptrace peeksiginfo", ptraceBuf(PTRACE.PEEKSIGINFO, tid, addressOf(args), batch));
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
  buf("get_rseq_configuration", PTRACE.GET_RSEQ_CONFIGURATION, tid, 24, b);
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
