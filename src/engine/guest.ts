import { type Log, TeselaError } from "../base/mod.ts";
import { type CallContext, type ForwardPlan, type Plan, planCall } from "../forward/mod.ts";
import type { CpuUsed } from "../image/mod.ts";
import { libc, NO_SYSCALL, ptrace, Reg, Regs, SYSCALL_INSN, type Tracees, type WaitStatus } from "../sys/mod.ts";
import { Ahead, withoutAhead } from "./ahead.ts";
import { type CallTrace, planWatched } from "./call-trace.ts";
import { signalWaits } from "./freeze.ts";
import { isRestart, Restart } from "./restarts.ts";
import { forOne } from "./guard.ts";
import { engineCall } from "./guest-calls.ts";
import type { Cut, GuestState, HomeLink, InFlight, ThreadOptions } from "./guest-types.ts";
import type { TraceeMemory } from "./guest-memory.ts";
import type { GuestProcess } from "./guest-process.ts";
import { goOn, interruptedCall, keepCall, contAndLook, standsBeforeCall } from "./guest-restart.ts";
import { type Answer, answerHere, GuestSignals, meetsSignal } from "./guest-signals.ts";
import { faultsInVdso, leavesVdso, outBeforeHandler } from "./guest-leave.ts";
import { Sys } from "./numbers.ts";
import { endsWrite, keepsWriting, planRest, type Written } from "./partial-writes.ts";
import { hasPendingFault, isFault } from "./signals.ts";
import { letInFirst, maskTold, signalCall } from "./signals-at-home.ts";
import { contextOf, cpuUsed } from "./usage.ts";
import { keepEnd, type WaitEnd } from "./wait-ends.ts";

const SIGKILL = 9;
const EINTR = 4n;
const STANDING = "a move";

/** A thread running here: it computes, and every call that is not its own affair goes home. */
export class Guest {
  readonly process: GuestProcess;
  readonly ticket: number;
  readonly tid: number;
  /** Its number at home, and as it sees it itself. */
  readonly homeTid: number;
  readonly memory: TraceeMemory;
  readonly signals: GuestSignals;
  readonly ahead: Ahead;
  readonly regs = new Regs();
  readonly link: HomeLink;
  readonly log: Log;
  readonly tracees: Tracees;
  readonly area: { readonly base: bigint; readonly size: number };
  readonly context: CallContext;
  private readonly usedBefore: CpuUsed;
  state: GuestState = { kind: "waiting", why: "new" };
  clearTid: bigint;
  /** Where blocked signals wait at home, all that this thread's deputy may be blocking: home is told before one of them is let in. */
  borne: bigint;
  /** Home is being told that the thread will have this mask. */
  maskToBe: bigint | null = null;
  forwarded = 0;
  trace: CallTrace | null = null;
  /** Set while the guest is wanted frozen; called once it is. */
  onFrozen: PromiseWithResolvers<void> | null = null;
  private onEnded: (() => void) | null = null;
  private paused = false;
  /** A signal may have come that this thread finds only as it begins a call. */
  mayWait = false;
  /** A call of ours was made where a call of its own had stopped it: this kernel does not make that one any more when it goes on. */
  private displaced = false;
  /** A call whose wait has a mask of its own and is ended by a signal: rt_sigsuspend(2) stands in for it until that is delivered. */
  standIn: Regs | null = null;
  /** Set for a call that is begun again by home's kernel. */
  restart: { nr: number } | null;
  /**
   * The call before which the guest stands, at `rip`, waited at home until it was interrupted with this result, and has not been
   * made since: a signal ends it, wherever the guest is when that comes.
   */
  cut: Cut | null = null;
  /** When the wait that it is in, or stands before once more, is over. */
  waitEnd: WaitEnd | null;
  /** It stands before a write of which that is written. */
  written: Written | null;

  constructor(process: GuestProcess, o: ThreadOptions) {
    this.process = process;
    this.ticket = o.ticket;
    this.tid = o.tid;
    this.homeTid = o.homeTid;
    this.area = { base: o.areaBase, size: process.options.areaSize };
    this.link = process.link;
    this.tracees = process.tracees;
    this.log = process.log;
    this.memory = process.memory;
    this.signals = new GuestSignals(this, process.dispositions);
    this.ahead = new Ahead(process, o.position);
    this.restart = o.restart;
    this.waitEnd = o.waitEnd;
    this.written = o.written;
    this.clearTid = o.clearTid;
    this.borne = o.borne;
    this.usedBefore = o.cpuUsed;
    this.context = contextOf(this);
    process.tracees.claim(o.tid, (s) => this.guarded(() => this.onStop(s)));
  }

