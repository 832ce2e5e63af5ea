import { connect, createServer, type Server, type Socket } from "node:net";
import { pick, type Random } from "./random.ts";

/** For tests: what lies between two nodes, and how it fails. */

const LOOPBACK = "127.0.0.1";

/** A reset, an end without a word, or bytes that are swallowed while both ends believe in the connection. */
export const CUTS = ["reset", "end", "swallow"] as const;
export type Cut = (typeof CUTS)[number];

/** How a connection through the relay will fare: cut so, after so many bytes both ways together. */
export interface Fate {
  readonly cut: Cut;
  readonly afterBytes: number;
}

/** The same seed, the same fates; which connection meets which depends on when it comes. */
export const fates =
  (random: Random, maxBytes: number): (() => Fate) =>
  () => ({ cut: random.int(SWALLOWED) === 0 ? "swallow" : pick(random, ["reset", "end"]), afterBytes: random.int(maxBytes) });
/** One connection in so many: it takes a while until that is noticed. */
const SWALLOWED = 16;

/** A TCP relay on the loopback interface that cuts the connections through it, between any two bytes. */
export class CuttingRelay implements AsyncDisposable {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  /** Connections that come are cut by this; null: they last. */
  fate: (() => Fate) | null = null;
  /** Connections are refused, or accepted and swallowed. */
  away: "refuses" | "swallows" | null = null;
  cuts = 0;

  private constructor(to: number) {
    this.server = createServer({ noDelay: true, pauseOnConnect: true }, (near) => this.relay(near, to));
  }

  /** `at`: where it listens, a free port unless given. */
  static async to(port: number, at = 0): Promise<CuttingRelay> {
    const relay = new CuttingRelay(port);
    await new Promise<void>((resolve) => relay.server.listen(at, LOOPBACK, resolve));
    return relay;
  }

  get port(): number {
    return (this.server.address() as { port: number }).port;
  }

  /** Cuts what is connected now. */
  cutAll(cut: Cut): void {
    for (const socket of this.sockets) this.cut([socket], cut);
  }

  private relay(near: Socket, to: number): void {
    this.keep(near);
    if (this.away === "refuses") near.resetAndDestroy();
    if (this.away !== null) return;
    const far = connect({ port: to, host: LOOPBACK, noDelay: true });
    this.keep(far);
    const fate = this.fate?.() ?? null;
    let left = fate?.afterBytes ?? Number.POSITIVE_INFINITY;
    const pump = (from: Socket, into: Socket): void => {
      from.on("data", (chunk) => {
        if (left < 0) return;
        const last = chunk.length >= left;
        const more = into.write(last ? chunk.subarray(0, left) : chunk);
        left -= chunk.length;
        if (last && fate !== null) {
          left = -1;
          this.cuts++;
          this.cut([near, far], fate.cut);
        } else if (!more) {
          from.pause();
          into.once("drain", () => from.resume());
        }
      });
      from.on("end", () => into.end());
      from.on("close", () => into.destroySoon());
    };
    pump(near, far);
    pump(far, near);
    near.resume();
  }

  private keep(socket: Socket): void {
    this.sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.sockets.delete(socket));
  }

  private cut(sockets: readonly Socket[], cut: Cut): void {
    for (const socket of sockets) {
      socket.removeAllListeners("data");
      if (cut === "reset") socket.resetAndDestroy();
      else if (cut === "end") socket.end();
      else socket.pause();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
