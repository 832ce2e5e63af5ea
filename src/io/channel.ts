import type { Duplex } from "node:stream";
import { MiB, TeselaError } from "../base/mod.ts";
import { codec, FrameReader, type Head, type Message, type MessageName, type RawFrame } from "../wire/mod.ts";
import { BrokenLink } from "./broken-link.ts";
import { type Clock, realClock, type Timer } from "./clock.ts";
import { readDirectly } from "./direct-read.ts";
import { errorFrame, errorOf } from "./greet.ts";
import { Outbox } from "./outbox.ts";
import type { Channel, Peer, PeerStream } from "./transport.ts";

/**
 * More bytes than this waiting to leave are back pressure. Larger: fewer pauses on a link with a long round trip; smaller: less
 * memory a peer, and less in front of a message that is urgent.
 */
export const SEND_HIGH_WATER = 1 * MiB;
/** How often a channel asks whether its peer lives. Each costs both ends about 20 us. */
export const PING_MS = 1_000;
/** A peer that has been silent this long is gone. Shorter finds a dead peer sooner, longer bears a longer outage. */
export const DEAD_MS = 30_000;
/** What a closing channel waits for its last bytes to leave. */
const LINGER_MS = 2_000;
/** Weight of a new round trip in the smoothed one (as TCP's, RFC 6298). */
const RTT_WEIGHT = 1 / 8;

export interface ChannelOptions {
  readonly clock: Clock;
  readonly pingMs?: number;
  readonly deadMs?: number;
}

/** A channel over any byte stream whose ends have said hello. */
export class FrameChannel implements Channel {
  readonly peer: Peer;
  readonly alpn: string;
  readonly closed: Promise<Error | null>;
  readonly cutMs = null;
  rtt: number | undefined = undefined;
  private readonly stream: Duplex;
  private readonly clock: Clock;
  private readonly reader: FrameReader;
  private readonly outbox: Outbox;
  private readonly pulse: Timer;
  private readonly settle: (reason: Error | null) => void;
  private handler: ((message: Message) => void) | null = null;
  private paused = false;
  private ended: { reason: Error | null } | null = null;
  private peerBye = false;
  private heard = true;
  private silentMs = 0;
  private pingSent: { n: number; at: number } | null = null;
  private pings = 0;
  private readonly waiting: { resolve: () => void; reject: (e: Error) => void }[] = [];

  /** `rest`: bytes that came behind the peer's hello. */
  constructor(stream: Duplex, peer: Peer, alpn: string, rest: Buffer, options: ChannelOptions) {
    const { promise, resolve } = Promise.withResolvers<Error | null>();
    this.stream = stream;
    this.peer = peer;
    this.alpn = alpn;
    this.closed = promise;
    this.settle = resolve;
    this.clock = options.clock;
    this.outbox = new Outbox(stream, () => {
      if (this.waiting.length > 0) for (const { resolve } of this.waiting.splice(0)) resolve();
    });
    this.reader = new FrameReader((frame) => this.receive(frame));
    this.reader.pause();
    this.reader.push(rest);
    // What Node has read ahead is still in the stream.
    for (let chunk: Buffer | null = stream.read(); chunk !== null; chunk = stream.read()) this.reader.push(chunk);
    const { reader } = this;
    const direct = readDirectly(
      stream,
      () => reader.room(),
      (n) => {
        this.heard = true;
        try {
          reader.took(n);
        } catch (e) {
          this.fail(e);
        }
        return !this.paused;
      },
    );
    if (!direct) {
      stream.on("data", (chunk: Buffer) => {
        this.heard = true;
        try {
          reader.push(chunk);
        } catch (e) {
          this.fail(e);
        }
      });
    }
    stream.pause();
    stream.on("error", (e) => this.finish(this.broken(e.message, e)));
    stream.on("end", () => this.onEnd());
    stream.on("close", () => this.finish(this.broken("it was closed")));
    const pingMs = options.pingMs ?? PING_MS;
    const deadMs = options.deadMs ?? DEAD_MS;
    this.pulse = this.clock.every(pingMs, () => this.beat(pingMs, deadMs));
  }

  get queued(): number {
    return this.outbox.queued;
  }

  send<K extends MessageName>(type: K, head: Head<K>, ...payload: Uint8Array[]): boolean {
    if (this.ended !== null) return false;
    const pieces = codec.encode(type, head, payload);
    for (let i = 0; i < pieces.length; i++) this.outbox.write(pieces[i] as Uint8Array);
    return this.outbox.queued < SEND_HIGH_WATER;
  }

