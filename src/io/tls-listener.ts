import { createServer, type Server, type Socket } from "node:net";
import { setImmediate, setTimeout } from "node:timers/promises";
import { type Log, TeselaError, toTeselaError } from "../base/mod.ts";
import type { Credentials } from "./credentials.ts";
import { type ClientHello, MAX_CLIENT_HELLO, parseClientHello } from "./client-hello.ts";
import { type Accepted, TlsAcceptor } from "./tls-accept.ts";
import type { AcceptContext } from "./tls-accept.ts";
import { routeOf } from "./tls-options.ts";
import { JoinAcceptor } from "./tls-join.ts";
import type { Acceptor, Listener, ThreadDoor } from "./transport.ts";

/** Connections that have not proven who they are. When one more comes, the oldest goes: honest peers need only milliseconds. */
export const MAX_STRANGERS = 64;
/** All connections of one listener. */
export const MAX_CONNECTIONS = 8192;

/** Refusals a second that are logged one by one; the rest is only counted, so that strangers cannot fill the log. */
const LOGGED_REFUSALS = 10;
const LOG_WINDOW_MS = 1_000;

/** Between looks at a connection whose ClientHello is not there yet: longer for slower ones, at most this. */
const LOOK_AGAIN_MS = 20;

export interface ListenerOptions {
  readonly host: string | undefined;
  readonly port: number;
  readonly log: Log | undefined;
  readonly handshakeMs: number;
  readonly accepted: (connection: Accepted, acceptor: Acceptor) => void;
}

/** A TCP connection on its way to being authenticated. */
interface Stranger {
  readonly socket: Socket;
  readonly from: string;
  readonly abort: AbortController;
  readonly since: number;
}

/** The node's one TLS port: looks into each ClientHello, then authenticates here or hands over to the thread of its ALPN. */
export class TlsListener implements Listener {
  private readonly server: Server;
  private readonly acceptors: Readonly<Record<string, Acceptor>>;
  private readonly options: ListenerOptions;
  private readonly tls: TlsAcceptor;
  private readonly joins: JoinAcceptor;
  private readonly strangers = new Set<Stranger>();
  private readonly sockets = new Set<Socket>();
  private readonly peek: (fd: number, into: Uint8Array) => number | null;
  private readonly looked = Buffer.alloc(MAX_CLIENT_HELLO + 1);
  private refusals = { since: 0, count: 0 };

  private constructor(
    acceptors: Readonly<Record<string, Acceptor>>,
    context: Omit<AcceptContext, "alpn">,
    options: ListenerOptions,
    peek: TlsListener["peek"],
  ) {
    this.peek = peek;
    this.acceptors = acceptors;
    this.options = options;
    this.tls = new TlsAcceptor({ ...context, alpn: Object.keys(acceptors).filter((a) => acceptors[a]?.kind !== "joiner") });
    this.joins = new JoinAcceptor(context.credentials);
    this.server = createServer({ noDelay: true, pauseOnConnect: true }, (socket) => this.welcome(socket));
    this.server.maxConnections = MAX_CONNECTIONS;
  }

