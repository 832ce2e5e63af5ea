import { type Log, TeselaError } from "../base/mod.ts";
import { REQUEST_AHEAD } from "../image/mod.ts";
import { libc, ptrace, type WaitStatus } from "../sys/mod.ts";
import { AheadAtHome } from "./ahead-at-home.ts";
import { collect } from "./collect.ts";
import { wantsCore } from "./core-files.ts";
import type { Deputy } from "./deputy.ts";
import { ALL_SIGNALS, isGone, signalWaits } from "./freeze.ts";
import { Restart } from "./restarts.ts";
import { filledRequest } from "./filled-reads.ts";
import { forOne } from "./guard.ts";
import type { Verdict } from "./guest-types.ts";
import { becomeProgram, isBirth, isExec } from "./home-exec.ts";
import type { HomeProcess } from "./home-process.ts";
import type { HostLink } from "./home-types.ts";
import type { CallFrame } from "./hot-frames.ts";
import { Sys } from "./numbers.ts";
import { restOfCall } from "./partial-writes.ts";
import { Postponed } from "./postponed.ts";
import { Rests } from "./rests.ts";
import { OPENING } from "./own-view-files.ts";
import { isAllowed, type Reach } from "./reaches.ts";
import { bringsShared, bringsSignalfd } from "./received-fds.ts";
import { signalOf } from "./guest-build.ts";
import { isThreadDirected, isOfThread, signalBit, STOPPING } from "./signals.ts";
import { BEARABLE } from "./signals-at-home.ts";

const SIGTRAP = 5;
const SIGSTOP = 19;
/** A deputy that is to end its call is interrupted again after so long: it begins one within microseconds. */
const CUT_AGAIN_MS = 1;
/** From one look whether a process is home whose memory is wanted to the next. */
const TARGET_POLL_MS = 5;
/** A program that gets signals without end is moved all the same. */
const FLOOD = 4;
/** SIGTTIN and SIGTTOU: a background process that blocks them may use its terminal (drivers/tty/tty_jobctrl.c). */
const TTY_SIGNALS = (1n << 20n) | (1n << 21n);

/** It ends in the middle of a call, which then matters no more. */
const endsInIt = (): void => {};

/** A call that the deputy is making for its guest. */
interface Flight {
  readonly seq: number;
  /** It was stopped meanwhile, which has ended it if it waited. */
  stopped: boolean;
  /** It is to end: a handler waits for that. */
  ends: boolean;
}

/** An original thread whose user side is away, or about to be: its stops, its signals, the calls that it makes. */
export class HomeThread {
  readonly process: HomeProcess;
  readonly tid: number;
  readonly ticket: number;
  readonly deputy: Deputy;
  private readonly ahead: AheadAtHome;
  private readonly log: Log;
  /** A signal-delivery-stop that waits for the verdict of a guest: this thread's, or the leader's. */
  private held: { readonly seq: number; readonly signal: number; readonly asked: HomeThread } | null = null;
  /** Signals that the engine sends itself for their default action, with what they say. */
  private readonly through = new Map<number, Uint8Array>();
  inFlight: Flight | null = null;
  /** The call in flight, where that is on the memory of another process. */
  private reach: Reach | null = null;
  /** Its deputy's. */
  private mask = 0n;
  /** Where blocked signals wait at home: what the guest's thread blocks, as far as it has told. */
  borne = 0n;
  /** Job control has stopped it. */
  stopped = false;
  readonly postponed: Postponed;
  /** A signal that stops was delivered for the guest, which waits to hear whether it did. */
  private stopAsked = false;
  /** The call in flight is to be ended. */
  cutting = false;
  /** Someone waits for the deputy to stop in order to take it over. */
  private taking: { resolve: () => void; reject: (e: Error) => void; patience: number } | null = null;
  /** Tells one take-over from the next. */
  private takeOvers = 0;
  private idle: (() => void)[] = [];
  private readonly rests: Rests;
  over = false;

