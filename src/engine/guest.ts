import { type Log, TeselaError } from "../base/mod.ts";
import { type CallContext, type ForwardPlan, outLengths, type Plan, planCall } from "../forward/mod.ts";
import type { Image } from "../image/mod.ts";
import { libc, NO_SYSCALL, ptrace, Reg, Regs, SYSCALL_INSN, type Tracees, type WaitStatus } from "../sys/mod.ts";
import { type CallTrace, planWatched } from "./call-trace.ts";
import { Restart } from "./freeze.ts";
import { signalOf } from "./guest-build.ts";
import { engineCall } from "./guest-calls.ts";
import { forOne } from "./guard.ts";
import type { GuestOptions, GuestState, HomeLink, InFlight, Verdict } from "./guest-types.ts";
import { TraceeMemory } from "./guest-memory.ts";
import { queueSignal } from "./guest-inject.ts";
import { Sys } from "./numbers.ts";
import { cpuUsed, residentBytes } from "./usage.ts";
import { Dispositions, type Effect, hasPendingFault, isFault, sentByEngine, signalBit } from "./signals.ts";

const SIGKILL = 9;
const SIGRTMIN = 32;
const EINTR = 4n;

/** A process's user area running here: it computes, and every call that is not its own affair goes home. */
export class Guest {
  readonly ticket: number;
  readonly home: number;
  readonly tid: number;
  readonly image: Image;
  readonly options: GuestOptions;
  readonly memory: TraceeMemory;
  readonly dispositions: Dispositions;
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
  /** Set while the guest is wanted frozen; called once it is. */
  private onFrozen: (() => void) | null = null;
  private paused = false;
  private seq = 0;
  /** siginfo of signals that home sent and the guest's kernel is about to deliver, by signal number, in order. */
  private readonly expected = new Map<number, Uint8Array[]>();
  /** Signals that came while the guest cannot take them into its own queue: blocked ones during a call. */
  private deferred: Uint8Array[] = [];
  /** Signals that home is waiting to hear about, for the next stop. */
  private asked: { seq: number; info: Uint8Array }[] = [];
  /** A call that a handler interrupts: how the guest's kernel has to see it when it delivers. */
  private interrupted: { nr: number; result: bigint } | null = null;
  /** Set for a call that is begun again by home's kernel. */
  restart: { nr: number } | null;

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
    this.dispositions = new Dispositions(o.image.sigactions);
    const thread = o.image.threads[0];
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

  /** What a pending signal says: those that the engine queued with tgkill(2) came from elsewhere. */
  trueInfo(info: Uint8Array, expected: Map<number, Uint8Array[]> = this.expected): Uint8Array {
    return (sentByEngine(info) ? expected.get(signalOf(info))?.shift() : undefined) ?? info;
  }

  /** The same for all that are pending, which stay so: should the move fail, they are delivered here. */
  trueInfos(infos: readonly Uint8Array[]): Uint8Array[] {
    const expected = new Map([...this.expected].map(([signal, list]) => [signal, [...list]]));
    return infos.map((info) => this.trueInfo(info, expected));
  }

  /** A move has failed: goes on if it was frozen already, and is not frozen any more if not. */
  thaw(): void {
    this.onFrozen = null;
    if (this.state.kind === "frozen") this.go();
  }

  /** Lets a finished build, or a frozen guest, run. */
  go(): void {
    this.onFrozen = null;
    if (this.restart) {
      const { nr } = this.restart;
      this.restart = null;
      ptrace.getRegs(this.tid, this.regs.bytes);
      // As at the call's own stop, so that it ends or is repeated as any other.
      this.regs.set(Reg.origRax, BigInt(nr));
      this.repeatAtHome(nr);
      return;
    }
    this.resume(0);
  }

  /** Home's kernel goes on with a sleep or a poll that it began: restart_syscall(2) with the same data in place. */
  private repeatAtHome(nr: number): void {
    const plan = planCall(nr, this.regs.args, this.memory, this.area, this.context);
    if (plan.kind !== "forward") throw new TeselaError("E_INTERNAL", `call ${nr} cannot be restarted at home`);
    this.forward(nr, { ...plan, nr: Sys.restartSyscall, args: [0n, 0n, 0n, 0n, 0n, 0n] });
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
    this.act(nr, planWatched(this, nr));
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
    this.answerAsked();
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

  forward(nr: number, plan: ForwardPlan): void {
    this.fly({ seq: ++this.seq, nr, plan, continues: false, handlerWaits: false });
  }

  private fly(flight: InFlight): void {
    this.forwarded++;
    this.state = { kind: "calling", flight };
    this.link.call(this, flight, ptrace.getSigmask(this.tid));
    this.answerAsked();
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
    if (r === -EINTR && flight.plan.restartOnEintr && !flight.handlerWaits) r = Restart.NOINTR;
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
    const done = finished.done;
    if (isRestart(done)) this.interruptedCall(flight, done);
    else this.finishCall(done);
  }

  /** Skips the call at this seccomp stop; the program gets `result`. */
  finishCall(result: bigint): void {
    this.trace?.end(result);
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
      this.waitMaskThenDeliver(flight, result);
      return;
    }
    if (result === Restart.BLOCK && this.onFrozen && RESTARTABLE_AWAY.has(flight.nr)) {
      this.restart = { nr: flight.nr };
      this.finishCall(-EINTR);
      return;
    }
    this.rewindCall();
    this.settle();
  }

