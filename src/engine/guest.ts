import { type Log, TeselaError } from "../base/mod.ts";
import { type CallContext, type ForwardPlan, outLengths, type Plan, planCall } from "../forward/mod.ts";
import type { Image } from "../image/mod.ts";
import { libc, NO_SYSCALL, ptrace, Reg, Regs, SYSCALL_INSN, type Tracees, type WaitStatus } from "../sys/mod.ts";
import { type CallTrace, planWatched } from "./call-trace.ts";
import { cutOf, isRestart, RESTARTABLE_AWAY, Restart, restOfSleep, signalWaits } from "./freeze.ts";
import { forOne } from "./guard.ts";
import { SIGTRAP, signalOf } from "./guest-build.ts";
import { engineCall } from "./guest-calls.ts";
import type { Cut, GuestOptions, GuestState, HomeLink, InFlight } from "./guest-types.ts";
import { TraceeMemory } from "./guest-memory.ts";
import { injectCall } from "./guest-inject.ts";
import { GuestSignals } from "./guest-signals.ts";
import { Kin } from "./kin.ts";
import { Sys } from "./numbers.ts";
import { hasPendingFault, isFault } from "./signals.ts";
import { cpuUsed, residentBytes } from "./usage.ts";

const SIGKILL = 9;
const EINTR = 4n;
const SIGSET_BYTES = 8n;
const SYSCALL = Buffer.from([0x0f, 0x05]);

/** A process's user area running here: it computes, and every call that is not its own affair goes home. */
export class Guest {
  readonly ticket: number;
  readonly home: number;
  readonly tid: number;
  readonly image: Image;
  readonly options: GuestOptions;
  readonly memory: TraceeMemory;
  readonly signals: GuestSignals;
  readonly regs = new Regs();
  readonly link: HomeLink;
  readonly log: Log;
  readonly tracees: Tracees;
  readonly area: { readonly base: bigint; readonly size: number };
  readonly context: CallContext;
  readonly startedAt = Date.now();
  state: GuestState = { kind: "waiting", why: "new" };
  clearTid: bigint;
  limits: Image["limits"];
  forwarded = 0;
  trace: CallTrace | null = null;
  readonly kin = new Kin();
  /** Set while the guest is wanted frozen; called once it is. */
  private onFrozen: (() => void) | null = null;
  private paused = false;
  private seq = 0;
  trapPending: boolean;
  /** A call whose wait has a mask of its own and is ended by a signal: rt_sigsuspend(2) stands in for it until that is delivered. */
  private standIn: Regs | null = null;
  /** Set for a call that is begun again by home's kernel. */
  restart: { nr: number } | null;
  /**
   * The call before which the guest stands, at `rip`, waited at home until it was interrupted with this result, and has not been
   * made since: a signal ends it, wherever the guest is when that comes.
   */
  cut: Cut | null = null;

  constructor(o: GuestOptions) {
    this.ticket = o.ticket;
    this.home = o.home;
    this.tid = o.tid;
    this.image = o.image;
    this.options = o;
    this.area = o.area;
    this.link = o.link;
    this.tracees = o.tracees;
    this.log = o.log;
    this.memory = new TraceeMemory(o.tid);
    this.signals = new GuestSignals(this, o.image.sigactions);
    const thread = o.image.threads[0];
    this.trapPending = [...o.image.pending, ...(thread?.pending ?? [])].some((info) => signalOf(info) === SIGTRAP);
    this.restart = thread?.restart ?? null;
    this.clearTid = thread?.clearTid ?? 0n;
    this.limits = o.image.limits;
    this.context = { pid: o.image.pid, tid: o.image.pid, reservedFds: o.reservedFds, cpuAway: () => this.cpuAway() };
    o.tracees.claim(o.tid, (s) => this.guarded(() => this.onStop(s)));
  }

  /** An error in what is done for this guest ends it alone; its last stop tells home. */
  guarded(work: () => void): void {
    const end = (reason: string): void => {
      this.log.error("a guest was ended", { home: this.home, pid: this.image.pid, reason });
      libc.kill(this.tid, SIGKILL);
    };
    forOne(this.tid, end, work);
  }

