import { KiB, MiB, TeselaError } from "../base/mod.ts";
import { codec, type Head, type Message, type MessageName } from "../wire/mod.ts";
import { BrokenLink } from "./broken-link.ts";
import type { Clock, Timer } from "./clock.ts";
import { type Frame, Retained } from "./retained.ts";
import type { Channel, Peer } from "./transport.ts";

/** A session whose connection is lost waits this long for another one; both ends forget it then. */
export const RESUME_LIMIT_MS = 30_000;
/**
 * A connection that has been silent this long is given up for another one. Shorter finds out sooner that packets are swallowed; longer
 * leaves short outages to TCP, and is not taken in by a peer that is merely busy.
 */
export const SILENCE_MS = 5_000;
/** Kept bytes beyond this are back pressure. */
const RETAIN_HIGH = 16 * MiB;
/** What a peer may owe acknowledgements for at most: who sends on without heeding back pressure loses the session instead of this node its memory. */
export const RETAIN_MAX = 512 * MiB;
/** The peer is told what has been received when it is this much, so that it need not keep more for long. */
const ACK_BYTES = 64 * KiB;
/** A session that is paused reads on until it holds this much, since acknowledgements come the same way. */
const HOLD_HIGH = 1 * MiB;
/** What a received frame counts for besides its payload: many small ones that are kept cost the peer garbage collection, not memory. */
const FRAME_COST = 1 * KiB;

export interface SessionSettings {
  readonly clock: Clock;
  readonly limitMs: number;
  /** See RETAIN_MAX. */
  readonly maxBytes: number;
  /** The connection is lost; called anew each time. */
  readonly onCut?: (reason: BrokenLink) => void;
}

/**
 * A channel that outlives its connections: messages arrive in order, each once, though what carries them breaks and is replaced. Frames
 * are numbered by their order alone, and kept until the peer acknowledges them; on a new connection both ends tell how many they
 * have received, and send what the other lacks. Nothing of this is on the wire while a connection works but an `ack` each 60 small frames.
 */
export class SessionChannel implements Channel {
  readonly peer: Peer;
  readonly alpn: string;
  readonly closed: Promise<Error | null>;
  private readonly settings: SessionSettings;
  private readonly settle: (reason: Error | null) => void;
  private readonly retained = new Retained();
  /** Null while cut. */
  private connection: Channel | null = null;
  private lastRtt: number | undefined = undefined;
  private cutAt = 0;
  private limit: Timer | null = null;
  private handler: ((message: Message) => void) | null = null;
  private paused = false;
  /** Received and not handed out: it is paused, or has no handler yet. */
  private held: Message[] = [];
  private heldBytes = 0;
  /** The peer has closed it; what it sent before is handed out first. */
  private farewell: { readonly reason: Error | null } | null = null;
  private ended: { readonly reason: Error | null } | null = null;
  /** Frames received since the session began. */
  private count = 0;
  /** Bytes received that the peer has not been told of. */
  private owed = 0;
  private readonly waiting: { resolve: () => void; reject: (e: Error) => void }[] = [];

  constructor(peer: Peer, alpn: string, settings: SessionSettings) {
    const { promise, resolve } = Promise.withResolvers<Error | null>();
    this.peer = peer;
    this.alpn = alpn;
    this.settings = settings;
    this.closed = promise;
    this.settle = resolve;
    this.cutAt = settings.clock.now();
  }

  get rtt(): number | undefined {
    return this.connection === null ? this.lastRtt : this.connection.rtt;
  }
  get queued(): number {
    return this.connection === null ? this.retained.bytes : this.connection.queued;
  }
  get cutMs(): number | null {
    return this.connection === null && this.ended === null ? this.settings.clock.now() - this.cutAt : null;
  }
  /** Frames received since the session began: what a new connection starts with. */
  get received(): number {
    return this.count;
  }

  // --- connections

  /**
   * Goes on over a new connection, which is paused: its peer has received so many frames. `first` is called before anything is sent.
   * A peer that contradicts itself ends the session.
   */
  attach(connection: Channel, peerReceived: number, first: () => void = () => {}): void {
    // Whoever dials has given the old one up. What it still brings is of the past: `received` does not change any more.
    const old = this.connection;
    this.connection = null;
    old?.close();
    if (this.ended !== null) {
      connection.close(this.ended.reason ?? undefined);
      return;
    }
    this.retained.share();
    try {
      this.retained.acknowledge(peerReceived);
    } catch (e) {
      connection.close(e as Error);
      this.finish(e as Error);
      return;
    }
    this.limit?.cancel();
    this.connection = connection;
    first();
    connection.onMessage((m) => {
      // What a connection of the past brings comes again over the present one.
      if (this.connection === connection) this.receive(m);
    });
    void connection.closed.then((reason) => this.onClosed(connection, reason));
    for (const frame of this.retained) write(connection, frame);
    if (this.heldBytes < HOLD_HIGH) connection.resume();
    this.pollDrained();
  }

