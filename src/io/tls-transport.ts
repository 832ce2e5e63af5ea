import type { TLSSocket } from "node:tls";
import { DEFAULT_PORT, type Log, type NodeId, TeselaError } from "../base/mod.ts";
import { type ChannelOptions, FrameChannel } from "./channel.ts";
import { type Clock, realClock } from "./clock.ts";
import type { Credentials, Refuses } from "./credentials.ts";
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
  /** Says no to certificates that are not to be believed any more. */
  readonly refuses?: Refuses;
  /** With these, bulk connections are read in large pieces. */
  readonly descriptors?: Descriptors;
  /** Another number than ours only in tests. */
  readonly protocol?: number;
}

/** Mutual TLS 1.3 over TCP. May be used in any thread; each thread makes its own. */
export class TlsTransport implements Transport {
  private options: TlsTransportOptions;
  private dialContext: DialContext;
  private listener: TlsListener | null = null;
  private readonly live = new Map<TLSSocket, { readonly node: NodeId; readonly key: string }>();
  private readonly channelOptions: ChannelOptions;

  constructor(options: TlsTransportOptions) {
    this.options = options;
    const { credentials, pingMs, deadMs } = options;
    this.dialContext = { ...this.who(), secureContext: secureContext(credentials) };
    this.channelOptions = {
      clock: options.clock ?? realClock,
      ...(pingMs === undefined ? {} : { pingMs }),
      ...(deadMs === undefined ? {} : { deadMs }),
    };
  }

  private who(): Omit<DialContext, "secureContext"> {
    const { credentials, version, protocol, refuses } = this.options;
    return { credentials, version, ...(protocol !== undefined && { protocol }), ...(refuses !== undefined && { refuses }) };
  }

  /** A renewed certificate: for connections from now on, both ways. */
  use(credentials: Credentials): void {
    this.options = { ...this.options, credentials };
    this.dialContext = { ...this.who(), secureContext: secureContext(credentials) };
    this.listener?.use(credentials);
  }

  /** Ends the connections whose certificates are refused by now. @returns the nodes at their other ends */
  cutRefused(): Set<number> {
    const cut = new Set<number>();
    for (const [socket, { node, key }] of this.live) {
      const why = this.options.refuses?.(node, key) ?? null;
      if (why === null) continue;
      this.options.log?.warn("a connection is cut", { node, reason: why });
      socket.destroy(new TeselaError("E_IDENTITY", `node ${node} is refused: ${why}`, { node }));
      cut.add(node);
    }
    return cut;
  }

  private keep(socket: TLSSocket, node: NodeId, key: string): void {
    this.live.set(socket, { node, key });
    socket.once("close", () => this.live.delete(socket));
    // It may have been revoked since the handshake.
    const why = this.options.refuses?.(node, key) ?? null;
    if (why === null) return;
    socket.destroy();
    throw new TeselaError("E_IDENTITY", `node ${node} is refused: ${why}`, { node });
  }

  async listen(acceptors: Readonly<Record<string, Acceptor>>): Promise<Listener> {
    const { host, port, log, handshakeMs } = this.options;
    this.listener = await TlsListener.open(acceptors, this.who(), {
      host,
      port: port ?? DEFAULT_PORT,
      log,
      handshakeMs: handshakeMs ?? HANDSHAKE_MS,
      accepted: ({ stream, peer, key, alpn, route, rest }, acceptor) => {
        this.keep(stream, peer.node, key);
        this.widen(stream, alpn);
        if (acceptor.kind === "channel") acceptor.open(new FrameChannel(stream, peer, alpn, rest, this.patience(acceptor)));
        else if (acceptor.kind === "stream") {
          if (rest.length > 0) stream.unshift(rest);
          acceptor.open({ stream, peer, alpn, route });
        }
      },
    });
    return this.listener;
  }

  async connect(to: PeerAddress, alpn: string, options: ConnectOptions = {}): Promise<Channel> {
    const { stream, peer, key, rest } = await dial(this.dialContext, to, alpn, options);
    this.keep(stream, peer.node, key);
    this.widen(stream, alpn);
    return new FrameChannel(stream, peer, alpn, rest, this.patience(options));
  }

  async connectRaw(to: PeerAddress, alpn: string, options: ConnectOptions = {}): Promise<PeerStream> {
    const { stream, peer, key, rest } = await dial(this.dialContext, to, alpn, options);
    this.keep(stream, peer.node, key);
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
