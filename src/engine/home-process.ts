import { type Log, TeselaError } from "../base/mod.ts";
import type { Image } from "../image/mod.ts";
import { isEnd, libc, proc, ptrace, type Tracees, type WaitStatus } from "../sys/mod.ts";
import { collect } from "./collect.ts";
import { wantsCore } from "./core-files.ts";
import type { Deputy } from "./deputy.ts";
import { ALL_SIGNALS, type Frozen, isGone, Restart, resumeRegs, signalWaits } from "./freeze.ts";
import { forOne } from "./guard.ts";
import { type Becoming, becomeProgram, isBirth, isExec } from "./home-exec.ts";
import { Stillborn } from "./stillborn.ts";
import { stopInLoop } from "./stop-in-loop.ts";
import type { Verdict } from "./guest-types.ts";
import type { HomeOptions, HostLink, Phase } from "./home-types.ts";
import type { CallFrame } from "./hot-frames.ts";
import { isInOrder, ORDERLY_ROUNDS, putBack, putFirst } from "./home-queue.ts";
import { Sys } from "./numbers.ts";
import { OwnViewFiles } from "./own-view-files.ts";
import { Postponed } from "./postponed.ts";
import { giveBack, leaveMemory } from "./release.ts";
import { isThreadDirected, STOPPING } from "./signals.ts";
import type { HomeTimes } from "./traces.ts";

const SIGTRAP = 5;
const SIGSTOP = 19;
/** A deputy that is to end its call is interrupted again after so long: it begins one within microseconds. */
const CUT_AGAIN_MS = 1;
/** A program that gets signals without end is moved all the same. */
const FLOOD = 4;
/** SIGTTIN and SIGTTOU: a background process that blocks them may use its terminal (drivers/tty/tty_jobctrl.c). */
const TTY_SIGNALS = (1n << 20n) | (1n << 21n);

/** It ends in the middle of a call, which then matters no more. */
const endsInIt = (): void => {};

/** The original task of a process that is, or is about to be, away. */
export class HomeProcess {
  readonly pid: number;
  readonly ticket: number;
  readonly deputy: Deputy;
  private readonly tracees: Tracees;
  private readonly log: Log;
  private readonly onGone: (p: HomeProcess) => void;
  phase: Phase = "moving";
  host: HostLink | null = null;
  /** The guest asked for something that only home can do. */
  onBack: (reason: string, nr: number) => void = () => {};
  /** A signal whose default action wants the whole process here (a core dump). */
  onHomeSignal: (info: Uint8Array) => void = () => {};
  /** It has become another program, and stands at its beginning, traced. */
  onProgram: () => void = () => {};
  /** An execve(2) is under way. */
  becoming: Becoming | null = null;
  readonly stillborn = new Stillborn();
  private signalSeq = 0;
  /** A signal-delivery-stop that waits for the guest's verdict. */
  private held: { seq: number; signal: number } | null = null;
  /** Signals that the engine sends itself for their default action, with what they say. */
  private readonly through = new Map<number, Uint8Array>();
  private inFlight: { readonly seq: number } | null = null;
  /** Calls that came during {@link beforeCalls}. */
  private departing: CallFrame[] | null = null;
  private ttyMask = 0n;
  private stopped = false;
  readonly postponed: Postponed;
  /** A signal that stops was delivered for the guest, which waits to hear whether it did. */
  private stopAsked = false;
  /** The call in flight is to be ended. */
  private cutting = false;
  /** Someone waits for the deputy to stop in order to take it over. */
  private taking: { resolve: () => void; reject: (e: Error) => void; patience: number } | null = null;
  private idle: (() => void)[] = [];
  calls = 0;
  private readonly ownView: OwnViewFiles;
  /** Kept while somebody watches its calls. */
  times: HomeTimes | null = null;

