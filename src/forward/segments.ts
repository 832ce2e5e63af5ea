import { IOVEC, MAX_RW_COUNT, UIO_MAXIOV } from "../abi/mod.ts";
import { asSize, isBad, tryRead, tryWrite } from "./forward.ts";
import type { GuestMemory } from "./types.ts";

export interface Segment {
  readonly address: bigint;
  readonly length: number;
}

/** Pieces of the program's memory that one call treats as a single run of bytes. */
export class Segments {
  readonly list: readonly Segment[];
  readonly total: number;

  constructor(list: readonly Segment[]) {
    this.list = list;
    let total = 0;
    for (const s of list) total += s.length;
    this.total = total;
  }

  static one(address: bigint, length: number): Segments {
    return new Segments([{ address, length }]);
  }

  /** The part from `offset` on, `length` bytes at most. */
  slice(offset: number, length: number): Segments {
    const list: Segment[] = [];
    let skip = offset;
    let left = length;
    for (const s of this.list) {
      if (left === 0) break;
      if (skip >= s.length) {
        skip -= s.length;
        continue;
      }
      const n = Math.min(s.length - skip, left);
      list.push({ address: s.address + BigInt(skip), length: n });
      left -= n;
      skip = 0;
    }
    return new Segments(list);
  }

  /** All bytes, or those before the first that cannot be read. */
  gather(mem: GuestMemory): Buffer {
    const pieces: Buffer[] = [];
    for (const { address, length } of this.list) {
      if (length === 0) continue;
      const whole = tryRead(mem, address, length);
      const piece = whole ?? (isBad(address, length) ? null : mem.readUpTo(address, length));
      if (piece !== null) pieces.push(piece);
      if (whole === null) break;
    }
    const [first] = pieces;
    return pieces.length === 1 && first !== undefined ? first : Buffer.concat(pieces);
  }

  /** Writes bytes from the start on; false at the first place that cannot be written. */
  scatter(mem: GuestMemory, bytes: Uint8Array): boolean {
    let at = 0;
    for (const { address, length } of this.list) {
      if (at >= bytes.length) break;
      const n = Math.min(length, bytes.length - at);
      if (!tryWrite(mem, address, bytes.subarray(at, at + n))) return false;
      at += n;
    }
    return true;
  }
}

/**
 * What an iovec array says. `refused`: the kernel would not go on (too many, a negative length, an address outside user space, the
 * array itself unreadable): hand it `array`, a small one that it refuses for the same reason.
 */
export type Vector = { readonly segments: Segments } | { readonly refused: Buffer | null };

/** Reads `count` iovecs at `address`. As the kernel does, lengths beyond MAX_RW_COUNT in total are cut. */
export function readVector(mem: GuestMemory, address: bigint, count: number): Vector {
  if (count === 0) return { segments: new Segments([]) };
  if (count < 0 || count > UIO_MAXIOV) return { refused: null };
  const raw = tryRead(mem, address, count * IOVEC.size);
  if (raw === null) return { refused: null };
  const list: Segment[] = [];
  let total = 0;
  for (let at = 0; at < raw.length; at += IOVEC.size) {
    const base = raw.readBigUInt64LE(at);
    const long = raw.readBigUInt64LE(at + 8);
    if (long >= 1n << 63n || (long > 0n && base >= 1n << 47n)) return { refused: raw.subarray(at, at + IOVEC.size) };
    const length = Math.min(asSize(long), MAX_RW_COUNT - total);
    total += length;
    list.push({ address: base, length });
  }
  return { segments: new Segments(list) };
}

/** Data of vectored direct I/O keeps its alignment: files opened with O_DIRECT ask for it. */
const SECTOR = 512;
export const isAligned = (s: Segments): boolean =>
  s.list.every(({ address, length }) => length % SECTOR === 0 && address % BigInt(SECTOR) === 0n);

/** iovecs for these segments, laid one after the other at `data`. */
export function iovecs(s: Segments, data: bigint): Buffer {
  const raw = Buffer.alloc(s.list.length * IOVEC.size);
  let address = data;
  let at = 0;
  for (const { length } of s.list) {
    raw.writeBigUInt64LE(address, at);
    raw.writeBigUInt64LE(BigInt(length), at + 8);
    address += BigInt(length);
    at += IOVEC.size;
  }
  return raw;
}
