import { setTimeout as sleep } from "node:timers/promises";
import { syscallName } from "../abi/mod.ts";
import { TeselaError, toTeselaError } from "../base/mod.ts";
import { FileHashes } from "../image/mod.ts";
import type { PeerAddress } from "../io/mod.ts";
import { proc, ptrace } from "../sys/mod.ts";
import type { Data, Head } from "../wire/mod.ts";
import { numberOf } from "./asks.ts";
import { readChangingLayout } from "./capture-home.ts";
import { BulkLines } from "./bulk-lines.ts";
import { Claims, MemberEnded } from "./claims.ts";
import { depart } from "./departure.ts";
import type { Deputy } from "./deputy.ts";
import { followToExec } from "./exec-stop.ts";
import { guestQuestions } from "./guest-questions.ts";
import { type Families, familyQuestions, type Forked } from "./home-family.ts";
import { HomeProcess } from "./home-process.ts";
import type { HomeThread } from "./home-thread.ts";
import { type HomeSignal, NO_CALL, type Phase } from "./home-types.ts";
import { bringHome } from "./homecoming.ts";
import { type HomeSide, type Link, Links } from "./links.ts";
import { passesByItself } from "./kin.ts";
import { type Beginning, type HomeParts, type Mover, OPEN_MS } from "./mover.ts";
import { moveOn } from "./onward.ts";
import { Reaches } from "./reaches.ts";
import { reclaim } from "./reclaim.ts";
import { noProcess, refusals } from "./refusals.ts";
import { letGo } from "./seize.ts";
import { sharersOf } from "./sharers.ts";
import { signalQuestions } from "./signal-questions.ts";
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
  /** Others that came along, since they share its memory; left out when there are none. */
  readonly with?: readonly number[];
}

/** The home side of an engine: the node's own processes, wherever they run. */
export class Home implements HomeSide, Families, Mover {
  readonly parts: HomeParts;
  /** By ticket. */
  private readonly away = new Map<number, HomeThread>();
  private readonly reaches = new Reaches(this.away);
  readonly tracks = new Tracks();
  readonly traces = new Traces(
    (pid, on) => this.watched(pid, on),
    (pid) => this.tracks.find(pid)?.node ?? this.parts.node,
  );
  readonly links: Links;
  readonly lines: BulkLines;
  readonly hashes = new FileHashes();
  private nextTicket = 1 + Math.floor(Math.random() * 0x3fff_ffff);
  readonly asks: HomeSide["asks"];

