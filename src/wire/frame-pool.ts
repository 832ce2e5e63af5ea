import { KiB, MiB } from "../base/mod.ts";

/** Smaller frames are not worth keeping: their memory is cheap to get. */
const MIN_KEPT = 64 * KiB;
/** Room is made in multiples of this, so that frames of about one size can use the room of one another. */
const GRAIN = 64 * KiB;
const MAX_KEPT_BYTES = 32 * MiB;
/** What nobody has asked for meanwhile is not kept any longer. */
const KEPT_MS = 2000;

/**
 * Memory for large frames, used again when its user gives it back. Getting a fresh megabyte means 256 page faults and its share of a
 * garbage collection: twice the cost of receiving the megabyte itself.
 */
export class FramePool {
  private spare: Buffer[] = [];
  private spareBytes = 0;
  private readonly lent = new WeakSet<ArrayBufferLike>();
  private timer: NodeJS.Timeout | null = null;
  private used = false;

  take(size: number): Buffer {
    if (size < MIN_KEPT) return Buffer.allocUnsafeSlow(size);
    this.used = true;
    const at = this.smallest(size);
    const whole = at >= 0 ? (this.spare.splice(at, 1)[0] as Buffer) : Buffer.allocUnsafeSlow(Math.ceil(size / GRAIN) * GRAIN);
    if (at >= 0) this.spareBytes -= whole.length;
    this.lent.add(whole.buffer);
    return whole.subarray(0, size);
  }

  /** Where the smallest one is that is large enough. */
  private smallest(size: number): number {
    let best = -1;
    for (let i = 0; i < this.spare.length; i++) {
      const { length } = this.spare[i] as Buffer;
      if (length >= size && (best < 0 || length < (this.spare[best] as Buffer).length)) best = i;
    }
    return best;
  }

  /** Takes back the memory that `view` is part of, if it came from here. Nobody may look at it afterwards. */
  release(view: Uint8Array): void {
    const { buffer } = view;
    if (!this.lent.delete(buffer) || this.spareBytes + buffer.byteLength > MAX_KEPT_BYTES) return;
    this.spareBytes += buffer.byteLength;
    this.spare.push(Buffer.from(buffer));
    this.timer ??= setTimeout(() => this.look(), KEPT_MS).unref();
  }

  /** Keeps nothing of what it has. */
  forget(): void {
    this.spare = [];
    this.spareBytes = 0;
  }

  private look(): void {
    this.timer = null;
    if (this.used) this.timer = setTimeout(() => this.look(), KEPT_MS).unref();
    else this.forget();
    this.used = false;
  }
}

/** For frames of all connections: one that has ended leaves its memory to the next. */
export const incoming = new FramePool();

/**
 * For large payloads that are sent: taken here, they come back by themselves when the peer has acknowledged them (a session's channel) and
 * are garbage like others where nobody acknowledges anything. Whoever sends such a payload must not look at it afterwards.
 */
export const outgoing = new FramePool();
