import { setTimeout as sleep } from "node:timers/promises";
import { syscallName } from "../abi/mod.ts";
import { type Log, type NodeId, TeselaError, toTeselaError } from "../base/mod.ts";
import { FileHashes, type Image } from "../image/mod.ts";
import { ALPN, type PeerAddress, type Transport } from "../io/mod.ts";
import { proc, ptrace, type Tracees } from "../sys/mod.ts";
import type { Data, Head } from "../wire/mod.ts";
import { numberOf } from "./asks.ts";
import { captureAtHome, type Layout, readChangingLayout, readLayout } from "./capture-home.ts";
import { type CarryOptions, Inbox, offer, receiveFrozen, sendFrozen, type Source } from "./carry.ts";
import { waitForHome } from "./clocks.ts";
import { Deputy } from "./deputy.ts";
import { type Families, familyQuestions, type Forked } from "./home-family.ts";
import { guestQuestions } from "./guest-questions.ts";
import { neededFeatures } from "./features.ts";
import { followToExec } from "./exec-stop.ts";
import { step } from "./faults.ts";
import { type FrozenProcess, frameRegs, isGone, KEEP_STACK, threadsOf } from "./freeze.ts";
import { whatHappened, within } from "./guard.ts";
import { howItGoesOn } from "./home-landing.ts";
import { HomeProcess, type Landing, landingsOf } from "./home-process.ts";
import { HomeSink } from "./home-sink.ts";
import type { HomeThread } from "./home-thread.ts";
import type { HomeSignal, Phase } from "./home-types.ts";
import { type HomeSide, type Link, Links } from "./links.ts";
import type { NodeFacts } from "./node-facts.ts";
import { refusals, refuse } from "./refusals.ts";
import { letAllGo, letGo, seizeAndFreeze } from "./seize.ts";
import { BUFFER_BYTES } from "./seat.ts";
import { HomeTimes, Traces } from "./traces.ts";
import { type Track, Tracks } from "./tracks.ts";

export interface MoveResult {
  readonly pid: number;
  readonly from: number;
  readonly to: number;
  /** Bytes carried while it was frozen. */
  readonly bytes: number;
  readonly freezeMs: number;
  readonly totalMs: number;
}

interface Parts {
  readonly node: NodeId;
  readonly tracees: Tracees;
  readonly transport: Transport;
  readonly peers: () => readonly PeerAddress[];
  readonly facts: NodeFacts;
  readonly carry: CarryOptions;
  readonly log: Log;
}

/** A link that says nothing for this long is given up, and what runs behind it is lost (ENGINE.md, failure). */
const OPEN_MS = 5000;

/** The home side of an engine: the node's own processes, wherever they run. */
export class Home implements HomeSide, Families {
  private readonly parts: Parts;
  /** By ticket. */
  private readonly away = new Map<number, HomeThread>();
  readonly tracks = new Tracks();
  readonly traces = new Traces(
    (pid, on) => this.watched(pid, on),
    (pid) => this.tracks.find(pid)?.node ?? this.parts.node,
  );
  readonly links: Links;
  private readonly hashes = new FileHashes();
  private nextTicket = 1 + Math.floor(Math.random() * 0x3fff_ffff);
  readonly asks: HomeSide["asks"];

  constructor(parts: Parts) {
    this.parts = parts;
    this.links = new Links(parts.transport, this, parts.log);
    this.asks = {
      ...guestQuestions((ticket) => this.away.get(ticket), this.hashes),
      ...familyQuestions(this, parts.tracees, parts.log),
      traced: (link) => (p) => this.traced(link, p),
    };
  }

  thread(ticket: number): HomeThread | undefined {
    return this.away.get(ticket);
  }
  private *processes(): Generator<HomeProcess> {
    for (const thread of this.away.values()) if (thread.isLeader) yield thread.process;
  }
  get awayCount(): number {
    return [...this.processes()].length;
  }

  usage(row: Head<"usage">["rows"][number]): void {
    const p = this.away.get(row.ticket)?.process;
    if (p) this.tracks.of(p.pid).usage = { ...row, at: Date.now() };
  }

