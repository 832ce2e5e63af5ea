import { connect, createServer, type Socket } from "node:net";
import type { NodeId } from "../base/mod.ts";
import { FrameChannel } from "./channel.ts";
import { realClock } from "./clock.ts";
import { closeSoon, greet } from "./greet.ts";
import type { Acceptor, Channel, ConnectOptions, Listener, PeerAddress, PeerStream, Transport } from "./transport.ts";

/** For tests: frames over plain TCP on the loopback interface, which is ten times as quick to connect as TLS. One protocol a listener. */
export class TcpTransport implements Transport {
  private readonly node: NodeId;
  private readonly pingMs: number;

  constructor(node: NodeId, pingMs: number) {
    this.node = node;
    this.pingMs = pingMs;
  }

  async listen(acceptors: Readonly<Record<string, Acceptor>>): Promise<Listener> {
    const [[alpn, acceptor] = []] = Object.entries(acceptors);
    if (alpn === undefined || acceptor?.kind !== "channel") throw new Error("one protocol, of channels");
    const sockets = new Set<Socket>();
    const server = createServer({ noDelay: true }, (socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
      this.open(socket, PEER, alpn, acceptor.deadMs, AbortSignal.timeout(GREET_MS)).then(acceptor.open, () => closeSoon(socket));
    });
    await new Promise<void>((resolve) => server.listen(0, LOOPBACK, resolve));
    return {
      port: (server.address() as { port: number }).port,
      async [Symbol.asyncDispose]() {
        for (const socket of sockets) socket.destroy();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  }

  async connect(to: PeerAddress, alpn: string, { signal, timeoutMs = GREET_MS, deadMs }: ConnectOptions = {}): Promise<Channel> {
    const late = AbortSignal.timeout(timeoutMs);
    const either = signal === undefined ? late : AbortSignal.any([signal, late]);
    const socket = connect({ port: to.port, host: to.address, noDelay: true });
    try {
      return await this.open(socket, to.node, alpn, deadMs, either);
    } catch (e) {
      closeSoon(socket);
      throw e;
    }
  }

  connectRaw(): Promise<PeerStream> {
    return Promise.reject(new Error("channels alone"));
  }

  private async open(socket: Socket, peer: NodeId, alpn: string, deadMs: number | undefined, signal: AbortSignal): Promise<Channel> {
    const greeting = await greet(socket, peer, { node: this.node, name: `h${this.node}`, version: "test" }, signal);
    const options = { clock: realClock, pingMs: this.pingMs, ...(deadMs === undefined ? {} : { deadMs }) };
    return new FrameChannel(socket, greeting.peer, alpn, greeting.rest, options);
  }
}
const LOOPBACK = "127.0.0.1";
const GREET_MS = 5_000;
/** Without certificates the accepting end has to know who calls. */
const PEER = 2 as NodeId;