  private onClosed(connection: Channel, reason: Error | null): void {
    if (this.connection !== connection || this.ended !== null) return;
    this.lastRtt = connection.rtt;
    this.connection = null;
    if (reason instanceof BrokenLink) this.cut(reason);
    else if (this.held.length > 0) this.farewell = { reason };
    else this.finish(reason);
  }

  /** Waits for another connection, for as long as the limit allows. */
  private cut(reason: BrokenLink): void {
    const { clock, limitMs, onCut } = this.settings;
    this.cutAt = clock.now();
    this.limit?.cancel();
    this.limit = clock.after(limitMs, () => this.giveUp(`${reason.message}; it did not come back within ${limitMs / 1000} s`));
    onCut?.(reason);
  }

  /** There will be no other connection. */
  giveUp(why: string): void {
    this.finish(new TeselaError("E_LINK", why, { node: this.peer.node }));
  }

  private finish(reason: Error | null): void {
    if (this.ended !== null) return;
    this.ended = { reason };
    this.limit?.cancel();
    this.retained.clear();
    const { connection } = this;
    this.connection = null;
    connection?.close(reason ?? undefined);
    for (const { reject } of this.waiting.splice(0)) reject(reason ?? this.isClosed());
    this.settle(reason);
  }

  // --- messages

  send<K extends MessageName>(type: K, head: Head<K>, ...payload: Uint8Array[]): boolean {
    return this.ended === null && this.give(codec.encode(type, head, payload));
  }

  sendFrame(frame: Buffer): boolean {
    return this.ended === null && this.give(frame);
  }

  private give(frame: Frame): boolean {
    const { connection, retained } = this;
    retained.push(frame);
    const { maxBytes } = this.settings;
    if (retained.bytes > maxBytes) {
      this.giveUp(`node ${this.peer.node} (${this.peer.name}) leaves more than ${maxBytes / MiB} MiB waiting`);
      return false;
    }
    return connection !== null && write(connection, frame) && retained.bytes < RETAIN_HIGH;
  }

  onMessage(handler: (message: Message) => void): void {
    this.handler = handler;
    this.handOut();
  }

  private receive(m: Message): void {
    if (m.type === "ack") {
      this.retained.acknowledge(m.head.received);
      this.pollDrained();
      return;
    }
    this.count++;
    const cost = m.payload.length + FRAME_COST;
    this.owed += cost;
    if (this.paused || this.handler === null || this.held.length > 0) this.hold(m, cost);
    else this.handler(m);
    if (this.owed < ACK_BYTES) return;
    this.owed = 0;
    this.connection?.send("ack", { received: this.count });
  }

  private hold(m: Message, cost: number): void {
    this.held.push(m);
    this.heldBytes += cost;
    if (this.heldBytes >= HOLD_HIGH) this.connection?.pause();
  }

  private handOut(): void {
    try {
      while (this.held.length > 0 && !this.paused && this.ended === null) this.handler?.(this.held.shift() as Message);
    } catch (e) {
      this.finish(e instanceof Error ? e : new TeselaError("E_INTERNAL", String(e)));
    }
    if (this.held.length > 0) return;
    this.heldBytes = 0;
    if (this.farewell !== null) this.finish(this.farewell.reason);
    else this.connection?.resume();
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    if (this.handler !== null) this.handOut();
  }

  release(payload: Uint8Array): void {
    this.connection?.release(payload);
  }

  /** Also waits while it is cut, and while the peer owes too many acknowledgements. */
  drained(): Promise<void> {
    if (this.ended !== null) return Promise.reject(this.ended.reason ?? this.isClosed());
    return new Promise((resolve, reject) => {
      this.waiting.push({ resolve, reject });
      this.pollDrained();
    });
  }

  private pollDrained(): void {
    const { connection, waiting } = this;
    if (waiting.length === 0 || connection === null || this.retained.bytes >= RETAIN_HIGH) return;
    connection.drained().then(
      () => {
        if (this.connection !== connection || this.retained.bytes >= RETAIN_HIGH) return;
        for (const { resolve } of waiting.splice(0)) resolve();
      },
      // Cut meanwhile: asked again over the next connection.
      () => {},
    );
  }

  /** While it is cut the peer is not told: it finds out when it comes back. */
  close(reason?: Error): void {
    this.finish(reason ?? null);
  }

  private isClosed(): TeselaError {
    return new TeselaError("E_LINK", `the connection to node ${this.peer.node} (${this.peer.name}) is closed`);
  }
}

function write(connection: Channel, frame: Frame): boolean {
  if (frame instanceof Uint8Array) return connection.sendFrame(frame as Buffer);
  let more = true;
  for (const piece of frame) more = connection.sendFrame(piece as Buffer);
  return more;
}
