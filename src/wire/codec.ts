import { TeselaError } from "../base/mod.ts";
import { CborReader, CborWriter } from "./cbor.ts";
import { type RawFrame, writeFrameHeader } from "./frame.ts";
import { FRAME_HEADER, MAX_PAYLOAD } from "./limits.ts";
import type { Decoded, HeadOf, MessageDef, MessageTable } from "./message.ts";

/** Frames up to this size become one buffer; of larger ones this much is copied, so that the first write fills a TLS record. */
export const COPY_LIMIT = 16 * 1024;
const NO_HEAD = Buffer.alloc(0);

/** Encodes and decodes the messages of one table. Not re-entrant, and needs not be: both are synchronous. */
export class Codec<M extends MessageTable> {
  private readonly table: M;
  private readonly byId: ({ name: keyof M & string; def: MessageDef<unknown> } | undefined)[] = new Array(256).fill(undefined);
  private readonly writer = new CborWriter();

  constructor(table: M) {
    this.table = table;
    for (const name of Object.keys(table) as (keyof M & string)[]) {
      const def = table[name] as MessageDef<unknown>;
      this.byId[def.id] = { name, def };
    }
  }

  /** The frame in pieces to be written in order. Only the first is a copy, of at most COPY_LIMIT bytes or the head. */
  encode<K extends keyof M & string>(name: K, head: HeadOf<M[K]>, payload: readonly Uint8Array[]): Uint8Array[] {
    const def = this.table[name] as MessageDef<unknown>;
    const headBytes = this.head(def, head);
    let size = 0;
    for (const part of payload) size += part.length;
    const front = FRAME_HEADER + headBytes.length;
    const out = Buffer.allocUnsafe(Math.min(front + size, Math.max(front, COPY_LIMIT)));
    writeFrameHeader(out, def.id, headBytes.length, size);
    if (headBytes.length > 0) out.set(headBytes, FRAME_HEADER);
    const pieces: Uint8Array[] = [out];
    let at = front;
    for (const part of payload) {
      const copied = Math.min(part.length, out.length - at);
      if (copied > 0) out.set(copied === part.length ? part : part.subarray(0, copied), at);
      if (copied < part.length) pieces.push(part.subarray(copied));
      at += copied;
    }
    return pieces;
  }

  /**
   * A frame with room for its payload, to be filled in place and given to `Channel.sendFrame`: the cheapest way to send.
   * The payload is `frame.subarray(frame.length - payloadLength)`.
   */
  alloc<K extends keyof M & string>(name: K, head: HeadOf<M[K]>, payloadLength: number): Buffer {
    const def = this.table[name] as MessageDef<unknown>;
    const headBytes = this.head(def, head);
    if (payloadLength > MAX_PAYLOAD)
      throw new TeselaError("E_INTERNAL", `a payload of ${payloadLength} bytes, the limit is ${MAX_PAYLOAD}`);
    const out = Buffer.allocUnsafe(FRAME_HEADER + headBytes.length + payloadLength);
    writeFrameHeader(out, def.id, headBytes.length, payloadLength);
    if (headBytes.length > 0) out.set(headBytes, FRAME_HEADER);
    return out;
  }

  /** Throws E_PROTOCOL for an unknown id, and for a head that is not exactly what the message declares. */
  decode(frame: RawFrame): Decoded<M> {
    const entry = this.byId[frame.id];
    if (entry === undefined) throw new TeselaError("E_PROTOCOL", `a frame with the unknown message id ${frame.id}`);
    return { type: entry.name, head: readHead(entry.name, entry.def, frame.head), payload: frame.payload } as Decoded<M>;
  }

  private head(def: MessageDef<unknown>, head: unknown): Buffer {
    if (def.head === null) return NO_HEAD;
    this.writer.reset();
    def.head.write(this.writer, head);
    return this.writer.bytes();
  }
}

function readHead(name: string, def: MessageDef<unknown>, bytes: Buffer): unknown {
  if (def.head === null) {
    if (bytes.length > 0) throw new TeselaError("E_PROTOCOL", `a head of ${bytes.length} bytes in ${name}, which has none`);
    return null;
  }
  const reader = new CborReader(bytes);
  const head = def.head.read(reader, 0);
  if (!reader.done) throw new TeselaError("E_PROTOCOL", `${reader.left} bytes after the head of ${name}`);
  return head;
}
