import { type Log, TeselaError } from "../base/mod.ts";
import type { Image } from "../image/mod.ts";
import { isEnd, libc, proc, ptrace, type Tracees } from "../sys/mod.ts";
import { BorneSignals } from "./borne-signals.ts";
import { Deputy } from "./deputy.ts";
import { type Frozen, isGone, pendingSignals, resumeRegs } from "./freeze.ts";
import type { Landing } from "./landing.ts";
import type { Group } from "./group.ts";
import type { Verdict } from "./guest-types.ts";
import type { Becoming } from "./home-exec.ts";
import { isInOrder, isJobControl, JOB_CONTROL, ORDERLY_ROUNDS, ownership, putBack, putFirst, putOwn, takeAll } from "./home-queue.ts";
import { HomeThread } from "./home-thread.ts";
import type { HomeOptions, HomeSignal, HostLink, Phase } from "./home-types.ts";
import type { CallFrame } from "./hot-frames.ts";
import { Sys } from "./numbers.ts";
import { OwnViewFiles } from "./own-view-files.ts";
import type { Reaches } from "./reaches.ts";
import { giveBack, leaveMemory } from "./release.ts";
import { makeSeats, type Seat } from "./seat.ts";
import { Stillborn } from "./stillborn.ts";
import { type Guard, NO_GUARD } from "./sharers.ts";
import { stopInLoop } from "./stop-in-loop.ts";
import { without } from "./ticks.ts";
import { Turns } from "./turns.ts";
import type { HomeTimes } from "./traces.ts";

const SIGSTOP = 19;
const SIGKILL = 9;

/** Signals that a guest hears of as it goes on; more of them come after it. */
const MOST_NEWS = 64;
export interface Told {
  readonly tid: number;
  readonly info: Uint8Array;
}

/** The original of a process that is, or is about to be, away: its threads serve as deputies. */
export class HomeProcess {
  readonly pid: number;
  readonly tracees: Tracees;
  readonly log: Log;
  readonly leader: HomeThread;
  readonly threads = new Map<number, HomeThread>();
  private readonly options: HomeOptions;
  /** Places of threads that have ended. */
  private seats: Seat[] = [];
  phase: Phase = "moving";
  host: HostLink | null = null;
  /** The guest asked for something that only home can do. */
  onBack: (reason: string, nr: number) => void = () => {};
  /** A signal whose default action wants the whole process here (a core dump). */
  onHomeSignal: (info: Uint8Array, thread: HomeThread) => void = () => {};
  /** It has become another program, and stands at its beginning, traced. */
  onProgram: () => void = () => {};
  /** Those with which it shares memory, itself among them, while they are away. */
  group: Group | null = null;
  /** Its descriptors on what the group shares. */
  guard: Guard = NO_GUARD;
  /** Why it has to come home, when that is a signal. */
  homeward: HomeSignal | null = null;
  /** An execve(2) is under way. */
  becoming: Becoming | null = null;
  readonly stillborn = new Stillborn();
  private signalSeq = 0;
  /** Calls that came during {@link beforeCalls}. */
  departing: { readonly thread: HomeThread; readonly frame: CallFrame }[] | null = null;
  /** Who waits for the end of {@link departing}. */
  private departed: (() => void)[] = [];
  /** A move has been asked for: no thread begins or ends any more. */
  private wanted = false;
  /** Tells one take-over from the next, and from the time after it: a node refuses what comes late. */
  round = 0;
  /** Threads and children begin one after the other. */
  readonly births = new Turns();
  /** How much is being done {@link beforeCalls}. */
  working = 0;
  private readonly leaving = new Set<Promise<unknown>>();
  /** Signals that are no more in home's queues, for as long as it is not certain that the guest has them. */
  private told: { readonly thread: HomeThread; readonly info: Uint8Array }[] = [];
  calls = 0;
  readonly ownView: OwnViewFiles;
  readonly signalsAtHome: boolean;
  readonly borne: BorneSignals;
  /** Kept while somebody watches its calls. */
  times: HomeTimes | null = null;

