import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { type NodeId, TeselaError } from "../base/mod.ts";
import { type Credentials, provenNode } from "./credentials.ts";
import { closeSoon, greet } from "./greet.ts";
import { KEEPALIVE_MS } from "./tls-dial.ts";
import { contextOptions, routeOf } from "./tls-options.ts";
import type { Peer } from "./transport.ts";

/** From the TCP connection to the peer's hello: a half-open connection is dropped then. */
export const HANDSHAKE_MS = 5_000;

export interface AcceptContext {
  readonly credentials: Credentials;
  readonly alpn: readonly string[];
  readonly version: string;
  readonly protocol?: number;
}

export interface Accepted {
  readonly stream: TLSSocket;
  readonly peer: Peer;
  readonly alpn: string;
  readonly route: string;
  readonly rest: Buffer;
}

/**
 * The serving half of the handshake for TCP connections that come from elsewhere: from the listener of this thread, or of another one.
 * Nothing of ours is sent before the peer's certificate has been verified.
 */
export class TlsAcceptor implements Disposable {
  private readonly server: Server;
  private readonly context: AcceptContext;
  /** By the peer's address and port, which no two open connections of one listener share. */
  private readonly pending = new Map<string, (socket: TLSSocket) => void>();

  constructor(context: AcceptContext) {
    this.context = context;
    this.server = createServer({
      ...contextOptions(context.credentials),
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: [...context.alpn],
      handshakeTimeout: HANDSHAKE_MS,
    });
    this.server.on("secureConnection", (socket) => {
      const take = this.pending.get(key(socket));
      if (take === undefined) socket.destroy();
      else take(socket);
    });
    // The reason is on the raw socket's side too: it closes, and `accept` rejects.
    this.server.on("tlsClientError", (_e, socket) => socket.destroy());
  }

  /**
   * Takes over `raw` (unread, or with what was read put back by `unshift`). Rejects when the peer does not authenticate in time; the
   * connection is closed then, or closing.
   */
  async accept(raw: Socket, signal: AbortSignal): Promise<Accepted> {
    const { credentials, version, protocol } = this.context;
    const socket = await this.secure(raw, signal);
    try {
      const alpn = socket.alpnProtocol;
      if (socket.isSessionReused()) throw new TeselaError("E_PROTOCOL", "a peer resumed a TLS session, which nodes never do");
      if (typeof alpn !== "string" || !this.context.alpn.includes(alpn))
        throw new TeselaError("E_PROTOCOL", "a peer named no protocol (ALPN)");
      const node: NodeId = provenNode(socket.getPeerX509Certificate(), credentials.cluster);
      socket.setNoDelay(true);
      socket.setKeepAlive(true, KEEPALIVE_MS);
      const self = { node: credentials.node, name: credentials.name, version };
      const { peer, rest } = await greet(socket, node, protocol === undefined ? self : { ...self, protocol }, signal);
      return { stream: socket, peer, alpn, route: routeOf(String(socket.servername || "")), rest };
    } catch (e) {
      closeSoon(socket);
      throw e;
    }
  }

  private secure(raw: Socket, signal: AbortSignal): Promise<TLSSocket> {
    return new Promise((resolve, reject) => {
      const id = key(raw);
      const done = (act: () => void) => {
        this.pending.delete(id);
        raw.off("close", onClose);
        signal.removeEventListener("abort", onAbort);
        act();
      };
      const onClose = () => done(() => reject(new TeselaError("E_IDENTITY", `${id} did not prove to be a node of this cluster`)));
      const onAbort = () =>
        done(() => {
          raw.destroy();
          reject(signal.reason);
        });
      if (signal.aborted) {
        raw.destroy();
        return reject(signal.reason);
      }
      signal.addEventListener("abort", onAbort, { once: true });
      raw.on("close", onClose);
      this.pending.set(id, (socket) => done(() => resolve(socket)));
      this.server.emit("connection", raw);
    });
  }

  [Symbol.dispose](): void {
    this.server.close(() => {});
  }
}

function key(socket: Socket): string {
  return `${socket.remoteAddress}:${socket.remotePort}`;
}
