import { outLengths, type OutRange } from "../forward/mod.ts";
import { REQUEST_AHEAD, REQUEST_BYTES } from "../image/mod.ts";

/**
 * The payloads of `call` and `reply`, in fixed binary: they are the whole cost of living away. All little endian.
 *
 * call: {u32 ticket, u32 seq, u64 signal mask, u16 ranges, u16 flags, u32 blob bytes, 64 bytes request, ranges, blob};
 * With flag 4, the blob ends in what is asked ahead and its length, u32 (src/engine/lookups.ts); the reply ends in a byte for each.
 * a range: {u64 offset, u32 length, u16 unit, u16 flags}. reply: {u32 ticket, u32 seq, i64 result, bytes of the ranges}.
 */
export interface CallFrame {
  readonly ticket: number;
  readonly seq: number;
  /** The guest's blocked signals: home's kernel asks for SIGTTIN and SIGTTOU. */
  readonly sigmask: bigint;
  /** Number and arguments, pointers already into the deputy's buffer. */
  readonly request: Uint8Array;
  readonly outs: readonly OutRange[];
  /** Placed at the start of the deputy's buffer before the call. */
  readonly blob: Uint8Array;
  /** A further step of a call that began before: it is made even while the process moves, or the call would end half done. */
  readonly continues: boolean;
  /** A signal's handler waits for the end of the call, which therefore must not wait for anything else. */
  readonly hurried: boolean;
  /** What is to be looked up behind the call; empty for nothing. Not a part of `blob`. */
  readonly ahead: Uint8Array;
}

const CALL_HEAD = 24;
const OUT_BYTES = 16;
const LIMITED = 1;
const ON_ERROR = 2;
const CONTINUES = 1;
const HURRIED = 2;
const AHEAD = 4;
const AHEAD_LENGTH = 4;
export const MAX_OUTS = 4096;

/** Bytes that a question takes in a frame's blob. */
export const aheadBytes = (ahead: Uint8Array): number => (ahead.length === 0 ? 0 : ahead.length + AHEAD_LENGTH);

export const callFrameBytes = (outs: number, blob: number): number => CALL_HEAD + REQUEST_BYTES + outs * OUT_BYTES + blob;

/** Without the blob, which follows, and what is asked ahead behind that. */
export function packCallHead(f: Omit<CallFrame, "request">, nr: number, args: readonly bigint[], into: Buffer): void {
  into.writeUInt32LE(f.ticket, 0);
  into.writeUInt32LE(f.seq, 4);
  into.writeBigUInt64LE(f.sigmask, 8);
  into.writeUInt16LE(f.outs.length, 16);
  into.writeUInt16LE((f.continues ? CONTINUES : 0) | (f.hurried ? HURRIED : 0) | (f.ahead.length > 0 ? AHEAD : 0), 18);
  into.writeUInt32LE(f.blob.length + aheadBytes(f.ahead), 20);
  into.writeBigInt64LE(BigInt(nr), CALL_HEAD);
  for (let i = 0; i < 6; i++) into.writeBigUInt64LE(BigInt.asUintN(64, args[i] ?? 0n), CALL_HEAD + 8 + 8 * i);
  let at = CALL_HEAD + REQUEST_BYTES;
  for (const out of f.outs) {
    into.writeBigUInt64LE(BigInt.asUintN(64, BigInt(out.offset)), at);
    into.writeUInt32LE(out.length, at + 8);
    into.writeUInt16LE(out.unit ?? 1, at + 12);
    into.writeUInt16LE((out.limit ? LIMITED : 0) | (out.onError ? ON_ERROR : 0), at + 14);
    at += OUT_BYTES;
  }
}

export function packCallFrame(f: Omit<CallFrame, "request">, nr: number, args: readonly bigint[], into: Buffer): void {
  packCallHead(f, nr, args, into);
  const at = callFrameBytes(f.outs.length, 0);
  into.set(f.blob, at);
  if (f.ahead.length === 0) return;
  into.set(f.ahead, at + f.blob.length);
  into.writeUInt32LE(f.ahead.length, at + f.blob.length + f.ahead.length);
}

/** A call's results are at most this many times the buffer: its ranges may overlap, but hardly do. */
const MAX_OVERLAP = 4;

/**
 * Null when the lengths do not add up, or something lies outside of the deputy's buffer.
 * @param room bytes of that buffer
 */
export function unpackCallFrame(b: Buffer, room: number): CallFrame | null {
  if (b.length < CALL_HEAD + REQUEST_BYTES) return null;
  const nOuts = b.readUInt16LE(16);
  const callFlags = b.readUInt16LE(18);
  const blobLength = b.readUInt32LE(20);
  if (nOuts > MAX_OUTS || blobLength > room || callFrameBytes(nOuts, blobLength) !== b.length) return null;
  const outs: OutRange[] = [];
  let total = 0;
  let at = CALL_HEAD + REQUEST_BYTES;
  for (let i = 0; i < nOuts; i++, at += OUT_BYTES) {
    const flags = b.readUInt16LE(at + 14);
    const offset = Number(b.readBigInt64LE(at));
    const length = b.readUInt32LE(at + 8);
    total += length;
    if (offset < 0 || offset + length > room || total > room * MAX_OVERLAP) return null;
    outs.push({
      offset,
      length,
      unit: b.readUInt16LE(at + 12),
      ...(flags & LIMITED ? { limit: "return" as const } : {}),
      ...(flags & ON_ERROR ? { onError: true } : {}),
    });
  }
  let blob = b.subarray(at);
  let ahead = blob.subarray(blob.length);
  if (callFlags & AHEAD) {
    const end = blob.length - AHEAD_LENGTH;
    const length = end < 0 ? 0 : blob.readUInt32LE(end);
    if (length > end) return null;
    ahead = blob.subarray(end - length, end);
    blob = blob.subarray(0, end - length);
  }
  // How many calls the stub makes behind this one is for this engine to say.
  b.fill(0, CALL_HEAD + REQUEST_AHEAD, CALL_HEAD + REQUEST_BYTES);
  return {
    ticket: b.readUInt32LE(0),
    seq: b.readUInt32LE(4),
    sigmask: b.readBigUInt64LE(8),
    request: b.subarray(CALL_HEAD, CALL_HEAD + REQUEST_BYTES),
    outs,
    blob,
    ahead,
    continues: (callFlags & CONTINUES) !== 0,
    hurried: (callFlags & HURRIED) !== 0,
  };
}

export const REPLY_HEAD = 16;

export function packReplyHead(ticket: number, seq: number, result: bigint, into: Buffer): void {
  into.writeUInt32LE(ticket, 0);
  into.writeUInt32LE(seq, 4);
  into.writeBigInt64LE(result, 8);
}

export interface ReplyFrame {
  readonly ticket: number;
  readonly seq: number;
  readonly result: bigint;
  readonly out: Buffer;
}

export function unpackReplyFrame(b: Buffer): ReplyFrame | null {
  if (b.length < REPLY_HEAD) return null;
  return { ticket: b.readUInt32LE(0), seq: b.readUInt32LE(4), result: b.readBigInt64LE(8), out: b.subarray(REPLY_HEAD) };
}

export { outLengths };
