import type { Writable } from "node:stream";
import { KiB } from "../base/mod.ts";

/** Small frames are gathered into writes of about this size. */
const GATHER = 64 * KiB;

/**
 * What waits to be written to a stream. The first piece leaves at once; until Node says that it is written, which is later in the same
 * turn of the event loop at the earliest, further small ones are gathered, so that a burst of frames costs one TLS record and one
 * system call. Large ones are written alone: Node would copy them together with what is beside them.
 */
export class Outbox {
  private readonly stream: Writable;
  private readonly emptied: () => void;
  private readonly pieces: Uint8Array[] = [];
  private bytes = 0;
  private writing = false;
  private readonly written = (error?: Error | null): void => {
    this.writing = false;
    // The stream reports its errors itself.
    if (!error) this.pump();
  };

  /** `emptied` is called whenever the last piece has left for the kernel. */
  constructor(stream: Writable, emptied: () => void) {
    this.stream = stream;
    this.emptied = emptied;
  }

  /** Bytes that have not left. */
  get queued(): number {
    return this.bytes + this.stream.writableLength;
  }

  write(piece: Uint8Array): void {
    if (this.writing) {
      this.pieces.push(piece);
      this.bytes += piece.length;
    } else this.put(piece);
  }

  /** Hands everything to the stream at once: it is about to end. */
  flush(): void {
    for (const piece of this.pieces.splice(0)) this.stream.write(piece);
    this.bytes = 0;
  }

  private put(piece: Uint8Array): void {
    this.writing = true;
    this.stream.write(piece, this.written);
  }

  private pump(): void {
    const { pieces } = this;
    if (pieces.length === 0) {
      if (this.stream.writableLength === 0) this.emptied();
      return;
    }
    let count = 0;
    let size = 0;
    while (count < pieces.length && size + (pieces[count] as Uint8Array).length <= GATHER) size += (pieces[count++] as Uint8Array).length;
    if (count === 0) size = (pieces[count++] as Uint8Array).length;
    const batch = pieces.splice(0, count);
    this.bytes -= size;
    this.put(batch.length === 1 ? (batch[0] as Uint8Array) : Buffer.concat(batch, size));
  }
}
