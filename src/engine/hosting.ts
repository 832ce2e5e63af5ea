import { setTimeout as sleep } from "node:timers/promises";
import { type Log, TeselaError, toTeselaError } from "../base/mod.ts";
import { ALPN, type Channel, type PeerAddress, type Transport } from "../io/mod.ts";
import type { Image } from "../image/mod.ts";
import type { Tracees } from "../sys/mod.ts";
import { codec, type Data, type Head, type Message } from "../wire/mod.ts";
import { CallTrace, type TracedCall } from "./call-trace.ts";
import { Asks, bigintOf, numberOf, textOf } from "./asks.ts";
import { caughtUp, clocksOf, measureShift, notBefore, type Shift } from "./clocks.ts";
import { type CarryOptions, Inbox, offer, receiveFrozen, sendFrozen, type Sink } from "./carry.ts";
import { keepBelow } from "./cpus.ts";
import type { FileCache } from "./file-cache.ts";
import { Guest } from "./guest.ts";
import type { Birth, GuestOptions, HomeLink, InFlight, MappedFile, Verdict } from "./guest-types.ts";
import { GuestBuild } from "./guest-build.ts";
import { guestView } from "./guest-view.ts";
import { captureGuest, childImage, readGuestLayout } from "./guest-capture.ts";
import { callFrameBytes, packCallFrame, unpackReplyFrame } from "./hot-frames.ts";
import { IncomingFiles } from "./incoming-files.ts";
import { acceptable, type NodeFacts } from "./node-facts.ts";
import { usageOf } from "./rows.ts";
import { siginfoOf } from "./signals.ts";
import type { Zygote } from "./zygote.ts";

/** A process that has arrived waits this long for its home's word to run. */
const GO_MS = 15_000;
const LINK_POLL_MS = 5;

interface Parts {
  readonly tracees: Tracees;
  readonly zygote: Zygote;
  readonly cache: FileCache;
  readonly transport: Transport;
  readonly facts: NodeFacts;
  readonly carry: CarryOptions;
  readonly log: Log;
  /** The nodes of the cluster, as this node knows them. */
  readonly peers: () => readonly PeerAddress[];
  /** Guests that run here at most. */
  readonly processes?: number;
  /** Bytes that they may still take, together. */
  readonly memory?: () => number;
}

/** A process that has come, until its home lets it run. */
type Arrived = { readonly build: GuestBuild; readonly timer: NodeJS.Timeout };

/** The host side of an engine: guests of other nodes, and the connections on which they come, call home and leave. */
export class Hosting {
  private readonly parts: Parts;
  /** By who brought it, too: nobody can put one in the place of another's. */
  private readonly arrived = new Map<string, Arrived>();
  private readonly guests = new Map<string, Guest>();
  /** Processes on their way here. */
  private coming = 0;
  /** By home. */
  private readonly homes = new Map<number, Asks>();

  constructor(parts: Parts) {
    this.parts = parts;
  }

  all(): Iterable<Guest> {
    return this.guests.values();
  }
  get count(): number {
    return this.guests.size;
  }
  get hasRoom(): boolean {
    return this.guests.size + this.arrived.size + this.coming < (this.parts.processes ?? Number.POSITIVE_INFINITY);
  }

  // --- processes coming and going

  /** Serves a bulk connection: a process that comes, or one that its home fetches. */
  async bulk(channel: Channel): Promise<void> {
    const inbox = new Inbox(channel);
    try {
      const first = await inbox.next("the first message", this.parts.carry.stepMs, "offer", "fetch");
      if (first.type === "offer") await this.receive(inbox, first.head);
      else await this.sendHome(inbox, first.head.ticket);
      channel.close();
    } catch (e) {
      this.parts.log.warn("a process was not carried", { peer: channel.peer.node, error: toTeselaError(e).message });
      channel.close(toTeselaError(e));
    }
  }

  private async receive(inbox: Inbox, head: Head<"offer">): Promise<void> {
    acceptable(head, this.parts.facts, { process: this.hasRoom, memory: this.parts.memory?.() ?? Number.POSITIVE_INFINITY });
    this.coming++;
    try {
      await this.accept(inbox, head);
    } finally {
      this.coming--;
    }
  }

