import { MAX_RW_COUNT, TASK_SIZE } from "../abi/mod.ts";
import {
  Fault,
  type CallContext,
  type Finish,
  type FinishResult,
  type ForwardPlan,
  type GuestMemory,
  type OutRange,
  type Plan,
  type Timeout,
} from "./types.ts";

export const EMPTY = Buffer.alloc(0);
export const NO_OUTS: readonly OutRange[] = [];

/**
 * An address that is never mapped and is not NULL: passed to the deputy where the program passed a bad one, so that the kernel at
 * home finds the error, in its own order of checks (a closed descriptor is EBADF, whatever the buffer is).
 */
export const BAD_ADDRESS = 8n;
/** A descriptor that is never open (above any fs.nr_open), passed where the program names one of the deputy's own. */
export const NEVER_OPEN = 0x7fffffff;
/** Nothing is ever mapped below. */
const FIRST_PAGE = 4096n;

export const LOCAL: Plan = { kind: "local" };
export const back = (reason: string): Plan => ({ kind: "back", reason });
export const engine = (name: string): Plan => ({ kind: "engine", name });
export const answer = (result: bigint): Plan => ({ kind: "answer", result });
export const fail = (errno: number): Plan => ({ kind: "answer", result: BigInt(-errno) });
export const done = (result: bigint): FinishResult => ({ done: result });
export const again = (plan: Plan): FinishResult => ({ again: plan });
/** Arguments that do not fit into the deputy's buffer. */
export const TOO_BIG = back("too_big");
export const EFAULT_RESULT = -14n;

export class Forward implements ForwardPlan {
  readonly kind = "forward";
  readonly nr: number;
  readonly args: bigint[];
  blob: Uint8Array;
  outs: readonly OutRange[];
  finish: Finish;
  blocking = false;
  restartOnEintr = false;
  declare timeout?: Timeout;
  declare sigmaskPtr?: bigint;
  declare sigmask?: bigint;

  constructor(nr: number, args: bigint[], blob: Uint8Array = EMPTY, outs: readonly OutRange[] = NO_OUTS, finish: Finish = finishPlain) {
    this.nr = nr;
    this.args = args;
    this.blob = blob;
    this.outs = outs;
    this.finish = finish;
  }

  waits(restartOnEintr = false): this {
    this.blocking = true;
    this.restartOnEintr = restartOnEintr;
    return this;
  }
}

export function finishPlain(result: bigint): FinishResult {
  return { done: result };
}

/** Six arguments of its own: what a plan patches must not be the caller's. */
export const six = (a: readonly bigint[]): bigint[] => [a[0] ?? 0n, a[1] ?? 0n, a[2] ?? 0n, a[3] ?? 0n, a[4] ?? 0n, a[5] ?? 0n];

/** A register as the kernel sees it where the parameter is an int. */
export const asInt = (register: bigint | undefined): number => Number(BigInt.asIntN(32, register ?? 0n));
/** ... an unsigned int. */
export const asUint = (register: bigint | undefined): number => Number(BigInt.asUintN(32, register ?? 0n));
/** ... a size_t; inexact above 2^53, where it is only compared. */
export const asSize = (register: bigint | undefined): number => Number(register ?? 0n);

/** The descriptor to pass for the program's: itself, unless it is one of the deputy's own. */
export function fdArg(register: bigint | undefined, ctx: CallContext): bigint {
  if (register === undefined) return 0n;
  return isReserved(asInt(register), ctx) ? BigInt(NEVER_OPEN) : register;
}

export function isReserved(fd: number, ctx: CallContext): boolean {
  const list = ctx.reservedFds;
  for (let i = 0; i < list.length; i++) if (list[i] === fd) return true;
  return false;
}

/** Addresses that can be told bad without looking: the first page, and what is not user space. */
export function isBad(address: bigint, length: number): boolean {
  return address < FIRST_PAGE || address >= TASK_SIZE || (length > MAX_RW_COUNT && address + BigInt(length) > TASK_SIZE);
}

/** Whether an answer can be written there, as far as that can be told now. */
export function cannotWrite(mem: GuestMemory, address: bigint, length: number): boolean {
  return isBad(address, length) || (mem.writable !== undefined && length > 0 && !mem.writable(address, length));
}

/** The bytes, or null where the program has no such memory. */
export function tryRead(mem: GuestMemory, address: bigint, length: number): Buffer | null {
  if (isBad(address, length)) return null;
  try {
    return mem.read(address, length);
  } catch (e) {
    if (e instanceof Fault) return null;
    throw e;
  }
}

/** Writes; false where the program has no such memory. */
export function tryWrite(mem: GuestMemory, address: bigint, bytes: Uint8Array): boolean {
  if (bytes.length === 0) return true;
  if (isBad(address, bytes.length)) return false;
  try {
    mem.write(address, bytes);
    return true;
  } catch (e) {
    if (e instanceof Fault) return false;
    throw e;
  }
}

/** A Buffer over the same bytes. */
export const buffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** How many bytes of each out range travel back with this result: both ends must count alike. */
export function outLengths(outs: readonly OutRange[], result: bigint): number[] {
  const failed = result < 0n;
  let left = -1;
  return outs.map((o) => {
    if (failed) return o.onError ? o.length : 0;
    if (o.limit === undefined) return o.length;
    if (left < 0) left = Number(result) * (o.unit ?? 1);
    const n = Math.min(o.length, left);
    left -= n;
    return n;
  });
}
