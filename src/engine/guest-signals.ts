import { ptrace } from "../sys/mod.ts";
import { signalWaits } from "./freeze.ts";
import { signalOf } from "./guest-build.ts";
import { injectCall, queueSignal } from "./guest-inject.ts";
import type { Guest } from "./guest.ts";
import type { InFlight, Verdict } from "./guest-types.ts";
import { Sys } from "./numbers.ts";
import { Dispositions, signalBit } from "./signals.ts";
import { place } from "./skeleton.ts";

const NO_TIME = Buffer.alloc(16);

/**
 * A guest's signals. Home asks about each that arrives there; what the program shall get of them goes into the queue of the
 * guest's own kernel, which delivers it as it does any signal. Until the guest stops where that can be done, it waits here.
 */
export class GuestSignals {
  readonly dispositions: Dispositions;
  private readonly guest: Guest;
  private asked: { readonly seq: number; readonly info: Uint8Array }[] = [];
  private waiting: Uint8Array[] = [];

  constructor(guest: Guest, actions: Uint8Array) {
    this.guest = guest;
    this.dispositions = new Dispositions(actions);
  }

  /** Home wants to hear about a signal. */
  ask(seq: number, info: Uint8Array): void {
    this.asked.push({ seq, info });
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
    for (const { seq, info } of this.asked.splice(0)) {
      const verdict = this.decide(info, flight);
      handled ||= verdict === "handled";
      this.guest.link.verdict(this.guest, seq, verdict);
    }
    return handled;
  }

  /** The guest is on the move: home asks again, wherever it is then. */
  postpone(): void {
    for (const { seq } of this.asked.splice(0)) this.guest.link.verdict(this.guest, seq, "later");
  }

  private decide(info: Uint8Array, flight: InFlight | null): Verdict {
    const signal = signalOf(info);
    const mask = flight?.plan.sigmask ?? ptrace.getSigmask(this.guest.tid);
    const blocked = (mask & signalBit(signal)) !== 0n;
    const effect = this.dispositions.effect(signal);
    if (!blocked && effect === "ignore") return "none";
    // The end of the program comes after what came before it: where a handler is due, this kernel keeps the order.
    const after = (effect === "terminate" || effect === "core") && (this.undelivered || signalWaits(this.guest.tid));
    if (!blocked && effect !== "handler" && !after) return "deliver";
    this.waiting.push(info);
    if (blocked) return "none";
    if (flight) flight.handlerWaits = true;
    return "handled";
  }

  /** At any stop but a signal-delivery-stop whose signal is still wanted. */
  flush(): void {
    for (const info of this.waiting.splice(0)) queueSignal(this.guest, info);
  }

  /** What has not gone into the guest's queue. Should a move fail, it is delivered here. */
  left(): Uint8Array[] {
    return [...this.waiting];
  }
  keep(info: Uint8Array): void {
    this.waiting.push(Buffer.from(info));
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
