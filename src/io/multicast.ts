import { createSocket, type Socket } from "node:dgram";
import { TeselaError } from "../base/mod.ts";

/** An interface to call on: its name and one of its IPv4 addresses. */
export interface CallInterface {
  readonly name: string;
  readonly address: string;
}

/** Calls to everybody on the chosen networks, and to single addresses; hears what is called to the group or sent to the port. */
export interface Caller extends AsyncDisposable {
  /** The interfaces from now on; those that cannot be used are left out. */
  use(interfaces: readonly CallInterface[], ttl: number): void;
  /** To the group, once on each interface. */
  call(bytes: Uint8Array): void;
  /** To one address, which may be a name. */
  tell(address: string, bytes: Uint8Array): void;
  onHeard(handler: (bytes: Buffer, from: string) => void): void;
}

/** Multicast over UDP and IPv4: one socket that hears, and one an interface that calls, so that each call comes from that network's address. */
export class MulticastCaller implements Caller {
  private readonly group: string;
  private readonly port: number;
  private readonly ear: Socket;
  private readonly mouths = new Map<string, { readonly socket: Socket; ready: boolean }>();
  private handler: ((bytes: Buffer, from: string) => void) | null = null;
  private readonly skipped: (address: string, error: string) => void;

  private constructor(group: string, port: number, ear: Socket, skipped: (address: string, error: string) => void) {
    this.group = group;
    this.port = port;
    this.ear = ear;
    this.skipped = skipped;
    ear.on("message", (bytes, { address }) => this.handler?.(bytes, address));
    ear.on("error", () => undefined);
  }

  /** @throws E_CONFIG when the port is taken by a program that does not share it */
  static async open(group: string, port: number, skipped: (address: string, error: string) => void): Promise<MulticastCaller> {
    const ear = createSocket({ type: "udp4", reuseAddr: true });
    try {
      await new Promise<void>((resolve, reject) => {
        ear.once("error", reject);
        ear.bind(port, () => {
          ear.off("error", reject);
          resolve();
        });
      });
    } catch (cause) {
      ear.close();
      throw new TeselaError("E_CONFIG", `cannot hear announcements on UDP port ${port}: ${(cause as Error).message}`, {}, { cause });
    }
    return new MulticastCaller(group, port, ear, skipped);
  }

  use(interfaces: readonly CallInterface[], ttl: number): void {
    const wanted = new Map(interfaces.map((i) => [i.address, i]));
    for (const [address, { socket }] of this.mouths) {
      if (wanted.has(address)) continue;
      this.mouths.delete(address);
      socket.close();
      try {
        this.ear.dropMembership(this.group, address);
      } catch {
        // The address is gone, and the membership with it.
      }
    }
    for (const { address } of wanted.values()) if (!this.mouths.has(address)) this.add(address, ttl);
  }

  private add(address: string, ttl: number): void {
    try {
      this.ear.addMembership(this.group, address);
    } catch (e) {
      // No route for multicast there, or it has just gone: unicast still works.
      if ((e as NodeJS.ErrnoException).code !== "EADDRINUSE") this.skipped(address, (e as Error).message);
    }
    const socket = createSocket({ type: "udp4" });
    const mouth = { socket, ready: false };
    this.mouths.set(address, mouth);
    socket.on("error", (e) => this.skipped(address, e.message));
    socket.bind({ address, port: 0, exclusive: true }, () => {
      try {
        socket.setMulticastInterface(address);
        socket.setMulticastTTL(ttl);
        mouth.ready = true;
      } catch (e) {
        this.skipped(address, (e as Error).message);
      }
    });
  }

  call(bytes: Uint8Array): void {
    for (const { socket, ready } of this.mouths.values()) if (ready) socket.send(bytes, this.port, this.group, () => undefined);
  }

  tell(address: string, bytes: Uint8Array): void {
    this.ear.send(bytes, this.port, address, () => undefined);
  }

  onHeard(handler: (bytes: Buffer, from: string) => void): void {
    this.handler = handler;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.handler = null;
    const all = [this.ear, ...[...this.mouths.values()].map((m) => m.socket)];
    this.mouths.clear();
    await Promise.all(all.map((s) => new Promise<void>((resolve) => s.close(() => resolve()))));
  }
}