  constructor(o: HomeOptions) {
    this.pid = o.deputy.pid;
    this.deputy = o.deputy;
    this.ticket = o.ticket;
    this.tracees = o.tracees;
    this.log = o.log;
    this.onGone = o.onGone;
    this.postponed = new Postponed(o.frozen.stopRequested);
    this.ownView = new OwnViewFiles(o.deputy, (strings) => this.host?.view(this.ticket, strings) ?? Promise.resolve(null));
    this.tracees.claim(this.pid, (s) => this.guarded(() => this.onStop(s)));
  }

  private guarded(work: () => void): void {
    forOne(this.pid, (reason) => this.kill(reason), work);
  }

  /** Job control has stopped it: it does not move until it is continued. */
  get isStopped(): boolean {
    return this.stopped;
  }

  // --- stops of the deputy

  private onStop(s: WaitStatus): void {
    switch (s.kind) {
      case "exited":
      case "killed":
        this.end();
        return;
      case "signal":
        this.onSignal(s.signal);
        return;
      case "event":
        if (s.event === ptrace.Event.STOP && s.signal !== SIGTRAP) this.onGroupStop();
        else if (s.event === ptrace.Event.EXEC) this.onExec();
        else if (isBirth(s.event)) this.goOn(0);
        else this.onTrap();
        return;
      case "syscall":
        this.goOn(0);
    }
  }

  private end(): void {
    if (this.phase === "gone") return;
    this.phase = "gone";
    this.tracees.release(this.pid);
    this.deputy.close();
    this.host?.drop(this.ticket);
    this.taking?.resolve();
    this.taking = null;
    this.inFlight = null;
    for (const wake of this.idle.splice(0)) wake();
    this.onGone(this);
  }

  private onSignal(signal: number): void {
    const info = ptrace.getSiginfo(this.pid);
    if (this.stillborn.tellsOf(info)) return void this.goOn(0);
    const own = this.through.get(signal);
    if (own && isThreadDirected(info)) {
      this.through.delete(signal);
      ptrace.setSiginfo(this.pid, own);
      // Nothing comes of a stop in a process group that nobody would continue: then there is a trap instead.
      this.stopAsked = STOPPING.has(signal);
      this.goOn(signal);
      return;
    }
    if (this.phase !== "away" || !this.host) {
      // All are blocked while the process moves; these were on their way before.
      this.postponed.keep(info);
      this.goOn(0);
      return;
    }
    if (signal === SIGSTOP) {
      this.goOn(signal);
      return;
    }
    const seq = ++this.signalSeq;
    this.held = { seq, signal };
    this.host.signal(this.ticket, seq, info);
  }

  /**
   * From any stop but the one of an interrupt. Who wants to take the deputy over waits for that, and its interrupt may be lost: the
   * kernel forgets one that it has not acted on yet when the thread stops for another reason, as it does at the end of a fork.
   */
  private goOn(signal: number): void {
    if (this.taking || this.stopAsked || this.cutting) ptrace.interrupt(this.pid);
    ptrace.cont(this.pid, signal);
  }

  private onGroupStop(): void {
    this.stopped = true;
    this.stopAsked = false;
    this.host?.pause(this.ticket, true);
    ptrace.listen(this.pid);
    this.taking?.reject(this.isStoppedError());
    this.taking = null;
  }

  private isStoppedError(): TeselaError {
    return new TeselaError("E_CANTMOVE", `process ${this.pid} is stopped; continue it first`, { reasons: ["stopped"] });
  }

  private onTrap(): void {
    if (this.stopped || this.stopAsked) {
      this.stopped = false;
      this.stopAsked = false;
      this.host?.pause(this.ticket, false);
    }
    const { taking } = this;
    if (taking && this.inFlight && taking.patience-- > 0 && signalWaits(this.pid)) {
      // It has interrupted the call in flight, so the guest had better hear of it before it hears of the call. In a flood it hears later.
      ptrace.cont(this.pid);
      return;
    }
    if (taking) {
      this.phase = "moving";
      ptrace.setSigmask(this.pid, ALL_SIGNALS);
    }
    if (taking || this.cutting) this.cutInFlight();
    ptrace.cont(this.pid);
    this.taking = null;
    taking?.resolve();
  }