  linkLost(link: Link, reason: string): void {
    const lost = [...this.processes()].filter((p) => p.host === link && p.phase === "away");
    // One that waits for the word that its guest runs is still whole: its move fails.
    for (const p of lost) if (this.tracks.find(p.pid)?.process === p) p.kill(`the link to node ${link.node} was lost: ${reason}`);
  }

  /** What speaks against a move, without making it. */
  why(pid: number): string[] {
    const track = this.tracks.find(pid);
    if (track?.process) return [];
    const reasons = refusals(pid, false);
    try {
      readChangingLayout(pid, this.hashes);
    } catch (e) {
      const { details } = toTeselaError(e);
      if (Array.isArray(details.reasons)) reasons.push(...(details.reasons as string[]));
      else throw e;
    }
    return reasons;
  }

  /** Moves one of this node's processes. @throws TeselaError with the reason; the process then runs where it was */
  async migrate(pid: number, target: number | "home"): Promise<MoveResult> {
    const to = target === "home" ? this.parts.node : target;
    const track = this.tracks.of(pid);
    if (track.busy) throw new TeselaError("E_BUSY", `process ${pid} is being moved already`);
    const from = track.node ?? this.parts.node;
    if (from === to) throw new TeselaError("E_EXISTS", `process ${pid} runs on node ${to} already`);
    track.busy = true;
    const start = performance.now();
    try {
      const move =
        to === this.parts.node
          ? await this.bring(track)
          : track.process
            ? await this.moveOn(track, this.peer(to))
            : await this.out(track, this.peer(to));
      track.moved(to === this.parts.node ? null : to, move);
      const result = { pid, from, to, bytes: move.bytes, freezeMs: round(move.freezeMs), totalMs: round(performance.now() - start) };
      this.parts.log.info("moved", { ...result });
      return result;
    } catch (e) {
      const error = whatHappened(e, pid);
      if (error.code === "E_CANTMOVE") track.cantmove = (error.details.reasons as string[] | undefined) ?? [];
      this.parts.log.warn("a move failed", { pid, from, to, error: error.code, reason: error.message });
      throw error;
    } finally {
      track.busy = false;
      if (!track.process && !proc.exists(pid)) this.tracks.forget(pid);
    }
  }

  private peer(node: number): PeerAddress {
    const peer = this.parts.peers().find((p) => p.node === node);
    if (!peer) throw new TeselaError("E_NONODE", `there is no node ${node}`, { node });
    return peer;
  }

  /**
   * Follows a process that is about to become a program, and places that on a node, or just remembers it.
   * @param execs how many times it calls execve(2) until it is the program
   */
  async placeAtExec(pid: number, target: number | null, execs: number): Promise<void> {
    const track = this.tracks.of(pid);
    if (target === null || target === this.parts.node) return;
    const to = this.peer(target);
    await this.links.get(to, OPEN_MS);
    followToExec(this.parts.tracees, pid, execs, () => this.placeProgram(track, target));
  }

  /** Places a program that stands at its beginning, traced. */
  private placeProgram(track: Track, target: number): void {
    const { pid } = track;
    track.seized = true;
    this.migrate(pid, target).catch((e: unknown) => {
      this.parts.log.warn("a program starts at home instead", { pid, node: target, error: toTeselaError(e).message });
      if (track.seized) {
        track.seized = false;
        letGo(this.parts.tracees, pid);
      }
    });
  }

  // --- families

  adopt(parent: HomeProcess, forked: Forked): HomeProcess {
    const home = this.homeProcess(forked.deputy, forked);
    const track = this.tracks.of(home.pid);
    track.process = home;
    track.node = parent.host?.node ?? null;
    // Until its guest is there it cannot be moved.
    track.busy = true;
    home.host = parent.host;
    home.phase = "away";
    home.prepareToDepart();
    this.watch(track, home);
    ptrace.cont(home.pid);
    return home;
  }

  private homeProcess(deputy: Deputy, frozen: { readonly stopRequested: boolean }, ticket = this.ticket()): HomeProcess {
    const { tracees, log } = this.parts;
    const nextTicket = (): number => this.ticket();
    return new HomeProcess({ deputy, frozen, ticket, nextTicket, directory: this.away, tracees, log, onGone: (p) => this.gone(p) });
  }