  get pid(): number {
    return this.process.image.pid;
  }
  get isLeader(): boolean {
    return this.homeTid === this.pid;
  }
  /** A move waits for it to stand. */
  get freezing(): boolean {
    return this.onFrozen !== null;
  }

  get trapPending(): boolean {
    return this.process.trapPending;
  }
  set trapPending(pending: boolean) {
    this.process.trapPending = pending;
  }

  /** CPU time that this thread used away from home so far, in microseconds. */
  cpuUsed(): CpuUsed {
    return cpuUsed(`${this.process.leader.tid}/task/${this.tid}`, this.usedBefore);
  }

  /** An error in what is done for this guest ends it alone; its last stop tells home. */
  guarded(work: () => void): void {
    const end = (reason: string): void => {
      this.log.error("a guest was ended", { home: this.process.home, pid: this.pid, reason });
      libc.kill(this.process.leader.tid, SIGKILL);
    };
    forOne(this.tid, end, work);
  }

  /** A move has failed: goes on if it was frozen already, and is not frozen any more if not. */
  thaw(): void {
    // Whoever waits for it finds that it is wanted no more.
    this.onFrozen?.resolve();
    this.onFrozen = null;
    if (this.state.kind === "frozen") this.go();
  }

  /** Lets a finished build, or a frozen guest, run. */
  go(): void {
    this.onFrozen = null;
    goOn(this);
  }

  // --- stops

  private onStop(s: WaitStatus): void {
    if (this.state.kind === "gone") return;
    switch (s.kind) {
      case "exited":
      case "killed":
        this.onEnd(s);
        return;
      case "event":
        if (s.event === ptrace.Event.SECCOMP) this.onCall();
        else this.onTrap();
        return;
      case "syscall":
        this.resume(0);
        return;
      case "signal":
        this.onSignal(s.signal);
    }
  }

  /** With the first thread ends the process; another has ended as home has told it to, or goes with that. */
  private onEnd(s: WaitStatus & { readonly kind: "exited" | "killed" }): void {
    this.tracees.release(this.tid);
    const { process } = this;
    if (this.onEnded) process.left(this);
    this.over();
    if (!this.isLeader) return;
    process.over();
    this.link.lost(this, s.kind === "killed" ? `the guest was killed by signal ${s.signal}` : `the guest exited with ${s.code}`);
  }

  /** It has ended: whoever waits for it must learn that. */
  over(): void {
    this.state = { kind: "gone" };
    this.onFrozen?.resolve();
    this.onFrozen = null;
    this.onEnded?.();
    this.onEnded = null;
  }

  /** Its thread at home has ended by exit(2), the call that it stands in: its own kernel makes it too, and tells those who join it. */
  async end(): Promise<void> {
    if (this.state.kind !== "busy") throw new TeselaError("E_PROTOCOL", `thread ${this.homeTid} is not about to end`);
    await new Promise<void>((resolve) => {
      this.onEnded = resolve;
      this.trace?.close();
      this.resumeCall();
    });
  }

  private onCall(): void {
    if (this.standIn) {
      // The call that stands in is this kernel's own, with a signal for it to find.
      ptrace.cont(this.tid);
      return;
    }
    ptrace.getRegs(this.tid, this.regs.bytes);
    this.displaced = false;
    if (this.onFrozen || this.paused) {
      this.rewindCall();
      this.settle();
      return;
    }
    if (this.mayWait && meetsSignal(this)) return;
    const nr = this.regs.syscallNumber;
    const plan = planWatched(this, nr, this.written && planRest(this, nr));
    // What has come meanwhile meets a call that home makes; before any other it is delivered.
    if (plan.kind !== "forward" && plan.kind !== "engine") {
      this.signals.answer(null);
      if (this.signals.undelivered) {
        this.rewindCall();
        this.resume(0);
        return;
      }
    }
    if (this.process.signalsAtHome && signalCall(this, nr, plan)) return;
    this.act(nr, plan);
  }

  private act(nr: number, plan: Plan): void {
    switch (plan.kind) {
      case "local":
        this.resumeCall();
        return;
      case "answer":
        this.finishCall(plan.result);
        return;
      case "forward":
        this.forward(nr, plan);
        return;
      case "back":
        this.goBack(nr, plan.reason);
        return;
      case "engine":
        engineCall(this, plan.name, nr);
    }
  }

  /** The guest asks for what only home can do: it waits there, ready to repeat the call. */
  goBack(nr: number, reason: string): void {
    this.rewindCall();
    this.returnTo(reason, nr);
  }
  private returnTo(reason: string, nr?: number): void {
    if (this.onFrozen) {
      // It is moving already, and does it again where it goes on.
      this.settle();
      return;
    }
    this.state = { kind: "waiting", why: reason };
    this.signals.answer(null);
    this.link.back(this, reason, nr);
  }