  private async accept(inbox: Inbox, head: Head<"offer">): Promise<void> {
    const { cache, carry } = this.parts;
    inbox.channel.send("want", { hashes: head.files.map((f) => f.hash).filter((h) => !cache.has(h)) });
    const sink = new GuestSink(this.parts, head, this.homeShift(head));
    const files = new IncomingFiles(cache);
    try {
      await receiveFrozen(inbox, sink, carry, (m) => files.take(m));
      const build = sink.release();
      const key = arrivalKey(head.home, head.ticket, inbox.channel.peer.node);
      this.forget(key);
      const timer = setTimeout(() => {
        this.forget(key);
        this.parts.log.warn("a process arrived and its home did not start it", { home: head.home, pid: head.pid });
      }, GO_MS);
      // It holds up nothing that has nothing else to do.
      timer.unref();
      this.arrived.set(key, { build, timer });
    } finally {
      files[Symbol.dispose]();
      sink[Symbol.dispose]();
    }
  }

  /** Ends a process that has come and does not run. */
  private forget(key: string): void {
    const here = this.arrived.get(key);
    this.arrived.delete(key);
    clearTimeout(here?.timer);
    here?.build.kill();
  }

  /** What to add to our clocks to get a home's; null when they are the same. */
  private async homeShift({ home, boot }: Head<"offer">): Promise<Shift | null> {
    const { facts, carry } = this.parts;
    if (boot === facts.boot) return null;
    const asks = await this.asksOf(home);
    return await measureShift(async () => clocksOf(await asks.ask("clocks", {}, carry.stepMs)));
  }

  /** The link on which a home talks to its guests here: it opens it before it sends one, on another connection. */
  private async asksOf(home: number): Promise<Asks> {
    for (let left = this.parts.carry.stepMs; ; left -= LINK_POLL_MS) {
      const asks = this.homes.get(home);
      if (asks) return asks;
      if (left <= 0) throw new TeselaError("E_LINK", `node ${home} has no link to this node`);
      await sleep(LINK_POLL_MS);
    }
  }

  private async sendHome(inbox: Inbox, ticket: number): Promise<void> {
    const guest = this.guest(inbox.channel.peer.node, ticket);
    await this.send(inbox, guest);
  }

  private async send(inbox: Inbox, guest: Guest): Promise<number> {
    const left = await guest.freeze();
    const layout = readGuestLayout(guest, this.parts.cache);
    const image = captureGuest(guest, layout, left);
    const source = { task: guest.tid, offer: offerOf(guest, layout.files, this.parts.facts), files: layout.files };
    return await sendFrozen(inbox, source, { image, layout }, this.parts.carry);
  }

  /** Sends a guest on to a third node; home decides afterwards which of the two runs. */
  private async sendOn(guest: Guest, node: number): Promise<number> {
    const { transport, carry, peers } = this.parts;
    // Where it is, this node has been told by the cluster: a home must not have us connect to any address that it likes.
    const to = peers().find((p) => p.node === node);
    if (!to) throw new TeselaError("E_NONODE", `node ${this.parts.facts.node} knows no node ${node}`);
    const channel = await transport.connect(to, ALPN.BULK, { timeoutMs: carry.stepMs });
    try {
      const inbox = new Inbox(channel);
      const layout = readGuestLayout(guest, this.parts.cache);
      await offer(inbox, { task: guest.tid, offer: offerOf(guest, layout.files, this.parts.facts), files: layout.files }, carry);
      const sent = await this.send(inbox, guest);
      channel.close();
      return sent;
    } catch (e) {
      channel.close(toTeselaError(e));
      throw e;
    }
  }

  private guest(home: number, ticket: number): Guest {
    const guest = this.guests.get(keyOf(home, ticket));
    if (!guest) throw new TeselaError("E_GONE", `no guest ${ticket} of node ${home} runs here`);
    return guest;
  }

  // --- the link from a home