  async born(child: HomeProcess): Promise<void> {
    await child.begin();
    this.tracks.of(child.pid).busy = false;
  }

  // --- out

  private async out(track: Track, to: PeerAddress): Promise<Move> {
    const { pid } = track;
    const { carry, transport } = this.parts;
    if (!track.seized) {
      const reasons = refusals(pid, false);
      if (reasons.length > 0) refuse(pid, reasons);
    }
    const link = await this.links.get(to, OPEN_MS);
    const channel = await transport.connect(to, ALPN.BULK, { timeoutMs: OPEN_MS });
    try {
      const ticket = this.ticket();
      const inbox = new Inbox(channel);
      const before = readChangingLayout(pid, this.hashes);
      const source: Source = { task: pid, offer: this.offer(pid, ticket, before), files: before.files };
      await offer(inbox, source, carry);
      const move = await this.carryOut(track, source, ticket, inbox, link);
      channel.close();
      return move;
    } catch (e) {
      channel.close(toTeselaError(e));
      throw e;
    }
  }

  private async carryOut(track: Track, source: Source, ticket: number, inbox: Inbox, link: Link): Promise<Move> {
    const { pid } = track;
    const { carry, tracees, log } = this.parts;
    const start = performance.now();
    const frozen = await seizeAndFreeze(tracees, track);
    let home: HomeProcess | null = null;
    try {
      // The offer takes a while: what it has begun since it was looked at keeps it here as well.
      const reasons = refusals(pid, true);
      if (reasons.length > 0) refuse(pid, reasons);
      await step(carry.faults, "freeze");
      home = this.homeProcess(Deputy.enter(tracees, frozen.leader, log), frozen.leader, ticket);
      ptrace.cont(pid);
      await home.seat(frozen.others);
      await step(carry.faults, "capture");
      const layout = readLayout(pid, this.hashes, home.extents);
      const image = await captureAtHome(home, frozen, layout, track.away);
      const bytes = await sendFrozen(inbox, source, { image, layout }, carry);
      await step(carry.faults, "go");
      home.mustLive();
      this.watch(track, home);
      home.host = link;
      home.phase = "away";
      home.prepareToDepart();
      await this.go(link, home, this.parts.node, image);
      const freezeMs = performance.now() - start;
      link.mustLive();
      track.process = home;
      await home.depart(link, image);
      return { bytes, freezeMs };
    } catch (e) {
      await this.undo(track, home, frozen, link);
      throw e;
    }
  }

  /** Back to where it was: at home, untraced, as if nothing had been. */
  private async undo(track: Track, home: HomeProcess | null, frozen: FrozenProcess, link: Link): Promise<void> {
    try {
      // As far as they have not become deputies.
      const left = threadsOf(frozen).filter(({ tid }) => !home?.threads.has(tid));
      if (home) {
        link.drop(home.ticket);
        if (home.phase === "away") home.phase = "moving";
        if ((home.phase as Phase) !== "gone") await home.leave(landingsOf(frozen));
      }
      letAllGo(this.parts.tracees, track.pid, left);
    } catch (e) {
      if (!isGone(e) && toTeselaError(e).code !== "E_GONE")
        this.parts.log.error("a process could not be put back", { pid: track.pid, error: String(e) });
    }
  }

  private ticket(): number {
    this.nextTicket = (this.nextTicket + 1) >>> 0;
    return this.nextTicket;
  }

  private offer(pid: number, ticket: number, layout: Layout): Head<"offer"> {
    return {
      ticket,
      home: this.parts.node,
      pid,
      vdso: layout.vdso?.hash ?? null,
      boot: this.parts.facts.boot,
      ...neededFeatures(pid, this.parts.facts.cpu),
      bytes: proc.readStat(pid).rssPages * 4096,
      files: [...layout.files.values()].map(({ hash, size }) => ({ hash, size })),
    };
  }