  static async open(
    acceptors: Readonly<Record<string, Acceptor>>,
    context: Omit<AcceptContext, "alpn">,
    options: ListenerOptions,
  ): Promise<TlsListener> {
    // Only who listens needs the C library.
    const { peek } = await import("../sys/mod.ts");
    const listener = new TlsListener(acceptors, context, options, peek);
    const { server } = listener;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (e: NodeJS.ErrnoException) => {
        const what = e.code === "EADDRINUSE" ? "it is in use: does another tesela-engine run?" : e.message;
        reject(new TeselaError("E_CONFIG", `cannot listen on TCP port ${options.port}: ${what}`, {}, { cause: e }));
      });
      server.listen({ port: options.port, ...(options.host === undefined ? {} : { host: options.host }) }, resolve);
    });
    server.on("error", (e) => options.log?.error("the listener failed", { error: e }));
    return listener;
  }

  get port(): number {
    const address = this.server.address();
    return typeof address === "object" && address !== null ? address.port : this.options.port;
  }

  /** Connections from now on are judged, and answered, with these. */
  use(credentials: Credentials): void {
    this.tls.use(credentials);
    this.joins.use(credentials);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    for (const stranger of this.strangers) stranger.abort.abort(new TeselaError("E_LINK", "the listener is closing"));
    for (const socket of this.sockets) socket.destroy();
    this.tls[Symbol.dispose]();
    this.joins[Symbol.dispose]();
    await closed;
  }

  private welcome(socket: Socket): void {
    const stranger = {
      socket,
      from: `${socket.remoteAddress?.replace(/^::ffff:/, "")}:${socket.remotePort}`,
      abort: new AbortController(),
      since: performance.now(),
    };
    this.sockets.add(socket);
    socket.once("close", () => this.sockets.delete(socket));
    socket.on("error", (e) => this.options.log?.debug("a connection failed", { from: stranger.from, error: e.message }));
    if (this.strangers.size >= MAX_STRANGERS) {
      const [oldest] = this.strangers;
      oldest?.abort.abort(new TeselaError("E_REFUSED", `more than ${MAX_STRANGERS} connections have not authenticated`));
    }
    this.strangers.add(stranger);
    const { handshakeMs } = this.options;
    const timer = globalThis.setTimeout(
      () => stranger.abort.abort(new TeselaError("E_TIMEOUT", `no handshake within ${handshakeMs / 1000} s`)),
      handshakeMs,
    );
    const settled = (): void => {
      clearTimeout(timer);
      this.strangers.delete(stranger);
    };
    this.admit(stranger, settled).catch((e: unknown) => {
      settled();
      this.logRefusal(stranger.from, toTeselaError(e).message);
    });
  }

  private logRefusal(from: string, reason: string): void {
    const now = performance.now();
    if (now - this.refusals.since > LOG_WINDOW_MS) {
      const unlogged = this.refusals.count - LOGGED_REFUSALS;
      if (unlogged > 0) this.options.log?.warn("more connections were refused", { count: unlogged });
      this.refusals = { since: now, count: 0 };
    }
    if (this.refusals.count++ < LOGGED_REFUSALS) this.options.log?.warn("a connection was refused", { from, reason });
  }

  private async admit(stranger: Stranger, settled: () => void): Promise<void> {
    const { signal } = stranger.abort;
    try {
      const hello = await this.peekHello(stranger);
      if (this.handOver(stranger, hello, settled)) return;
      if (await this.letJoin(stranger, hello, settled)) return;
    } catch (e) {
      stranger.socket.destroy();
      throw e;
    }
    const connection = await this.tls.accept(stranger.socket, signal);
    settled();
    const acceptor = this.acceptors[connection.alpn] as Acceptor;
    // The peer asked for one protocol in the clear and for another one in the handshake: nobody honest does.
    if (acceptor.kind === "thread" || acceptor.kind === "joiner") {
      stranger.socket.destroy();
      throw new TeselaError("E_PROTOCOL", "the ClientHello was ambiguous");
    }
    this.options.accepted(connection, acceptor);
  }

  /** True when it is a machine that may try to join: it stays a stranger until it has proven that it holds a token. */
  private async letJoin(stranger: Stranger, hello: ClientHello, settled: () => void): Promise<boolean> {
    const acceptor = this.acceptors[hello.alpn[0] ?? ""];
    if (acceptor?.kind !== "joiner") return false;
    if (hello.alpn.length !== 1 || !acceptor.admits()) throw new TeselaError("E_REFUSED", "it wants to join, and no token is open");
    const { signal } = stranger.abort;
    const { stream, binding } = await this.joins.accept(stranger.socket, signal);
    const drop = (): void => {
      this.logRefusal(stranger.from, toTeselaError(signal.reason).message);
      stream.destroy();
    };
    signal.addEventListener("abort", drop, { once: true });
    const proven = (): void => {
      signal.removeEventListener("abort", drop);
      settled();
    };
    stream.once("close", proven).on("error", () => {});
    acceptor.open({ stream, binding, from: stranger.from, proven });
    return true;
  }

  /**
   * Looks at the ClientHello without taking it from the kernel, so that whoever does the handshake, in whatever thread, finds the
   * connection as new. Node tells of bytes only by reading them, hence the looking again: an honest hello is there at the first or second
   * look.
   */
  private async peekHello(stranger: Stranger): Promise<ClientHello> {
    const { signal } = stranger.abort;
    const fd = descriptorOf(stranger.socket);
    for (let wait = 0; ; wait = Math.min(wait * 2 + 1, LOOK_AGAIN_MS)) {
      await (wait === 0 ? setImmediate(undefined, { signal }) : setTimeout(wait, undefined, { signal }));
      const n = this.peek(fd, this.looked);
      if (n === 0) throw new TeselaError("E_LINK", "it ended before a TLS handshake");
      const hello = n === null ? null : parseClientHello(this.looked.subarray(0, n));
      if (hello !== null) return hello;
    }
  }

  /** True when the connection now belongs to another thread. */
  private handOver(stranger: Stranger, hello: ClientHello, settled: () => void): boolean {
    const acceptor = hello.alpn.length === 1 ? this.acceptors[hello.alpn[0] as string] : undefined;
    if (acceptor?.kind !== "thread") return false;
    const route = routeOf(hello.serverName);
    const door: ThreadDoor | null = acceptor.pick(route);
    if (door === null) throw new TeselaError("E_REFUSED", `nobody takes connections of route '${route}'`);
    const deadlineMs = Math.max(1, Math.ceil(this.options.handshakeMs - (performance.now() - stranger.since)));
    door.take({ fd: descriptorOf(stranger.socket), route, deadlineMs }, settled);
    stranger.socket.destroy();
    return true;
  }
}

/** The descriptor under a socket. Node has no public name for it; without it a connection cannot change threads. */
function descriptorOf(socket: Socket): number {
  const handle = (socket as unknown as { _handle?: { fd?: number } })._handle;
  if (typeof handle?.fd !== "number" || handle.fd < 0) throw new TeselaError("E_INTERNAL", "this Node.js hides the descriptor of a socket");
  return handle.fd;
}