  /** At a seccomp stop: makes the thread stand before its call again. */
  rewindCall(): void {
    const nr = this.regs.get(Reg.origRax);
    this.regs.set(Reg.rip, this.regs.get(Reg.rip) - SYSCALL_INSN);
    this.regs.set(Reg.rax, nr);
    this.regs.set(Reg.origRax, NO_SYSCALL);
    ptrace.setRegs(this.tid, this.regs.bytes);
  }

  forward(nr: number, wanted: ForwardPlan, resumes = false): void {
    let plan = wanted;
    const ends = wanted.sigmask !== undefined && this.signals.waitEnds(wanted.sigmask);
    if (ends) {
      // The wait is over as it begins, unless what it waits for is there already.
      const atOnce = planCall(nr, this.regs.args, this.memory, this.area, { ...this.context, atOnce: true });
      if (atOnce.kind === "forward") plan = atOnce;
    } else [plan, this.waitEnd] = keepEnd(plan, nr, this.regs.get(Reg.rip) - SYSCALL_INSN, this.process.now(), this.waitEnd);
    const question = this.ahead.ask(plan);
    this.fly({ seq: this.process.nextSeq(), nr, plan, continues: false, handlerWaits: ends, atOnce: ends, resumes, question });
  }

  private fly(flight: InFlight): void {
    this.forwarded++;
    this.state = { kind: "calling", flight };
    this.link.call(this, flight, maskTold(this, flight));
    // Home hears of the call first, and ends it when a handler waits for that.
    if (!this.onFrozen) this.signals.answer(flight);
  }

  /** Home's answer to the call in flight. */
  onReply(seq: number, result: bigint, bytes: Uint8Array): void {
    if (this.state.kind !== "calling" || this.state.flight.seq !== seq) return;
    const { flight } = this.state;
    if (result === Restart.NOINTR && !flight.continues) {
      // Nothing has been done, as home says of every call that meets a move.
      interruptedCall(this, flight, result);
      return;
    }
    let r = result;
    if (r === -EINTR && flight.plan.restartOnEintr && !flight.handlerWaits) r = Restart.NOHAND;
    const out = withoutAhead(this, flight, r, bytes);
    if (!out) {
      // Home has not made the call at all, since the process is on the move: nothing that it would have written is there.
      interruptedCall(this, flight, r);
      return;
    }
    const finished = flight.plan.finish(r, out, this.memory);
    if ("again" in finished) {
      const next = finished.again;
      // What is left is made first even when the guest shall stop, or half a call would have been made.
      if (next.kind === "forward") this.fly({ ...flight, seq: this.process.nextSeq(), plan: next, continues: true, question: null });
      else this.act(flight.nr, next);
      return;
    }
    const done = finished.done === 0n && flight.atOnce ? Restart.NOHAND : finished.done;
    if (isRestart(done)) interruptedCall(this, flight, done);
    else if (!keepsWriting(this, flight, done)) this.finishCall(done);
  }

  /** Skips the call at this seccomp stop; the program gets `result`. */
  finishCall(result: bigint): void {
    this.trace?.end(result);
    this.cut = null;
    this.waitEnd = null;
    this.written = null;
    this.regs.set(Reg.rax, result);
    this.regs.set(Reg.origRax, NO_SYSCALL);
    ptrace.setRegs(this.tid, this.regs.bytes);
    // It may have waited with another mask.
    if (!letInFirst(this, () => this.settle())) this.settle();
  }

  /** An interrupt of ours, or a stop that means nothing here. */
  private onTrap(): void {
    // A signal that belongs to what the thread was doing comes first: this stop was asked for at the same moment.
    if (hasPendingFault(this.tid)) {
      ptrace.cont(this.tid);
      return;
    }
    ptrace.getRegs(this.tid, this.regs.bytes);
    if (this.standIn) {
      // It may not wait yet, or another thread may take what this one stops for.
      if (this.regs.syscallNumber !== Sys.rtSigsuspend || signalWaits(this.tid)) {
        contAndLook(this);
        return;
      }
      // What was to end the wait is gone: the call is made again, with its usual mask.
      this.endStandIn();
      ptrace.setSigmask(this.tid, ptrace.getSigmask(this.tid));
      this.rewindCall();
    }
    if (this.onFrozen && signalWaits(this.tid)) {
      // The interrupted call, if there is one, must see its handler run here: a signal's stop comes first, then another of these.
      contAndLook(this);
      return;
    }
    if (!this.onFrozen && !this.paused && this.signals.isAsked && standsBeforeCall(this)) {
      // The signal ends the call if that waits: the program may be past its own look at what has come.
      ptrace.cont(this.tid);
      return;
    }
    const handled = !this.onFrozen && this.signals.answer(null);
    keepCall(this);
    // Our interrupt ends these with EINTR though no handler runs.
    if (!handled && this.regs.syscallNumber === Sys.rtSigtimedwait && this.regs.result === -EINTR) this.rewindCall();
    this.settle();
  }

