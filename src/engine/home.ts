import { setTimeout as sleep } from "node:timers/promises";
import { syscallName } from "../abi/mod.ts";
import { type Log, type NodeId, TeselaError, toTeselaError } from "../base/mod.ts";
import { FileHashes, type Image } from "../image/mod.ts";
import { ALPN, type PeerAddress, type Transport } from "../io/mod.ts";
import { libc, proc, ptrace, type Tracees } from "../sys/mod.ts";
import type { Data, Head } from "../wire/mod.ts";
import { numberOf } from "./asks.ts";
import { captureAtHome, type Layout, readChangingLayout, readLayout } from "./capture-home.ts";
import { type CarryOptions, Inbox, offer, receiveFrozen, sendFrozen, type Source } from "./carry.ts";
import { waitForHome } from "./clocks.ts";
import { BUFFER_BYTES, Deputy } from "./deputy.ts";
import { type Families, familyQuestions } from "./home-family.ts";
import { guestQuestions } from "./guest-questions.ts";
import { neededFeatures } from "./features.ts";
import { followToExec } from "./exec-stop.ts";
import { step } from "./faults.ts";
import { type Frozen, frameRegs, isGone, KEEP_STACK, pendingSignals, resumeRegs } from "./freeze.ts";
import { howItGoesOn } from "./home-landing.ts";
import { HomeProcess } from "./home-process.ts";
import { HomeSink } from "./home-sink.ts";
import type { Phase } from "./home-types.ts";
import { type HomeSide, type Link, Links } from "./links.ts";
import type { NodeFacts } from "./node-facts.ts";
import { refusals, refuse } from "./refusals.ts";
import { letGo, seizeAndFreeze } from "./seize.ts";
import { signalBit } from "./signals.ts";
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
  private readonly away = new Map<number, HomeProcess>();
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

  process(ticket: number): HomeProcess | undefined {
    return this.away.get(ticket);
  }
  get awayCount(): number {
    return this.away.size;
  }

  usage(row: Head<"usage">["rows"][number]): void {
    const p = this.away.get(row.ticket);
    if (p) this.tracks.of(p.pid).usage = { ...row, at: Date.now() };
  }

  linkLost(link: Link, reason: string): void {
    const lost = [...this.away.values()].filter((p) => p.host === link && p.phase === "away");
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

  adopt(parent: HomeProcess, forked: { deputy: Deputy; stopRequested: boolean }): HomeProcess {
    const { tracees, log } = this.parts;
    const home = new HomeProcess({ ...forked, frozen: forked, ticket: this.ticket(), tracees, log, onGone: (p) => this.gone(p) });
    const track = this.tracks.of(home.pid);
    track.process = home;
    track.node = parent.host?.node ?? null;
    // Until its guest is there it cannot be moved.
    track.busy = true;
    home.host = parent.host;
    home.phase = "away";
    this.away.set(home.ticket, home);
    this.watch(track, home);
    ptrace.cont(home.pid);
    return home;
  }

  async born(child: HomeProcess): Promise<void> {
    await child.unblock();
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
      const deputy = Deputy.enter(tracees, frozen, log);
      home = new HomeProcess({ deputy, frozen, ticket, tracees, log, onGone: (p) => this.gone(p) });
      ptrace.cont(pid);
      await step(carry.faults, "capture");
      const layout = readLayout(pid, this.hashes, [deputy.extent]);
      const image = await captureAtHome(deputy, frozen, layout, track.cpuUsed);
      const bytes = await sendFrozen(inbox, source, { image, layout }, carry);
      await step(carry.faults, "go");
      home.mustLive();
      this.away.set(ticket, home);
      this.watch(track, home);
      home.host = link;
      home.phase = "away";
      home.prepareToDepart();
      await this.go(link, home);
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
  private async undo(track: Track, home: HomeProcess | null, frozen: Frozen, link: Link): Promise<void> {
    try {
      if (home) {
        this.away.delete(home.ticket);
        link.drop(home.ticket);
        if (home.phase === "away") home.phase = "moving";
        if ((home.phase as Phase) !== "gone") await home.leave(frozen);
      } else {
        this.parts.tracees.release(track.pid);
        ptrace.setRegs(track.pid, resumeRegs(frozen).bytes);
        const continued = (pendingSignals(track.pid) & signalBit(SIGCONT)) !== 0n;
        ptrace.setSigmask(track.pid, frozen.sigmask);
        ptrace.detach(track.pid);
        if (frozen.stopRequested && !continued) libc.kill(track.pid, SIGSTOP);
      }
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

  private async go(link: Link, home: HomeProcess, from: number = this.parts.node): Promise<void> {
    const { deputy, ticket } = home;
    const watched = this.traces.watched(home.pid);
    home.times = watched ? (home.times ?? new HomeTimes()) : null;
    const area = { areaBase: deputy.buffer, areaSize: BUFFER_BYTES, reservedFd: deputy.fd };
    await link.asks.ask("go", { ticket, from, ...area, watched, cpus: this.parts.facts.cpus }, this.parts.carry.stepMs);
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
    if (home?.host === link) this.traces.take(home.pid, link.node, p.calls ?? null, numberOf(p, "lost"), home.times);
    return null;
  }

  private watch(track: Track, home: HomeProcess): void {
    let coming = false;
    const comeHome = (reason: string, info: Uint8Array | null, nr?: number): void => {
      if (coming) {
        if (info) home.postponed.keep(info);
        return;
      }
      coming = true;
      this.parts.log.info("brought home", { pid: home.pid, reason, ...(nr !== undefined && { call: syscallName(nr) }) });
      track.cantmove = [reason];
      this.comeHome(track, home, info).catch((e: unknown) => {
        home.kill(`it had to come home (${reason}) and could not: ${toTeselaError(e).message}`);
      });
    };
    home.onBack = (reason, nr) => comeHome(reason, null, nr);
    home.onHomeSignal = (info) => comeHome("core", info);
    home.onProgram = () => {
      const { node } = track;
      track.node = null;
      if (node === null) letGo(this.parts.tracees, home.pid);
      else this.placeProgram(track, node);
    };
  }

  /** What the guest itself asked for: it cannot go on where it is, so this is tried until it works or the time is over. */
  private async comeHome(track: Track, home: HomeProcess, signal: Uint8Array | null): Promise<void> {
    const start = performance.now();
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
        if (performance.now() - start > this.parts.carry.answerMs * 2) throw e;
        this.parts.log.warn("coming home failed, trying again", { pid: home.pid, error: toTeselaError(e).message });
      } finally {
        track.busy = false;
      }
      await sleep(RETRY_MS);
    }
  }

  private gone(p: HomeProcess): void {
    this.away.delete(p.ticket);
    this.traces.gone(p.pid);
    const track = this.tracks.find(p.pid);
    if (track?.process === p) track.process = null;
    if (!proc.exists(p.pid)) this.tracks.forget(p.pid);
  }

  // --- home again

  private async bring(track: Track, signal: Uint8Array | null = null): Promise<Move> {
    const home = track.process;
    if (!home?.host) throw new TeselaError("E_EXISTS", `process ${track.pid} is at home`);
    const link = home.host as Link;
    const { carry, transport } = this.parts;
    const channel = await transport.connect(this.peer(link.node), ALPN.BULK, { timeoutMs: OPEN_MS });
    const start = performance.now();
    let came: Image | null = null;
    try {
      await this.guarded(home.takeOver(), `process ${track.pid} does not stop`);
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

  private async land(track: Track, home: HomeProcess, image: Image, sink: HomeSink, signal: Uint8Array | null): Promise<void> {
    const thread = image.threads[0];
    if (!thread) throw new TeselaError("E_PROTOCOL", "an image without a thread came home");
    await sink.land(thread);
    track.cpuUsed = image.cpuUsed;
    await waitForHome(image.clocks, track.pid, this.parts.log);
    const { regs, restart } = await howItGoesOn(home, thread);
    const frozen = { regs, xstate: thread.xstate, sigmask: thread.sigmask, restart };
    // From here on it outlives the engine as what it is now.
    home.deputy.setFrame({ ...frozen, regs: frameRegs(frozen), altStack: KEEP_STACK });
    home.deputy.setCommitted(false);
    await home.leave(frozen, [...thread.pending, ...image.pending, ...(signal ? [signal] : [])]);
  }

  /** A move of an away process failed: its guest goes on where it is, if it still is. */
  private async stayAway(home: HomeProcess, link: Link, cause: unknown): Promise<void> {
    home.giveUpTakeOver();
    if (home.phase !== "moving") return;
    try {
      await home.resumeAway(() => link.asks.ask("thaw", { ticket: home.ticket }, this.parts.carry.answerMs));
    } catch (e) {
      home.kill(`it was lost when a move failed (${toTeselaError(cause).message}): ${toTeselaError(e).message}`);
    }
  }

  private async guarded<T>(work: Promise<T>, what: string): Promise<T> {
    const { stepMs } = this.parts.carry;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await Promise.race([
        work,
        new Promise<never>((_, reject) => {
          timer = setTimeout(() => reject(new TeselaError("E_TIMEOUT", `${what} (${stepMs} ms)`)), stepMs);
        }),
      ]);
    } finally {
      clearTimeout(timer);
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
      await this.guarded(home.takeOver(), `process ${track.pid} does not stop`);
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

/** Whatever step it was that a process's end made impossible, the end is the reason. */
function whatHappened(e: unknown, pid: number): TeselaError {
  const error = toTeselaError(e);
  if (error.code === "E_GONE") return error;
  // On its way out its memory goes first: what is asked about that ends in ESRCH, though it is still listed.
  const leaving = (e as NodeJS.ErrnoException).code === "ESRCH";
  if (proc.exists(pid) && !leaving) return error;
  return new TeselaError("E_GONE", `process ${pid} ended while it was to be moved`, { pid }, { cause: error });
}

interface Move {
  readonly bytes: number;
  readonly freezeMs: number;
}
const [SIGCONT, SIGSTOP] = [18, 19];
const BUSY_POLL_MS = 2;
const RETRY_MS = 200;
const round = (ms: number): number => Math.round(ms * 100) / 100;
const SEND_MS = 120_000;