  /** ppoll and its like wait with another mask: rt_sigsuspend with that mask delivers just as they would have. */
  private waitMaskThenDeliver(flight: InFlight, result: bigint): void {
    if (flight.plan.sigmaskPtr !== undefined && flight.plan.sigmaskPtr !== 0n) {
      const regs = this.regs.clone();
      this.savedArgs = { rdi: regs.get(Reg.rdi), rsi: regs.get(Reg.rsi) };
      regs.set(Reg.origRax, BigInt(Sys.rtSigsuspend));
      regs.set(Reg.rdi, flight.plan.sigmaskPtr);
      regs.set(Reg.rsi, 8n);
      ptrace.setRegs(this.tid, regs.bytes);
      this.interrupted = { nr: flight.nr, result: Restart.NOHAND };
      this.state = { kind: "running" };
      ptrace.cont(this.tid);
      return;
    }
    this.interrupted = { nr: flight.nr, result };
    this.rewindCall();
    if (!this.onFrozen) this.answerAsked();
    this.resume(0);
  }

  /** An interrupt of ours, or a stop that means nothing here. */
  private onTrap(): void {
    // A signal that belongs to what the thread was doing comes first: this stop was asked for at the same moment.
    if (this.interrupted || hasPendingFault(this.tid)) {
      ptrace.cont(this.tid);
      return;
    }
    ptrace.getRegs(this.tid, this.regs.bytes);
    if (this.onFrozen || this.paused) {
      this.settle();
      return;
    }
    const handled = this.answerAsked();
    // Our interrupt ends these with EINTR though no handler runs.
    if (!handled && this.regs.syscallNumber === Sys.rtSigtimedwait && this.regs.result === -EINTR) this.rewindCall();
    this.resume(0);
  }

  /** Signal-delivery-stop: a signal of home's, or the program's own fault. */
  private onSignal(signal: number): void {
    const got = ptrace.getSiginfo(this.tid);
    const siginfo = this.trueInfo(got);
    if (siginfo !== got) ptrace.setSiginfo(this.tid, siginfo);
    ptrace.getRegs(this.tid, this.regs.bytes);
    const effect = this.dispositions.effect(signal);
    if (this.interrupted) {
      const { nr, result } = this.interrupted;
      this.interrupted = null;
      if (this.regs.get(Reg.origRax) === NO_SYSCALL) this.regs.set(Reg.rip, this.regs.get(Reg.rip) + SYSCALL_INSN);
      this.restoreArgs();
      this.regs.set(Reg.origRax, BigInt(nr));
      this.regs.set(Reg.rax, result);
      ptrace.setRegs(this.tid, this.regs.bytes);
    }
    // Also when it is wanted frozen: it then stops with the handler's frame on its stack, and the call that this ends is ended.
    if (effect === "handler" || effect === "ignore") {
      if (effect === "handler") this.dispositions.delivered(signal);
      // What home asks about meanwhile waits for the next stop: nothing may be queued here, or this signal loses what it says.
      this.resume(signal);
      return;
    }
    if (this.onFrozen) {
      // A fault is raised by its instruction again, wherever that is then.
      if (!isFault(siginfo)) this.deferred.push(Buffer.from(siginfo));
      this.settle();
      return;
    }
    this.state = effect === "stop" ? { kind: "stopped" } : { kind: "waiting", why: `signal ${signal}` };
    this.link.raise(this, signal, siginfo);
  }

  private savedArgs: { rdi: bigint; rsi: bigint } | null = null;
  private restoreArgs(): void {
    if (!this.savedArgs) return;
    this.regs.set(Reg.rdi, this.savedArgs.rdi);
    this.regs.set(Reg.rsi, this.savedArgs.rsi);
    this.savedArgs = null;
  }

  // --- signals from home