  /** Serves an engines' link that a home has opened. */
  link(channel: Channel): void {
    const home = channel.peer.node;
    const asks = new Asks(channel, {
      go: (p) => this.go(p, link, home),
      thaw: (p) => {
        this.guest(home, numberOf(p, "ticket")).thaw();
        return null;
      },
      view: (p) => guestView(this.guest(home, numberOf(p, "ticket")), this.parts.cache, p.strings === true),
      watch: (p) => {
        link.watch(this.guest(home, numberOf(p, "ticket")), p.on === true);
        return null;
      },
      send: async (p) => this.sendOn(this.guest(home, numberOf(p, "ticket")), numberOf(p, "node")),
    });
    this.homes.set(home, asks);
    const link = new ChannelHomeLink(channel, asks, this.parts, this, (o) => this.take({ ...o, link }));
    channel.onMessage((m) => this.onMessage(m, home, link, asks));
    void channel.closed.then((reason) => {
      if (this.homes.get(home) === asks) this.homes.delete(home);
      this.linkClosed(home, link, reason);
    });
  }

  private onMessage(m: Message, home: number, link: ChannelHomeLink, asks: Asks): void {
    switch (m.type) {
      case "reply": {
        const reply = unpackReplyFrame(m.payload);
        if (!reply) throw new TeselaError("E_PROTOCOL", "a reply that is too short");
        this.forGuest(home, reply.ticket, (g) => g.onReply(reply.seq, reply.result, reply.out));
        return;
      }
      case "signal":
        this.forGuest(home, m.head.ticket, (g) => g.signal(m.head.seq, siginfoOf(m.payload)));
        return;
      case "pause":
        this.forGuest(home, m.head.ticket, (g) => g.pause(m.head.paused));
        return;
      case "drop":
        this.drop(home, m.head.ticket);
        return;
      case "ask":
        asks.onAsk(m.head);
        return;
      case "answer":
        asks.onAnswer(m.head);
        return;
      case "file":
        link.files.take(m);
        return;
      default:
        throw new TeselaError("E_PROTOCOL", `'${m.type}' does not belong on a home's link`);
    }
  }

  private forGuest(home: number, ticket: number, act: (guest: Guest) => void): void {
    const guest = this.guests.get(keyOf(home, ticket));
    if (guest) guest.guarded(() => act(guest));
  }

  private go(p: Record<string, Data | undefined>, link: ChannelHomeLink, home: number): Data {
    const ticket = numberOf(p, "ticket");
    const key = arrivalKey(home, ticket, p.from === undefined ? home : numberOf(p, "from"));
    const here = this.arrived.get(key);
    if (!here) throw new TeselaError("E_GONE", `no process ${ticket} of node ${home} has arrived`);
    if (typeof p.cpus === "number") keepBelow(here.build.tid, p.cpus);
    this.arrived.delete(key);
    clearTimeout(here.timer);
    const guest = this.take({
      ticket,
      home,
      tid: here.build.tid,
      image: here.build.image,
      space: here.build.space,
      origin: here.build.origin,
      area: { base: bigintOf(p.areaBase), size: numberOf(p, "areaSize") },
      reservedFds: [numberOf(p, "reservedFd")],
      link,
      tracees: this.parts.tracees,
      log: this.parts.log,
    });
    if (p.watched === true) link.watch(guest, true);
    guest.guarded(() => guest.go());
    return null;
  }

  private take(options: GuestOptions & { readonly link: ChannelHomeLink }): Guest {
    const guest = new Guest(options);
    // A home that gives one ticket twice has lost the first.
    this.end(keyOf(guest.home, guest.ticket));
    this.guests.set(keyOf(guest.home, guest.ticket), guest);
    options.link.guests.add(guest);
    return guest;
  }

  private drop(home: number, ticket: number): void {
    const key = keyOf(home, ticket);
    this.end(key);
    for (const of of [...this.arrived.keys()].filter((a) => a.startsWith(`${key}:`))) this.forget(of);
  }

  private end(key: string): void {
    const guest = this.guests.get(key);
    this.guests.delete(key);
    if (guest) (guest.link as ChannelHomeLink).guests.delete(guest);
    guest?.kill();
  }

  private linkClosed(home: number, link: ChannelHomeLink, reason: Error | null): void {
    link.files[Symbol.dispose]();
    for (const guest of link.guests) {
      const key = keyOf(home, guest.ticket);
      if (this.guests.get(key) !== guest) continue;
      this.guests.delete(key);
      guest.kill();
      this.parts.log.error("a guest lost its home and was ended", {
        home,
        pid: guest.image.pid,
        reason: reason?.message ?? "the link was closed",
      });
    }
  }

