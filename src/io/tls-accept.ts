import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { type NodeId, TeselaError } from "../base/mod.ts";
import { type Credentials, provenNode, type Refuses, acceptedKey } from "./credentials.ts";
import { closeSoon, greet } from "./greet.ts";
import { KEEPALIVE_MS } from "./tls-dial.ts";
import { Handshakes } from "./tls-handshakes.ts";
import { contextOptions, routeOf } from "./tls-options.ts";
import type { Peer } from "./transport.ts";

/** From the TCP connection to the peer's hello: a half-open connection is dropped then. */
export const HANDSHAKE_MS = 5_000;

export interface AcceptContext {
  readonly credentials: Credentials;
  readonly alpn: readonly string[];
  readonly version: string;
  readonly protocol?: number;
  readonly refuses?: Refuses;
}

export interface Accepted {
  readonly stream: TLSSocket;
  readonly peer: Peer;
  /** keyHash() of its certificate. */
  readonly key: string;
  readonly alpn: string;
  readonly route: string;
  readonly rest: Buffer;
}

/**
 * The serving half of the handshake for TCP connections that come from elsewhere: from the listener of this thread, or of another one.
 * Nothing of ours is sent before the peer's certificate has been verified.
 */
export class TlsAcceptor implements Disposable {
  private readonly handshakes: Handshakes;
  private context: AcceptContext;

  constructor(context: AcceptContext) {
    this.context = context;
    this.handshakes = new Handshakes({
      ...contextOptions(context.credentials),
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: [...context.alpn],
      handshakeTimeout: HANDSHAKE_MS,
    });
  }

  /**
   * Takes over `raw` (unread, or with what was read put back by `unshift`). Rejects when the peer does not authenticate in time; the
   * connection is closed then, or closing.
   */
  async accept(raw: Socket, signal: AbortSignal): Promise<Accepted> {
    const { credentials, version, protocol } = this.context;
    const socket = await this.handshakes.secure(raw, signal);
    try {
      const alpn = socket.alpnProtocol;
      if (socket.isSessionReused()) throw new TeselaError("E_PROTOCOL", "a peer resumed a TLS session, which nodes never do");
      if (typeof alpn !== "string" || !this.context.alpn.includes(alpn))
        throw new TeselaError("E_PROTOCOL", "a peer named no protocol (ALPN)");
      const node: NodeId = provenNode(socket.getPeerX509Certificate(), credentials.cluster);
      const key = acceptedKey(node, socket.getPeerX509Certificate(), this.context.refuses);
      socket.setNoDelay(true);
      socket.setKeepAlive(true, KEEPALIVE_MS);
      const self = { node: credentials.node, name: credentials.name, version };
      const { peer, rest } = await greet(socket, node, protocol === undefined ? self : { ...self, protocol }, signal);
      return { stream: socket, peer, key, alpn, route: routeOf(String(socket.servername || "")), rest };
    } catch (e) {
      closeSoon(socket);
      throw e;
    }
  }

  /** Connections from now on are judged, and answered, with these. */
  use(credentials: Credentials): void {
    this.context = { ...this.context, credentials };
    this.handshakes.use(credentials);
  }

  [Symbol.dispose](): void {
    this.handshakes[Symbol.dispose]();
  }
}
