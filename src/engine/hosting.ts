import { setTimeout as sleep } from "node:timers/promises";
import { type Log, TeselaError, toTeselaError } from "../base/mod.ts";
import type { Channel, PeerAddress, Transport } from "../io/mod.ts";
import type { Image } from "../image/mod.ts";
import type { Tracees } from "../sys/mod.ts";
import type { Data, Head, Message } from "../wire/mod.ts";
import { Asks, bigintOf, numberOf, numbersOf, roundOf, textOf, textsOf } from "./asks.ts";
import { clocksOf, measureShift, type Shift } from "./clocks.ts";
import { type CarryOptions, Inbox, receiveFrozen } from "./carry.ts";
import { keepBelow } from "./cpus.ts";
import type { FileCache } from "./file-cache.ts";
import type { Guest } from "./guest.ts";
import { GuestLink } from "./guest-link.ts";
import { GuestSink } from "./guest-sink.ts";
import { IncomingFiles } from "./incoming-files.ts";
import type { GuestOptions, ThreadOptions } from "./guest-types.ts";
import { type GuestBuild, SIGTRAP, signalOf } from "./guest-build.ts";
import { GuestProcess } from "./guest-process.ts";
import { HostGroups } from "./host-groups.ts";
import { sendGuest, sendOn } from "./guest-send.ts";
import { guestView } from "./guest-view.ts";
import { unpackReplyFrame } from "./hot-frames.ts";
import { acceptable, type NodeFacts, roomFor, takesGuests } from "./node-facts.ts";
import { giveBackSoon } from "./spare-memory.ts";
import { usageOf } from "./rows.ts";
import { siginfoOf } from "./signals.ts";
import type { Zygote } from "./zygote.ts";