  /** Signal-delivery-stop: a signal of home's, or the program's own fault. */
  private onSignal(signal: number): void {
    this.cut = null;
    if (this.standIn) {
      this.endStandIn();
      ptrace.setRegs(this.tid, this.regs.bytes);
    } else ptrace.getRegs(this.tid, this.regs.bytes);
    if (faultsInVdso(this)) {
      this.returnTo("vdso");
      return;
    }
    const effect = this.signals.dispositions.effect(signal);
    if (effect === "handler" || effect === "ignore") {
      if (!outBeforeHandler(this)) {
        this.settle();
        return;
      }
      if (effect === "handler") {
        this.waitEnd = null;
        endsWrite(this);
        this.signals.dispositions.delivered(signal);
      }
      // Also when it is wanted frozen: it then stops with the handler's frame on its stack, and the call that this ends is ended.
      this.run(signal);
      return;
    }
    const info = ptrace.getSiginfo(this.tid);
    if (this.onFrozen) {
      // A fault is raised by its instruction again, wherever that is then.
      if (!isFault(info)) this.signals.keep(info);
      this.settle();
      return;
    }
    this.state = effect === "stop" ? { kind: "stopped" } : { kind: "waiting", why: `signal ${signal}` };
    this.signals.answer(null);
    this.link.raise(this, signal, info);
  }

  private endStandIn(): void {
    if (this.standIn) this.regs.bytes.set(this.standIn.bytes);
    this.standIn = null;
  }

  // --- signals from home

  /** A signal that arrived at home, which waits for {@link HomeLink.verdict}. */
  signal(seq: number, info: Uint8Array): void {
    this.take(info, (verdict) => this.link.verdict(this, seq, verdict));
  }

  /** A signal that another thread has sent to this one. */
  tell(info: Uint8Array): void {
    this.take(info, answerHere(this, info));
  }

  private take(info: Uint8Array, answer: Answer): void {
    this.signals.ask(info, answer);
    if (this.onFrozen || this.state.kind === "frozen") this.signals.postpone();
    else if (this.state.kind === "running") ptrace.interrupt(this.tid);
    else this.signals.answer(this.state.kind === "calling" ? this.state.flight : null);
  }

  /** Home's job control: while paused, the guest does not run. */
  pause(paused: boolean): void {
    this.paused = paused;
    if (paused && this.state.kind === "running") ptrace.interrupt(this.tid);
    if (!paused && this.state.kind === "stopped") this.resume(0);
  }

  // --- stopping and going on

  /** The guest is stopped and its registers are right: goes on, or stays if it is wanted frozen or paused. */
  settle(): void {
    if (this.onFrozen) {
      if (!leavesVdso(this)) return;
      this.state = { kind: "frozen" };
      this.onFrozen.resolve();
      this.onFrozen = null;
      return;
    }
    this.signals.answer(null);
    if (this.paused) {
      this.state = { kind: "stopped" };
      return;
    }
    if (this.process.standing) {
      this.state = { kind: "waiting", why: STANDING };
      return;
    }
    this.resume(0);
  }

  /** There is no move after all. */
  stoodLongEnough(): void {
    if (this.state.kind === "waiting" && this.state.why === STANDING) this.settle();
  }

  /** Goes on, with a signal to deliver or with all that has come. */
  resume(signal: number): void {
    if (signal === 0) this.signals.flush();
    this.run(signal);
  }

  /** From its call's own stop: this kernel makes the call, so nothing of ours may be done in between. */
  resumeCall(): void {
    if (this.displaced) this.rewindCall();
    this.run(0);
  }

  /** Puts what has come for the process into its queue at once, though this thread itself may stand in a call for long. */
  share(): void {
    this.signals.flush();
    this.displaced = true;
  }

  private run(signal: number): void {
    this.state = { kind: "running" };
    // Asked for while it stands: not one instruction of the program runs before that stop.
    if (this.signals.due || this.onFrozen || this.paused) ptrace.interrupt(this.tid);
    ptrace.cont(this.tid, signal);
  }

  /** Stops the thread for a move. A call in flight must be ended by home meanwhile; the registers then tell what became of it. */
  async freeze(): Promise<void> {
    if (this.state.kind === "gone") return;
    this.signals.postpone();
    if (this.state.kind === "frozen") return;
    this.onFrozen ??= Promise.withResolvers();
    const { promise } = this.onFrozen;
    if (this.state.kind === "running") ptrace.interrupt(this.tid);
    else if (this.state.kind === "waiting" || this.state.kind === "stopped") this.settle();
    await promise;
  }
}
