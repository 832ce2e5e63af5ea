import type { Duplex } from "node:stream";
import { type NodeId, TeselaError } from "../base/mod.ts";
import { type ChannelOptions, FrameChannel } from "./channel.ts";
import { type Clock, realClock } from "./clock.ts";
import { closeSoon, greet, type Self } from "./greet.ts";
import { memoryPair, type Wire } from "./memory-pipe.ts";
import { CONNECT_TIMEOUT_MS } from "./tls-dial.ts";
import type { Acceptor, Channel, ConnectOptions, Listener, Peer, PeerAddress, PeerStream, Transport } from "./transport.ts";

interface Place {
  readonly owner: MemoryTransport;
  readonly acceptors: Readonly<Record<string, Acceptor>>;
}

/** A network in memory: the nodes of one process reach each other through it, with the frames and the hello of the real one. */
export class MemoryNetwork {
  readonly clock: Clock;
  readonly latencyMs: number;
  /** @internal By "address:port". */
  readonly places = new Map<string, Place>();
  private readonly cuts = new Map<string, PromiseWithResolvers<void>>();
  private ports = 1;

  constructor(options: { clock?: Clock; latencyMs?: number } = {}) {
    this.clock = options.clock ?? realClock;
    this.latencyMs = options.latencyMs ?? 0;
  }

  transport(options: MemoryTransportOptions): MemoryTransport {
    return new MemoryTransport(this, options);
  }

  /** From now on nothing passes between the two nodes, until `heal`. */
  cut(a: NodeId, b: NodeId): void {
    const key = pairKey(a, b);
    if (!this.cuts.has(key)) this.cuts.set(key, Promise.withResolvers());
  }

  heal(a: NodeId, b: NodeId): void {
    const key = pairKey(a, b);
    this.cuts.get(key)?.resolve();
    this.cuts.delete(key);
  }

  /** @internal */
  wire(a: NodeId, b: NodeId): Wire {
    const { clock, latencyMs, cuts } = this;
    const key = pairKey(a, b);
    return {
      clock,
      latencyMs,
      get cut() {
        return cuts.has(key);
      },
      healed: () => cuts.get(key)?.promise ?? Promise.resolve(),
    };
  }

  /** @internal */
  nextPort(): number {
    return this.ports++;
  }
}

export interface MemoryTransportOptions extends Self {
  readonly address: string;
  /** 0 or left out: a free one. */
  readonly port?: number;
  readonly pingMs?: number;
  readonly deadMs?: number;
  /** What its certificate would say, when that is not `node`: only in tests. */
  readonly proven?: NodeId;
}

/** A node's place in a MemoryNetwork. */
export class MemoryTransport implements Transport {
  private readonly network: MemoryNetwork;
  private readonly options: MemoryTransportOptions;
  private readonly channelOptions: ChannelOptions;

  constructor(network: MemoryNetwork, options: MemoryTransportOptions) {
    this.network = network;
    this.options = options;
    const { pingMs, deadMs } = options;
    this.channelOptions = {
      clock: network.clock,
      ...(pingMs === undefined ? {} : { pingMs }),
      ...(deadMs === undefined ? {} : { deadMs }),
    };
  }

  /** The node that peers take this one for. */
  get node(): NodeId {
    return this.options.proven ?? this.options.node;
  }

  async listen(acceptors: Readonly<Record<string, Acceptor>>): Promise<Listener> {
    const { places } = this.network;
    const port = this.options.port || this.network.nextPort();
    const key = `${this.options.address}:${port}`;
    if (places.has(key)) throw new TeselaError("E_CONFIG", `cannot listen on ${key}: it is in use`);
    places.set(key, { owner: this, acceptors });
    return {
      port,
      async [Symbol.asyncDispose]() {
        places.delete(key);
      },
    };
  }

  async connect(to: PeerAddress, alpn: string, options: ConnectOptions = {}): Promise<Channel> {
    const { stream, peer, rest } = await this.dial(to, alpn, options);
    return new FrameChannel(stream, peer, alpn, rest, this.patience(options));
  }

  async connectRaw(to: PeerAddress, alpn: string, options: ConnectOptions = {}): Promise<PeerStream> {
    const { stream, peer, rest } = await this.dial(to, alpn, options);
    if (rest.length > 0) stream.unshift(rest);
    return { stream, peer, alpn, route: options.route ?? "" };
  }

  private patience({ deadMs }: { readonly deadMs?: number }): ChannelOptions {
    return deadMs === undefined ? this.channelOptions : { ...this.channelOptions, deadMs };
  }

  private async dial(to: PeerAddress, alpn: string, options: ConnectOptions): Promise<{ stream: Duplex; peer: Peer; rest: Buffer }> {
    options.signal?.throwIfAborted();
    const where = `node ${to.node} at ${to.address}:${to.port}`;
    const timeoutMs = options.timeoutMs ?? CONNECT_TIMEOUT_MS;
    const abort = new AbortController();
    using _timer = this.network.clock.after(timeoutMs, () =>
      abort.abort(new TeselaError("E_TIMEOUT", `${where} did not answer within ${timeoutMs / 1000} s`, { node: to.node })),
    );
    const signal = options.signal === undefined ? abort.signal : AbortSignal.any([options.signal, abort.signal]);
    const place = this.network.places.get(`${to.address}:${to.port}`);
    if (place === undefined) throw new TeselaError("E_NODE_DOWN", `${where} does not answer`, { node: to.node });
    const { owner, acceptors } = place;
    if (owner.node !== to.node) {
      throw new TeselaError("E_IDENTITY", `node ${owner.node} answered where node ${to.node} was called: check the addresses of the nodes`);
    }
    const acceptor = acceptors[alpn];
    if (acceptor === undefined) throw new TeselaError("E_REFUSED", `${where} does not serve ${alpn}`, { node: to.node });
    const [near, far] = memoryPair(this.network.wire(this.node, owner.node));
    void owner.accept(far, acceptor, this.node, alpn, options.route ?? "", signal);
    try {
      const { peer, rest } = await greet(near, owner.node, this.options, signal);
      return { stream: near, peer, rest };
    } catch (e) {
      closeSoon(near);
      throw e;
    }
  }

  private async accept(stream: Duplex, acceptor: Acceptor, from: NodeId, alpn: string, route: string, signal: AbortSignal): Promise<void> {
    try {
      const { peer, rest } = await greet(stream, from, this.options, signal);
      if (acceptor.kind === "channel") acceptor.open(new FrameChannel(stream, peer, alpn, rest, this.patience(acceptor)));
      else if (acceptor.kind === "stream") {
        if (rest.length > 0) stream.unshift(rest);
        acceptor.open({ stream, peer, alpn, route });
      } else throw new TeselaError("E_INTERNAL", "a network in memory has no other threads");
    } catch {
      // The dialling side gets the reason from its own greeting.
      closeSoon(stream);
    }
  }
}

function pairKey(a: NodeId, b: NodeId): string {
  return a < b ? `${a}-${b}` : `${b}-${a}`;
}
