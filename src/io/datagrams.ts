import { createSocket, type Socket } from "node:dgram";
import { TeselaError } from "../base/mod.ts";

/** Where a datagram comes from or goes to. */
export interface Endpoint {
  /** An IP address; a host name only as a destination. */
  readonly address: string;
  /** UDP port. */
  readonly port: number;
}

/** Longest datagram that is taken in: UDP's own ceiling over IPv4 (65535 - 20 - 8). Who sends decides for less. */
export const MAX_DATAGRAM = 65_507;
/** What the kernel may keep for a reader that is busy; it gives less where net.core.rmem_max says so. */
const RECEIVE_BUFFER = 1024 * 1024;

/** Datagrams as UDP has them: each whole or not at all, maybe late, twice, out of order or never. */
export interface Datagrams extends AsyncDisposable {
  /** Where this end is bound. */
  readonly address: Endpoint;
  /** Sends and forgets. What cannot leave is lost as on the way; nobody is told. The bytes may change afterwards. */
  send(to: Endpoint, bytes: Uint8Array): void;
  /** Sets the one handler; what came before is lost. The bytes are the handler's to keep. */
  onDatagram(handler: (bytes: Buffer, from: Endpoint) => void): void;
  /** Nothing is sent or handed out afterwards; closing twice is closing once. */
  close(): Promise<void>;
}

/** Datagrams over UDP. An end bound to an IPv6 address reaches IPv6 only, one bound to an IPv4 address IPv4 only. */
export class UdpDatagrams implements Datagrams {
  readonly address: Endpoint;
  private readonly socket: Socket;
  private handler: ((bytes: Buffer, from: Endpoint) => void) | null = null;
  private closing: Promise<void> | null = null;

  private constructor(socket: Socket) {
    this.socket = socket;
    const { address, port } = socket.address();
    this.address = { address, port };
    socket.on("message", (bytes, { address: from, port: fromPort }) => this.handler?.(bytes, { address: from, port: fromPort }));
    // A destination that refuses is as good as one that is silent.
    socket.on("error", () => {});
  }

  /**
   * @param at port 0 is a free one
   * @throws TeselaError E_CONFIG when the place is taken or is not this machine's
   */
  static async open(at: Endpoint): Promise<UdpDatagrams> {
    const socket = createSocket({ type: at.address.includes(":") ? "udp6" : "udp4" });
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once("error", reject);
        socket.bind({ address: at.address, port: at.port, exclusive: true }, () => {
          socket.off("error", reject);
          resolve();
        });
      });
    } catch (cause) {
      socket.close();
      const { code, message } = cause as NodeJS.ErrnoException;
      const what = code === "EADDRINUSE" ? "it is in use: does another teselad run?" : message;
      throw new TeselaError("E_CONFIG", `cannot take datagrams on ${at.address}:${at.port}: ${what}`, {}, { cause });
    }
    socket.setRecvBufferSize(RECEIVE_BUFFER);
    return new UdpDatagrams(socket);
  }

  send(to: Endpoint, bytes: Uint8Array): void {
    if (this.closing !== null || bytes.length > MAX_DATAGRAM) return;
    // The kernel takes the bytes a turn later when a name has to be looked up first.
    this.socket.send(Buffer.from(bytes), to.port, to.address, () => {});
  }

  onDatagram(handler: (bytes: Buffer, from: Endpoint) => void): void {
    this.handler = handler;
  }

  close(): Promise<void> {
    this.handler = null;
    this.closing ??= new Promise((resolve) => this.socket.close(() => resolve()));
    return this.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
