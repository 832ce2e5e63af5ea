import { TeselaError } from "../base/mod.ts";
import { COUNTED_HEADER, FRAME_HEADER, FRAME_TRUST, MAX_FRAME, MAX_HEAD } from "./limits.ts";

/** A received frame, undecoded: views of the received bytes. */
export interface RawFrame {
  readonly id: number;
  readonly head: Buffer;
  readonly payload: Buffer;
}

/** Writes the 8 bytes before the head into `into` at 0. */
export function writeFrameHeader(into: Buffer, id: number, headLength: number, payloadLength: number): void {
  const length = COUNTED_HEADER + headLength + payloadLength;
  if (headLength > MAX_HEAD || length > MAX_FRAME) {
    throw new TeselaError("E_INTERNAL", `frame ${id} of ${length} bytes exceeds ${MAX_FRAME}; send less at a time`);
  }
  into[0] = length & 0xff;
  into[1] = (length >>> 8) & 0xff;
  into[2] = (length >>> 16) & 0xff;
  into[3] = length >>> 24;
  into[4] = id;
  into[5] = 0;
  into[6] = headLength & 0xff;
  into[7] = headLength >>> 8;
}

/**
 * Cuts a byte stream into frames. `push` calls `onFrame` for each complete one, in order; the views it gets stay valid for as long as
 * somebody holds them, so the pushed chunks must not be written to again. A frame inside one chunk is not copied, one that
 * spans chunks is copied once. Throws E_PROTOCOL on a length beyond the limits, before room is made for it; the stream is
 * unusable then.
 */
export class FrameReader {
  private readonly onFrame: (frame: RawFrame) => void;
  private readonly maxFrame: number;
  /** The begun frame, header included; null between frames. */
  private partial: Buffer | null = null;
  private filled = 0;
  /** Bytes of the begun frame, header included; 0 while the header is not complete. */
  private wanted = 0;
  private held: Buffer | null = null;
  private paused = false;
  private stopped = false;

  constructor(onFrame: (frame: RawFrame) => void, options: { maxFrame?: number } = {}) {
    this.onFrame = onFrame;
    this.maxFrame = Math.min(options.maxFrame ?? MAX_FRAME, MAX_FRAME);
  }

  /** True between frames: a stream may end here and nowhere else. */
  get idle(): boolean {
    return this.partial === null && this.held === null;
  }

  /** No more frames are handed out, also not those of the chunk being cut. */
  stop(): void {
    this.stopped = true;
    this.partial = null;
    this.held = null;
  }

  /** Holds back the frames that have come and those of later chunks until `resume`. */
  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    const held = this.held;
    this.held = null;
    if (held !== null) this.push(held);
  }

  /** Ends the cutting and gives back the bytes after the last frame that was handed out. */
  takeRest(): Buffer {
    const rest = this.partial === null ? (this.held ?? Buffer.alloc(0)) : this.partial.subarray(0, this.filled);
    this.stop();
    return rest;
  }

  push(chunk: Buffer): void {
    if (this.stopped) return;
    if (this.paused) {
      this.held = this.held === null ? chunk : Buffer.concat([this.held, chunk]);
      return;
    }
    let at = this.partial === null ? 0 : this.fill(chunk);
    while (this.partial === null && at < chunk.length && !this.stopped) {
      if (this.paused) {
        this.held = chunk.subarray(at);
        return;
      }
      const left = chunk.length - at;
      const total = left < FRAME_HEADER ? 0 : this.total(chunk, at);
      if (total === 0 || total > left) this.begin(chunk.subarray(at), total);
      else this.emit(chunk, at, total);
      at += Math.min(left, total || left);
    }
  }

  /** Validates the header at `at`; bytes of the whole frame. */
  private total(buf: Buffer, at: number): number {
    const length =
      (buf[at] as number) + (buf[at + 1] as number) * 0x100 + (buf[at + 2] as number) * 0x10000 + (buf[at + 3] as number) * 0x1000000;
    const headLength = (buf[at + 6] as number) | ((buf[at + 7] as number) << 8);
    if (length > this.maxFrame) throw new TeselaError("E_PROTOCOL", `a frame of ${length} bytes, the limit is ${this.maxFrame}`);
    if (length < COUNTED_HEADER + headLength)
      throw new TeselaError("E_PROTOCOL", `a frame of ${length} bytes with a head of ${headLength}`);
    if (buf[at + 5] !== 0) throw new TeselaError("E_PROTOCOL", `a frame with flags ${buf[at + 5]}, which this version does not know`);
    return length + FRAME_HEADER - COUNTED_HEADER;
  }

  private emit(buf: Buffer, at: number, total: number): void {
    const headEnd = at + FRAME_HEADER + ((buf[at + 6] as number) | ((buf[at + 7] as number) << 8));
    this.onFrame({ id: buf[at + 4] as number, head: buf.subarray(at + FRAME_HEADER, headEnd), payload: buf.subarray(headEnd, at + total) });
  }

  /** Keeps the first bytes of a frame that goes on in later chunks. */
  private begin(rest: Buffer, total: number): void {
    this.wanted = total;
    this.partial = Buffer.allocUnsafeSlow(total === 0 ? FRAME_HEADER : Math.min(total, Math.max(FRAME_TRUST, rest.length)));
    this.filled = rest.copy(this.partial);
  }

  /** Continues the begun frame with `chunk` and hands it out when complete; returns how much of the chunk it took. */
  private fill(chunk: Buffer): number {
    let at = 0;
    while (this.partial !== null) {
      const n = chunk.copy(this.partial, this.filled, at);
      this.filled += n;
      at += n;
      if (this.filled < this.partial.length) return at;
      if (this.wanted === 0) this.wanted = this.total(this.partial, 0);
      if (this.filled === this.wanted) {
        const whole = this.partial;
        this.partial = null;
        this.emit(whole, 0, whole.length);
      } else this.grow();
    }
    return at;
  }

  /** The frame has shown that it is coming: room for all of it. */
  private grow(): void {
    const size = this.filled < FRAME_TRUST ? Math.min(this.wanted, FRAME_TRUST) : this.wanted;
    const larger = Buffer.allocUnsafeSlow(size);
    (this.partial as Buffer).copy(larger, 0, 0, this.filled);
    this.partial = larger;
  }
}
