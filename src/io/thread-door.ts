/**
 * One listener a node, and yet threads that own their connections: the main thread looks at the ClientHello and gives
 * the connection's descriptor to a worker thread, which does the TLS handshake and everything after it. The main thread's event
 * loop carries none of the bytes.
 */
import { Socket } from "node:net";
import { MessageChannel, type MessagePort } from "node:worker_threads";
import { type Log, TeselaError, toTeselaError } from "../base/mod.ts";
import type { Credentials } from "./credentials.ts";
import { TlsAcceptor } from "./tls-accept.ts";
import type { PeerStream, ThreadDoor } from "./transport.ts";

/** dup(2) and close(2), from src/sys. */
export interface Descriptors {
  dup(fd: number): number;
  close(fd: number): void;
}

type ToThread = { readonly id: number; readonly fd: number; readonly deadlineMs: number };
/** `adopted`: the thread closes the descriptor from now on. `settled`: authenticated, or gone. */
type FromThread = { readonly id: number; readonly what: "adopted" | "settled" };

interface Handed {
  readonly fd: number;
  readonly settled: () => void;
  adopted: boolean;
}

/** The main thread's side: give it to `threads(...)`, and transfer `port` to the worker thread. */
export class PortDoor implements ThreadDoor, Disposable {
  /** For the worker thread, which passes it to `acceptInThread`. */
  readonly port: MessagePort;
  private readonly own: MessagePort;
  private readonly descriptors: Descriptors;
  private readonly handed = new Map<number, Handed>();
  private ids = 0;
  private closed = false;

  constructor(descriptors: Descriptors) {
    const { port1, port2 } = new MessageChannel();
    this.descriptors = descriptors;
    this.own = port1;
    this.port = port2;
    this.own.on("message", (message: FromThread) => this.onMessage(message));
    this.own.on("close", () => this[Symbol.dispose]());
    // Waiting for a thread does not keep the process alive.
    this.own.unref();
  }

  take(connection: { fd: number; deadlineMs: number }, settled: () => void): void {
    if (this.closed) throw new TeselaError("E_REFUSED", "the thread for this connection has ended");
    const fd = this.descriptors.dup(connection.fd);
    const id = this.ids++;
    const message: ToThread = { id, fd, deadlineMs: connection.deadlineMs };
    this.handed.set(id, { fd, settled, adopted: false });
    this.own.postMessage(message);
  }

  private onMessage({ id, what }: FromThread): void {
    const handed = this.handed.get(id);
    if (handed === undefined) return;
    if (what === "adopted") handed.adopted = true;
    else {
      this.handed.delete(id);
      handed.settled();
    }
  }

  /** Also when the thread ends: connections that it has not adopted are closed here, nobody else would. */
  [Symbol.dispose](): void {
    if (this.closed) return;
    this.closed = true;
    this.own.close();
    for (const { fd, settled, adopted } of this.handed.values()) {
      if (!adopted) this.descriptors.close(fd);
      settled();
    }
    this.handed.clear();
  }
}

export interface ThreadAcceptOptions {
  readonly credentials: Credentials;
  readonly version: string;
  /** The ALPNs whose acceptor is this thread's door. */
  readonly alpn: readonly string[];
  readonly log?: Log;
}

/** The worker thread's side: calls `open` for each connection that came through the door and authenticated. */
export function acceptInThread(port: MessagePort, options: ThreadAcceptOptions, open: (stream: PeerStream) => void): Disposable {
  const tls = new TlsAcceptor(options);
  const tell = (message: FromThread): void => port.postMessage(message);
  const accept = async ({ id, fd, deadlineMs }: ToThread): Promise<void> => {
    tell({ id, what: "adopted" });
    const socket = new Socket({ fd, readable: true, writable: true, pauseOnCreate: true } as ConstructorParameters<typeof Socket>[0]);
    try {
      socket.on("error", (e) => options.log?.debug("a connection failed", { error: e.message }));
      const { stream, peer, alpn, route, rest } = await tls.accept(socket, AbortSignal.timeout(deadlineMs));
      if (rest.length > 0) stream.unshift(rest);
      open({ stream, peer, alpn, route });
    } catch (e) {
      options.log?.warn("a connection was refused", { reason: toTeselaError(e).message });
    } finally {
      tell({ id, what: "settled" });
    }
  };
  port.on("message", (message: ToThread) => void accept(message));
  return {
    [Symbol.dispose]() {
      port.close();
      tls[Symbol.dispose]();
    },
  };
}
