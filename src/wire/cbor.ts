/**
 * The part of CBOR (RFC 8949) that frame heads use: definite-length integers, byte strings, text, arrays, maps, booleans, null and
 * doubles. No tags, no indefinite lengths, no other simple values. Reading allocates nothing that the bytes present do not pay for.
 */
import { TeselaError } from "../base/mod.ts";
import { MAX_DEPTH, MAX_HEAD } from "./limits.ts";

export const MAJOR = { UINT: 0, NEGINT: 1, BYTES: 2, TEXT: 3, ARRAY: 4, MAP: 5, TAG: 6, SIMPLE: 7 } as const;
const FALSE = 0xf4;
const TRUE = 0xf5;
const NULL = 0xf6;
export const FLOAT64 = 0xfb;
const TWO32 = 0x1_0000_0000;
/** Below this many bytes a loop in JavaScript beats a call into the string decoder. */
const SHORT_TEXT = 24;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function malformed(what: string): TeselaError {
  return new TeselaError("E_PROTOCOL", `malformed frame head: ${what}`);
}

/** Writes into one scratch buffer that is used again for every head; `bytes()` is valid until the next `reset()`. */
export class CborWriter {
  private readonly buf: Buffer;
  private pos = 0;

  constructor(capacity = MAX_HEAD) {
    this.buf = Buffer.allocUnsafeSlow(capacity);
  }

  reset(): void {
    this.pos = 0;
  }

  bytes(): Buffer {
    return this.buf.subarray(0, this.pos);
  }

  private room(n: number): void {
    if (this.pos + n <= this.buf.length) return;
    throw new TeselaError("E_INTERNAL", `a frame head exceeds ${this.buf.length} bytes; send bulk data as payload`);
  }

  /** An initial byte and its argument, in the shortest form. */
  type(major: number, n: number): void {
    this.room(9);
    const { buf, pos } = this;
    const top = major << 5;
    if (n < 24) {
      buf[pos] = top | n;
      this.pos = pos + 1;
    } else if (n < 0x100) {
      buf[pos] = top | 24;
      buf[pos + 1] = n;
      this.pos = pos + 2;
    } else if (n < 0x10000) {
      buf[pos] = top | 25;
      this.pos = buf.writeUInt16BE(n, pos + 1);
    } else if (n < TWO32) {
      buf[pos] = top | 26;
      this.pos = buf.writeUInt32BE(n, pos + 1);
    } else {
      buf[pos] = top | 27;
      buf.writeUInt32BE(Math.floor(n / TWO32), pos + 1);
      this.pos = buf.writeUInt32BE(n % TWO32, pos + 5);
    }
  }

  /** A safe integer. */
  int(n: number): void {
    if (n >= 0) this.type(MAJOR.UINT, n);
    else this.type(MAJOR.NEGINT, -1 - n);
  }

  /** 0 to 2^64-1. */
  u64(n: bigint): void {
    if (n < BigInt(TWO32)) {
      this.type(MAJOR.UINT, Number(n));
      return;
    }
    this.room(9);
    this.buf[this.pos] = 27;
    this.pos = this.buf.writeBigUInt64BE(n, this.pos + 1);
  }

  float(n: number): void {
    this.room(9);
    this.buf[this.pos] = FLOAT64;
    this.pos = this.buf.writeDoubleBE(n, this.pos + 1);
  }

  bool(v: boolean): void {
    this.room(1);
    this.buf[this.pos++] = v ? TRUE : FALSE;
  }

  null(): void {
    this.room(1);
    this.buf[this.pos++] = NULL;
  }

  bytesItem(v: Uint8Array): void {
    this.type(MAJOR.BYTES, v.length);
    this.raw(v);
  }

  text(s: string): void {
    const n = Buffer.byteLength(s);
    this.type(MAJOR.TEXT, n);
    this.room(n);
    this.pos += this.buf.write(s, this.pos, n, "utf8");
  }

  /** Bytes that are CBOR already. */
  raw(v: Uint8Array): void {
    this.room(v.length);
    this.buf.set(v, this.pos);
    this.pos += v.length;
  }
}

/** Reads one head. Every method throws E_PROTOCOL when the bytes are not what it wants. */
export class CborReader {
  private readonly buf: Buffer;
  private readonly end: number;
  pos: number;

  constructor(buf: Buffer, pos = 0, end = buf.length) {
    this.buf = buf;
    this.pos = pos;
    this.end = end;
  }

  get done(): boolean {
    return this.pos === this.end;
  }
  get left(): number {
    return this.end - this.pos;
  }

