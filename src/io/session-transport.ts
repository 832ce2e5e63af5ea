import type { Log } from "../base/mod.ts";
import { type Clock, realClock } from "./clock.ts";
import { RESUME_LIMIT_MS, RETAIN_MAX, SILENCE_MS } from "./session-channel.ts";
import { type DialSettings, MAX_PAUSE_MS, SessionDialler } from "./session-dial.ts";
import { type DoorSettings, SessionDoor } from "./session-door.ts";
import type { Acceptor, Channel, ConnectOptions, Listener, PeerAddress, PeerStream, Transport } from "./transport.ts";

export interface SessionOptions {
  /** Channels of these protocols are sessions; all else is passed on as it is. */
  readonly alpn: readonly string[];
  readonly clock?: Clock;
  /** See RESUME_LIMIT_MS, SILENCE_MS, MAX_PAUSE_MS and RETAIN_MAX. */
  readonly limitMs?: number;
  readonly silenceMs?: number;
  readonly maxPauseMs?: number;
  readonly maxBytes?: number;
  readonly log?: Log;
}

/** A transport whose channels outlive their connections: see SessionChannel. Both ends have to use it. */
export class SessionTransport implements Transport {
  private readonly under: Transport;
  private readonly alpn: ReadonlySet<string>;
  private readonly settings: DialSettings & DoorSettings;

  constructor(under: Transport, options: SessionOptions) {
    const { clock = realClock, limitMs = RESUME_LIMIT_MS, silenceMs = SILENCE_MS, log } = options;
    const { maxPauseMs = MAX_PAUSE_MS, maxBytes = RETAIN_MAX } = options;
    this.under = under;
    this.alpn = new Set(options.alpn);
    this.settings = { clock, limitMs, silenceMs, maxPauseMs, maxBytes, log };
  }

  listen(acceptors: Readonly<Record<string, Acceptor>>): Promise<Listener> {
    return this.under.listen(
      Object.fromEntries(Object.entries(acceptors).map(([alpn, acceptor]) => [alpn, this.alpn.has(alpn) ? this.door(acceptor) : acceptor])),
    );
  }

  private door(acceptor: Acceptor): Acceptor {
    if (acceptor.kind !== "channel") return acceptor;
    const door = new SessionDoor(this.settings, acceptor.open);
    return { kind: "channel", open: (connection) => door.welcome(connection), deadMs: acceptor.deadMs ?? this.settings.silenceMs };
  }

  connect(to: PeerAddress, alpn: string, options: ConnectOptions = {}): Promise<Channel> {
    if (!this.alpn.has(alpn)) return this.under.connect(to, alpn, options);
    return new SessionDialler(this.under, to, alpn, this.settings).begin(options);
  }

  connectRaw(to: PeerAddress, alpn: string, options: ConnectOptions = {}): Promise<PeerStream> {
    return this.under.connectRaw(to, alpn, options);
  }
}
