import { ptrace } from "../sys/mod.ts";
import { signalWaits } from "./freeze.ts";
import { signalOf } from "./guest-build.ts";
import { injectCall } from "./guest-inject.ts";
import type { Guest } from "./guest.ts";
import type { InFlight, Verdict } from "./guest-types.ts";
import { Sys } from "./numbers.ts";
import { type Dispositions, isThreadDirected, signalBit } from "./signals.ts";
import { BEARABLE } from "./signals-at-home.ts";
import { place } from "./skeleton.ts";
import { addSignal, queueTick } from "./ticks.ts";

const NO_TIME = Buffer.alloc(16);

/** Hears what becomes of a signal. */
export type Answer = (verdict: Verdict) => void;

/**
 * A guest's signals. Home asks about each that arrives there; what the program shall get of them goes into the queue of the
 * guest's own kernel, which delivers it as it does any signal. Until the guest stops where that can be done, it waits here.
 */
export class GuestSignals {
  readonly dispositions: Dispositions;
  private readonly guest: Guest;
  private asked: { readonly info: Uint8Array; readonly answer: Answer }[] = [];
  private waiting: Uint8Array[] = [];

  constructor(guest: Guest, dispositions: Dispositions) {
    this.guest = guest;
    this.dispositions = dispositions;
  }

  /** A signal has come, and somebody wants to hear about it. */
  ask(info: Uint8Array, answer: Answer): void {
    this.asked.push({ info, answer });
  }
  /** Something is to be done at the next stop. */
  get due(): boolean {
    return this.asked.length > 0 || this.waiting.length > 0;
  }
  get isAsked(): boolean {
    return this.asked.length > 0;
  }
  get undelivered(): boolean {
    return this.waiting.length > 0;
  }

  /**
   * Decides about every signal that home has asked about; the guest is stopped.
   * @param flight the call that home is making for it
   * @returns whether a handler is going to run
   */
  answer(flight: InFlight | null): boolean {
    let handled = false;
    const others: number[] = [];
    for (const { info, answer } of this.asked.splice(0)) {
      const verdict = this.decide(info, flight, others);
      handled ||= verdict === "handled";
      answer(verdict);
    }
    // Any other thread may be waiting for it, or come to let it in. Where blocked ones wait at home, this one lets it in already.
    const { threads, signalsAtHome } = this.guest.process;
    if (threads.size > 1 && !signalsAtHome && this.waiting.some((info) => !this.isOwn(info))) this.guest.share();
    for (const signal of others) this.guest.process.signalled(signal, this.guest);
    return handled;
  }

  /** Whether a signal is for this thread alone: at home all that is for the process is asked about by way of the first one. */
  private isOwn(info: Uint8Array): boolean {
    return !this.guest.isLeader || isThreadDirected(info);
  }

  /** The guest is on the move: home asks again, wherever it is then. */
  postpone(): void {
    for (const { answer } of this.asked.splice(0)) answer("later");
  }

  /** @param others gets what other threads may take */
  private decide(info: Uint8Array, flight: InFlight | null, others: number[]): Verdict {
    const signal = signalOf(info);
    const mask = flight?.plan.sigmask ?? this.guest.maskToBe ?? ptrace.getSigmask(this.guest.tid);
    const blocked = (mask & signalBit(signal)) !== 0n;
    const effect = this.dispositions.effect(signal);
    if (!blocked && effect === "ignore") return "none";
    if (blocked && this.guest.process.signalsAtHome && (signalBit(signal) & BEARABLE) !== 0n) {
      this.guest.borne |= signalBit(signal);
      return "stay";
    }
    // The end of the program comes after what came before it: where a handler is due, this kernel keeps the order.
    const after = (effect === "terminate" || effect === "core") && (this.undelivered || signalWaits(this.guest.tid));
    if (!blocked && effect !== "handler" && !after) return "deliver";
    addSignal(this.waiting, info);
    // Should another thread let it in, what comes of it there is this kernel's to say: it may wait for just that signal.
    if (blocked && !this.isOwn(info)) others.push(signal);
    if (blocked) return "none";
    if (flight) flight.handlerWaits = true;
    return "handled";
  }