  /** The next item's initial byte, not consumed. */
  peek(): number {
    if (this.pos >= this.end) throw malformed("it ends early");
    return this.buf[this.pos] as number;
  }

  peekNull(): boolean {
    return this.peek() === NULL;
  }

  private take(n: number): number {
    const at = this.pos;
    if (n > this.end - at) throw malformed("it ends early");
    this.pos = at + n;
    return at;
  }

  /** The argument of the next item, which must be of this major type. Above 2^53 it is inexact: callers that care use `u64`. */
  argument(major: number): number {
    const first = this.buf[this.take(1)] as number;
    if (first >> 5 !== major) throw malformed(`major type ${first >> 5} where ${major} belongs`);
    const info = first & 31;
    if (info < 24) return info;
    if (info === 24) return this.buf[this.take(1)] as number;
    if (info === 25) return this.buf.readUInt16BE(this.take(2));
    if (info === 26) return this.buf.readUInt32BE(this.take(4));
    if (info === 27) {
      const at = this.take(8);
      return this.buf.readUInt32BE(at) * TWO32 + this.buf.readUInt32BE(at + 4);
    }
    throw malformed(`length form ${info}`);
  }

  int(): number {
    const negative = this.peek() >> 5 === MAJOR.NEGINT;
    const n = this.argument(negative ? MAJOR.NEGINT : MAJOR.UINT);
    const v = negative ? -1 - n : n;
    if (!Number.isSafeInteger(v)) throw malformed("an integer beyond 2^53");
    return v;
  }

  u64(): bigint {
    if (this.peek() === 27) return this.buf.readBigUInt64BE(this.take(9) + 1);
    return BigInt(this.argument(MAJOR.UINT));
  }

  float(): number {
    if (this.peek() !== FLOAT64) return this.int();
    return this.buf.readDoubleBE(this.take(9) + 1);
  }

  bool(): boolean {
    const b = this.buf[this.take(1)];
    if (b === TRUE) return true;
    if (b === FALSE) return false;
    throw malformed("not a boolean");
  }

  null(): void {
    if (this.buf[this.take(1)] !== NULL) throw malformed("not null");
  }

  /** A view into the frame, not a copy. */
  bytes(max: number): Buffer {
    const n = this.argument(MAJOR.BYTES);
    if (n > max) throw malformed(`${n} bytes where at most ${max} belong`);
    const at = this.take(n);
    return this.buf.subarray(at, at + n);
  }

  text(max: number): string {
    const n = this.argument(MAJOR.TEXT);
    if (n > max) throw malformed(`text of ${n} bytes where at most ${max} belong`);
    const at = this.take(n);
    if (n <= SHORT_TEXT) {
      let s = "";
      let i = at;
      for (; i < at + n; i++) {
        const c = this.buf[i] as number;
        if (c > 127) break;
        s += String.fromCharCode(c);
      }
      if (i === at + n) return s;
    }
    try {
      return utf8.decode(this.buf.subarray(at, at + n));
    } catch {
      throw malformed("text that is not UTF-8");
    }
  }

  /** Whether exactly these bytes come next (the expected key of a map); consumes nothing. */
  at(encoded: Uint8Array): boolean {
    const n = encoded.length;
    const { buf, pos } = this;
    if (n > this.end - pos) return false;
    for (let i = 0; i < n; i++) if (buf[pos + i] !== encoded[i]) return false;
    return true;
  }

  /** Number of items of an array or map; never more than the bytes left could hold. */
  count(major: typeof MAJOR.ARRAY | typeof MAJOR.MAP): number {
    const n = this.argument(major);
    if (n * (major === MAJOR.MAP ? 2 : 1) > this.left) throw malformed("it ends early");
    return n;
  }

  /** Passes over one item of any kind of the subset: the value of a field that this version does not know. */
  skip(depth = 0): void {
    if (depth > MAX_DEPTH) throw malformed(`nested deeper than ${MAX_DEPTH}`);
    const first = this.peek();
    const major = first >> 5;
    if (major === MAJOR.UINT || major === MAJOR.NEGINT) this.argument(major);
    else if (major === MAJOR.BYTES || major === MAJOR.TEXT) this.take(this.argument(major));
    else if (major === MAJOR.ARRAY || major === MAJOR.MAP) {
      for (let n = this.count(major) * (major === MAJOR.MAP ? 2 : 1); n > 0; n--) this.skip(depth + 1);
    } else if (first === FLOAT64) this.take(9);
    else if (first === TRUE || first === FALSE || first === NULL) this.take(1);
    else throw malformed(`item ${first}`);
  }
}