  constructor(o: HomeOptions) {
    this.pid = o.deputy.pid;
    this.options = o;
    this.tracees = o.tracees;
    this.log = o.log;
    this.signalsAtHome = o.signalsAtHome;
    this.borne = new BorneSignals(this);
    this.ownView = new OwnViewFiles(this.pid, async (tid, strings) => {
      const thread = tid === null ? this.leader : this.threads.get(tid);
      if (!thread || !this.host) throw new TeselaError("E_GONE", `there is no thread ${tid} any more`);
      return await this.host.view(thread.ticket, tid !== null, strings);
    });
    this.leader = this.add(o.deputy, o.frozen.stopRequested, o.ticket);
  }

  /** Its first thread's stands for all of it. */
  get ticket(): number {
    return this.leader.ticket;
  }

  add(deputy: Deputy, stopRequested: boolean, ticket = this.options.nextTicket()): HomeThread {
    const thread = new HomeThread(this, deputy, ticket, stopRequested);
    this.threads.set(thread.tid, thread);
    this.options.directory.set(thread.ticket, thread);
    return thread;
  }

  /** The other threads, frozen as the first was, become deputies too. @throws TeselaError E_NOMEM, E_GONE */
  async seat(others: readonly Frozen[]): Promise<void> {
    const seats = await makeSeats(this.leader.deputy, others.length);
    this.seats.push(...seats);
    for (const frozen of others) {
      const [seat] = this.seats;
      if (!seat) throw new TeselaError("E_INTERNAL", "a thread has no seat");
      const deputy = Deputy.sit(this.pid, frozen, seat, this.leader.deputy.word);
      this.seats.shift();
      ptrace.cont(this.add(deputy, false).tid);
    }
  }

  /** A place for one more thread. @throws TeselaError E_NOMEM, E_GONE */
  async spareSeat(deputy: Deputy): Promise<Seat> {
    const spare = this.seats.pop();
    if (spare) return spare;
    const [made] = await makeSeats(deputy, 1);
    if (!made) throw new TeselaError("E_INTERNAL", "no seat was made");
    return made;
  }
  takeSeat(seat: Seat): void {
    this.seats.push(seat);
  }
  private get allSeats(): Seat[] {
    return [...[...this.threads.values()].map((t) => t.deputy.seat), ...this.seats];
  }
  /** What a child that has been forked by a thread of this process inherits of the other deputies. */
  seatsBeside(deputy: Deputy): Seat[] {
    return this.allSeats.filter((seat) => seat !== deputy.seat);
  }
  /** Where deputies are: not part of the program's memory. Neighbours count as one, as they may for the kernel. */
  get extents(): { readonly start: bigint; readonly end: bigint }[] {
    const out: { start: bigint; end: bigint }[] = [];
    for (const { start, end } of this.allSeats.map((seat) => seat.extent).sort((a, b) => Number(a.start - b.start))) {
      const last = out.at(-1);
      if (last?.end === start) last.end = end;
      else out.push({ start, end });
    }
    return out;
  }
  /** Descriptors that are not the program's. */
  get reservedFds(): number[] {
    return this.allSeats.map((seat) => seat.fd);
  }

  /** Job control has stopped it: it does not move until it is continued. */
  get isStopped(): boolean {
    return [...this.threads.values()].some((t) => t.stopped);
  }

  // --- threads coming and going

  /** Calls on the memory of others, which ends none of them before it is done. */
  get reaches(): Reaches {
    return this.options.reaches;
  }

  /** A thread that is not the first ends, and its guest, if it has one, when that is done. */
  endThread(thread: HomeThread, code: number, host: HostLink | null): void {
    const gone = thread.deputy.call(Sys.exit, code).then(
      () => undefined,
      () => (this.phase === "gone" ? undefined : host?.end(thread.ticket)),
    );
    const over: Promise<unknown> = gone
      .catch((e: unknown) => this.log.info("a thread's guest was not ended", { pid: this.pid, tid: thread.tid, error: String(e) }))
      .finally(() => this.leaving.delete(over));
    this.leaving.add(over);
  }

  /** One of its threads has ended; with the first, all have. */
  ended(thread: HomeThread): void {
    this.options.directory.delete(thread.ticket);
    this.threads.delete(thread.tid);
    const seat = thread.deputy.leaveSeat();
    if (seat) this.seats.push(seat);
    if (thread.isLeader) this.end();
  }

