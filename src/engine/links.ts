import type { Log, NodeId } from "../base/mod.ts";
import { TeselaError } from "../base/mod.ts";
import { ALPN, type Channel, type PeerAddress, type Transport } from "../io/mod.ts";
import { codec, type Data, type Head, type Message } from "../wire/mod.ts";
import { type AskHandler, Asks } from "./asks.ts";
import { forOne } from "./guard.ts";
import type { HomeThread } from "./home-thread.ts";
import type { HostLink } from "./home-types.ts";
import { LARGE } from "./guest-memory.ts";
import { packReplyHead, REPLY_HEAD, unpackCallFrame } from "./hot-frames.ts";
import { BUFFER_BYTES } from "./seat.ts";
import { siginfoOf } from "./signals.ts";

/** Nothing on the other side waits for anything. */
const VIEW_MS = 5000;
/** A thread's last steps are its own kernel's. */
const END_MS = 5000;

/** What a home's link needs of its engine. */
export interface HomeSide {
  thread(ticket: number): HomeThread | undefined;
  readonly asks: Readonly<Record<string, (link: Link) => AskHandler>>;
  usage(row: Head<"usage">["rows"][number]): void;
  linkLost(link: Link, reason: string): void;
}

/** The connection to a node that runs guests of ours. */
export class Link implements HostLink {
  readonly node: NodeId;
  readonly channel: Channel;
  readonly asks: Asks;
  readonly since = Date.now();
  private lost = false;
  private readonly side: HomeSide;

  constructor(channel: Channel, side: HomeSide) {
    this.node = channel.peer.node;
    this.channel = channel;
    this.side = side;
    this.asks = new Asks(channel, Object.fromEntries(Object.entries(side.asks).map(([name, make]) => [name, make(this)])));
    channel.onMessage((m) => this.onMessage(m));
    void channel.closed.then((reason) => {
      this.lost = true;
      side.linkLost(this, reason?.message ?? "the other engine closed it");
    });
  }

  get cutMs(): number | null {
    return this.channel.cutMs;
  }

  /** @throws TeselaError E_LINK: whoever comes to depend on it would not hear of its end */
  mustLive(): void {
    if (this.lost) throw new TeselaError("E_LINK", `the link to node ${this.node} was lost`);
  }

  private onMessage(m: Message): void {
    switch (m.type) {
      case "call": {
        const frame = unpackCallFrame(m.payload, BUFFER_BYTES);
        if (!frame) throw new TeselaError("E_PROTOCOL", "a call whose lengths do not add up");
        this.own(frame.ticket, (t) => t.call(frame));
        return;
      }
      case "hurry":
        this.own(m.head.ticket, (t) => t.hurry());
        return;
      case "verdict":
        this.own(m.head.ticket, (t) => t.process.verdict(m.head.seq, m.head.verdict));
        return;
      case "raise":
        this.own(m.head.ticket, (t) => t.raise(m.head.signal, siginfoOf(m.payload)));
        return;
      case "back":
        this.own(m.head.ticket, (t) => t.process.onBack(m.head.reason, m.head.nr));
        return;
      case "exit":
        this.own(m.head.ticket, (t) => t.exitAll(m.head.code));
        return;
      case "lost":
        this.own(m.head.ticket, (t) => t.process.kill(`node ${this.node}: ${m.head.reason}`));
        return;
      case "usage":
        for (const row of m.head.rows) this.own(row.ticket, () => this.side.usage(row));
        return;
      case "ask":
        this.asks.onAsk(m.head);
        return;
      case "answer":
        this.asks.onAnswer(m.head);
        return;
      default:
        throw new TeselaError("E_PROTOCOL", `'${m.type}' does not belong on a host's link`);
    }
  }

  /** For a thread whose guest runs over this link; what another node says of it is not listened to. */
  private own(ticket: number, act: (thread: HomeThread) => void): void {
    const thread = this.side.thread(ticket);
    if (thread?.process.host !== this) return;
    forOne(
      thread.tid,
      (reason) => thread.process.kill(reason),
      () => act(thread),
    );
  }

  reply(ticket: number, seq: number, result: bigint, out: readonly Uint8Array[]): void {
    let length = REPLY_HEAD;
    for (const part of out) length += part.length;
    if (length >= LARGE) {
      const head = Buffer.allocUnsafe(REPLY_HEAD);
      packReplyHead(ticket, seq, result, head);
      this.channel.send("reply", null, head, ...out);
      return;
    }
    const frame = codec.alloc("reply", null, length);
    let at = frame.length - length;
    packReplyHead(ticket, seq, result, frame.subarray(at));
    at += REPLY_HEAD;
    for (const part of out) {
      frame.set(part, at);
      at += part.length;
    }
    this.channel.sendFrame(frame);
  }
  release(payload: Uint8Array): void {
    this.channel.release(payload);
  }
  signal(ticket: number, seq: number, info: Uint8Array): void {
    this.channel.send("signal", { ticket, seq }, info);
  }
  stand(ticket: number, on: boolean): void {
    // Should it be gone, or its link, that is noticed by whoever waits for more.
    this.asks.ask("stand", { ticket, on }, END_MS).catch(() => undefined);
  }

  pause(ticket: number, paused: boolean): void {
    this.channel.send("pause", { ticket, paused });
  }
  drop(ticket: number): void {
    this.channel.send("drop", { ticket });
  }
  end(ticket: number): Promise<Data> {
    return this.asks.ask("end", { ticket }, END_MS);
  }
  view(ticket: number, ofThread: boolean, strings: boolean): Promise<Data> {
    return this.asks.ask("view", { ticket, ofThread, strings }, VIEW_MS);
  }
}

/** The links that this engine has opened, one a node, made when first needed. */
export class Links {
  private readonly transport: Transport;
  private readonly side: HomeSide;
  private readonly log: Log;
  private readonly open = new Map<number, Link>();
  private readonly opening = new Map<number, Promise<Link>>();

  constructor(transport: Transport, side: HomeSide, log: Log) {
    this.transport = transport;
    this.side = side;
    this.log = log;
  }

  /** @throws TeselaError E_NODE_DOWN, E_TIMEOUT, E_VERSION, ... */
  get(to: PeerAddress, timeoutMs: number): Promise<Link> {
    const link = this.open.get(to.node);
    if (link) return Promise.resolve(link);
    let pending = this.opening.get(to.node);
    if (!pending) {
      pending = this.dial(to, timeoutMs).finally(() => this.opening.delete(to.node));
      this.opening.set(to.node, pending);
    }
    return pending;
  }

  all(): Link[] {
    return [...this.open.values()];
  }

  private async dial(to: PeerAddress, timeoutMs: number): Promise<Link> {
    const channel = await this.transport.connect(to, ALPN.ENGINE, { timeoutMs });
    const link = new Link(channel, this.side);
    this.open.set(to.node, link);
    void channel.closed.then((reason) => {
      if (this.open.get(to.node) === link) this.open.delete(to.node);
      this.log.info("an engines' link ended", { node: to.node, reason: reason?.message ?? "closed" });
    });
    return link;
  }
}