  constructor(parts: HomeParts) {
    this.parts = parts;
    this.links = new Links(parts.transport, this, parts.log);
    this.lines = new BulkLines(parts.transport, OPEN_MS);
    this.asks = {
      ...guestQuestions((ticket) => this.away.get(ticket), this.hashes),
      ...signalQuestions((ticket) => this.away.get(ticket)),
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
  async why(pid: number): Promise<string[]> {
    const track = this.tracks.find(pid);
    if (track?.process) return [];
    const reasons = refusals(pid, false);
    // Its memory cannot be looked at by way of a thread that has none any more.
    if (reasons.some((r) => r === "leader_exit" || r === "ended" || r === "system")) return reasons;
    try {
      const { pids, objects } = await sharersOf(pid);
      const others = pids.slice(1).flatMap((other) => refusals(other, false));
      if (others.length > 0) reasons.push(...[...objects.values()].map((o) => o.reason), ...others);
      readChangingLayout(pid, this.hashes, () => (objects.size > 0 ? { name: "", size: 0 } : null));
    } catch (e) {
      const { details } = toTeselaError(e);
      if (Array.isArray(details.reasons)) reasons.push(...(details.reasons as string[]));
      // It was looked at while it ended.
      else throw proc.exists(pid) ? e : noProcess(pid, e);
    }
    return [...new Set(reasons)];
  }

  /**
   * Moves one of this node's processes, and with it those that share its memory.
   * @param uid who asks: they have to be that user's, unless that is root; null for the engine itself
   * @throws TeselaError with the reason; all of them then run where they were
   */
  async migrate(pid: number, target: number | "home", uid: number | null = null): Promise<MoveResult> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.move(pid, target, uid);
      } catch (e) {
        if (!(e instanceof MemberEnded) || tries === MAX_TRIES) throw e;
      }
    }
  }

  private async move(pid: number, target: number | "home", uid: number | null): Promise<MoveResult> {
    const to = target === "home" ? this.parts.node : target;
    const lead = this.tracks.of(pid);
    using claims = new Claims(this.tracks);
    claims.take(lead);
    const from = lead.node ?? this.parts.node;
    if (from === to) throw new TeselaError("E_EXISTS", `process ${pid} runs on node ${to} already`);
    const start = performance.now();
    const request = { mover: this, lead, claims, uid };
    try {
      const moved =
        to === this.parts.node
          ? await bringHome(request)
          : lead.process
            ? await moveOn(request, this.peer(to))
            : await depart(request, this.peer(to));
      for (const track of moved.tracks) track.moved(to === this.parts.node ? null : to, moved);
      if (moved.error !== undefined) throw moved.error;
      const others = moved.tracks.filter((t) => t !== lead).map((t) => t.pid);
      const result = {
        ...{ pid, from, to, bytes: moved.bytes, freezeMs: round(moved.freezeMs), totalMs: round(performance.now() - start) },
        ...(others.length > 0 && { with: others }),
      };
      this.parts.log.info("moved", { ...result });
      return result;
    } catch (e) {
      const error = claims.whatHappened(e, lead);
      if (error.code === "E_CANTMOVE") lead.cantmove = (error.details.reasons as string[] | undefined) ?? [];
      this.parts.log.warn("a move failed", {
        pid,
        from,
        to,
        error: error.code,
        reason: error.message,
        ...(error.cause !== undefined && { cause: String(error.cause) }),
      });
      throw error;
    }
  }

  peer(node: number): PeerAddress {
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
    this.placeFreed(track, target).catch((e: unknown) => {
      this.parts.log.warn("a program starts at home instead", { pid, node: target, error: toTeselaError(e).message });
      if (track.seized) {
        track.seized = false;
        letGo(this.parts.tracees, pid);
      }
    });
  }

  /** A move that was under way as it became a program has nobody to move any more: it is over in a moment. */
  private async placeFreed(track: Track, target: number): Promise<void> {
    while (track.busy) await sleep(BUSY_POLL_MS);
    // Unless the next one has taken it already.
    if (track.seized) await this.migrate(track.pid, target);
  }

  // --- families

  adopt(parent: HomeProcess, forked: Forked): HomeProcess {
    const home = this.homeProcess(forked.deputy, { ...forked, signalsAtHome: parent.signalsAtHome });
    const track = this.tracks.of(home.pid);
    track.process = home;
    track.node = parent.host?.node ?? null;
    track.beingBorn = true;
    parent.group?.add(home);
    home.guard = parent.guard;
    home.host = parent.host;
    home.phase = "away";
    home.prepareToDepart();
    this.watch(track, home);
    ptrace.cont(home.pid);
    return home;
  }

  homeProcess(deputy: Deputy, begin: Beginning, ticket = this.ticket()): HomeProcess {
    const { tracees, log } = this.parts;
    const nextTicket = (): number => this.ticket();
    const onGone = (p: HomeProcess): void => this.gone(p);
    const { signalsAtHome } = begin;
    const { away: directory, reaches } = this;
    return new HomeProcess({ deputy, frozen: begin, signalsAtHome, ticket, nextTicket, directory, reaches, tracees, log, onGone });
  }

  async born(child: HomeProcess): Promise<void> {
    await child.begin();
    this.tracks.of(child.pid).beingBorn = false;
  }

  ticket(): number {
    this.nextTicket = (this.nextTicket + 1) >>> 0;
    return this.nextTicket;
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

  watch(track: Track, home: HomeProcess): void {
    let coming = false;
    const comeHome = (reason: string, signal: HomeSignal | null, nr?: number): void => {
      if (coming) {
        if (signal) signal.thread.postponed.keep(signal.info);
        return;
      }
      coming = true;
      home.homeward = signal;
      this.parts.log.info("brought home", { pid: home.pid, reason, ...(nr !== undefined && nr !== NO_CALL && { call: syscallName(nr) }) });
      track.cantmove = [reason];
      this.comeHome(track, home).catch((e: unknown) => {
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
  private async comeHome(track: Track, home: HomeProcess): Promise<void> {
    let start = performance.now();
    for (;;) {
      while (track.busy || (home.phase === "away" && home.host?.cutMs)) await sleep(BUSY_POLL_MS);
      if (home.phase !== "away" || track.process !== home) return;
      try {
        using claims = new Claims(this.tracks);
        claims.take(track);
        const { cantmove } = track;
        const moved = await bringHome({ mover: this, lead: track, claims, uid: null });
        for (const one of moved.tracks) one.moved(null, moved);
        track.cantmove = cantmove;
        this.parts.log.info("moved", { pid: home.pid, to: this.parts.node, bytes: moved.bytes, freezeMs: round(moved.freezeMs) });
        return;
      } catch (e) {
        if ((home.phase as Phase) === "gone") return;
        // Job control has stopped it, for as long as it likes, or it waits for a child.
        const waits = [...(home.group?.members ?? [home])].some((one) => one.isStopped) || passesByItself(toTeselaError(e), home.pid);
        if (waits) start = performance.now();
        if (performance.now() - start > this.parts.carry.answerMs * 2) throw e;
        this.parts.log.warn("coming home failed, trying again", { pid: home.pid, error: toTeselaError(e).message });
      }
      await sleep(RETRY_MS);
    }
  }

  private gone(p: HomeProcess): void {
    this.traces.gone(p.pid);
    const { group } = p;
    if (group?.remove(p)) {
      if (group.stay) void reclaim(this, group, group.stay);
      else group[Symbol.dispose]();
    } else group?.answer();
    const track = this.tracks.find(p.pid);
    if (track?.process === p) track.process = null;
    if (!proc.exists(p.pid)) this.tracks.forget(p.pid);
  }
}

/** A group whose members come and go is moved when none of them does for a moment. */
const MAX_TRIES = 5;
const BUSY_POLL_MS = 2;
const RETRY_MS = 200;
const round = (ms: number): number => Math.round(ms * 100) / 100;