  /** What homes are told once a second. */
  usage(): void {
    const byLink = new Map<ChannelHomeLink, Head<"usage">["rows"][number][]>();
    for (const guest of this.guests.values()) {
      const link = guest.link as ChannelHomeLink;
      const row = usageOf(guest);
      if (!row) continue;
      const rows = byLink.get(link) ?? [];
      rows.push(row);
      byLink.set(link, rows);
    }
    // While it is cut they would only pile up.
    for (const [link, rows] of byLink) if (link.channel.cutMs === null) link.channel.send("usage", { rows });
  }
}

const keyOf = (home: number, ticket: number): string => `${home}:${ticket}`;
const arrivalKey = (home: number, ticket: number, from: number): string => `${keyOf(home, ticket)}:${from}`;

function offerOf(guest: Guest, files: ReadonlyMap<string, { size: number }>, { cpu }: NodeFacts): Head<"offer"> {
  const { portable } = guest.options.origin;
  return {
    ticket: guest.ticket,
    home: guest.home,
    pid: guest.image.pid,
    vdso: guest.image.vdso?.hash ?? null,
    boot: guest.options.origin.clockName,
    // What else it has found here it may be using by now.
    cpu: portable ? [...guest.options.origin.cpu] : [...new Set([...guest.options.origin.cpu, ...cpu])],
    ...(portable && { portable }),
    bytes: guest.rss(),
    files: [...files].map(([hash, f]) => ({ hash, size: f.size })),
  };
}

/** A guest being put together from what comes over a connection. */
class GuestSink implements Sink, Disposable {
  private readonly parts: Pick<Parts, "tracees" | "zygote" | "cache">;
  private readonly offered: Head<"offer">;
  private readonly shift: Promise<Shift | null>;
  private build: GuestBuild | null = null;

  constructor(parts: Pick<Parts, "tracees" | "zygote" | "cache">, offered: Head<"offer">, shift: Promise<Shift | null>) {
    this.parts = parts;
    this.offered = offered;
    this.shift = shift;
    // Asked for while the process is on its way: nobody may come to wait for it.
    shift.catch(() => undefined);
  }
  async prepare(image: Image, huge: readonly { start: bigint; end: bigint }[]): Promise<readonly { start: bigint; end: bigint }[]> {
    const measured = await this.shift;
    if (measured === null) await caughtUp(image.clocks);
    const { boot, cpu, portable = false } = this.offered;
    const origin = { clockName: boot, shift: measured && notBefore(measured, image.clocks), cpu, portable };
    const { tracees, zygote, cache } = this.parts;
    this.build = GuestBuild.start(tracees, zygote, cache, { image, huge, origin });
    return [];
  }
  write(chunk: Parameters<Sink["write"]>[0]): void {
    this.build?.write(chunk);
  }
  async finish(): Promise<void> {
    this.build?.finish();
  }
  /** Hands the finished guest over. */
  release(): GuestBuild {
    const { build } = this;
    this.build = null;
    if (!build) throw new TeselaError("E_INTERNAL", "nothing was built");
    return build;
  }
  [Symbol.dispose](): void {
    this.build?.kill();
  }
}

/** A guest's way home over one link. */
class ChannelHomeLink implements HomeLink {
  readonly channel: Channel;
  readonly files: IncomingFiles;
  readonly guests = new Set<Guest>();
  private readonly asks: Asks;
  private readonly parts: Parts;

  private readonly fetching = new Map<string, Promise<Data>>();
  private readonly take: (options: Omit<GuestOptions, "link">) => Guest;

  private readonly hosting: Hosting;

  constructor(channel: Channel, asks: Asks, parts: Parts, hosting: Hosting, take: (options: Omit<GuestOptions, "link">) => Guest) {
    this.take = take;
    this.hosting = hosting;
    this.channel = channel;
    this.asks = asks;
    this.parts = parts;
    this.files = new IncomingFiles(parts.cache);
  }

  get hasRoom(): boolean {
    return this.hosting.hasRoom;
  }