  /** A handler waits for the end of the call that its guest has sent, made here already or not. */
  private endCall(): void {
    if (this.departing) this.departing = this.departing.map((frame) => ({ ...frame, hurried: true }));
    this.cutInFlight();
  }

  /** At a stop: ends the call in flight, if there is one. The deputy may not have begun it yet: then it is stopped again. */
  private cutInFlight(): void {
    this.cutting = false;
    if (this.inFlight && !this.deputy.cutCall()) this.cutSoon();
  }

  /** The call in flight must not wait for anything. */
  private cutSoon(): void {
    const { inFlight } = this;
    this.cutting = true;
    setTimeout(() => {
      if (this.inFlight === inFlight && this.cutting && this.phase !== "gone" && !this.stopped && !this.held) {
        this.guarded(() => ptrace.interrupt(this.pid));
      }
    }, CUT_AGAIN_MS);
  }

  /** The guest's answer to a signal that it was asked about. */
  verdict(seq: number, verdict: Verdict): void {
    if (this.held?.seq !== seq || this.phase === "gone") return;
    if (this.becoming && verdict !== "deliver") this.becoming.spoilt = true;
    const { signal } = this.held;
    this.held = null;
    try {
      if (verdict === "deliver" && wantsCore(this.pid, signal)) {
        const info = ptrace.getSiginfo(this.pid);
        this.goOn(0);
        this.onHomeSignal(info);
        return;
      }
      if (verdict === "later") this.postponed.keep(ptrace.getSiginfo(this.pid));
      if (verdict === "handled") this.endCall();
      this.goOn(verdict === "deliver" ? signal : 0);
    } catch (e) {
      if (!isGone(e)) throw e;
    }
  }

  /** The guest's own signal takes its default action: the process dies, or stops, of it here. */
  raise(signal: number, info: Uint8Array): void {
    if (wantsCore(this.pid, signal)) {
      this.onHomeSignal(info);
      return;
    }
    this.through.set(signal, Buffer.from(info));
    libc.syscall("tgkill", Sys.tgkill, this.pid, this.pid, signal);
  }

  // --- calls for the guest

  /** @throws TeselaError E_GONE: it may have ended in any pause of a move */
  mustLive(): void {
    if (this.phase === "gone") throw new TeselaError("E_GONE", `process ${this.pid} ended`);
  }

  /** Makes a call for the guest. While the process moves it is told to make it again, unless it is half done. */
  call(frame: CallFrame): void {
    const { host } = this;
    if (!host) return;
    const moving = this.phase === "moving";
    if (this.phase !== "away" && !(moving && frame.continues)) {
      host.reply(this.ticket, frame.seq, Restart.NOINTR, []);
      return;
    }
    if (this.departing) {
      this.departing.push(frame);
      return;
    }
    this.calls++;
    const nr = Number(Buffer.from(frame.request.buffer, frame.request.byteOffset, 8).readBigInt64LE(0));
    const tty = frame.sigmask & TTY_SIGNALS;
    if (isExec(nr)) {
      becomeProgram(this, frame, host, tty).catch((e: unknown) => this.kill(`an error in its engine: ${String(e)}`));
      return;
    }
    if (tty !== this.ttyMask && !moving) void this.setMask(tty);
    if (frame.blob.length > 0) this.deputy.poke(this.deputy.buffer, frame.blob);
    const own = this.ownView.readBy(nr, frame);
    if (own !== null) return void this.readOwnView(host, frame, nr, own);
    this.inFlight = { seq: frame.seq };
    this.times?.began(frame.seq);
    this.deputy.invoke(Buffer.from(frame.request), (result) => {
      this.times?.ended(frame.seq);
      this.inFlight = null;
      this.cutting = false;
      this.guarded(() => {
        if (result >= 0n && this.ownView.refuses(nr, result)) {
          void this.deputy.call(Sys.close, result).then(
            () => this.refuse(host, frame.seq, nr),
            (e: unknown) => this.log.warn("a process ended in an open", { pid: this.pid, error: String(e) }),
          );
        } else host.reply(this.ticket, frame.seq, result, collect(this.pid, this.deputy.buffer, frame, result));
      });
      for (const wake of this.idle.splice(0)) wake();
    });
    if (moving || frame.hurried) this.cutSoon();
  }

