import { setTimeout as sleep } from "node:timers/promises";
import { type Log, TeselaError } from "../base/mod.ts";
import { dropPages, fitXstate, type Image } from "../image/mod.ts";
import { isEnd, isErrno, libc, NO_SYSCALL, proc, ptrace, Reg, Regs, type Tracees, type WaitStatus } from "../sys/mod.ts";
import { type Deputy, findSyscall, injectAt } from "./deputy.ts";
import { ALL_SIGNALS, type Frozen, isGone, pendingSignals, Restart, resumeRegs, signalWaits } from "./freeze.ts";
import { forOne } from "./guard.ts";
import type { Verdict } from "./guest-types.ts";
import { collect } from "./collect.ts";
import { wantsCore } from "./core-files.ts";
import type { CallFrame } from "./hot-frames.ts";
import { Sys } from "./numbers.ts";
import type { HostLink, Phase } from "./home-types.ts";
import { OwnViewFiles } from "./own-view-files.ts";
import { pieces } from "./release.ts";
import { signalOf } from "./guest-build.ts";
import { signalBit } from "./signals.ts";
import type { HomeTimes } from "./traces.ts";

const SIGTRAP = 5;
const SIGCONT = 18;
const SIGSTOP = 19;
const SI_CODE = 8;
const SI_TKILL = -6;
/** A deputy that is to end its call is interrupted again after so long. */
const INTERRUPT_MS = 20;
const SIG_SETMASK = 2;
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
  private inFlight: { readonly seq: number /** It must not wait for anything. */; readonly hurried: boolean } | null = null;
  /** Calls that came while memory is given back: one of them might block the deputy for long. */
  private departing: CallFrame[] | null = null;
  private ttyMask = 0n;
  private stopped = false;
  /** Signals that came while the guest was on the move. */
  private postponed: Buffer[] = [];
  private stopRequested = false;
  /** Someone waits for the deputy to stop in order to take it over. */
  private taking: { resolve: () => void; reject: (e: Error) => void } | null = null;
  private idle: (() => void)[] = [];
  readonly exited: Promise<void>;
  private resolveExited: () => void = () => {};
  calls = 0;
  private readonly ownView: OwnViewFiles;
  /** Kept while somebody watches its calls. */
  times: HomeTimes | null = null;

  constructor(o: { deputy: Deputy; ticket: number; tracees: Tracees; log: Log; onGone: (p: HomeProcess) => void }) {
    this.pid = o.deputy.pid;
    this.deputy = o.deputy;
    this.ticket = o.ticket;
    this.tracees = o.tracees;
    this.log = o.log;
    this.onGone = o.onGone;
    this.ownView = new OwnViewFiles(o.deputy, (strings) => this.host?.view(this.ticket, strings) ?? Promise.resolve(null));
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
      this.goOn(signal);
      return;
    }
    if (this.phase !== "away" || !this.host) {
      // All are blocked while the process moves; these were on their way before.
      if (signal === SIGSTOP) this.stopRequested = true;
      else this.postponed.push(info);
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
    ptrace.cont(this.pid, signal);
    if (this.taking) ptrace.interrupt(this.pid);
  }

  private onGroupStop(): void {
    this.stopped = true;
    this.host?.pause(this.ticket, true);
    ptrace.listen(this.pid);
    this.taking?.reject(this.isStoppedError());
    this.taking = null;
  }

  private isStoppedError(): TeselaError {
    return new TeselaError("E_CANTMOVE", `process ${this.pid} is stopped; continue it first`, { reasons: ["stopped"] });
  }

  private onTrap(): void {
    if (this.stopped) {
      this.stopped = false;
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
    if (this.phase === "moving" || this.inFlight?.hurried) this.cutCall();
    ptrace.cont(this.pid);
    this.taking = null;
    taking?.resolve();
  }

  /** Ends a call in flight that this stop has interrupted: its result, a restart code, goes to the guest. */
  private cutCall(): void {
    const regs = new Regs();
    ptrace.getRegs(this.pid, regs.bytes);
    if (regs.get(Reg.rip) !== this.deputy.callReturn || regs.syscallNumber < 0) return;
    const r = regs.result;
    if (r > Restart.SYS || r < Restart.BLOCK) return;
    regs.set(Reg.origRax, NO_SYSCALL);
    ptrace.setRegs(this.pid, regs.bytes);
  }

  /** The guest's answer to a signal that it was asked about. */
  verdict(seq: number, verdict: Verdict): void {
    if (this.held?.seq !== seq || this.phase === "gone") return;
    const { signal } = this.held;
    this.held = null;
    try {
      if (verdict === "deliver" && wantsCore(this.pid, signal)) {
        const info = ptrace.getSiginfo(this.pid);
        this.cutCall();
        this.goOn(0);
        this.onHomeSignal(info);
        return;
      }
      if (verdict === "later") this.postponed.push(ptrace.getSiginfo(this.pid));
      if (verdict === "handled") this.cutCall();
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
    const nr = Number(Buffer.from(frame.request.buffer, frame.request.byteOffset, 8).readBigInt64LE(0));
    const own = this.ownView.readBy(nr, frame);
    if (own !== null) return void this.readOwnView(host, frame, nr, own);
    this.inFlight = { seq: frame.seq, hurried: frame.hurried };
    this.times?.began(frame.seq);
    this.deputy.invoke(Buffer.from(frame.request), (result) => {
      this.times?.ended(frame.seq);
      this.inFlight = null;
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
    if (moving || frame.hurried) this.hurry(frame.seq).catch((e: unknown) => this.whileGoing(e));
  }

  /** An error of something that nobody waits for: the end of the process is none. */
  private whileGoing(e: unknown): void {
    if (!isGone(e)) this.kill(`its home lost track of it: ${String(e)}`);
  }

  /** Interrupts a call until it is over. Interrupted once, the deputy may still have been on its way into the call. */
  private async hurry(seq: number): Promise<void> {
    while (this.inFlight?.seq === seq) {
      await Promise.race([new Promise<void>((resolve) => this.idle.push(resolve)), sleep(INTERRUPT_MS)]);
      if (this.inFlight?.seq === seq && (this.phase as Phase) !== "gone") ptrace.interrupt(this.pid);
    }
  }

  /** Only at home can it go on: it is brought there and makes the call again. */
  private refuse(host: HostLink, seq: number, nr: number): void {
    this.onBack("own_view", nr);
    host.reply(this.ticket, seq, Restart.NOINTR, []);
  }

  /** A read of a file that shows the process itself: answered in the kernel's place. */
  private async readOwnView(host: HostLink, frame: CallFrame, nr: number, path: string): Promise<void> {
    this.inFlight = { seq: frame.seq, hurried: frame.hurried };
    const answer = await this.ownView.read(nr, frame, path).catch((e: unknown) => {
      this.log.info("a process's own view cannot be told while it is away", { pid: this.pid, path, error: String(e) });
      return null;
    });
    this.inFlight = null;
    if (answer) host.reply(this.ticket, frame.seq, answer.result, [answer.bytes]);
    else this.refuse(host, frame.seq, nr);
    for (const wake of this.idle.splice(0)) wake();
  }

  private async setMask(mask: bigint): Promise<void> {
    this.ttyMask = mask;
    const word = Buffer.alloc(8);
    word.writeBigUInt64LE(mask);
    // The scratch page: the buffer may hold the next call's data already.
    const at = this.deputy.scratch;
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
    const diet = this.deputy.calls(list);
    const unblocked = this.unblock();
    try {
      await diet;
      await unblocked;
      await this.release(image);
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
    const stop = this.wantsStop();
    await this.requeue(this.postponed.splice(0));
    await this.setMask(0n);
    if (stop) libc.kill(this.pid, SIGSTOP);
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
    if (this.inFlight) await this.hurry(this.inFlight.seq);
    if ((this.phase as Phase) === "gone") throw new TeselaError("E_GONE", `process ${this.pid} ended`);
    // A mask that it was told to set before may have come after the stop.
    await this.setMask(ALL_SIGNALS);
  }

  /** The deputy is not taken over after all. */
  giveUpTakeOver(): void {
    this.taking = null;
  }

  /** A signal that came while the process was on its way home already. */
  postpone(info: Uint8Array): void {
    this.postponed.push(Buffer.from(info));
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

  /** Makes it an ordinary, untraced process again that goes on with these registers. Its memory is as it should be. */
  async leave(frozen: Pick<Frozen, "regs" | "xstate" | "sigmask" | "restart">): Promise<void> {
    await this.requeue(this.postponed.splice(0));
    // What it was told before without waiting for the result is done, too.
    await this.deputy.call(Sys.getpid);
    await this.ownView.forget();
    const regs = resumeRegs(frozen);
    await this.stopIdle();
    this.phase = "gone";
    try {
      ptrace.setXstate(this.pid, fitXstate(frozen.xstate, ptrace.getXstate(this.pid)));
      const at = findSyscall(this.pid);
      injectAt(this.tracees, this.pid, at, regs, Sys.close, [this.deputy.fd]);
      injectAt(this.tracees, this.pid, at, regs, Sys.munmap, [this.deputy.base, this.deputy.extent.end - this.deputy.extent.start]);
      ptrace.setRegs(this.pid, regs.bytes);
      ptrace.setSigmask(this.pid, frozen.sigmask);
      const stop = this.wantsStop();
      ptrace.detach(this.pid);
      if (stop) libc.kill(this.pid, SIGSTOP);
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
    // What somebody else has ended loses its user area with good reason.
    if (this.phase === "gone" || !proc.exists(this.pid)) return;
    this.log.error("a process lost its user area and was killed", { pid: this.pid, reason });
    libc.kill(this.pid, 9);
  }

  /** The program's own end. */
  exit(code: number): void {
    this.deputy.call(Sys.exitGroup, code).catch(() => {
      // It ends in the middle of this call: that is what was asked for.
    });
  }

  /** Signals for the process that its guest had pending, back into its own queue; they are blocked for now. */
  async requeue(infos: readonly Uint8Array[]): Promise<void> {
    for (const info of infos) {
      this.deputy.poke(this.deputy.scratch, info);
      const r = await this.deputy.call(Sys.rtTgsigqueueinfo, this.pid, this.pid, signalOf(info), this.deputy.scratch);
      if (isErrno(r))
        this.log.warn("a pending signal was lost on the way home", { pid: this.pid, signal: signalOf(info), errno: Number(-r) });
    }
  }
}

const ROBUST_HEAD = 24;