  private end(): void {
    if (this.phase === "gone") return;
    this.phase = "gone";
    for (const thread of [...this.threads.values()]) thread.end();
    this.closeSeats();
    for (const wake of this.departed.splice(0)) wake();
    this.host?.drop(this.ticket);
    this.options.onGone(this);
  }

  private closeSeats(): void {
    for (const seat of this.allSeats) seat.socket.destroy();
    this.seats = [];
  }

  // --- signals

  nextSignal(): number {
    this.signalSeq++;
    return this.signalSeq;
  }

  /** A guest's answer to a signal that one of its threads was asked about. */
  verdict(seq: number, verdict: Verdict): void {
    for (const thread of this.threads.values()) {
      if (!thread.isHeldFor(seq)) continue;
      thread.verdict(verdict);
      return;
    }
  }

  /** A handler waits for the end of a thread's call, which may wait itself for the process to have departed. */
  hurryDeparting(thread: HomeThread): void {
    if (!this.departing) return;
    this.departing = this.departing.map((d) => (d.thread === thread ? { thread, frame: { ...d.frame, hurried: true } } : d));
  }

  /** @throws TeselaError E_GONE: it may have ended in any pause of a move */
  mustLive(): void {
    if (this.phase === "gone") throw new TeselaError("E_GONE", `process ${this.pid} ended`);
  }

  /** @throws TeselaError E_BUSY: a move is under way, and what a guest wants beside calls is wanted again where it goes on */
  private mustStay(): void {
    if (this.phase !== "away" || this.wanted) throw new TeselaError("E_BUSY", "the process is being moved");
  }

  // --- moving

  /** The process is away from now on: its memory here is given back, its signals are asked about. */
  async depart(host: HostLink, image: Image): Promise<void> {
    this.mustLive();
    this.host = host;
    this.phase = "away";
    this.wanted = false;
    this.told = [];
    this.leader.deputy.setCommitted(true);
    await this.beforeCalls(async () => {
      await this.leaveMemory(image);
      await this.unblock();
    });
  }

  /** Does work while the guest's calls wait: each sets the signal mask that it comes with, and one might block a deputy for long. */
  async beforeCalls(work: () => Promise<void>): Promise<void> {
    this.departing ??= [];
    this.working++;
    try {
      await work();
    } finally {
      if (--this.working === 0) this.endWork();
    }
  }
  private endWork(): void {
    const waiting = this.departing ?? [];
    this.departing = null;
    for (const { thread, frame } of waiting) thread.call(frame);
    for (const wake of this.departed.splice(0)) wake();
  }

  /** Waits until home has taken leave: until then its threads are those that left. */
  async mustHaveDeparted(): Promise<void> {
    if (this.departing) await new Promise<void>((resolve) => this.departed.push(resolve));
    this.mustStay();
  }

  /** The guest is about to be told to run: its first calls wait until home has taken leave of its memory. */
  prepareToDepart(): void {
    this.departing = [];
  }

  /** A child whose guest runs: it hears signals before it makes its first call. */
  async begin(): Promise<void> {
    await this.beforeCalls(() => this.unblock());
  }

  /** On from one node to another: home has nothing to do but to listen elsewhere. */
  async redirect(host: HostLink): Promise<void> {
    this.mustLive();
    this.host = host;
    this.phase = "away";
    this.wanted = false;
    this.told = [];
    await this.beforeCalls(() => this.unblock());
  }

  /**
   * What has come since it was stopped: its guest hears of that before it goes on, as it would have before its next instruction.
   * @param known what it left home with
   */
  async news(known?: Pick<Image, "pending" | "threads">): Promise<Told[]> {
    const news: Told[] = [];
    for (const thread of this.threads.values()) {
      const has = [...(thread.isLeader ? (known?.pending ?? []) : []), ...pendingOf(known, thread.tid)];
      const all = thread.postponed.take();
      const stays = (info: Uint8Array): boolean => isJobControl(info) || thread.blocks(info);
      const kept = all.filter((info) => !stays(info));
      for (const info of all.filter(stays)) thread.postponed.keep(info);
      const isOwn = thread.isLeader || this.signalsAtHome ? () => true : ownership(thread.deputy);
      const waits = (pendingSignals(thread.tid) & ~(JOB_CONTROL | thread.borne)) !== 0n;
      const taken = waits ? await takeAll(thread.deputy, thread.borne) : [];
      for (const info of [...kept, ...taken]) this.told.push({ thread, info });
      for (const info of [...kept, ...without(taken, has)]) {
        // What was kept has been told apart before.
        const own = kept.includes(info as Buffer) || isOwn(info);
        if (news.length < MOST_NEWS) news.push({ tid: own ? thread.tid : this.pid, info });
        else thread.postponed.keep(info);
      }
    }
    return news;
  }

