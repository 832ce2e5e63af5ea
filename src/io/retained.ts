import { TeselaError } from "../base/mod.ts";
import { outgoing } from "../wire/mod.ts";

/** A frame as it is written: one buffer, or several in order. */
export type Frame = Uint8Array | readonly Uint8Array[];

/** Places of acknowledged frames that may stand empty before the list is made shorter. */
const SLACK = 1024;
const NONE = new Uint8Array(0);

/** Frames that were sent, numbered from 1, kept until the peer has acknowledged them. */
export class Retained {
  private frames: Frame[] = [];
  /** Index of the oldest that is kept. */
  private first = 0;
  private acknowledged = 0;
  /** Of frames up to this number a connection that was given up may still hold bytes. */
  private shared = 0;
  /** Bytes of those that are kept. */
  bytes = 0;

  /** Number of the newest. */
  get sent(): number {
    return this.acknowledged + this.frames.length - this.first;
  }

  push(frame: Frame): void {
    this.frames.push(frame);
    this.bytes += sizeOf(frame);
  }

  /**
   * The peer has all frames up to this number.
   * @throws TeselaError E_PROTOCOL when it cannot have
   */
  acknowledge(number: number): void {
    if (number < this.acknowledged || number > this.sent)
      throw new TeselaError("E_PROTOCOL", `frame ${number} was acknowledged; ${this.acknowledged} was before, ${this.sent} were sent`);
    for (; this.acknowledged < number; this.acknowledged++) {
      const frame = this.frames[this.first] as Frame;
      this.bytes -= sizeOf(frame);
      this.frames[this.first++] = NONE;
      // Received, so every byte has left: its memory is free for another.
      if (this.acknowledged >= this.shared && !(frame instanceof Uint8Array)) for (const piece of frame) outgoing.release(piece);
    }
    if (this.first < SLACK || this.first * 2 < this.frames.length) return;
    this.frames = this.frames.slice(this.first);
    this.first = 0;
  }

  /** All that was sent so far goes, or went, over another connection as well. */
  share(): void {
    this.shared = this.sent;
  }

  /** Those that are kept, oldest first. */
  *[Symbol.iterator](): Generator<Frame> {
    for (let i = this.first; i < this.frames.length; i++) yield this.frames[i] as Frame;
  }

  clear(): void {
    this.frames = [];
    this.first = 0;
    this.bytes = 0;
  }
}

function sizeOf(frame: Frame): number {
  if (frame instanceof Uint8Array) return frame.length;
  let size = 0;
  for (const piece of frame) size += piece.length;
  return size;
}