  /** A signal that arrived at home, which waits for {@link HomeLink.verdict}. */
  signal(seq: number, info: Uint8Array): void {
    this.asked.push({ seq, info });
    if (this.onFrozen || this.state.kind === "frozen") this.postponeAsked();
    else if (this.state.kind === "running") ptrace.interrupt(this.tid);
    else this.answerAsked();
  }

  /** Decides about every signal that home has asked about. The guest is stopped. */
  private answerAsked(): boolean {
    let handled = false;
    for (const { seq, info } of this.asked.splice(0)) {
      const verdict = this.decide(info);
      handled ||= verdict === "handled";
      this.link.verdict(this, seq, verdict);
    }
    return handled;
  }

  private postponeAsked(): void {
    for (const { seq } of this.asked.splice(0)) this.link.verdict(this, seq, "later");
  }

  private decide(info: Uint8Array): Verdict {
    const signal = signalOf(info);
    const calling = this.state.kind === "calling" ? this.state.flight : null;
    const mask = calling?.plan.sigmask ?? ptrace.getSigmask(this.tid);
    if ((mask & signalBit(signal)) !== 0n) {
      if (this.state.kind === "running") queueSignal(this, info);
      else this.deferred.push(info);
      return "none";
    }
    const effect: Effect = this.dispositions.effect(signal);
    if (effect === "ignore") return "none";
    if (effect !== "handler") return "deliver";
    if (calling) calling.handlerWaits = true;
    const list = this.expected.get(signal) ?? [];
    // A standard signal that is pending already is not queued twice (signal(7)).
    if (signal < SIGRTMIN && list.length > 0) return "handled";
    list.push(info);
    this.expected.set(signal, list);
    libc.syscall("tgkill", Sys.tgkill, this.tid, this.tid, signal);
    return "handled";
  }

  /** Home's job control: while paused, the guest does not run. */
  pause(paused: boolean): void {
    this.paused = paused;
    if (paused && this.state.kind === "running") ptrace.interrupt(this.tid);
    if (!paused && this.state.kind === "stopped") this.resume(0);
  }

  /** The program's own change of an action: signals that are on their way to a handler no more are forgotten. */
  setAction(signal: number, action: Uint8Array): void {
    this.dispositions.set(signal, action);
    if (this.dispositions.effect(signal) === "ignore") this.expected.delete(signal);
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
    if (this.paused) {
      this.state = { kind: "stopped" };
      this.answerAsked();
      return;
    }
    this.answerAsked();
    this.resume(0);
  }

  resume(signal: number): void {
    this.state = { kind: "running" };
    // At a signal-delivery-stop no call can be made in between: the next stop is asked for.
    if (signal === 0) for (const info of this.deferred.splice(0)) queueSignal(this, info);
    this.run(signal);
  }

  /** From its call's own stop: this kernel makes the call, so nothing of ours may be done in between. */
  resumeCall(): void {
    this.run(0);
  }

  private run(signal: number): void {
    this.state = { kind: "running" };
    ptrace.cont(this.tid, signal);
    if (this.asked.length > 0 || this.deferred.length > 0 || this.onFrozen || this.paused) ptrace.interrupt(this.tid);
  }

  /**
   * Stops the guest for a move. A call in flight must be ended by home meanwhile; the registers then tell what became of it.
   * @returns the signals that it has not taken into its own queue
   */
  async freeze(): Promise<Uint8Array[]> {
    if (this.state.kind === "gone") throw new TeselaError("E_GONE", "the guest has ended");
    this.postponeAsked();
    if (this.state.kind !== "frozen") {
      await new Promise<void>((resolve) => {
        this.onFrozen = resolve;
        if (this.state.kind === "running") ptrace.interrupt(this.tid);
        else if (this.state.kind === "waiting" || this.state.kind === "stopped") this.settle();
      });
    }
    if ((this.state as GuestState).kind === "gone") throw new TeselaError("E_GONE", "the guest has ended");
    return [...this.deferred];
  }

  kill(): void {
    if (this.state.kind === "gone") return;
    this.state = { kind: "gone" };
    libc.kill(this.tid, SIGKILL);
    this.options.space.leave();
    // Whoever waits for it to freeze must learn that it never will.
    this.onFrozen?.();
    // Its death is still reported to us: a handler must take it so that it is not kept for later.
    this.tracees.claim(this.tid, (s) => {
      if (s.kind === "exited" || s.kind === "killed") this.tracees.release(this.tid);
    });
  }
}

const isRestart = (result: bigint): boolean => result <= Restart.SYS && result >= Restart.BLOCK;

/** Calls whose restart at home needs nothing but their data in the same place again. */
const RESTARTABLE_AWAY: ReadonlySet<number> = new Set([7 /* poll */, Sys.nanosleep, Sys.clockNanosleep]);