  private async go(link: Link, home: HomeProcess, from: number, image?: Image): Promise<void> {
    const { ticket } = home;
    const watched = this.traces.watched(home.pid);
    home.times = watched ? (home.times ?? new HomeTimes()) : null;
    const threads = [...home.threads.values()].map((t) => ({ tid: t.tid, ticket: t.ticket, area: t.deputy.buffer }));
    const area = { threads, areaSize: BUFFER_BYTES, reservedFds: home.reservedFds };
    const news = (await home.news(image)).map((n) => ({ ...n }));
    await link.asks.ask("go", { ticket, from, ...area, watched, news, cpus: this.parts.facts.cpus }, this.parts.carry.stepMs);
  }

  /** Somebody watches a process from now on, or nobody does any more. */
  private watched(pid: number, on: boolean): void {
    const home = this.tracks.find(pid)?.process;
    if (!home) return;
    home.times = on ? new HomeTimes() : null;
    const link = home.host as Link | null;
    link?.asks.ask("watch", { ticket: home.ticket, on }, this.parts.carry.stepMs).catch((e: unknown) => {
      this.parts.log.info("a process is not watched where it runs", { pid, error: toTeselaError(e).message });
    });
  }

  private traced(link: Link, p: Record<string, Data | undefined>): Data {
    const home = this.away.get(numberOf(p, "ticket"));
    if (home?.process.host === link)
      this.traces.take(home.process.pid, link.node, p.calls ?? null, numberOf(p, "lost"), home.process.times);
    return null;
  }

  private watch(track: Track, home: HomeProcess): void {
    let coming = false;
    const comeHome = (reason: string, signal: HomeSignal | null, nr?: number): void => {
      if (coming) {
        if (signal) signal.thread.postponed.keep(signal.info);
        return;
      }
      coming = true;
      this.parts.log.info("brought home", { pid: home.pid, reason, ...(nr !== undefined && { call: syscallName(nr) }) });
      track.cantmove = [reason];
      this.comeHome(track, home, signal).catch((e: unknown) => {
        home.kill(`it had to come home (${reason}) and could not: ${toTeselaError(e).message}`);
      });
    };
    home.onBack = (reason, nr) => comeHome(reason, null, nr);
    home.onHomeSignal = (info, thread) => comeHome("core", { info, thread });
    home.onProgram = () => {
      const { node } = track;
      track.node = null;
      if (node === null) letGo(this.parts.tracees, home.pid);
      else this.placeProgram(track, node);
    };
  }

  /** What the guest itself asked for: it cannot go on where it is, so this is tried until it works or the time is over. */
  private async comeHome(track: Track, home: HomeProcess, signal: HomeSignal | null): Promise<void> {
    let start = performance.now();
    for (;;) {
      while (track.busy || (home.phase === "away" && home.host?.cutMs)) await sleep(BUSY_POLL_MS);
      if (home.phase !== "away" || track.process !== home) return;
      track.busy = true;
      try {
        const { cantmove } = track;
        const move = await this.bring(track, signal);
        track.moved(null, move);
        track.cantmove = cantmove;
        this.parts.log.info("moved", { pid: home.pid, to: this.parts.node, bytes: move.bytes, freezeMs: round(move.freezeMs) });
        return;
      } catch (e) {
        if ((home.phase as Phase) === "gone") return;
        // Job control has stopped it, for as long as it likes.
        if (home.isStopped) start = performance.now();
        if (performance.now() - start > this.parts.carry.answerMs * 2) throw e;
        this.parts.log.warn("coming home failed, trying again", { pid: home.pid, error: toTeselaError(e).message });
      } finally {
        track.busy = false;
      }
      await sleep(RETRY_MS);
    }
  }

  private gone(p: HomeProcess): void {
    this.traces.gone(p.pid);
    const track = this.tracks.find(p.pid);
    if (track?.process === p) track.process = null;
    if (!proc.exists(p.pid)) this.tracks.forget(p.pid);
  }

  // --- home again

