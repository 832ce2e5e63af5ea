import { KiB, TeselaError } from "../base/mod.ts";
import { incoming } from "./frame-pool.ts";
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

/** Less room than this is not worth a read of its own. */
const DIRECT_MIN = 4 * KiB;
/** Where bytes are read to when it is not known yet whose they are. The frames found there are handed out as views, so it is written once. */
const SLAB = 64 * KiB;
/** A TLS record holds this much; with less room left a new slab is begun. */
const SLAB_MIN = 16 * KiB;
const NOTHING = Buffer.alloc(0);

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
  /** For reads by `room`: the last one named the begun frame, not the slab. */
  private direct = false;
  private slab = NOTHING;
  private slabAt = 0;

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
    this.complete();
    const held = this.held;
    this.held = null;
    if (held !== null) this.push(held);
  }

  /**
   * Instead of `push`, for who can read into a given place: where the next bytes should go. Those of a large frame go straight to where
   * they stay. `took` says how many came.
   */
  room(): Buffer {
    this.direct = this.partial !== null && this.wanted > 0 && !this.paused && this.partial.length - this.filled >= DIRECT_MIN;
    if (this.direct) return (this.partial as Buffer).subarray(this.filled);
    if (this.slab.length - this.slabAt < SLAB_MIN) {
      this.slab = Buffer.allocUnsafeSlow(SLAB);
      this.slabAt = 0;
    }
    return this.slab.subarray(this.slabAt);
  }

  took(n: number): void {
    if (this.stopped) return;
    if (this.direct) {
      this.filled += n;
      this.complete();
    } else {
      const at = this.slabAt;
      this.slabAt += n;
      this.cut(this.slab, at, at + n);
    }
  }

  /** See FramePool. */
  release(view: Uint8Array): void {
    incoming.release(view);
  }

  /** Ends the cutting and gives back the bytes after the last frame that was handed out. */
  takeRest(): Buffer {
    const rest = this.partial === null ? (this.held ?? NOTHING) : this.partial.subarray(0, this.filled);
    this.stop();
    return rest;
  }

  push(chunk: Buffer): void {
    if (!this.stopped) this.cut(chunk, 0, chunk.length);
  }

  private cut(buf: Buffer, from: number, end: number): void {
    if (this.paused) {
      const chunk = buf.subarray(from, end);
      this.held = this.held === null ? chunk : Buffer.concat([this.held, chunk]);
      return;
    }
    let at = this.partial === null ? from : this.fill(buf, from, end);
    while (this.partial === null && at < end && !this.stopped) {
      if (this.paused) {
        this.held = buf.subarray(at, end);
        return;
      }
      const left = end - at;
      const total = left < FRAME_HEADER ? 0 : this.total(buf, at);
      if (total === 0 || total > left) {
        this.begin(buf.subarray(at, end), total);
        return;
      }
      this.emit(buf, at, total);
      at += total;
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
    const headAt = at + FRAME_HEADER;
    const headEnd = headAt + ((buf[at + 6] as number) | ((buf[at + 7] as number) << 8));
    const end = at + total;
    this.onFrame({
      id: buf[at + 4] as number,
      head: headEnd === headAt ? NOTHING : buf.subarray(headAt, headEnd),
      payload: headEnd === end ? NOTHING : buf.subarray(headEnd, end),
    });
  }

  /** Keeps the first bytes of a frame that goes on in later chunks. */
  private begin(rest: Buffer, total: number): void {
    this.wanted = total;
    this.partial = incoming.take(total === 0 ? FRAME_HEADER : Math.min(total, Math.max(FRAME_TRUST, rest.length)));
    this.filled = rest.copy(this.partial);
  }

  /** Continues the begun frame with these bytes and hands it out when complete; returns where it stopped taking. */
  private fill(buf: Buffer, from: number, end: number): number {
    let at = from;
    while (this.partial !== null) {
      const n = buf.copy(this.partial, this.filled, at, end);
      this.filled += n;
      at += n;
      if (this.filled < this.partial.length) return at;
      this.complete();
    }
    return at;
  }

  /** When the room made for the begun frame is full: makes more of it, or hands the frame out. */
  private complete(): void {
    if (this.partial === null || this.filled < this.partial.length || this.paused) return;
    if (this.wanted === 0) this.wanted = this.total(this.partial, 0);
    if (this.filled === this.wanted) {
      const whole = this.partial;
      this.partial = null;
      this.emit(whole, 0, whole.length);
    } else this.grow();
  }

  /** The frame has shown that it is coming: room for all of it. */
  private grow(): void {
    const size = this.filled < FRAME_TRUST ? Math.min(this.wanted, FRAME_TRUST) : this.wanted;
    const larger = incoming.take(size);
    const smaller = this.partial as Buffer;
    smaller.copy(larger, 0, 0, this.filled);
    incoming.release(smaller);
    this.partial = larger;
  }
}
