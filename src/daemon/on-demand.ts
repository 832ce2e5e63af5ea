import type { Entry } from "../cluster/mod.ts";
import type { Caller } from "./authorize.ts";
import type { Peer } from "./config.ts";
import type { DialPeer, NodeStatus, PeerControl } from "./peer.ts";
import type { EngineRow, MigrateAsk, Migrated, WhyNot } from "./shapes.ts";

export interface StreamTimes {
  /** For the TLS handshake of a new stream; a silent network drops it. */
  readonly dialMs: number;
  /** A stream that nobody used for so long is closed. */
  readonly idleMs: number;
}
export const STREAM_TIMES: StreamTimes = { dialMs: 2000, idleMs: 30_000 };

/**
 * A control stream that is there while it is needed: opened by the first question, kept for the next ones, closed when nobody asks for a while. One that
 * broke is opened anew by the next question.
 */
export class OnDemand implements PeerControl {
  readonly node: number;
  private readonly peer: Peer;
  private readonly dial: DialPeer;
  private readonly times: StreamTimes;
  private readonly stop = new AbortController();
  private stream: Promise<PeerControl> | null = null;
  private asking = 0;
  private idle: NodeJS.Timeout | null = null;
  private readonly ended = Promise.withResolvers<void>();
  /** When it is closed for good. */
  readonly closed = this.ended.promise;

  constructor(peer: Peer, dial: DialPeer, times: StreamTimes = STREAM_TIMES) {
    this.peer = peer;
    this.node = peer.id;
    this.dial = dial;
    this.times = times;
  }

  status(signal: AbortSignal): Promise<NodeStatus> {
    return this.ask((c) => c.status(signal));
  }
  processes(signal: AbortSignal): Promise<EngineRow[]> {
    return this.ask((c) => c.processes(signal));
  }
  migrate(ask: MigrateAsk, caller: Caller): Promise<Migrated | WhyNot> {
    return this.ask((c) => c.migrate(ask, caller));
  }
  question(what: string, body: unknown, caller: Caller, signal?: AbortSignal): Promise<unknown> {
    return this.ask((c) => c.question(what, body, caller, signal));
  }

  record(digest: string, signal: AbortSignal): Promise<unknown[]> {
    return this.ask((c) => c.record(digest, signal));
  }
  renew(csr: Uint8Array, signal: AbortSignal): Promise<string> {
    return this.ask((c) => c.renew(csr, signal));
  }
  leave(signal: AbortSignal): Promise<unknown[]> {
    return this.ask((c) => c.leave(signal));
  }
  news(entries: readonly Entry[]): void {
    // Nobody answers to news, and nodes compare what they know anyway.
    this.ask(async (c) => c.news(entries)).catch(() => undefined);
  }

  /** Questions that are open end with E_LINK. It may be asked again all the same. */
  drop(): void {
    const { stream } = this;
    this.stream = null;
    if (this.idle) clearTimeout(this.idle);
    // Whoever waits for a stream that cannot be opened is told.
    stream?.then((c) => c.close()).catch(() => undefined);
  }

  /** For good. */
  close(): void {
    this.stop.abort();
    this.drop();
    this.ended.resolve();
  }

  private async ask<T>(question: (control: PeerControl) => Promise<T>): Promise<T> {
    this.asking++;
    if (this.idle) clearTimeout(this.idle);
    try {
      return await question(await this.opened());
    } finally {
      if (--this.asking === 0 && this.stream !== null) this.idle = setTimeout(() => this.drop(), this.times.idleMs).unref();
    }
  }

  private opened(): Promise<PeerControl> {
    if (this.stream !== null) return this.stream;
    const stream = this.dial(this.peer, AbortSignal.any([this.stop.signal, AbortSignal.timeout(this.times.dialMs)]));
    this.stream = stream;
    const gone = (): void => {
      if (this.stream === stream) this.drop();
    };
    stream.then((c) => c.closed.then(gone)).catch(gone);
    return stream;
  }
}
