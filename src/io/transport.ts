import type { Duplex } from "node:stream";
import type { NodeId } from "../base/mod.ts";
import type { Head, Message, MessageName } from "../wire/mod.ts";

/** What a stream is for, told in the TLS handshake. */
export const ALPN = { ENGINE: "tesela-engine/2", BULK: "tesela-bulk/1", CONTROL: "tesela-control/1", JOIN: "tesela-join/1" } as const;

/** Who is at the other end; `node` is proven by its certificate. */
export interface Peer {
  readonly node: NodeId;
  readonly name: string;
  readonly version: string;
}

export interface PeerAddress {
  readonly node: NodeId;
  /** An IP address or a host name. */
  readonly address: string;
  readonly port: number;
}

/** A stream of messages to one peer, in order, each once. */
export interface Channel {
  readonly peer: Peer;
  readonly alpn: string;
  /**
   * Sends a message. The payload's bytes must not change afterwards. False means back pressure: what was given is kept and will
   * be sent, but wait for `drained()` before sending bulk. On a closed channel it sends nothing and returns false.
   */
  send<K extends MessageName>(type: K, head: Head<K>, ...payload: Uint8Array[]): boolean;
  /** Sends a frame made by `codec.alloc` and filled in: the cheapest way. The frame belongs to the channel afterwards. */
  sendFrame(frame: Buffer): boolean;
  /**
   * Sets the one handler; messages wait for it. Payloads and byte fields are views that stay valid. A handler that throws closes
   * the channel with what it threw.
   */
  onMessage(handler: (message: Message) => void): void;
  /** Stops handing out messages; the peer's sends will meet back pressure. */
  pause(): void;
  resume(): void;
  /**
   * Gives the memory of a large payload back for frames to come; worth it when many follow (twice the rate, half the CPU). Optional;
   * nobody may look at that payload, nor at byte fields of its head, afterwards.
   */
  release(payload: Uint8Array): void;
  /** Resolves when all that was sent has left for the kernel; rejects with the reason when the channel is closed. */
  drained(): Promise<void>;
  /** Sends what is queued, tells the peer the reason if there is one, and closes. Later calls do nothing. */
  close(reason?: Error): void;
  /** null: one of the two closed it in good order. Otherwise why it ended; E_LINK when it broke (BrokenLink). Never rejects. */
  readonly closed: Promise<Error | null>;
  /** Smoothed time to the peer and back in milliseconds; undefined until the first answer. */
  readonly rtt: number | undefined;
  /** Bytes given to `send` that have not left yet. */
  readonly queued: number;
  /** For how long there has been no connection under it that works; null while there is one, as always without a session. */
  readonly cutMs: number | null;
}

/** A byte stream to an authenticated peer. It ends both ways at once: who ends it reads no more. */
export interface PeerStream {
  readonly stream: Duplex;
  readonly peer: Peer;
  readonly alpn: string;
  /** The label the dialler gave (`ConnectOptions.route`), "" if none. Told before authentication: a hint, never a permission. */
  readonly route: string;
}

/** How the listener serves one ALPN. */
export type Acceptor =
  | { readonly kind: "channel"; readonly open: (channel: Channel) => void; readonly deadMs?: number }
  | { readonly kind: "stream"; readonly open: (stream: PeerStream) => void }
  | { readonly kind: "thread"; readonly pick: (route: string) => ThreadDoor | null }
  | { readonly kind: "joiner"; readonly admits: () => boolean; readonly open: (stream: JoinStream) => void };

export const channels = (open: (channel: Channel) => void): Acceptor => ({ kind: "channel", open });
export const streams = (open: (stream: PeerStream) => void): Acceptor => ({ kind: "stream", open });
/** Connections of this ALPN go, still encrypted, to the worker thread behind the door that `pick` names; null refuses. */
export const threads = (pick: (route: string) => ThreadDoor | null): Acceptor => ({ kind: "thread", pick });

/**
 * Connections of machines that have no certificate yet and want one. While `admits` says no, they get nothing, not even a handshake.
 * TLS transports only.
 */
export const joiners = (admits: () => boolean, open: (stream: JoinStream) => void): Acceptor => ({ kind: "joiner", admits, open });

/** A stream to a machine that is nobody yet. Nothing may be written to it before the machine has proven that it holds a token. */
export interface JoinStream {
  readonly stream: Duplex;
  /** 32 bytes that only the two ends of this very TLS connection know (RFC 8446 section 7.5, RFC 9266): what a proof is bound to. */
  readonly binding: Buffer;
  /** ADDRESS:PORT */
  readonly from: string;
  /** Until it is called, the connection counts among the strangers and is dropped with them, when its time is over. */
  readonly proven: () => void;
}

/** The main thread's side of a worker thread that takes connections over. */
export interface ThreadDoor {
  /** Hands over a TCP connection that nothing was read from; `settled` is called once it is authenticated or gone. */
  take(connection: { fd: number; route: string; deadlineMs: number }, settled: () => void): void;
}

export interface ConnectOptions {
  readonly signal?: AbortSignal;
  /** Until the peer has said hello. */
  readonly timeoutMs?: number;
  /** A channel's peer that has been silent this long is gone; the transport's own DEAD_MS unless given. */
  readonly deadMs?: number;
  /** A label that the listener may choose a worker thread by: 1 to 32 of a-z, 0-9 and '-'. */
  readonly route?: string;
}

export interface Listener extends AsyncDisposable {
  readonly port: number;
}

/** How nodes reach each other. */
export interface Transport {
  /** One listener serves every ALPN; connections for others are refused. */
  listen(acceptors: Readonly<Record<string, Acceptor>>): Promise<Listener>;
  /**
   * Rejects with E_NODE_DOWN (nobody answers there), E_IDENTITY (it is not that node of this cluster, or it does not accept us),
   * E_VERSION, E_REFUSED (it does not serve this ALPN), E_TIMEOUT, or the signal's reason.
   */
  connect(to: PeerAddress, alpn: string, options?: ConnectOptions): Promise<Channel>;
  connectRaw(to: PeerAddress, alpn: string, options?: ConnectOptions): Promise<PeerStream>;
}