  sendFrame(frame: Buffer): boolean {
    if (this.ended !== null) return false;
    this.outbox.write(frame);
    return this.outbox.queued < SEND_HIGH_WATER;
  }

  onMessage(handler: (message: Message) => void): void {
    this.handler = handler;
    if (!this.paused) this.flow();
  }

  pause(): void {
    this.paused = true;
    this.reader.pause();
    this.stream.pause();
  }

  resume(): void {
    this.paused = false;
    if (this.handler !== null) this.flow();
  }

  release(payload: Uint8Array): void {
    this.reader.release(payload);
  }

  drained(): Promise<void> {
    if (this.ended !== null) return Promise.reject(this.ended.reason ?? new TeselaError("E_LINK", this.about("is closed")));
    if (this.outbox.queued === 0) return Promise.resolve();
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  close(reason?: Error): void {
    if (this.ended !== null) return;
    const pieces = reason === undefined ? codec.encode("bye", {}, []) : errorFrame(reason);
    for (const piece of pieces) this.outbox.write(piece);
    this.finish(reason ?? null);
  }

  private flow(): void {
    try {
      this.reader.resume();
    } catch (e) {
      this.fail(e);
    }
    if (!this.paused && this.ended === null) this.stream.resume();
  }

  /** A frame that breaks the rules, or a handler that throws, ends the channel. */
  private fail(e: unknown): void {
    this.close(e instanceof Error ? e : new TeselaError("E_INTERNAL", String(e)));
  }

  private receive(frame: RawFrame): void {
    const message = codec.decode(frame);
    switch (message.type) {
      case "ping":
        this.send("pong", { n: message.head.n });
        return;
      case "pong":
        this.onPong(message.head.n);
        return;
      case "bye":
        this.peerBye = true;
        return;
      case "error":
        this.finish(errorOf(message.head));
        return;
      case "hello":
        throw new TeselaError("E_PROTOCOL", this.about("said hello twice"));
      default:
        this.handler?.(message);
    }
  }

  /** One ping at a time is out: more of them would only lengthen the queue of a slow link. */
  private beat(pingMs: number, deadMs: number): void {
    // A beat counts one interval, however late it comes: when this process itself stood still, the peer gets its time again.
    this.silentMs = this.heard || this.paused || this.handler === null ? 0 : this.silentMs + pingMs;
    this.heard = false;
    if (this.silentMs >= deadMs) {
      this.finish(this.broken(`nothing was heard for ${this.silentMs / 1000} s`));
      return;
    }
    if (this.pingSent !== null && this.silentMs > 0) return;
    this.pingSent = { n: this.pings++ >>> 0, at: this.clock.now() };
    this.send("ping", { n: this.pingSent.n });
  }

  private onPong(n: number): void {
    if (this.pingSent?.n !== n) return;
    const sample = this.clock.now() - this.pingSent.at;
    this.pingSent = null;
    this.rtt = this.rtt === undefined ? sample : this.rtt + (sample - this.rtt) * RTT_WEIGHT;
  }

  private onEnd(): void {
    if (this.peerBye) this.finish(null);
    else this.finish(this.broken(this.reader.idle ? "the peer ended it without a word" : "the peer ended it inside a frame"));
  }

  private finish(reason: Error | null): void {
    if (this.ended !== null) return;
    this.ended = { reason };
    this.pulse.cancel();
    this.reader.stop();
    for (const { reject } of this.waiting.splice(0)) reject(reason ?? new TeselaError("E_LINK", this.about("is closed")));
    // What comes now is of no interest, but has to be read for the peer's end to be seen.
    this.stream.resume();
    if (!this.stream.destroyed) {
      this.outbox.flush();
      this.stream.end();
      const linger = this.clock.after(LINGER_MS, () => this.stream.destroy());
      this.stream.once("close", () => linger.cancel());
    }
    this.settle(reason);
  }

  private broken(why: string, cause?: Error): BrokenLink {
    return new BrokenLink(this.about(`is lost: ${why}`), { node: this.peer.node }, cause === undefined ? {} : { cause });
  }

  private about(what: string): string {
    return `the connection to node ${this.peer.node} (${this.peer.name}) ${what}`;
  }
}

/** A channel over a stream that was connected or accepted raw: for worker threads that take their streams from a door. */
export function channelOver(peer: PeerStream, options: Partial<ChannelOptions> = {}): Channel {
  return new FrameChannel(peer.stream, peer.peer, peer.alpn, Buffer.alloc(0), { clock: realClock, ...options });
}
