import type { Clock, Random, Timer } from "../io/mod.ts";
import type { MessageType } from "./gossip-message.ts";
import type { GossipKnobs } from "./gossip-knobs.ts";
import type { Health } from "./health.ts";
import type { LiveSet } from "./live-set.ts";
import { LATE_MS } from "./suspicion.ts";

export interface ProberOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly knobs: GossipKnobs;
  readonly live: LiveSet;
  readonly health: Health;
  readonly send: (to: number, type: MessageType, seq: number, about?: number) => void;
  /** It did not answer, neither itself nor through others. */
  readonly failed: (id: number) => void;
}

interface Waiting {
  readonly from: ReadonlySet<number>;
  readonly ack: () => void;
  readonly nack: (by: number) => void;
  readonly timers: Set<Timer>;
}

/** Questions that are open at most; more than a node asks, and helps to ask, by itself. */
const MAX_WAITING = 1024;

/** How many are probed next: twice as many while a good part is silent, which loss alone does not bring about; half as many otherwise. */
function nextBurst(burst: number, silent: number, answered: number, most: number): number {
  if (silent === 0 && answered === 0) return burst;
  return silent * 4 >= answered && silent > 0 ? Math.min(most, burst * 2) : Math.max(1, burst >> 1);
}

/** Finds out who answers: directly, and when that fails, through others (SWIM, section 3.1). */
export class Prober implements Disposable {
  private readonly o: ProberOptions;
  private readonly waiting = new Map<number, Waiting>();
  private readonly probing = new Set<number>();
  private seq: number;
  private round: Timer;
  private burst = 1;
  private silent = 0;
  private answered = 0;

  constructor(o: ProberOptions) {
    this.o = o;
    this.seq = o.random.int(2 ** 32);
    // Not all nodes that are started at once are to probe at once.
    this.round = o.clock.after(o.random.float() * o.knobs.probeMs, () => this.turn());
  }

  [Symbol.dispose](): void {
    this.round.cancel();
    for (const seq of this.waiting.keys()) this.close(seq);
  }

  private turn(): void {
    const { live, clock, knobs } = this.o;
    this.round = clock.after(knobs.probeMs, () => this.turn());
    this.burst = nextBurst(this.burst, this.silent, this.answered, knobs.burst);
    this.silent = this.answered = 0;
    for (let n = Math.min(this.burst, live.size); n > 0; n--) {
      const id = live.next();
      if (id !== null) this.probe(id);
    }
  }

  /** Asks a member for a sign of life; `failed` is called when there is none. */
  probe(id: number): void {
    const { live, knobs, health, send } = this.o;
    if (this.probing.has(id) || this.waiting.size >= MAX_WAITING) return;
    this.probing.add(id);
    const helpers = live.draw(knobs.indirect, id);
    const nacks = new Set<number>();
    const seq = this.open([id, ...helpers], {
      ack: () => {
        this.probing.delete(id);
        this.answered++;
        health.better();
      },
      nack: (by) => void nacks.add(by),
    });
    send(id, "ping", seq);
    const timeout = knobs.probeTimeoutMs * health.factor;
    const whole = knobs.probeMs * health.factor;
    this.later(seq, timeout, () => {
      // The first one may just have been lost.
      send(id, "ping", seq);
      for (const helper of helpers) send(helper, "ask", seq, id);
    });
    this.later(seq, whole, () => {
      this.close(seq);
      this.probing.delete(id);
      this.silent++;
      this.o.failed(id);
      // Others that answer show that it is not this node that nobody hears.
      if (nacks.size === 0) health.worse(1);
    });
  }

  /** Another node cannot reach `id` and asks whether this one can. */
  help(asker: number, askedSeq: number, id: number): void {
    const { knobs, send } = this.o;
    if (this.waiting.size >= MAX_WAITING || !this.o.live.has(id)) {
      send(asker, "nack", askedSeq);
      return;
    }
    const seq = this.open([id], { ack: () => send(asker, "ack", askedSeq), nack: () => {} });
    send(id, "ping", seq);
    // In time to arrive before the asker gives up.
    const left = (knobs.probeMs - knobs.probeTimeoutMs) * 0.8;
    this.later(seq, left, () => {
      this.close(seq);
      send(asker, "nack", askedSeq);
    });
  }

  /** A ping whose answer nobody waits for: its news is what counts. */
  nudge(id: number): void {
    this.o.send(id, "ping", this.seq++ >>> 0);
  }

  acked(from: number, seq: number): void {
    const w = this.waiting.get(seq);
    if (w === undefined || !w.from.has(from)) return;
    this.close(seq);
    w.ack();
  }

  nacked(from: number, seq: number): void {
    const w = this.waiting.get(seq);
    if (w?.from.has(from)) w.nack(from);
  }

  private open(from: readonly number[], { ack, nack }: Pick<Waiting, "ack" | "nack">): number {
    const seq = this.seq++ >>> 0;
    this.waiting.set(seq, { from: new Set(from), ack, nack, timers: new Set() });
    return seq;
  }

  private close(seq: number): void {
    for (const t of this.waiting.get(seq)?.timers ?? []) t.cancel();
    this.waiting.delete(seq);
  }

  /** When the node itself stood still, answers may lie unread: they are read first. */
  private later(seq: number, ms: number, run: () => void): void {
    const { clock, health } = this.o;
    const timers = this.waiting.get(seq)?.timers;
    const due = clock.now() + ms;
    const t = clock.after(ms, () => {
      timers?.delete(t);
      if (clock.now() - due > LATE_MS) {
        health.worse(1);
        this.later(seq, LATE_MS, run);
      } else run();
    });
    timers?.add(t);
  }
}