  /** Its guest has not heard of {@link news} after all. */
  private forgetNews(): void {
    for (const { thread, info } of this.told.splice(0)) thread.postponed.keep(info);
  }

  /** From now on its signals are asked about: its guest runs, and has those in its own queues that it left home with or was told of. */
  async unblock(): Promise<void> {
    const { leader } = this;
    for (const thread of [...this.threads.values()].reverse()) {
      if (this.signalsAtHome) await this.borne.putBelow(thread);
      else await putFirst(thread.deputy, leader.deputy, thread.postponed.take(), [], this.log);
    }
    // A stop first, while a continuation that comes behind it is still kept: then the deputy goes on with its mask.
    const stop = leader.postponed.takeStop(this.pid);
    if (stop) libc.kill(this.pid, SIGSTOP);
    const unblocked = Promise.all([...this.threads.values()].map((t) => t.setMask(t.borne)));
    if (!stop) await unblocked;
  }

  /** Gives the pages back, for as long as it is away, once nothing of the kernel's is in them. */
  async leaveMemory(image: Image): Promise<void> {
    await Promise.all(image.threads.map((t) => this.threads.get(t.tid)?.deputy.calls(leaveMemory(t))));
    await giveBack(this.leader.deputy, image, () => this.phase === "away", this.log);
  }

  /** Ends what the deputies are doing and takes them over for a move; calls that come meanwhile are sent back. */
  async takeOver(): Promise<void> {
    this.mustLive();
    if (this.isStopped) throw this.leader.isStoppedError();
    this.wanted = true;
    const mine = ++this.round;
    await this.births.idle();
    await Promise.all(this.leaving);
    this.mustLive();
    // Whoever wanted it has given it up meanwhile, or somebody else wants it.
    if (this.round !== mine) throw new TeselaError("E_BUSY", `process ${this.pid} is not taken over any more`);
    this.host?.stand(this.ticket, true);
    await Promise.all([...this.threads.values()].map((t) => t.takeOver()));
    // What is on its way into a queue has to be there.
    if (this.departing) await new Promise<void>((resolve) => this.departed.push(resolve));
    this.mustLive();
  }

  /** The deputies are not taken over after all. */
  giveUpTakeOver(): void {
    // Once they were taken over, it goes on by a thaw, which brings what has come.
    if (this.wanted && this.phase !== "moving") this.host?.stand(this.ticket, false);
    this.wanted = false;
    this.round++;
    for (const thread of this.threads.values()) {
      thread.giveUpTakeOver();
      if (this.signalsAtHome) this.borne.settle(thread);
    }
  }

  /** A move that failed: the process stays where it was. `thaw` makes the guest run, which must be before it is asked about signals. */
  async resumeAway(thaw: (news: Told[]) => Promise<unknown>): Promise<void> {
    if (this.phase !== "moving") return;
    this.forgetNews();
    const news = await this.news();
    this.leader.deputy.setCommitted(true);
    this.phase = "away";
    await this.beforeCalls(async () => {
      await thaw(news);
      this.told = [];
      await this.unblock();
    });
  }