  private async bring(track: Track, signal: HomeSignal | null = null): Promise<Move> {
    const home = track.process;
    if (!home?.host) throw new TeselaError("E_EXISTS", `process ${track.pid} is at home`);
    const link = home.host as Link;
    const { carry, transport } = this.parts;
    const channel = await transport.connect(this.peer(link.node), ALPN.BULK, { timeoutMs: OPEN_MS });
    const start = performance.now();
    let came: Image | null = null;
    try {
      await within(this.parts.carry.stepMs, home.takeOver(), `process ${track.pid} does not stop`);
      const inbox = new Inbox(channel);
      channel.send("fetch", { ticket: home.ticket });
      await step(carry.faults, "reshape");
      using sink = new HomeSink(home, this.hashes);
      const { image, bytes } = await receiveFrozen(inbox, sink, carry, () => {
        throw new TeselaError("E_PROTOCOL", "a guest sent a mapped file home");
      });
      came = image;
      await step(carry.faults, "land");
      await this.land(track, home, image, sink, signal);
      link.drop(home.ticket);
      channel.close();
      return { bytes, freezeMs: performance.now() - start };
    } catch (e) {
      channel.close(toTeselaError(e));
      await this.stayAway(home, link, e);
      if (came) await home.release(came);
      throw e;
    }
  }

  private async land(track: Track, home: HomeProcess, image: Image, sink: HomeSink, signal: HomeSignal | null): Promise<void> {
    const threads = image.threads.map((thread) => ({ thread, here: home.threads.get(thread.tid) }));
    if (threads.length !== home.threads.size) throw new TeselaError("E_PROTOCOL", "an image came home without all its threads");
    track.away = { all: image.cpuUsed, threads: new Map(image.threads.map((t) => [t.tid, t.cpuUsed])) };
    await waitForHome(image.clocks, track.pid, this.parts.log);
    const landings: Landing[] = [];
    for (const { thread, here } of threads) {
      if (!here) throw new TeselaError("E_PROTOCOL", `thread ${thread.tid} came home, and is not of this process`);
      await sink.land(here.deputy, thread);
      const pending = signal?.thread === here ? [...thread.pending, signal.info] : thread.pending;
      landings.push({ ...thread, ...(await howItGoesOn(here, thread)), pending });
    }
    // From here on it outlives the engine as what it is now.
    for (const l of landings) home.threads.get(l.tid)?.deputy.setFrame({ ...l, regs: frameRegs(l), altStack: KEEP_STACK });
    home.leader.deputy.setCommitted(false);
    await home.leave(landings, image.pending);
  }

  /** A move of an away process failed: its guest goes on where it is, if it still is. */
  private async stayAway(home: HomeProcess, link: Link, cause: unknown): Promise<void> {
    home.giveUpTakeOver();
    if (home.phase !== "moving") return;
    try {
      await home.resumeAway((news) =>
        link.asks.ask("thaw", { ticket: home.ticket, news: news.map((n) => ({ ...n })) }, this.parts.carry.answerMs),
      );
    } catch (e) {
      home.kill(`it was lost when a move failed (${toTeselaError(cause).message}): ${toTeselaError(e).message}`);
    }
  }

  // --- on to a third node

  private async moveOn(track: Track, to: PeerAddress): Promise<Move> {
    const home = track.process;
    if (!home?.host) throw new TeselaError("E_GONE", `process ${track.pid} has ended`);
    const source = home.host as Link;
    const { carry } = this.parts;
    const link = await this.links.get(to, OPEN_MS);
    const start = performance.now();
    try {
      await within(this.parts.carry.stepMs, home.takeOver(), `process ${track.pid} does not stop`);
      const bytes = await source.asks.ask("send", { ticket: home.ticket, node: to.node }, SEND_MS);
      await step(carry.faults, "go");
      home.host = link;
      await this.go(link, home, source.node);
      link.mustLive();
      source.drop(home.ticket);
      await home.redirect(link);
      return { bytes: Number(bytes), freezeMs: performance.now() - start };
    } catch (e) {
      home.host = source;
      link.drop(home.ticket);
      await this.stayAway(home, source, e);
      throw e;
    }
  }
}

interface Move {
  readonly bytes: number;
  readonly freezeMs: number;
}
const BUSY_POLL_MS = 2;
const RETRY_MS = 200;
const round = (ms: number): number => Math.round(ms * 100) / 100;
const SEND_MS = 120_000;