  /** CPU time used away from home so far, here and on nodes before, in microseconds. */
  cpuUsed(): Image["cpuUsed"] {
    return cpuUsed(this.tid, this.image.cpuUsed);
  }

  /** Resident bytes here. */
  rss(): number {
    return residentBytes(this.tid);
  }

  private cpuAway(): { user: bigint; system: bigint } {
    const { user, system } = this.cpuUsed();
    return { user: BigInt(user) * 1000n, system: BigInt(system) * 1000n };
  }

  /** A move has failed: goes on if it was frozen already, and is not frozen any more if not. */
  thaw(): void {
    this.onFrozen = null;
    if (this.state.kind === "frozen") this.go();
  }

  /** Lets a finished build, or a frozen guest, run. */
  go(): void {
    this.onFrozen = null;
    ptrace.getRegs(this.tid, this.regs.bytes);
    this.cut ??= cutOf(this.regs);
    if (this.restart) {
      const { nr } = this.restart;
      this.restart = null;
      // As at the call's own stop, so that it ends or is repeated as any other.
      this.regs.set(Reg.origRax, BigInt(nr));
      if (signalWaits(this.tid)) {
        this.regs.set(Reg.rax, Restart.NOHAND);
        ptrace.setRegs(this.tid, this.regs.bytes);
        this.resume(0);
        return;
      }
      this.repeatAtHome(nr);
      return;
    }
    this.resume(0);
  }

  /**
   * Home's kernel goes on with a sleep or a poll that it began: restart_syscall(2) with the same data in place. A sleep that
   * tells the program how much is left begins with that: home's kernel remembers where to write it, and that may be gone.
   */
  private repeatAtHome(nr: number): void {
    const rest = restOfSleep(nr, this.regs.args);
    const plan = planCall(nr, rest ?? this.regs.args, this.memory, this.area, this.context);
    if (plan.kind !== "forward") throw new TeselaError("E_INTERNAL", `call ${nr} cannot be restarted at home`);
    this.forward(nr, rest ? plan : { ...plan, nr: Sys.restartSyscall, args: [0n, 0n, 0n, 0n, 0n, 0n] }, true);
  }

  // --- stops