  /**
   * Makes it an ordinary, untraced process again that goes on with these registers. Its memory is as it should be.
   * @param landings of all its threads, the leader first; those that are no deputies yet are just let go
   * @param pending signals that its guest had pending for the process
   */
  async leave(landings: readonly Landing[], pending: readonly Uint8Array[] = []): Promise<void> {
    const { leader, tracees, log } = this;
    this.forgetNews();
    await this.ownView.forget(leader.deputy);
    const others = [...this.threads.values()].filter((t) => t !== leader);
    const mine = landings.find((l) => l.tid === leader.tid);
    if (!mine) throw new TeselaError("E_INTERNAL", "a process goes on without its first thread");
    let older: readonly Uint8Array[] = [...(mine.pending ?? []), ...pending, ...leader.postponed.take()];
    for (const thread of others) {
      const landing = landings.find((l) => l.tid === thread.tid);
      if (!landing) throw new TeselaError("E_PROTOCOL", `thread ${thread.tid} is missing`);
      older = [...older, ...(await putOwn(thread.deputy, [...(landing.pending ?? []), ...thread.postponed.take()], log))];
      await thread.deputy.call(Sys.getpid);
      if (!(await stopInLoop(tracees, thread.tid, (signal) => thread.onSignal(signal)))) {
        thread.end();
        this.mustLive();
        continue;
      }
      older = [...older, ...thread.postponed.take()];
      thread.deputy.restore(landing, resumeRegs(landing));
    }
    leader.deputy.tell(this.seatsBeside(leader.deputy).flatMap((seat) => seat.remains()));
    let queued: readonly Uint8Array[] = [];
    for (let round = 0; ; round++) {
      queued = await putBack(leader.deputy, queued, older, { round, stop: leader.postponed.stopRequested }, log);
      // What it was told before without waiting for the result is done, too.
      await leader.deputy.call(Sys.getpid);
      if (!(await stopInLoop(tracees, this.pid, (signal) => leader.onSignal(signal)))) {
        leader.end();
        this.mustLive();
      }
      older = leader.postponed.take();
      if (older.length === 0 && (queued.length === 0 || round >= ORDERLY_ROUNDS)) break;
      if (older.length === 0 && isInOrder([...ptrace.peekSiginfo(this.pid, false), ...ptrace.peekSiginfo(this.pid, true)], queued)) break;
      ptrace.cont(this.pid);
    }
    this.letAllGo(mine, landings);
  }

  /** All its threads are stopped and are as they should be, but for the leader. */
  private letAllGo(mine: Landing, landings: readonly Landing[]): void {
    const { leader, pid, tracees } = this;
    this.phase = "gone";
    try {
      const stop = leader.deputy.retire(tracees, mine, resumeRegs(mine), leader.postponed.stopRequested);
      leader.postponed.stopRequested = stop;
      if (leader.postponed.takeStop(pid)) libc.kill(pid, SIGSTOP);
      for (const { tid } of landings) if (tid !== pid && this.threads.has(tid)) this.detach(tid);
      this.detach(pid);
    } catch (e) {
      // Half a process cannot be left: registers that no thread can have came from a peer, or it has ended.
      libc.kill(pid, SIGKILL);
      for (const { tid } of landings) {
        tracees.claim(tid, (s) => {
          if (isEnd(s)) tracees.release(tid);
        });
      }
      if (!isGone(e)) throw e;
      throw new TeselaError("E_GONE", `process ${pid} ended`, {}, { cause: e });
    } finally {
      this.closeSeats();
      for (const thread of this.threads.values()) {
        thread.over = true;
        this.options.directory.delete(thread.ticket);
      }
      for (const wake of this.departed.splice(0)) wake();
      this.host?.drop(this.ticket);
      this.host = null;
      this.options.onGone(this);
    }
  }

  /** One that was let go before may have ended this one meanwhile, by execve(2) or otherwise. */
  private detach(tid: number): void {
    const { tracees } = this;
    try {
      ptrace.detach(tid);
    } catch (e) {
      if (!isGone(e)) throw e;
      tracees.claim(tid, (s) => {
        if (isEnd(s)) tracees.release(tid);
      });
    }
  }

  /** The guest is lost, and with it the program: the process ends as if killed. */
  kill(reason: string): void {
    // What somebody else has ended loses its user area with good reason.
    if (this.phase === "gone" || !proc.exists(this.pid)) return;
    this.log.error("a process lost its user area and was killed", { pid: this.pid, reason });
    libc.kill(this.pid, SIGKILL);
  }
}

const pendingOf = (known: Pick<Image, "threads"> | undefined, tid: number): readonly Uint8Array[] =>
  known?.threads.find((t) => t.tid === tid)?.pending ?? [];
