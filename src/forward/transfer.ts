/** Reads and writes of plain buffers: one call where they fit, a chain of calls where they do not. */
import { IOVEC, MAX_RW_COUNT, NR } from "../abi/mod.ts";
import { asSize, BAD_ADDRESS, cannotWrite, EFAULT_RESULT, EMPTY, fdArg, Forward, isBad, six, tryRead, tryWrite } from "./forward.ts";
import { readChain, writeChain } from "./chain.ts";
import { Segments } from "./segments.ts";
import type { Finish, Plan, Planner } from "./types.ts";

/** Puts what was read where the program wanted it. */
function finishInto(address: bigint): Finish {
  return (result, bytes, mem) => {
    if (result <= 0n) return { done: result };
    return tryWrite(mem, address, bytes) ? { done: result } : { done: EFAULT_RESULT };
  };
}

/** read(2), pread64(2): descriptor, buffer, size, position. */
const reader =
  (nr: number): Planner =>
  (args, mem, area, ctx): Plan => {
    const a = six(args);
    a[0] = fdArg(a[0], ctx);
    const address = args[1] ?? 0n;
    const n = asSize(args[2]);
    if (n === 0 || cannotWrite(mem, address, n)) {
      a[1] = n === 0 ? area.base : BAD_ADDRESS;
      return new Forward(nr, a).waits(true);
    }
    if (n > area.size) return readChain({ nr, args: a, segments: Segments.one(address, Math.min(n, MAX_RW_COUNT)), area, vector: false });
    a[1] = area.base;
    return new Forward(nr, a, EMPTY, [{ offset: 0, length: n, limit: "return" }], finishInto(address)).waits(true);
  };

/** write(2), pwrite64(2). */
const writer =
  (nr: number, vectorNr: number): Planner =>
  (args, mem, area, ctx): Plan => {
    const a = six(args);
    a[0] = fdArg(a[0], ctx);
    const address = args[1] ?? 0n;
    const n = asSize(args[2]);
    if (n === 0 || isBad(address, n)) {
      a[1] = n === 0 ? area.base : BAD_ADDRESS;
      return new Forward(nr, a).waits(true);
    }
    if (n > area.size) {
      return writeChain({ nr, args: a, segments: Segments.one(address, Math.min(n, MAX_RW_COUNT)), area, vector: false }, mem);
    }
    const bytes = tryRead(mem, address, n);
    if (bytes === null) return cutWrite(vectorNr, a, mem.readUpTo(address, Math.min(n, area.size - CUT_AT)), n, area.base, nr);
    a[1] = area.base;
    return new Forward(nr, a, bytes).waits(true);
  };

/** Two iovecs. */
const CUT_AT = 2 * IOVEC.size;

/**
 * A buffer of which only the first bytes can be read: as a vector whose second element is bad, so that the kernel at home does what
 * it does here (a pipe or a file takes the first part, a datagram socket refuses all).
 */
function cutWrite(vectorNr: number, a: bigint[], readable: Buffer, n: number, base: bigint, plainNr: number): Plan {
  if (readable.length === 0) {
    a[1] = BAD_ADDRESS;
    return new Forward(plainNr, a).waits(true);
  }
  const blob = Buffer.alloc(CUT_AT + readable.length);
  blob.writeBigUInt64LE(base + BigInt(CUT_AT), 0);
  blob.writeBigUInt64LE(BigInt(readable.length), 8);
  blob.writeBigUInt64LE(BAD_ADDRESS, 16);
  blob.writeBigUInt64LE(BigInt(n - readable.length), 24);
  readable.copy(blob, CUT_AT);
  const v = [...a];
  v[1] = base;
  v[2] = 2n;
  return new Forward(vectorNr, v, blob).waits(true);
}

export const transfers: Readonly<Record<string, Planner>> = {
  read: reader(NR.read),
  pread64: reader(NR.pread64),
  write: writer(NR.write, NR.writev),
  pwrite64: writer(NR.pwrite64, NR.pwritev),
};
