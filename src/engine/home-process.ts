import { type Log, TeselaError } from "../base/mod.ts";
import { dropPages, type Image } from "../image/mod.ts";
import { isEnd, isErrno, libc, proc, ptrace, type Tracees, type WaitStatus } from "../sys/mod.ts";
import { type Deputy, findSyscall, injectAt } from "./deputy.ts";
import { ALL_SIGNALS, type Frozen, isGone, pendingSignals, Restart, resumeRegs, signalWaits } from "./freeze.ts";
import { forOne } from "./guard.ts";
import { signalOf } from "./guest-build.ts";
import type { Verdict } from "./guest-types.ts";
import type { HostLink, Phase } from "./home-types.ts";
import type { CallFrame } from "./hot-frames.ts";
import { forgetPending, isInOrder, putBack, putFirst } from "./home-queue.ts";
import { Sys } from "./numbers.ts";
import { openedOwnView } from "./own-view-files.ts";
import { pieces } from "./release.ts";
import { signalBit, STOPPING } from "./signals.ts";

const SIGTRAP = 5;
const SIGCONT = 18;
const SIGSTOP = 19;
const SI_CODE = 8;
const SI_TKILL = -6;
/** A deputy that is to end its call is interrupted again after so long: it begins one within microseconds. */
const CUT_AGAIN_MS = 1;
const SIG_SETMASK = 2;
/** Offset in the deputy's scratch pages. */
const MASK_AT = 0x1000n;
/** SIGTTIN and SIGTTOU: a background process that blocks them may use its terminal (drivers/tty/tty_jobctrl.c). */
const TTY_SIGNALS = (1n << 20n) | (1n << 21n);
const RSEQ_FLAG_UNREGISTER = 1;

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
  private signalSeq = 0;
  /** A signal-delivery-stop that waits for the guest's verdict. */
  private held: { seq: number; signal: number } | null = null;
  /** Signals that the engine sends itself for their default action, with what they say. */
  private readonly through = new Map<number, Uint8Array>();
  private inFlight: { readonly seq: number } | null = null;
  /** Calls that came while memory is given back: one of them might block the deputy for long. */
  private departing: CallFrame[] | null = null;
  private ttyMask = 0n;
  private stopped = false;
  /** Signals that came while the guest was on the move. */
  private postponed: Buffer[] = [];
  private stopRequested: boolean;
  /** A signal that stops was delivered for the guest, which waits to hear whether it did. */
  private stopAsked = false;
  /** The call in flight is to be ended. */
  private cutting = false;
  /** Someone waits for the deputy to stop in order to take it over. */
  private taking: { resolve: () => void; reject: (e: Error) => void } | null = null;
  private idle: (() => void)[] = [];
  readonly exited: Promise<void>;
  private resolveExited: () => void = () => {};
  calls = 0;

  constructor(o: {
    deputy: Deputy;
    frozen: Pick<Frozen, "stopRequested">;
    ticket: number;
    tracees: Tracees;
    log: Log;
    onGone: (p: HomeProcess) => void;
  }) {
    this.pid = o.deputy.pid;
    this.deputy = o.deputy;
    this.ticket = o.ticket;
    this.tracees = o.tracees;
    this.log = o.log;
    this.onGone = o.onGone;
    this.stopRequested = o.frozen.stopRequested;
    this.exited = new Promise((resolve) => {
      this.resolveExited = resolve;
    });
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
        else this.onTrap();
        return;
      case "syscall":
        ptrace.cont(this.pid);
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
    this.resolveExited();
    this.onGone(this);
  }

  private onSignal(signal: number): void {
    const info = ptrace.getSiginfo(this.pid);
    const own = this.through.get(signal);
    if (own && info.readInt32LE(SI_CODE) === SI_TKILL) {
      this.through.delete(signal);
      ptrace.setSiginfo(this.pid, own);
      // Nothing comes of a stop in a process group that nobody would continue: then there is a trap instead.
      this.stopAsked = STOPPING.has(signal);
      this.goOn(signal);
      return;
    }
    if (this.phase !== "away" || !this.host) {
      // All are blocked while the process moves; these were on their way before.
      this.postpone(info);
      ptrace.cont(this.pid);
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

  /** From a signal's stop; who wants to take the deputy over waits for another. */
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
    if (taking && this.inFlight && signalWaits(this.pid)) {
      // It has interrupted the call in flight, so the guest must hear of it before it hears of the call.
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
    const { signal } = this.held;
    this.held = null;
    try {
      if (verdict === "deliver" && this.wantsCore(signal)) {
        const info = ptrace.getSiginfo(this.pid);
        this.goOn(0);
        this.onHomeSignal(info);
        return;
      }
      if (verdict === "later") this.postpone(ptrace.getSiginfo(this.pid));
      if (verdict === "handled") this.cutInFlight();
      this.goOn(verdict === "deliver" ? signal : 0);
    } catch (e) {
      if (!isGone(e)) throw e;
    }
  }

  /** The guest's own signal takes its default action: the process dies, or stops, of it here. */
  raise(signal: number, info: Uint8Array): void {
    if (this.wantsCore(signal)) {
      this.onHomeSignal(info);
      return;
    }
    this.through.set(signal, Buffer.from(info));
    libc.syscall("tgkill", Sys.tgkill, this.pid, this.pid, signal);
  }

  /** A core file must hold the program's memory, so it can be written at home only. */
  private wantsCore(signal: number): boolean {
    if (!DUMPING.has(signal)) return false;
    return (proc.readLimits(this.pid).get("Max core file size")?.[0] ?? 0n) !== 0n;
  }

  // --- calls for the guest

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
    const tty = frame.sigmask & TTY_SIGNALS;
    if (tty !== this.ttyMask && !moving) void this.setMask(tty);
    if (frame.blob.length > 0) this.deputy.poke(this.deputy.buffer, frame.blob);
    this.inFlight = { seq: frame.seq };
    const nr = Number(Buffer.from(frame.request.buffer, frame.request.byteOffset, 8).readBigInt64LE(0));
    this.deputy.invoke(Buffer.from(frame.request), (result) => {
      this.inFlight = null;
      this.cutting = false;
      this.guarded(() => {
        if (result >= 0n && openedOwnView(this.pid, nr, result)) this.refuseOwnView(host, frame.seq, nr, result);
        else host.reply(this.ticket, frame.seq, result, this.deputy.collect(frame.outs, result));
      });
      for (const wake of this.idle.splice(0)) wake();
    });
    if (moving || frame.hurried) this.cutSoon();
  }

  private refuseOwnView(host: HostLink, seq: number, nr: number, fd: bigint): void {
    this.deputy.call(Sys.close, fd).then(
      () => {
        this.onBack("own_view", nr);
        host.reply(this.ticket, seq, Restart.NOINTR, []);
      },
      (e: unknown) => this.log.warn("a process ended in an open", { pid: this.pid, error: String(e) }),
    );
  }

  private async setMask(mask: bigint): Promise<void> {
    this.ttyMask = mask;
    const word = Buffer.alloc(8);
    word.writeBigUInt64LE(mask);
    // Not in the buffer, which may hold the next call's data already, nor where signals are laid out meanwhile.
    const at = this.deputy.scratch + MASK_AT;
    this.deputy.poke(at, word);
    await this.deputy.call(Sys.rtSigprocmask, SIG_SETMASK, at, 0, 8).catch(() => {
      // It ends: its mask matters no more.
    });
  }

  // --- moving

  /** The process is away from now on: its memory here is given back, its signals are asked about. */
  async depart(host: HostLink, image: Image): Promise<void> {
    this.host = host;
    this.phase = "away";
    this.deputy.setCommitted(true);
    this.departing ??= [];
    const thread = image.threads[0];
    const list = [
      ...(thread?.rseq
        ? [{ nr: Sys.rseq, args: [thread.rseq.pointer, thread.rseq.size, RSEQ_FLAG_UNREGISTER, thread.rseq.signature] }]
        : []),
      { nr: Sys.setRobustList, args: [0, ROBUST_HEAD] },
      { nr: Sys.setTidAddress, args: [0] },
    ];
    try {
      await this.deputy.calls(list);
      await forgetPending(this.deputy, [...image.pending, ...(thread?.pending ?? [])], this.log);
      await this.release(image);
      await this.unblock();
    } finally {
      const waiting = this.departing ?? [];
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
    this.host = host;
    this.phase = "away";
    await this.unblock();
  }

  /** From now on its signals are asked about: its guest runs. */
  private async unblock(): Promise<void> {
    await putFirst(this.deputy, this.postponed.splice(0), this.log);
    // A stop first, while a continuation that comes behind it is still kept: then the deputy goes on with its mask.
    const stop = this.wantsStop();
    if (stop) libc.kill(this.pid, SIGSTOP);
    const unblocked = this.setMask(0n);
    if (!stop) await unblocked;
  }

  /** Gives the pages back, but those with the arguments and the environment, which ps(1) reads. */
  async release(image: Image): Promise<void> {
    const keepFrom = image.mm.argStart & ~0xfffn;
    const keepTo = (image.mm.envEnd + 0xfffn) & ~0xfffn;
    for (const piece of pieces(image.vmas, keepFrom, keepTo)) {
      if (this.phase !== "away") return;
      const call = dropPages(piece);
      const r = await this.deputy.call(call.nr, ...call.args);
      if (isErrno(r)) this.log.warn("memory at home was not given back", { pid: this.pid, start: piece.start, errno: Number(-r) });
    }
  }

  /** Ends what the deputy is doing and takes it over for a move; calls that come meanwhile are sent back. */
  async takeOver(): Promise<void> {
    if (this.phase === "gone") throw new TeselaError("E_GONE", `process ${this.pid} ended`);
    if (this.stopped) throw this.isStoppedError();
    await new Promise<void>((resolve, reject) => {
      this.taking = { resolve, reject };
      // Held by a signal, it traps once the guest has said what becomes of that.
      ptrace.interrupt(this.pid);
    });
    if (this.inFlight) await new Promise<void>((resolve) => this.idle.push(resolve));
    if ((this.phase as Phase) === "gone") throw new TeselaError("E_GONE", `process ${this.pid} ended`);
    // A mask that it was told to set before may have come after the stop.
    await this.setMask(ALL_SIGNALS);
  }

  /** The deputy is not taken over after all. */
  giveUpTakeOver(): void {
    this.taking = null;
  }

  /** Keeps a signal until the move is over. A stop and a continuation undo each other, as in the kernel's queue (signal(7)). */
  postpone(info: Uint8Array): void {
    const signal = signalOf(info);
    if (signal === SIGSTOP || signal === SIGCONT) {
      this.stopRequested = signal === SIGSTOP;
      this.postponed = this.postponed.filter((i) => signalOf(i) !== SIGCONT);
    }
    if (signal !== SIGSTOP) this.postponed.push(Buffer.from(info));
  }

  /** A move that failed: the process stays where it was. `thaw` makes the guest run, which must be before it is asked about signals. */
  async resumeAway(thaw: () => Promise<unknown>): Promise<void> {
    if (this.phase !== "moving") return;
    this.deputy.setCommitted(true);
    this.phase = "away";
    await thaw();
    await this.unblock();
  }

  /** Whether a SIGSTOP that was held back still stands: a later SIGCONT, blocked with all signals, undoes it (signal(7)). */
  private wantsStop(): boolean {
    const wanted = this.stopRequested && (pendingSignals(this.pid) & signalBit(SIGCONT)) === 0n;
    this.stopRequested = false;
    return wanted;
  }

  /**
   * Makes it an ordinary, untraced process again that goes on with these registers. Its memory is as it should be.
   * @param pending signals that its guest had pending
   */
  async leave(frozen: Pick<Frozen, "regs" | "xstate" | "sigmask" | "restart">, pending: readonly Uint8Array[] = []): Promise<void> {
    const older = [...pending, ...this.postponed.splice(0)];
    const regs = resumeRegs(frozen);
    for (;;) {
      await putBack(this.deputy, older, this.log);
      // What it was told before without waiting for the result is done, too.
      await this.deputy.call(Sys.getpid);
      await this.stopIdle();
      const late = this.postponed.splice(0);
      older.push(...late);
      if (older.length === 0) break;
      if (late.length === 0 && isInOrder([...ptrace.peekSiginfo(this.pid, false), ...ptrace.peekSiginfo(this.pid, true)], older)) break;
      ptrace.cont(this.pid);
    }
    this.phase = "gone";
    try {
      ptrace.setXstate(this.pid, frozen.xstate);
      const at = findSyscall(this.pid);
      const thread = { tid: this.pid, stopRequested: this.stopRequested };
      injectAt(this.tracees, thread, at, regs, Sys.close, [this.deputy.fd]);
      injectAt(this.tracees, thread, at, regs, Sys.munmap, [this.deputy.base, this.deputy.extent.end - this.deputy.extent.start]);
      this.stopRequested = thread.stopRequested;
      ptrace.setRegs(this.pid, regs.bytes);
      ptrace.setSigmask(this.pid, frozen.sigmask);
      if (this.wantsStop()) libc.kill(this.pid, SIGSTOP);
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

  /** Stops the deputy in its loop. */
  private async stopIdle(): Promise<void> {
    this.tracees.release(this.pid);
    ptrace.interrupt(this.pid);
    for (;;) {
      const s = await new Promise<WaitStatus>((resolve) => this.tracees.claim(this.pid, resolve));
      this.tracees.release(this.pid);
      if (isEnd(s)) {
        this.end();
        throw new TeselaError("E_GONE", `process ${this.pid} ended`);
      }
      if (s.kind === "event" && s.event === ptrace.Event.STOP) return;
      if (s.kind === "signal") this.onSignal(s.signal);
      else ptrace.cont(this.pid);
    }
  }

  /** The guest is lost, and with it the program: the process ends as if killed. */
  kill(reason: string): void {
    if (this.phase === "gone") return;
    this.log.error("a process lost its user area and was killed", { pid: this.pid, reason });
    libc.kill(this.pid, 9);
  }

  /** The program's own end. */
  exit(code: number): void {
    this.deputy.call(Sys.exitGroup, code).catch(() => {
      // It ends in the middle of this call: that is what was asked for.
    });
  }
}

const ROBUST_HEAD = 24;
const DUMPING: ReadonlySet<number> = new Set([3, 4, 5, 6, 7, 8, 11, 24, 25, 31]);