  constructor(process: HomeProcess, deputy: Deputy, ticket: number, stopRequested: boolean) {
    this.process = process;
    this.deputy = deputy;
    this.ahead = new AheadAtHome(deputy);
    this.tid = deputy.tid;
    this.ticket = ticket;
    this.log = process.log;
    this.postponed = new Postponed(stopRequested);
    this.rests = new Rests(this.tid, () => this.trap());
    process.tracees.claim(this.tid, (s) => this.guarded(() => this.onStop(s)));
  }

  private guarded(work: () => void): void {
    forOne(this.tid, (reason) => this.process.kill(reason), work);
  }

  get isLeader(): boolean {
    return this.tid === this.process.pid;
  }

  // --- stops of the deputy

  private onStop(s: WaitStatus): void {
    if (this.inFlight) this.inFlight.stopped = true;
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

  /** It has ended, or serves no more. */
  end(): void {
    if (this.over) return;
    this.over = true;
    this.process.tracees.release(this.tid);
    this.taking?.resolve();
    this.taking = null;
    this.inFlight = null;
    this.reach?.[Symbol.dispose]();
    this.reach = null;
    for (const wake of this.idle.splice(0)) wake();
    this.process.ended(this);
  }

  /** A signal that comes while it is stopped in its loop. */
  onSignal(signal: number): void {
    const { process, tid } = this;
    const info = ptrace.getSiginfo(tid);
    if (process.stillborn.tellsOf(info)) return void this.goOn(0);
    const own = this.through.get(signal);
    if (own && isThreadDirected(info)) {
      this.through.delete(signal);
      ptrace.setSiginfo(tid, own);
      // Nothing comes of a stop in a process group that nobody would continue: then there is a trap instead.
      this.stopAsked = STOPPING.has(signal);
      this.goOn(signal);
      return;
    }
    // The kernel gives what is for all threads to any of them; that one's guest is asked which is bound to be there.
    // Where deputies bear the masks of their guests' threads, the kernel has picked the right one.
    const asked = process.signalsAtHome || this.isLeader || isOfThread(info, process.pid, tid) ? this : process.leader;
    if (process.phase !== "away" || !process.host) {
      // All are blocked while the process moves; these were on their way before.
      asked.postponed.keep(info);
      this.goOn(0);
      return;
    }
    if (signal === SIGSTOP) {
      this.goOn(signal);
      return;
    }
    const seq = process.nextSignal();
    this.held = { seq, signal, asked };
    this.rests.comes(info);
    process.host.signal(asked.ticket, seq, info);
  }

  /**
   * From any stop but the one of an interrupt. Who wants to take the deputy over waits for that, and its interrupt may be lost: the
   * kernel forgets one that it has not acted on yet when the thread stops for another reason, as it does at the end of a fork.
   */
  private goOn(signal: number): void {
    if (this.taking || this.stopAsked || this.cutting || this.rests.isOver) ptrace.interrupt(this.tid);
    ptrace.cont(this.tid, signal);
  }

  private onGroupStop(): void {
    this.stopped = true;
    this.stopAsked = false;
    this.process.host?.pause(this.ticket, true);
    ptrace.listen(this.tid);
    this.taking?.reject(this.isStoppedError());
    this.taking = null;
  }

  isStoppedError(): TeselaError {
    const { pid } = this.process;
    return new TeselaError("E_CANTMOVE", `process ${pid} is stopped; continue it first`, { reasons: ["stopped"] });
  }

  private onTrap(): void {
    this.rests.end(this.process.phase === "away" ? this.mask : ALL_SIGNALS);
    if (this.stopped || this.stopAsked) {
      this.stopped = false;
      this.stopAsked = false;
      this.process.host?.pause(this.ticket, false);
    }
    const { taking } = this;
    if (taking && this.inFlight && taking.patience-- > 0 && signalWaits(this.tid)) {
      // It has interrupted the call in flight, so the guest had better hear of it before it hears of the call. In a flood it hears later.
      // Should another thread have taken it, the stop is asked for again.
      ptrace.cont(this.tid);
      if (this.process.threads.size > 1) this.cutSoon();
      return;
    }
    if (taking) {
      this.process.phase = "moving";
      ptrace.setSigmask(this.tid, ALL_SIGNALS);
    }
    if (taking || this.cutting) this.cutInFlight();
    ptrace.cont(this.tid);
    this.taking = null;
    taking?.resolve();
  }

  /** A handler waits for the end of the call that its guest has sent, made here already or not. */
  endCall(from: HomeThread): void {
    if (from !== this) {
      this.hurry();
      return;
    }
    this.process.hurryDeparting(this);
    if (this.inFlight) this.inFlight.ends = true;
    this.cutInFlight();
  }

  /** The call in flight is to end, though this is no stop of its deputy. */
  hurry(): void {
    this.process.hurryDeparting(this);
    if (!this.inFlight || this.over) return;
    this.inFlight.ends = true;
    this.cutting = true;
    this.trap();
  }

  /** Stops the deputy, unless it is: then it traps when it goes on. */
  private trap(): void {
    if (!this.over && !this.stopped && !this.held) this.guarded(() => ptrace.interrupt(this.tid));
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
    setTimeout(() => this.inFlight === inFlight && this.cutting && this.trap(), CUT_AGAIN_MS);
  }

  /** Whether it waits for this verdict. */
  isHeldFor(seq: number): boolean {
    return this.held?.seq === seq;
  }

  /** A guest's answer to the signal that it was asked about. */
  verdict(verdict: Verdict): void {
    const { held, process, tid } = this;
    if (!held || process.phase === "gone") return;
    if (process.becoming && verdict !== "deliver" && verdict !== "stay") process.becoming.spoilt = true;
    this.held = null;
    try {
      if (verdict === "deliver" && wantsCore(process.pid, held.signal)) {
        const info = ptrace.getSiginfo(tid);
        this.goOn(0);
        process.onHomeSignal(info, held.asked);
        return;
      }
      if (verdict === "stay") {
        this.putOff(held.signal);
        return;
      }
      if (verdict === "later") held.asked.postponed.keep(ptrace.getSiginfo(tid));
      if (verdict === "handled") held.asked.endCall(this);
      this.rests.begin(this.mask);
      this.goOn(verdict === "deliver" ? held.signal : 0);
    } catch (e) {
      if (!isGone(e)) throw e;
    }
  }

  /** Its guest's thread has this mask. */
  bear(mask: bigint): bigint {
    if (this.process.signalsAtHome) this.borne = mask & BEARABLE;
    return this.process.signalsAtHome ? this.borne : mask & TTY_SIGNALS;
  }

  blocks(info: Uint8Array): boolean {
    return (this.borne & signalBit(signalOf(info))) !== 0n;
  }

  /** A signal whose delivery stops it is blocked by the guest: it stays in its queue, before those of its number that came later. */
  private putOff(signal: number): void {
    const bit = signalBit(signal);
    this.borne |= bit;
    this.mask |= bit;
    const info = ptrace.getSiginfo(this.tid);
    ptrace.setSigmask(this.tid, this.mask);
    const queues = [...ptrace.peekSiginfo(this.tid, false), ...ptrace.peekSiginfo(this.tid, true)];
    if (!queues.some((other) => signalOf(other) === signal)) {
      // The kernel puts back what is blocked by then, at the end of its queue (kernel/signal.c, ptrace_signal).
      this.goOn(signal);
      return;
    }
    this.postponed.keep(info);
    this.goOn(0);
    this.hurry();
    this.process.borne.settle(this);
  }

  /** The guest's own signal takes its default action: the process dies, or stops, of it here. */
  raise(signal: number, info: Uint8Array): void {
    const { pid } = this.process;
    if (wantsCore(pid, signal)) {
      this.process.onHomeSignal(info, this);
      return;
    }
    this.through.set(signal, Buffer.from(info));
    libc.syscall("tgkill", Sys.tgkill, pid, this.tid, signal);
  }

  // --- calls for the guest

  /** Makes a call for the guest. While the process moves it is told to make it again, unless it is half done. */
  call(frame: CallFrame): void {
    const { process, deputy } = this;
    const { host } = process;
    if (!host) return;
    const moving = process.phase === "moving";
    if (process.phase !== "away" && !(moving && frame.continues)) {
      host.reply(this.ticket, frame.seq, Restart.NOINTR, []);
      return;
    }
    if (process.departing) {
      process.departing.push({ thread: this, frame });
      return;
    }
    process.calls++;
    const nr = Number(Buffer.from(frame.request.buffer, frame.request.byteOffset, 8).readBigInt64LE(0));
    const mask = this.bear(frame.sigmask);
    if (isExec(nr)) {
      becomeProgram(this, frame, host, mask).catch((e: unknown) => process.kill(`an error in its engine: ${String(e)}`));
      return;
    }
    if (mask !== this.mask && !moving) void this.setMask(mask);
    if (frame.blob.length > 0) deputy.poke(deputy.buffer, frame.blob);
    const own = process.ownView.readBy(nr, frame);
    if (own !== null) return void this.readOwnView(host, frame, nr, own);
    const flight: Flight = { seq: frame.seq, stopped: false, ends: frame.hurried };
    this.inFlight = flight;
    process.times?.began(frame.seq);
    const request = Buffer.from(frame.request);
    // Behind the call, so that nothing is older than what that tells.
    const ahead = frame.ahead.length > 0 && !moving && !frame.hurried ? this.ahead.place(nr, frame.ahead) : 0;
    request.writeUInt32LE(ahead, REQUEST_AHEAD);
    const reach = process.reaches.begin(request);
    this.reach = reach;
    this.invoke(request, flight, 0n, (result) => {
      process.times?.ended(frame.seq);
      this.inFlight = null;
      this.cutting = false;
      reach?.[Symbol.dispose]();
      this.reach = null;
      this.guarded(() => {
        // From the next move on it can read its signals there.
        if (!process.signalsAtHome && bringsSignalfd(deputy, nr, frame.request, result)) process.onBack("signalfd", nr);
        if (reach?.other && isAllowed(result)) {
          // The call is tried again and again until the other is home: each time it may have ended, or be another process.
          reach.other.onBack("process_vm", nr);
          setTimeout(() => process.host?.reply(this.ticket, frame.seq, Restart.NOINTR, []), TARGET_POLL_MS);
          return;
        }
        if (process.group && bringsShared(process.group, deputy, nr, frame.request, result)) process.onBack("shared_memory", nr);
        const reason = result >= 0n ? whyNotOpen(process, nr, result) : null;
        if (reason !== null) {
          void deputy.call(Sys.close, result).then(
            () => this.refuse(host, frame.seq, nr, reason),
            (e: unknown) => this.log.warn("a process ended in an open", { pid: process.pid, error: String(e) }),
          );
        } else {
          const out = collect(process.pid, deputy.buffer, frame, result);
          if (ahead > 0) out.push(...this.ahead.answers(result));
          host.reply(this.ticket, frame.seq, result, out);
        }
      });
      for (const wake of this.idle.splice(0)) wake();
    });
    // All of it is in the deputy's buffer, and the request in its socket.
    host.release(frame.blob);
    if (moving || frame.hurried) this.cutSoon();
  }

  /** Makes it, and once more for what a call has left that was stopped for nothing that its program hears of. */
  private invoke(request: Buffer, flight: Flight, before: bigint, done: (result: bigint) => void): void {
    const { process, deputy } = this;
    deputy.invoke(request, (got) => {
      const result = flight.stopped ? filledRequest(deputy.pid, request, got) : got;
      const goesOn = flight.stopped && !flight.ends && process.phase === "away";
      const rest = goesOn ? restOfCall(deputy, request, result) : null;
      if (rest) this.invoke(rest, flight, before + result, done);
      else if (before > 0n) done(result > 0n ? before + result : before);
      else done(result);
    });
  }

  /** It is the new program now, stopped before its first instruction, and nobody's deputy any more. */
  private onExec(): void {
    const { becoming } = this.process;
    if (!becoming) {
      ptrace.cont(this.tid);
      return;
    }
    ptrace.setSigmask(this.tid, becoming.sigmask);
    this.end();
    this.process.onProgram();
  }

  /** Only at home can it go on: it is brought there and makes the call again. */
  private refuse(host: HostLink, seq: number, nr: number, reason = "own_view"): void {
    this.process.onBack(reason, nr);
    host.reply(this.ticket, seq, Restart.NOINTR, []);
  }

  /** A read of a file that shows the process itself: answered in the kernel's place. */
  private async readOwnView(host: HostLink, frame: CallFrame, nr: number, path: string): Promise<void> {
    this.inFlight = { seq: frame.seq, stopped: false, ends: true };
    const answer = await this.process.ownView.read(this.deputy, nr, frame, path).catch((e: unknown) => {
      this.log.info("a process's own view cannot be told while it is away", { pid: this.process.pid, path, error: String(e) });
      return null;
    });
    this.inFlight = null;
    if (answer) host.reply(this.ticket, frame.seq, answer.result, [answer.bytes]);
    else this.refuse(host, frame.seq, nr);
    for (const wake of this.idle.splice(0)) wake();
  }

  async setMask(mask: bigint): Promise<void> {
    this.mask = mask;
    await this.deputy.setMask(mask).catch(endsInIt);
  }

  // --- moving

  /** Ends what the deputy is doing and takes it over for a move; calls that come meanwhile are sent back. */
  async takeOver(): Promise<void> {
    if (this.stopped) throw this.isStoppedError();
    const mine = ++this.takeOvers;
    await new Promise<void>((resolve, reject) => {
      this.taking = { resolve, reject, patience: FLOOD };
      // Held by a signal, it traps once the guest has said what becomes of that.
      ptrace.interrupt(this.tid);
    });
    if (this.inFlight) await new Promise<void>((resolve) => this.idle.push(resolve));
    // A mask that it was told to set before may have come after the stop.
    if (!this.over && this.takeOvers === mine) await this.setMask(ALL_SIGNALS);
  }

  /** The deputy is not taken over after all. */
  giveUpTakeOver(): void {
    this.takeOvers++;
    this.taking = null;
  }

  /** Begins a call and interrupts it, so that its restart block is this kernel's own: for a sleep that goes on here. */
  async beginAndCut(nr: number, args: readonly bigint[]): Promise<bigint> {
    const result = this.deputy.call(nr, ...args);
    this.inFlight = { seq: -1, stopped: false, ends: true };
    this.cutSoon();
    try {
      return await result;
    } finally {
      this.inFlight = null;
      this.cutting = false;
    }
  }

  /** The end of the process, by one of its threads. */
  exitAll(code: number): void {
    this.deputy.call(Sys.exitGroup, code).catch(endsInIt);
  }
}

/** creat(2), open_by_handle_at(2). */
const OPENING_TOO: ReadonlySet<number> = new Set([85, 304]);

/** Why a process may not have a descriptor that it has just got: what that shows is not at home. */
function whyNotOpen({ ownView, group, pid }: HomeProcess, nr: number, fd: bigint): string | null {
  if (ownView.refuses(nr, fd)) return "own_view";
  return group && (OPENING.has(nr) || OPENING_TOO.has(nr)) && group.isOpenedBy(pid, fd) ? "shared_memory" : null;
}
