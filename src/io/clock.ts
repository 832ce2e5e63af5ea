import { setTimeout as delay } from "node:timers/promises";
import { TeselaError } from "../base/mod.ts";

/** A timer that is running; cancelling it twice, or after it fired, does nothing. */
export interface Timer extends Disposable {
  cancel(): void;
}

/** Time, as policies and protocols see it: real in daemons, virtual in the simulator and in tests. */
export interface Clock {
  /** Milliseconds since some moment; never runs backwards. */
  now(): number;
  /** Milliseconds since 1970-01-01 UTC; may jump. */
  wall(): number;
  /** Calls `run` once after `ms`. Does not keep a process alive by itself. */
  after(ms: number, run: () => void): Timer;
  /** Calls `run` every `ms` until cancelled. Does not keep a process alive by itself. */
  every(ms: number, run: () => void): Timer;
  /** Resolves after `ms`; rejects with the signal's reason when it is aborted before. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

function timer(stop: () => void): Timer {
  return { cancel: stop, [Symbol.dispose]: stop };
}

export const realClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after(ms, run) {
    const t = setTimeout(run, ms).unref();
    return timer(() => clearTimeout(t));
  },
  every(ms, run) {
    const t = setInterval(run, ms).unref();
    return timer(() => clearInterval(t));
  },
  async sleep(ms, signal) {
    try {
      await delay(ms, undefined, signal === undefined ? {} : { signal });
    } catch (e) {
      throw signal?.aborted ? signal.reason : e;
    }
  },
};

interface Due {
  at: number;
  readonly order: number;
  readonly every: number | null;
  readonly run: () => void;
}

/** Stands still until `advance`: the same run every time. Timers of one moment fire in the order they were set. */
export class VirtualClock implements Clock {
  private time = 0;
  private order = 0;
  private readonly epoch: number;
  private readonly due = new Set<Due>();

  constructor(epoch = Date.UTC(2000, 0, 1)) {
    this.epoch = epoch;
  }

  now(): number {
    return this.time;
  }
  wall(): number {
    return this.epoch + this.time;
  }
  after(ms: number, run: () => void): Timer {
    return this.add(ms, null, run);
  }
  every(ms: number, run: () => void): Timer {
    if (ms <= 0) throw new TeselaError("E_INTERNAL", `a timer every ${ms} ms`);
    return this.add(ms, ms, run);
  }
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const abort = () => {
        t.cancel();
        reject(signal?.reason);
      };
      const t = this.after(ms, () => {
        signal?.removeEventListener("abort", abort);
        resolve();
      });
      signal?.addEventListener("abort", abort, { once: true });
    });
  }

  /** Moves time on by `ms`, firing what falls due, each at its own moment. Callbacks of promises run in between. */
  async advance(ms: number): Promise<void> {
    const until = this.time + ms;
    for (let next = this.next(until); next !== null; next = this.next(until)) {
      this.time = Math.max(this.time, next.at);
      if (next.every === null) this.due.delete(next);
      else next.at += next.every;
      next.run();
      await settle();
    }
    this.time = until;
    await settle();
  }

  private next(until: number): Due | null {
    let best: Due | null = null;
    for (const d of this.due)
      if (d.at <= until && (best === null || d.at < best.at || (d.at === best.at && d.order < best.order))) best = d;
    return best;
  }

  private add(ms: number, every: number | null, run: () => void): Timer {
    const d: Due = { at: this.time + Math.max(0, ms), order: this.order++, every, run };
    this.due.add(d);
    return timer(() => this.due.delete(d));
  }
}

/** Lets promise callbacks and stream events that are ready run. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
