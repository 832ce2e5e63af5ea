import type { Socket } from "node:net";
import { createServer, type Server, type TlsOptions, type TLSSocket } from "node:tls";
import { TeselaError } from "../base/mod.ts";
import type { Credentials } from "./credentials.ts";
import { contextOptions } from "./tls-options.ts";

/** The serving side of TLS handshakes on connections that somebody else has accepted. */
export class Handshakes implements Disposable {
  private readonly server: Server;
  /** By the peer's address and port, which no two open connections of one listener share. */
  private readonly pending = new Map<string, (socket: TLSSocket) => void>();

  constructor(options: TlsOptions) {
    this.server = createServer(options);
    this.server.on("secureConnection", (socket) => {
      const take = this.pending.get(key(socket));
      if (take === undefined) socket.destroy();
      else take(socket);
    });
    // The reason is on the raw socket's side too: it closes, and `secure` rejects.
    this.server.on("tlsClientError", (_e, socket) => socket.destroy());
  }

  /** Handshakes from now on are done with these; connections that are open stay. */
  use(credentials: Credentials): void {
    this.server.setSecureContext(contextOptions(credentials));
  }

  /**
   * Takes over `raw` (unread, or with what was read put back by `unshift`). Rejects with E_IDENTITY when it ends before the handshake,
   * or with the signal's reason.
   */
  secure(raw: Socket, signal: AbortSignal): Promise<TLSSocket> {
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
