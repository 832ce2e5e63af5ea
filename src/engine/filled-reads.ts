import { randomFillSync } from "node:crypto";
import { statSync } from "node:fs";
import { NR } from "../abi/mod.ts";
import { memory, ptrace, Reg, type Regs } from "../sys/mod.ts";

/**
 * Random bytes and /dev/zero give all that is asked for, but look for signals after each page, and then give less (drivers/char/random.c,
 * get_random_bytes_user; drivers/char/mem.c, read_iter_zero). Where only a move or a tracer's stop was that signal, the rest is put there
 * in the kernel's place: it is as good, and nobody can tell.
 */

/** linux/major.h; Documentation/admin-guide/devices.txt: zero, full, random, urandom. */
const MEMORY_DEVICES = 1;
const ZEROS: ReadonlySet<number> = new Set([5, 7]);
const RANDOM: ReadonlySet<number> = new Set([8, 9]);
/** More is left as it is: the engine does nothing else meanwhile. */
const MOST = 64 << 20;
const PIECE = 1 << 20;

interface Rest {
  readonly at: bigint;
  readonly length: number;
  readonly random: boolean;
}

/** What a call has not read that should have read all; null for any other. */
function restOf(pid: number, nr: number, args: readonly bigint[], result: bigint): Rest | null {
  const isRandom = nr === NR.getrandom;
  if (result <= 0n || !(isRandom || nr === NR.read || nr === NR.pread64)) return null;
  const [at = 0n, size = 0n] = isRandom ? args : args.slice(1);
  if (result >= size || size - result > MOST) return null;
  const random = isRandom || fillsWith(pid, args[0] ?? 0n);
  return random === null ? null : { at: at + result, length: Number(size - result), random };
}

/** Whether a descriptor gives random bytes (true) or zeros; null for all others. */
function fillsWith(pid: number, fd: bigint): boolean | null {
  try {
    const st = statSync(`/proc/${pid}/fd/${BigInt.asIntN(32, fd)}`);
    if (!st.isCharacterDevice() || st.rdev >> 8 !== MEMORY_DEVICES) return null;
    const minor = st.rdev & 0xff;
    return RANDOM.has(minor) ? true : ZEROS.has(minor) ? false : null;
  } catch {
    return null;
  }
}

/** Fills up what a stopped call of a process has read. @returns the call's result: all of it where that was a part, and there is room */
export function filledUp(pid: number, nr: number, args: readonly bigint[], result: bigint): bigint {
  const rest = restOf(pid, nr, args, result);
  if (!rest) return result;
  const piece = Buffer.alloc(Math.min(rest.length, PIECE));
  for (let done = 0; done < rest.length; ) {
    const some = piece.subarray(0, Math.min(piece.length, rest.length - done));
    if (rest.random) randomFillSync(some);
    const n = memory.writeUpTo(pid, rest.at + BigInt(done), some);
    done += n;
    // As far as the program has memory there, as the kernel has it.
    if (n < some.length) return result + BigInt(done);
  }
  return result + BigInt(rest.length);
}

/** The same of a thread that our stop has met at the end of such a call. */
export function fillUp(tid: number, regs: Regs): void {
  const { syscallNumber: nr, args, result } = regs;
  const all = filledUp(tid, nr, args, result);
  if (all === result) return;
  regs.set(Reg.rax, all);
  ptrace.setRegs(tid, regs.bytes);
}

/** The same of a deputy's call, packed as it was sent. */
export function filledRequest(pid: number, request: Buffer, result: bigint): bigint {
  if (result <= 0n) return result;
  const [nr = 0n, ...args] = [0, 1, 2, 3].map((i) => request.readBigUInt64LE(8 * i));
  return filledUp(pid, Number(nr), args, result);
}