  /** It is the new program now, stopped before its first instruction, and nobody's deputy any more. */
  private onExec(): void {
    if (!this.becoming) {
      ptrace.cont(this.pid);
      return;
    }
    ptrace.setSigmask(this.pid, this.becoming.sigmask);
    this.end();
    this.onProgram();
  }

  /** Only at home can it go on: it is brought there and makes the call again. */
  private refuse(host: HostLink, seq: number, nr: number): void {
    this.onBack("own_view", nr);
    host.reply(this.ticket, seq, Restart.NOINTR, []);
  }

  /** A read of a file that shows the process itself: answered in the kernel's place. */
  private async readOwnView(host: HostLink, frame: CallFrame, nr: number, path: string): Promise<void> {
    this.inFlight = { seq: frame.seq };
    const answer = await this.ownView.read(nr, frame, path).catch((e: unknown) => {
      this.log.info("a process's own view cannot be told while it is away", { pid: this.pid, path, error: String(e) });
      return null;
    });
    this.inFlight = null;
    if (answer) host.reply(this.ticket, frame.seq, answer.result, [answer.bytes]);
    else this.refuse(host, frame.seq, nr);
    for (const wake of this.idle.splice(0)) wake();
  }

  async setMask(mask: bigint): Promise<void> {
    this.ttyMask = mask;
    await this.deputy.setMask(mask).catch(endsInIt);
  }

  // --- moving

  /** The process is away from now on: its memory here is given back, its signals are asked about. */
  async depart(host: HostLink, image: Image): Promise<void> {
    this.mustLive();
    this.host = host;
    this.phase = "away";
    this.deputy.setCommitted(true);
    const thread = image.threads[0];
    await this.beforeCalls(async () => {
      await this.deputy.calls(leaveMemory(thread));
      await this.release(image);
      await this.unblock([...image.pending, ...(thread?.pending ?? [])]);
    });
  }

  /** Does work while the guest's calls wait: each sets the signal mask that it comes with, and one might block the deputy for long. */
  private async beforeCalls(work: () => Promise<void>): Promise<void> {
    this.departing ??= [];
    try {
      await work();
    } finally {
      const waiting = this.departing;
      this.departing = null;
      for (const frame of waiting) this.call(frame);
    }
  }

  /** The guest is about to be told to run: its first calls wait until home has taken leave of its memory. */
  prepareToDepart(): void {
    this.departing = [];
  }

  /** On from one node to another: home has nothing to do but to listen elsewhere. */
  async redirect(host: HostLink): Promise<void> {
    this.mustLive();
    this.host = host;
    this.phase = "away";
    await this.beforeCalls(() => this.unblock());
  }

  /** From now on its signals are asked about: its guest runs, and has those in its own queue that it left home with. */
  async unblock(known: readonly Uint8Array[] = []): Promise<void> {
    await putFirst(this.deputy, this.postponed.take(), known, this.log);
    // A stop first, while a continuation that comes behind it is still kept: then the deputy goes on with its mask.
    const stop = this.postponed.takeStop(this.pid);
    if (stop) libc.kill(this.pid, SIGSTOP);
    const unblocked = this.setMask(0n);
    if (!stop) await unblocked;
  }

  /** Gives the pages back, for as long as it is away. */
  async release(image: Image): Promise<void> {
    await giveBack(this.deputy, image, () => this.phase === "away", this.log);
  }

