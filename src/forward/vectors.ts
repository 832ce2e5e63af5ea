/** readv(2), writev(2) and their relatives with positions and flags. */
import { IOVEC, NR } from "../abi/mod.ts";
import { asInt, BAD_ADDRESS, cannotWrite, EFAULT_RESULT, fdArg, Forward, six } from "./forward.ts";
import { readChain, writeChain } from "./chain.ts";
import { iovecs, isAligned, readVector, type Segments } from "./segments.ts";
import type { DeputyArea, GuestMemory, Plan, Planner } from "./types.ts";

const PAGE_SIZE = 4096;
const upTo = (n: number, to: number): number => Math.ceil(n / to) * to;

/** The array that makes the kernel refuse: the program's count with a bad address, or its one wrong element. */
function refused(nr: number, a: bigint[], array: Buffer | null, area: DeputyArea): Plan {
  if (array === null) {
    a[1] = BAD_ADDRESS;
    return new Forward(nr, a);
  }
  a[1] = area.base;
  a[2] = 1n;
  return new Forward(nr, a, array);
}

const reader =
  (nr: number): Planner =>
  (args, mem, area, ctx): Plan => {
    const a = six(args);
    a[0] = fdArg(a[0], ctx);
    const vector = readVector(mem, a[1] ?? 0n, asInt(a[2]));
    if ("refused" in vector) return refused(nr, a, vector.refused, area);
    const { segments } = vector;
    const array = segments.list.length * IOVEC.size;
    const dataAt = isAligned(segments) ? upTo(array, PAGE_SIZE) : upTo(array, 16);
    if (dataAt + segments.total > area.size) return readChain({ nr, args: a, segments, area, vector: true });
    // Elements that cannot take an answer stay bad, so that the kernel fills those before them and stops there.
    const blob = iovecs(segments, area.base + BigInt(dataAt));
    segments.list.forEach(({ address, length }, i) => {
      if (length > 0 && cannotWrite(mem, address, length)) blob.writeBigUInt64LE(BAD_ADDRESS, i * IOVEC.size);
    });
    a[1] = area.base;
    return new Forward(nr, a, blob, [{ offset: dataAt, length: segments.total, limit: "return" }], (result, out, memory) => {
      if (result <= 0n) return { done: result };
      return { done: segments.scatter(memory, out) ? result : EFAULT_RESULT };
    }).waits(true);
  };

const writer =
  (nr: number): Planner =>
  (args, mem, area, ctx): Plan => {
    const a = six(args);
    a[0] = fdArg(a[0], ctx);
    const vector = readVector(mem, a[1] ?? 0n, asInt(a[2]));
    if ("refused" in vector) return refused(nr, a, vector.refused, area);
    const { segments } = vector;
    // One element more than the program has: the tail that cannot be read.
    const array = (segments.list.length + 1) * IOVEC.size;
    const dataAt = segments.total > 0 && isAligned(segments) ? upTo(array, PAGE_SIZE) : array;
    if (dataAt + segments.total > area.size) return writeChain({ nr, args: a, segments, area, vector: true }, mem);
    const { blob, count } = gatherVector(segments, mem, area, dataAt);
    a[1] = area.base;
    a[2] = BigInt(count);
    return new Forward(nr, a, blob).waits(true);
  };

/** iovecs and their data in one piece; where the data cannot be read, the rest is one element with a bad address. */
export function gatherVector(segments: Segments, mem: GuestMemory, area: DeputyArea, dataAt: number): { blob: Buffer; count: number } {
  const data = segments.gather(mem);
  const readable = data.length === segments.total ? segments : segments.slice(0, data.length);
  const array = iovecs(readable, area.base + BigInt(dataAt));
  let count = readable.list.length;
  const blob = Buffer.alloc(dataAt + data.length);
  array.copy(blob, 0);
  if (data.length < segments.total) {
    blob.writeBigUInt64LE(BAD_ADDRESS, array.length);
    blob.writeBigUInt64LE(BigInt(segments.total - data.length), array.length + 8);
    count++;
  }
  data.copy(blob, dataAt);
  return { blob, count };
}

export const vectors: Readonly<Record<string, Planner>> = {
  readv: reader(NR.readv),
  preadv: reader(NR.preadv),
  preadv2: reader(NR.preadv2),
  writev: writer(NR.writev),
  pwritev: writer(NR.pwritev),
  pwritev2: writer(NR.pwritev2),
};
