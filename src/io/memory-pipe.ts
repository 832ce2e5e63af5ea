import { Duplex } from "node:stream";
import { TeselaError } from "../base/mod.ts";
import type { Clock } from "./clock.ts";

/** What lies between two ends: it delays, and it can be cut for a while or for good. */
export interface Wire {
  readonly clock: Clock;
  readonly latencyMs: number;
  /** Nothing passes while it is cut; what was on its way waits, as TCP would send it again. */
  readonly cut: boolean;
  /** Resolves when it is no longer cut. */
  healed(): Promise<void>;
}

/** One end of an in-memory connection: bytes in order, with back pressure, without TLS. */
class MemoryEnd extends Duplex {
  private readonly wire: Wire;
  private other: MemoryEnd | null = null;
  private accepted: (() => void) | null = null;

  constructor(wire: Wire) {
    super({ allowHalfOpen: false });
    this.wire = wire;
  }

  static pair(wire: Wire): [MemoryEnd, MemoryEnd] {
    const [a, b] = [new MemoryEnd(wire), new MemoryEnd(wire)];
    a.other = b;
    b.other = a;
    return [a, b];
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    // A copy: on a network the receiver never shares the sender's memory.
    const bytes = Buffer.from(chunk);
    this.carry((other) => {
      if (other.push(bytes)) done();
      else other.accepted = done;
    }, done);
  }

  override _read(): void {
    const accepted = this.accepted;
    this.accepted = null;
    accepted?.();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.carry(
      (other) => other.push(null),
      () => {},
    );
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const { other } = this;
    this.other = null;
    this.accepted?.();
    this.accepted = null;
    if (other !== null && other.other === this) this.pass(() => other.lost());
    done(error);
  }

  /** The other end is gone: what it sent before has been delivered. */
  private lost(): void {
    if (this.destroyed) return;
    this.other = null;
    if (!this.readableEnded) this.push(null);
    if (!this.writableFinished) this.destroy();
  }

  private carry(deliver: (other: MemoryEnd) => void, failed: (error: Error) => void): void {
    this.pass(() => {
      const { other } = this;
      if (other === null || other.destroyed) failed(new TeselaError("E_LINK", "the other end is gone"));
      else deliver(other);
    });
  }

  private pass(act: () => void): void {
    const { wire } = this;
    const arrive = (): void => {
      if (wire.cut) void wire.healed().then(arrive);
      else act();
    };
    if (wire.latencyMs > 0) wire.clock.after(wire.latencyMs, arrive);
    else setImmediate(arrive);
  }
}

/** Two connected streams over `wire`. */
export function memoryPair(wire: Wire): [Duplex, Duplex] {
  return MemoryEnd.pair(wire);
}