  /** Home wants to be told of its calls, or does no more. */
  watch(guest: Guest, on: boolean): void {
    const tell = (calls: readonly TracedCall[], lost: number): Promise<Data> =>
      this.asks.ask("traced", { ticket: guest.ticket, lost, calls: calls.map((c) => ({ ...c })) }, this.parts.carry.stepMs);
    guest.trace = on ? new CallTrace(guest.memory, tell) : null;
  }

  call(guest: Guest, { seq, plan, continues, handlerWaits }: InFlight, sigmask: bigint): void {
    guest.trace?.flew(seq);
    const length = callFrameBytes(plan.outs.length, plan.blob.length);
    const frame = codec.alloc("call", null, length);
    const { outs, blob } = plan;
    packCallFrame(
      { ticket: guest.ticket, seq, sigmask, outs, blob, continues, hurried: handlerWaits },
      plan.nr,
      plan.args,
      frame.subarray(frame.length - length),
    );
    this.channel.sendFrame(frame);
  }
  verdict(guest: Guest, seq: number, verdict: Verdict): void {
    this.channel.send("verdict", { ticket: guest.ticket, seq, verdict });
  }
  raise(guest: Guest, signal: number, info: Uint8Array): void {
    this.channel.send("raise", { ticket: guest.ticket, signal }, info);
  }
  back(guest: Guest, reason: string, nr: number): void {
    this.channel.send("back", { ticket: guest.ticket, reason: reason.slice(0, 64), nr });
  }
  exit(guest: Guest, code: number): void {
    guest.trace?.close();
    this.channel.send("exit", { ticket: guest.ticket, code });
  }
  lost(guest: Guest, reason: string): void {
    this.channel.send("lost", { ticket: guest.ticket, reason });
  }

  async mapFile(guest: Guest, args: readonly bigint[]): Promise<MappedFile> {
    const { carry, cache, zygote } = this.parts;
    const answer = (await this.asks.ask("mapFile", { ticket: guest.ticket, args: [...args] }, carry.answerMs)) as Record<string, Data>;
    if (typeof answer.errno === "number") return { kind: "errno", errno: answer.errno };
    if (typeof answer.reason === "string") return { kind: "back", reason: answer.reason };
    const hash = textOf(answer, "hash");
    if (!cache.has(hash)) await this.fetch(guest, hash, args[4] ?? 0n);
    if (!cache.has(hash)) return { kind: "back", reason: "file_changed" };
    return { kind: "file", send: () => zygote.send([cache.fd(hash)]) };
  }

  /** Several guests may want the same file at once: it comes once. Should that fail with the one that asked, each of them tries again. */
  private fetch(guest: Guest, hash: string, fd: bigint): Promise<Data> {
    let coming = this.fetching.get(hash);
    if (!coming) {
      const { answerMs } = this.parts.carry;
      coming = this.asks.ask("sendFile", { ticket: guest.ticket, fd }, answerMs).finally(() => {
        this.fetching.delete(hash);
        this.files.abandon(hash);
      });
      this.fetching.set(hash, coming);
    }
    return coming;
  }

  async fork(guest: Guest, wanted: { flags: bigint; exitSignal: number }): Promise<{ pid: number; ticket: number } | { errno: number }> {
    const answer = (await this.asks.ask("fork", { ticket: guest.ticket, ...wanted }, this.parts.carry.answerMs)) as Record<string, Data>;
    if (typeof answer.errno === "number") return { errno: answer.errno };
    return { pid: numberOf(answer, "pid"), ticket: numberOf(answer, "ticket") };
  }
  adopt(parent: Guest, birth: Birth): Guest {
    const { options } = parent;
    options.space.join();
    return this.take({ ...options, ticket: birth.ticket, tid: birth.tid, image: childImage(parent, birth) });
  }
  async born(child: Guest): Promise<void> {
    await this.asks.ask("born", { ticket: child.ticket }, this.parts.carry.answerMs);
  }
  async stillborn(parent: Guest, ticket: number): Promise<void> {
    await this.asks.ask("stillborn", { ticket: parent.ticket, child: ticket }, this.parts.carry.answerMs);
  }

  async mirror(guest: Guest, nr: number, args: readonly bigint[]): Promise<bigint> {
    return bigintOf(
      await this.asks.ask("mirror", { ticket: guest.ticket, nr, args: args.map((a) => BigInt.asUintN(64, a)) }, this.parts.carry.answerMs),
    );
  }
}