  /** What has come and is blocked now, by the thread's usual mask, is not for this kernel's queue any more. */
  takeBlocked(mask: bigint): Uint8Array[] {
    const isBlocked = (info: Uint8Array): boolean => (signalBit(signalOf(info)) & mask) !== 0n;
    const taken = this.waiting.filter(isBlocked);
    this.waiting = this.waiting.filter((info) => !isBlocked(info));
    return taken;
  }

  /** At any stop but a signal-delivery-stop whose signal is still wanted. */
  flush(): void {
    for (const info of this.waiting.splice(0)) queueTick(this.guest, info, this.isOwn(info));
  }

  /** What has not gone into the guest's queue. Should a move fail, it is delivered here. */
  left(): Uint8Array[] {
    return [...this.waiting];
  }
  keep(info: Uint8Array): void {
    addSignal(this.waiting, Buffer.from(info));
  }

  /** Whether a signal is pending that this mask lets in and that ends a wait. What is ignored is dropped, as the kernel would. */
  waitEnds(mask: bigint): boolean {
    const { tid } = this.guest;
    const pending = [...ptrace.peekSiginfo(tid, false), ...ptrace.peekSiginfo(tid, true), ...this.waiting];
    if (pending.length === 0) return false;
    const let_in = pending.map(signalOf).filter((s) => (mask & signalBit(s)) === 0n);
    if (let_in.some((s) => this.dispositions.effect(s) !== "ignore")) return true;
    if (let_in.length > 0) this.drop(let_in);
    return false;
  }

  private drop(signals: readonly number[]): void {
    this.flush();
    const set = Buffer.alloc(8);
    set.writeBigUInt64LE(signals.reduce((m, s) => m | signalBit(s), 0n));
    for (const _ of signals) {
      const at = place(this.guest.tid, 0, Buffer.concat([set, NO_TIME]));
      injectCall(this.guest, Sys.rtSigtimedwait, [at, 0, at + 8n, 8]);
    }
  }

  /** The program's own change of an action: what is on its way to a handler that is no more is forgotten (sigaction(2)). */
  setAction(signal: number, action: Uint8Array): void {
    this.dispositions.set(signal, action);
    if (this.dispositions.effect(signal) === "ignore") this.waiting = this.waiting.filter((info) => signalOf(info) !== signal);
  }
}

/**
 * Another thread has put a signal where this one may take it. One that runs sees to it itself, if it does not come to a call first; a call
 * that home is making for it is to end. @returns whether that lets the signal in
 */
export function signalled(guest: Guest, signal: number): boolean {
  guest.mayWait = true;
  if (guest.state.kind !== "calling") return false;
  const { flight } = guest.state;
  const mask = flight.plan.sigmask ?? ptrace.getSigmask(guest.tid);
  if ((mask & signalBit(signal)) !== 0n) return false;
  if (!flight.handlerWaits) guest.link.hurry(guest);
  flight.handlerWaits = true;
  return true;
}

/** At a call's stop: a signal that this thread has come to take just now, by another's doing, is delivered before the call. */
export function meetsSignal(guest: Guest): boolean {
  guest.mayWait = false;
  if (!signalWaits(guest.tid)) return false;
  guest.rewindCall();
  guest.resume(0);
  return true;
}

/** What becomes of a signal that nobody at home knows of. */
export function answerHere(guest: Guest, info: Uint8Array): Answer {
  return (verdict) => {
    if (verdict === "handled" && guest.state.kind === "calling") guest.link.hurry(guest);
    if (verdict === "deliver") guest.link.raise(guest, signalOf(info), info);
    if (verdict === "later") guest.signals.keep(info);
    if (verdict === "stay") guest.link.stay(guest, info);
  };
}
