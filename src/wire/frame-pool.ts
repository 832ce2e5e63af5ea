import { KiB, MiB } from "../base/mod.ts";

/** Smaller frames are not worth keeping: their memory is cheap to get. */
const MIN_KEPT = 128 * KiB;
/** Room is made in multiples of this, so that frames of about one size can use the room of one another. */
const GRAIN = 256 * KiB;
const MAX_KEPT_BYTES = 32 * MiB;

/**
 * Memory for large frames, used again when its user gives it back. Getting a fresh megabyte means 256 page faults and its share of a
 * garbage collection: twice the cost of receiving the megabyte itself.
 */
export class FramePool {
  private readonly spare: Buffer[] = [];
  private spareBytes = 0;
  private readonly lent = new WeakSet<ArrayBufferLike>();

  take(size: number): Buffer {
    if (size < MIN_KEPT) return Buffer.allocUnsafeSlow(size);
    const at = this.spare.findIndex((b) => b.length >= size);
    const whole = at >= 0 ? (this.spare.splice(at, 1)[0] as Buffer) : Buffer.allocUnsafeSlow(Math.ceil(size / GRAIN) * GRAIN);
    if (at >= 0) this.spareBytes -= whole.length;
    this.lent.add(whole.buffer);
    return whole.subarray(0, size);
  }

  /** Takes back the memory that `view` is part of, if it came from here. Nobody may look at it afterwards. */
  release(view: Uint8Array): void {
    const { buffer } = view;
    if (!this.lent.delete(buffer) || this.spareBytes + buffer.byteLength > MAX_KEPT_BYTES) return;
    this.spareBytes += buffer.byteLength;
    this.spare.push(Buffer.from(buffer));
  }
}