  /** Ends what the deputy is doing and takes it over for a move; calls that come meanwhile are sent back. */
  async takeOver(): Promise<void> {
    this.mustLive();
    if (this.stopped) throw this.isStoppedError();
    await new Promise<void>((resolve, reject) => {
      this.taking = { resolve, reject, patience: FLOOD };
      // Held by a signal, it traps once the guest has said what becomes of that.
      ptrace.interrupt(this.pid);
    });
    if (this.inFlight) await new Promise<void>((resolve) => this.idle.push(resolve));
    this.mustLive();
    // A mask that it was told to set before may have come after the stop.
    await this.setMask(ALL_SIGNALS);
  }

  /** Begins a call and interrupts it, so that its restart block is this kernel's own: for a sleep that goes on here. */
  async beginAndCut(nr: number, args: readonly bigint[]): Promise<bigint> {
    const result = this.deputy.call(nr, ...args);
    this.inFlight = { seq: -1 };
    this.cutSoon();
    try {
      return await result;
    } finally {
      this.inFlight = null;
      this.cutting = false;
    }
  }

  /** The deputy is not taken over after all. */
  giveUpTakeOver(): void {
    this.taking = null;
  }

  /** A move that failed: the process stays where it was. `thaw` makes the guest run, which must be before it is asked about signals. */
  async resumeAway(thaw: () => Promise<unknown>): Promise<void> {
    if (this.phase !== "moving") return;
    this.deputy.setCommitted(true);
    this.phase = "away";
    await this.beforeCalls(async () => {
      await thaw();
      await this.unblock();
    });
  }

  /**
   * Makes it an ordinary, untraced process again that goes on with these registers. Its memory is as it should be.
   * @param pending signals that its guest had pending
   */
  async leave(frozen: Pick<Frozen, "regs" | "xstate" | "sigmask" | "restart">, pending: readonly Uint8Array[] = []): Promise<void> {
    await this.ownView.forget();
    let older: readonly Uint8Array[] = [...pending, ...this.postponed.take()];
    const regs = resumeRegs(frozen);
    for (let round = 0; ; round++) {
      if (round < ORDERLY_ROUNDS) older = await putBack(this.deputy, older, this.log);
      else await putFirst(this.deputy, older, older, this.log);
      // What it was told before without waiting for the result is done, too.
      await this.deputy.call(Sys.getpid);
      if (!(await stopInLoop(this.tracees, this.pid, (signal) => this.onSignal(signal)))) {
        this.end();
        this.mustLive();
      }
      const late = this.postponed.take();
      older = [...older, ...late];
      if (older.length === 0) break;
      if (late.length === 0 && round >= ORDERLY_ROUNDS) break;
      if (late.length === 0 && isInOrder([...ptrace.peekSiginfo(this.pid, false), ...ptrace.peekSiginfo(this.pid, true)], older)) break;
      ptrace.cont(this.pid);
    }
    this.phase = "gone";
    try {
      this.postponed.stopRequested = this.deputy.retire(this.tracees, frozen, regs, this.postponed.stopRequested);
      if (this.postponed.takeStop(this.pid)) libc.kill(this.pid, SIGSTOP);
      ptrace.detach(this.pid);
    } catch (e) {
      // Half a process cannot be left: registers that no thread can have came from a peer, or it has ended.
      libc.kill(this.pid, 9);
      this.tracees.claim(this.pid, (s) => {
        if (isEnd(s)) this.tracees.release(this.pid);
      });
      if (!isGone(e)) throw e;
      throw new TeselaError("E_GONE", `process ${this.pid} ended`, {}, { cause: e });
    } finally {
      this.deputy.close();
      this.host?.drop(this.ticket);
      this.host = null;
      this.onGone(this);
    }
  }

  /** The guest is lost, and with it the program: the process ends as if killed. */
  kill(reason: string): void {
    // What somebody else has ended loses its user area with good reason.
    if (this.phase === "gone" || !proc.exists(this.pid)) return;
    this.log.error("a process lost its user area and was killed", { pid: this.pid, reason });
    libc.kill(this.pid, 9);
  }

  /** The program's own end. */
  exit(code: number): void {
    this.deputy.call(Sys.exitGroup, code).catch(endsInIt);
  }
}
