import type { SecureContext, TLSSocket } from "node:tls";
import { DEFAULT_PORT, type Log } from "../base/mod.ts";
import { type ChannelOptions, FrameChannel } from "./channel.ts";
import { type Clock, realClock } from "./clock.ts";
import type { Credentials } from "./credentials.ts";
import type { Descriptors } from "./thread-door.ts";
import { HANDSHAKE_MS } from "./tls-accept.ts";
import { type DialContext, dial } from "./tls-dial.ts";
import { TlsListener } from "./tls-listener.ts";
import { secureContext } from "./tls-options.ts";
import {
  type Acceptor,
  ALPN,
  type Channel,
  type ConnectOptions,
  type Listener,
  type PeerAddress,
  type PeerStream,
  type Transport,
} from "./transport.ts";
import { readWidely } from "./wide-read.ts";

export interface TlsTransportOptions {
  readonly credentials: Credentials;
  /** Tesela's version, told in the hello. */
  readonly version: string;
  /** Where to listen; all addresses and 4660 when left out. Port 0 takes a free one. */
  readonly host?: string;
  readonly port?: number;
  readonly log?: Log;
  readonly clock?: Clock;
  /** See PING_MS and DEAD_MS. */
  readonly pingMs?: number;
  readonly deadMs?: number;
  /** See HANDSHAKE_MS. */
  readonly handshakeMs?: number;
  /** With these, bulk connections are read in large pieces. */
  readonly descriptors?: Descriptors;
  /** Another number than ours only in tests. */
  readonly protocol?: number;
}

/** Mutual TLS 1.3 over TCP. May be used in any thread; each thread makes its own. */
export class TlsTransport implements Transport {
  private readonly options: TlsTransportOptions;
  private readonly context: SecureContext;
  private readonly dialContext: DialContext;
  private readonly channelOptions: ChannelOptions;

  constructor(options: TlsTransportOptions) {
    this.options = options;
    this.context = secureContext(options.credentials);
    const { credentials, version, protocol, pingMs, deadMs } = options;
    const who = { credentials, version, ...(protocol === undefined ? {} : { protocol }) };
    this.dialContext = { ...who, secureContext: this.context };
    this.channelOptions = {
      clock: options.clock ?? realClock,
      ...(pingMs === undefined ? {} : { pingMs }),
      ...(deadMs === undefined ? {} : { deadMs }),
    };
  }

  listen(acceptors: Readonly<Record<string, Acceptor>>): Promise<Listener> {
    const { credentials, version, protocol, host, port, log, handshakeMs } = this.options;
    const who = { credentials, version, ...(protocol === undefined ? {} : { protocol }) };
    return TlsListener.open(acceptors, who, {
      host,
      port: port ?? DEFAULT_PORT,
      log,
      handshakeMs: handshakeMs ?? HANDSHAKE_MS,
      accepted: ({ stream, peer, alpn, route, rest }, acceptor) => {
        this.widen(stream, alpn);
        if (acceptor.kind === "channel") acceptor.open(new FrameChannel(stream, peer, alpn, rest, this.patience(acceptor)));
        else if (acceptor.kind === "stream") {
          if (rest.length > 0) stream.unshift(rest);
          acceptor.open({ stream, peer, alpn, route });
        }
      },
    });
  }

  async connect(to: PeerAddress, alpn: string, options: ConnectOptions = {}): Promise<Channel> {
    const { stream, peer, rest } = await dial(this.dialContext, to, alpn, options);
    this.widen(stream, alpn);
    return new FrameChannel(stream, peer, alpn, rest, this.patience(options));
  }

  async connectRaw(to: PeerAddress, alpn: string, options: ConnectOptions = {}): Promise<PeerStream> {
    const { stream, peer, rest } = await dial(this.dialContext, to, alpn, options);
    if (rest.length > 0) stream.unshift(rest);
    return { stream, peer, alpn, route: options.route ?? "" };
  }

  private patience({ deadMs }: { readonly deadMs?: number }): ChannelOptions {
    return deadMs === undefined ? this.channelOptions : { ...this.channelOptions, deadMs };
  }

  private widen(stream: TLSSocket, alpn: string): void {
    const { descriptors } = this.options;
    if (alpn === ALPN.BULK && descriptors !== undefined) readWidely(stream, descriptors);
  }
}