  private onStop(s: WaitStatus): void {
    if (this.state.kind === "gone") return;
    switch (s.kind) {
      case "exited":
      case "killed":
        this.state = { kind: "gone" };
        this.tracees.release(this.tid);
        this.options.space.leave();
        this.kin.onOver();
        this.onFrozen?.();
        this.link.lost(this, s.kind === "killed" ? `the guest was killed by signal ${s.signal}` : `the guest exited with ${s.code}`);
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

  private onCall(): void {
    ptrace.getRegs(this.tid, this.regs.bytes);
    if (this.onFrozen || this.paused) {
      this.rewindCall();
      this.settle();
      return;
    }
    const nr = this.regs.syscallNumber;
    const plan = planWatched(this, nr);
    // What has come meanwhile meets a call that home makes; before any other it is delivered.
    if (plan.kind !== "forward" && plan.kind !== "engine") {
      this.signals.answer(null);
      if (this.signals.undelivered) {
        this.rewindCall();
        this.resume(0);
        return;
      }
    }
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
    if (this.onFrozen) {
      // It is moving already, and makes the call again where it goes on.
      this.settle();
      return;
    }
    this.state = { kind: "waiting", why: `${reason} (call ${nr})` };
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
    }
    this.fly({ seq: ++this.seq, nr, plan, continues: false, handlerWaits: ends, atOnce: ends, resumes });
  }

  private fly(flight: InFlight): void {
    this.forwarded++;
    this.state = { kind: "calling", flight };
    this.link.call(this, flight, ptrace.getSigmask(this.tid));
    // Home hears of the call first, and ends it when a handler waits for that.
    if (!this.onFrozen) this.signals.answer(flight);
  }

  /** Home's answer to the call in flight. */
  onReply(seq: number, result: bigint, out: Uint8Array): void {
    if (this.state.kind !== "calling" || this.state.flight.seq !== seq) return;
    const { flight } = this.state;
    if (result === Restart.NOINTR && !flight.continues) {
      // Nothing has been done, as home says of every call that meets a move.
      this.interruptedCall(flight, result);
      return;
    }
    let r = result;
    if (r === -EINTR && flight.plan.restartOnEintr && !flight.handlerWaits) r = Restart.NOHAND;
    const due = outLengths(flight.plan.outs, r).reduce((sum, n) => sum + n, 0);
    if (out.length !== due) {
      if (!isRestart(r)) throw new TeselaError("E_PROTOCOL", `home answered call ${flight.nr} with ${out.length} bytes in place of ${due}`);
      // Home has not made the call at all, since the process is on the move: nothing that it would have written is there.
      this.interruptedCall(flight, r);
      return;
    }
    const finished = flight.plan.finish(r, out, this.memory);
    if ("again" in finished) {
      const next = finished.again;
      // What is left is made first even when the guest shall stop, or half a call would have been made.
      if (next.kind === "forward") this.fly({ ...flight, seq: ++this.seq, plan: next, continues: true });
      else this.act(flight.nr, next);
      return;
    }
    const done = finished.done === 0n && flight.atOnce ? Restart.NOHAND : finished.done;
    if (isRestart(done)) this.interruptedCall(flight, done);
    else this.finishCall(done);
  }

  /** Skips the call at this seccomp stop; the program gets `result`. */
  finishCall(result: bigint): void {
    this.trace?.end(result);
    this.cut = null;
    this.regs.set(Reg.rax, result);
    this.regs.set(Reg.origRax, NO_SYSCALL);
    ptrace.setRegs(this.tid, this.regs.bytes);
    this.settle();
  }

  /**
   * The call was interrupted at home. With a handler waiting, this kernel sees the interrupted call when it delivers and
   * applies SA_RESTART; without, the call is simply made again.
   */
  private interruptedCall(flight: InFlight, result: bigint): void {
    if (flight.handlerWaits) {
      this.deliverInto(flight, result);
      return;
    }
    // Not even begun at home, what was left to wait is still left.
    if ((result === Restart.BLOCK || flight.resumes) && RESTARTABLE_AWAY.has(flight.nr)) {
      if (!this.onFrozen) {
        this.repeatAtHome(flight.nr);
        return;
      }
      this.restart = { nr: flight.nr };
      this.finishCall(-EINTR);
      return;
    }
    this.rewindCall();
    // With that result home has not made it: it may have waited before.
    if (result !== Restart.NOINTR) {
      this.cut = { rip: this.regs.get(Reg.rip), nr: flight.nr, result: result === Restart.BLOCK ? Restart.NOHAND : result };
    }
    this.settle();
  }

  /** The signal-delivery-stop comes first thing, wanted frozen or not: a handler that ends a call has begun before the guest moves. */
  private deliverInto(flight: InFlight, result: bigint): void {
    this.signals.flush();
    // From the call's own stop the call would be made here.
    injectCall(this, Sys.getpid, []);
    this.regs.set(Reg.rax, result === Restart.BLOCK ? Restart.NOHAND : result);
    ptrace.setRegs(this.tid, this.regs.bytes);
    const mask = flight.plan.sigmaskPtr ?? 0n;
    if (mask !== 0n) {
      this.regs.set(Reg.rax, Restart.NOHAND);
      this.standIn = this.regs.clone();
      const regs = this.regs.clone();
      regs.set(Reg.rdi, mask);
      regs.set(Reg.rsi, SIGSET_BYTES);
      Regs.repeat(regs, Sys.rtSigsuspend);
      ptrace.setRegs(this.tid, regs.bytes);
    }
    this.state = { kind: "running" };
    ptrace.cont(this.tid);
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
      if (this.regs.syscallNumber !== Sys.rtSigsuspend || signalWaits(this.tid)) {
        ptrace.cont(this.tid);
        return;
      }
      // What was to end the wait is gone: the call is made again, with its usual mask.
      this.endStandIn();
      ptrace.setSigmask(this.tid, ptrace.getSigmask(this.tid));
      this.rewindCall();
    }
    if (this.onFrozen && signalWaits(this.tid)) {
      // The interrupted call, if there is one, must see its handler run here: a signal's stop comes first, then another of these.
      ptrace.cont(this.tid);
      return;
    }
    if (!this.onFrozen && !this.paused && this.signals.isAsked && this.standsBeforeCall()) {
      // The signal ends the call if that waits: the program may be past its own look at what has come.
      ptrace.cont(this.tid);
      return;
    }
    const handled = !this.onFrozen && this.signals.answer(null);
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
    const effect = this.signals.dispositions.effect(signal);
    if (effect === "handler" || effect === "ignore") {
      if (effect === "handler") this.signals.dispositions.delivered(signal);
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

  /** Whether the thread's next step is a call that home makes, as it is after a move that has met one. */
  private standsBeforeCall(): boolean {
    const { regs } = this;
    if (regs.syscallNumber >= 0 || !this.memory.readUpTo(regs.get(Reg.rip), SYSCALL.length).equals(SYSCALL)) return false;
    const nr = Number(BigInt.asIntN(32, regs.get(Reg.rax)));
    return planCall(nr, regs.args, this.memory, this.area, this.context).kind === "forward";
  }

  private endStandIn(): void {
    if (this.standIn) this.regs.bytes.set(this.standIn.bytes);
    this.standIn = null;
  }

  // --- signals from home

  /** A signal that arrived at home, which waits for {@link HomeLink.verdict}. */
  signal(seq: number, info: Uint8Array): void {
    this.signals.ask(seq, info);
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
      this.state = { kind: "frozen" };
      const done = this.onFrozen;
      this.onFrozen = null;
      done();
      return;
    }
    this.signals.answer(null);
    if (this.paused) {
      this.state = { kind: "stopped" };
      return;
    }
    this.resume(0);
  }

  /** Goes on, with a signal to deliver or with all that has come. */
  resume(signal: number): void {
    if (signal === 0) this.signals.flush();
    this.run(signal);
  }

  /** From its call's own stop: this kernel makes the call, so nothing of ours may be done in between. */
  resumeCall(): void {
    this.run(0);
  }

  private run(signal: number): void {
    this.state = { kind: "running" };
    // Asked for while it stands: not one instruction of the program runs before that stop.
    if (this.signals.due || this.onFrozen || this.paused) ptrace.interrupt(this.tid);
    ptrace.cont(this.tid, signal);
  }

  /**
   * Stops the guest for a move. A call in flight must be ended by home meanwhile; the registers then tell what became of it.
   * @returns the signals that it has not taken into its own queue
   */
  async freeze(): Promise<Uint8Array[]> {
    if (this.state.kind === "gone") throw new TeselaError("E_GONE", "the guest has ended");
    this.kin.mustBeAlone();
    this.signals.postpone();
    if (this.state.kind !== "frozen") {
      await new Promise<void>((resolve) => {
        this.onFrozen = resolve;
        if (this.state.kind === "running") ptrace.interrupt(this.tid);
        else if (this.state.kind === "waiting" || this.state.kind === "stopped") this.settle();
      });
    }
    if ((this.state as GuestState).kind === "gone") throw new TeselaError("E_GONE", "the guest has ended");
    return this.signals.left();
  }

  kill(): void {
    if (this.state.kind === "gone") return;
    this.state = { kind: "gone" };
    libc.kill(this.tid, SIGKILL);
    this.options.space.leave();
    this.kin.onOver();
    // Whoever waits for it to freeze must learn that it never will.
    this.onFrozen?.();
    // Its death is still reported to us: a handler must take it so that it is not kept for later.
    this.tracees.claim(this.tid, (s) => {
      if (s.kind === "exited" || s.kind === "killed") this.tracees.release(this.tid);
    });
  }
}