/** A process that has arrived waits this long for its home's word to run. */
const GO_MS = 15_000;
const LINK_POLL_MS = 5;
/** Of the time that a home waits for an answer to its offer. */
const WAITS_FOR_FILES = 0.5;
/** A home keeps a connection for less. */
const ANOTHER_MS = 10_000;

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
  /** Guests that run here at most, each of their threads counted. */
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
  /** Threads, by home and ticket. */
  private readonly guests = new Map<string, Guest>();
  private readonly groups = new HostGroups();
  /** Processes on their way here. */
  private coming = 0;
  /** By home. */
  private readonly homes = new Map<number, Asks>();

  constructor(parts: Parts) {
    this.parts = parts;
  }

  *all(): Generator<GuestProcess> {
    for (const guest of this.guests.values()) if (guest.isLeader) yield guest.process;
  }
  get count(): number {
    return [...this.all()].length;
  }
  /** Bytes that guests may still take, which is less than what is free. */
  private get room(): number {
    return roomFor(this.parts.memory?.() ?? Number.POSITIVE_INFINITY);
  }
  get hasRoom(): boolean {
    return this.guests.size + this.arrived.size + this.coming < (this.parts.processes ?? Number.POSITIVE_INFINITY);
  }

  // --- processes coming and going

  /** Serves a bulk connection: processes that come, one after the other, or one that its home fetches. */
  async bulk(channel: Channel): Promise<void> {
    const inbox = new Inbox(channel);
    try {
      do {
        // A home has its connection before it stops what shall come on it, which takes a while where that is much.
        await inbox.any("the first message", this.parts.carry.stepMs, () => this.homes.has(inbox.channel.peer.node));
        const first = await inbox.next("the first message", 0, "offer", "fetch", "fetchShared");
        if (first.type === "offer") await this.receive(inbox, first.head);
        else if (first.type === "fetch") await this.sendHome(inbox, first.head);
        else await this.groups.sendKept(channel, first.head, this.parts.carry);
        giveBackSoon();
      } while (await inbox.more(ANOTHER_MS));
      channel.close();
    } catch (e) {
      this.parts.log.warn("a process was not carried", { peer: channel.peer.node, error: toTeselaError(e).message });
      channel.close(toTeselaError(e));
    }
  }

  private async receive(inbox: Inbox, head: Head<"offer">): Promise<void> {
    acceptable(head, this.parts.facts, { process: this.hasRoom, memory: this.room });
    this.coming++;
    try {
      await this.accept(inbox, head);
    } finally {
      this.coming--;
    }
  }

  private async accept(inbox: Inbox, head: Head<"offer">): Promise<void> {
    const { cache, carry, facts } = this.parts;
    using files = new IncomingFiles(cache, facts.vdso);
    inbox.channel.send("want", { hashes: await files.want(head.files, carry.stepMs * WAITS_FOR_FILES) });
    const sink = new GuestSink(
      this.parts,
      head,
      this.homeShift(head),
      this.groups.comes(head, inbox.channel.peer.node, () => this.room),
    );
    try {
      const take = (m: Message & { type: "file" | "shared" }): void => (m.type === "file" ? files.take(m) : sink.share(m));
      await receiveFrozen(inbox, sink, carry, take, () => this.homes.has(head.home));
      const build = sink.release();
      const key = arrivalKey(head.home, head.ticket, inbox.channel.peer.node);
      this.forget(key);
      this.arrived.set(key, { build, timer: this.giveUpLater(key, build) });
    } finally {
      sink[Symbol.dispose]();
    }
  }

  /** Home starts a process once all have come that share its memory. */
  private giveUpLater(key: string, build: GuestBuild): NodeJS.Timeout {
    const timer = setTimeout(() => {
      const here = this.arrived.get(key);
      if (here?.build === build && build.memory?.isComing) {
        this.arrived.set(key, { build, timer: this.giveUpLater(key, build) });
        return;
      }
      this.forget(key);
      this.parts.log.warn("a process arrived and its home did not start it", { pid: build.image.pid });
    }, GO_MS);
    // It holds up nothing that has nothing else to do.
    timer.unref();
    return timer;
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

  private async sendHome(inbox: Inbox, { ticket, objects = [], round }: Head<"fetch">): Promise<void> {
    await sendGuest(inbox, this.guest(inbox.channel.peer.node, ticket).process, { shared: objects, round }, this.parts);
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
        const { process } = this.guest(home, numberOf(p, "ticket"));
        tellNews(process, p.news);
        process.thaw(roundOf(p));
        return null;
      },
      stand: (p) => {
        this.guest(home, numberOf(p, "ticket")).process.stand(p.on === true);
        return null;
      },
      end: async (p) => {
        await this.guest(home, numberOf(p, "ticket")).end();
        return null;
      },
      view: (p) =>
        guestView(this.guest(home, numberOf(p, "ticket")), this.parts.cache, {
          ofThread: p.ofThread === true,
          strings: p.strings === true,
        }),
      watch: (p) => {
        link.watch(this.guest(home, numberOf(p, "ticket")).process, p.on === true);
        return null;
      },
      /** All of a group stand before any of them is carried off. */
      freeze: async (p) => {
        const rounds = p.rounds === undefined ? [] : numbersOf(p, "rounds");
        await Promise.all(numbersOf(p, "tickets").map((ticket, i) => this.guest(home, ticket).process.freeze(rounds[i])));
        return null;
      },
      forget: (p) => {
        this.groups.forget(home, textOf(p, "group"));
        return null;
      },
      send: async (p) => {
        const { process } = this.guest(home, numberOf(p, "ticket"));
        const what = { shared: textsOf(p, "objects"), round: roundOf(p) };
        return sendOn(process, numberOf(p, "node"), p.group === undefined ? null : textOf(p, "group"), what, this.parts);
      },
    });
    this.homes.set(home, asks);
    const link = new GuestLink(channel, asks, this.parts, this, (o, leader) => this.take({ ...o, link }, leader));
    channel.onMessage((m) => this.onMessage(m, home, link));
    void channel.closed.then((reason) => {
      if (this.homes.get(home) === asks) this.homes.delete(home);
      this.linkClosed(home, link, reason);
    });
  }

  private onMessage(m: Message, home: number, link: GuestLink): void {
    switch (m.type) {
      case "reply": {
        const reply = unpackReplyFrame(m.payload);
        if (!reply) throw new TeselaError("E_PROTOCOL", "a reply that is too short");
        this.forGuest(home, reply.ticket, (g) => g.onReply(reply.seq, reply.result, reply.out));
        link.channel.release(m.payload);
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
      case "answer":
      case "file":
        link.hear(m);
        return;
      default:
        throw new TeselaError("E_PROTOCOL", `'${m.type}' does not belong on a home's link`);
    }
  }

  private forGuest(home: number, ticket: number, act: (guest: Guest) => void): void {
    const guest = this.guests.get(keyOf(home, ticket));
    if (!guest) return;
    guest.process.heardAlone++;
    guest.guarded(() => act(guest));
  }

  /** Processes that have arrived run from now on: all of them or none. */
  private go(p: Params, link: GuestLink, home: number): Data {
    const from = p.from === undefined ? home : numberOf(p, "from");
    const list = Array.isArray(p.processes) ? (p.processes as Params[]) : [];
    if (list.length === 0) throw new TeselaError("E_PROTOCOL", "nobody is named who shall run");
    takesGuests(this.parts.facts);
    const all = list.map((one) => {
      const ticket = numberOf(one, "ticket");
      const here = this.arrived.get(arrivalKey(home, ticket, from));
      if (!here) throw new TeselaError("E_GONE", `no process ${ticket} of node ${home} has arrived`);
      return { one, here, ticket, threads: threadsOf(one, here.build) };
    });
    if (new Set(all.map(({ ticket }) => ticket)).size !== all.length) throw new TeselaError("E_PROTOCOL", "a process is named twice");
    if (p.keep !== undefined) this.groups.keep(home, textOf(p, "keep"), all.map(({ here }) => here.build.memory)[0]);
    for (const { ticket, here } of all) {
      this.arrived.delete(arrivalKey(home, ticket, from));
      clearTimeout(here.timer);
    }
    const processes: GuestProcess[] = [];
    try {
      for (const { one, here, threads } of all) processes.push(this.begin(one, here.build, threads, p.cpus, link, home));
    } catch (e) {
      // None of them runs then.
      for (const { here } of all.slice(processes.length)) here.build.kill();
      for (const process of processes) this.end(keyOf(home, process.ticket));
      throw e;
    }
    // What one does to what they share may wait for what another does.
    for (const process of processes) for (const guest of process.threads.values()) guest.guarded(() => guest.go());
    return null;
  }

  private begin(
    p: Params,
    build: GuestBuild,
    [leader, ...others]: readonly ThreadOptions[],
    cpus: Data | undefined,
    link: GuestLink,
    home: number,
  ): GuestProcess {
    const ticket = numberOf(p, "ticket");
    const { image } = build;
    if (!leader) throw new TeselaError("E_PROTOCOL", "a process without threads");
    if (typeof cpus === "number") for (const { tid } of [leader, ...others]) keepBelow(tid, cpus);
    const options = {
      ticket,
      home,
      image,
      space: build.space,
      memory: build.memory,
      guard: { fds: numbersOf(p, "guarded"), kept: p.guardedExec === true },
      origin: build.origin,
      vdso: build.vdso,
      areaSize: numberOf(p, "areaSize"),
      reservedFds: numbersOf(p, "reservedFds"),
      trapPending: [...image.pending, ...image.threads.flatMap((t) => t.pending)].some((info) => signalOf(info) === SIGTRAP),
      round: roundOf(p) ?? -1,
      link,
      tracees: this.parts.tracees,
      log: this.parts.log,
    };
    const process = this.take(options, leader);
    for (const thread of others) process.add(thread);
    if (p.watched === true) link.watch(process, true);
    if (image.signalsAtHome) keepPending(process, image);
    tellNews(process, p.news);
    return process;
  }

  private take(o: Omit<GuestOptions, "register" | "unregister"> & { readonly link: GuestLink }, leader: ThreadOptions): GuestProcess {
    // A home that gives one ticket twice has lost the first.
    this.end(keyOf(o.home, o.ticket));
    const process = new GuestProcess(
      {
        ...o,
        register: (guest) => this.guests.set(keyOf(o.home, guest.ticket), guest),
        unregister: (guest) => this.guests.delete(keyOf(o.home, guest.ticket)),
      },
      leader,
    );
    o.link.guests.add(process);
    return process;
  }

  /** Forgets a process with all its threads. */
  private leaveOut(process: GuestProcess): void {
    for (const guest of process.threads.values()) {
      const key = keyOf(process.home, guest.ticket);
      if (this.guests.get(key) === guest) this.guests.delete(key);
    }
    (process.link as GuestLink).guests.delete(process);
  }

  private drop(home: number, ticket: number): void {
    const key = keyOf(home, ticket);
    this.end(key);
    for (const of of [...this.arrived.keys()].filter((a) => a.startsWith(`${key}:`))) this.forget(of);
  }

  private end(key: string): void {
    const process = this.guests.get(key)?.process;
    if (process) this.leaveOut(process);
    process?.kill();
  }

  private linkClosed(home: number, link: GuestLink, reason: Error | null): void {
    link.files[Symbol.dispose]();
    this.groups.forgetAll(home);
    for (const guest of [...link.guests]) {
      this.leaveOut(guest);
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
    const byLink = new Map<GuestLink, Head<"usage">["rows"][number][]>();
    for (const guest of this.all()) {
      const link = guest.link as GuestLink;
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

type Params = Record<string, Data | undefined>;

const keyOf = (home: number, ticket: number): string => `${home}:${ticket}`;
const arrivalKey = (home: number, ticket: number, from: number): string => `${keyOf(home, ticket)}:${from}`;

/** Signals that were about to be delivered where it was: its own queue is for those that it lets in. */
function keepPending(process: GuestProcess, { pending, threads }: Image): void {
  for (const info of pending) process.leader.signals.keep(info);
  for (const t of threads) for (const info of t.pending) process.threads.get(t.tid)?.signals.keep(info);
}

/** Signals that have come to home while the process was on its way. */
function tellNews(process: GuestProcess, news: Data | undefined): void {
  for (const n of Array.isArray(news) ? (news as Record<string, Data | undefined>[]) : []) {
    const info = siginfoOf(n.info as Uint8Array);
    const guest = process.threads.get(numberOf(n, "tid"));
    guest?.guarded(() => guest.tell(info));
  }
}

/** The threads that home names, which are those that have arrived. @throws TeselaError E_PROTOCOL */
function threadsOf(p: Params, { image, tids }: GuestBuild): ThreadOptions[] {
  const named = Array.isArray(p.threads) ? (p.threads as Record<string, Data | undefined>[]) : [];
  const byTid = new Map(named.map((t) => [numberOf(t, "tid"), t]));
  const threads = image.threads.map((t) => {
    const [at, tid] = [byTid.get(t.tid), tids.get(t.tid)];
    if (!at || tid === undefined) throw new TeselaError("E_PROTOCOL", `home does not know thread ${t.tid}`);
    const { clearTid, restart, written, waitEnd, position, cpuUsed } = t;
    return {
      ticket: numberOf(at, "ticket"),
      tid,
      homeTid: t.tid,
      areaBase: bigintOf(at.area),
      borne: bigintOf(at.borne),
      clearTid,
      restart,
      written,
      waitEnd,
      position,
      cpuUsed,
    };
  });
  return threads.sort((a, b) => Number(b.homeTid === image.pid) - Number(a.homeTid === image.pid));
}
