import { assert } from "../base/mod.ts";
import type { Clock, Timer } from "../io/mod.ts";

/** Something that is to happen, on the clock's heap. */
class Event implements Timer {
  at: number;
  readonly order: number;
  readonly every: number;
  private readonly run: () => void;
  private live = true;

  constructor(at: number, order: number, every: number, run: () => void) {
    this.at = at;
    this.order = order;
    this.every = every;
    this.run = run;
  }

  get cancelled(): boolean {
    return !this.live;
  }
  cancel(): void {
    this.live = false;
  }
  [Symbol.dispose](): void {
    this.live = false;
  }
  fire(): void {
    this.run();
  }
}

const before = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

/**
 * Virtual time for many thousand timers: a heap, and callbacks only. What is due at one moment happens in the order in which it was set. Unlike
 * VirtualClock it never waits for promises, so that a second of a large cluster is one turn of the event loop.
 */
export class EventClock implements Clock {
  private time = 0;
  private order = 0;
  private readonly epoch: number;
  private readonly heap: Event[] = [];
  /** Events that have happened. */
  fired = 0;

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
    return this.push(new Event(this.time + Math.max(0, ms), this.order++, 0, run));
  }
  every(ms: number, run: () => void): Timer {
    assert(ms > 0, `a timer every ${ms} ms`);
    return this.push(new Event(this.time + ms, this.order++, ms, run));
  }
  /** Resolves once the caller of `run` has gone on to wait for promises. */
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const timer = this.after(ms, resolve);
      signal?.addEventListener(
        "abort",
        () => {
          timer.cancel();
          reject(signal.reason);
        },
        { once: true },
      );
    });
  }

  /** Lets everything happen that is due up to that moment, or until it is `done`. */
  runTo(ms: number, done: () => boolean = () => false): void {
    for (;;) {
      const next = this.heap[0];
      if (next === undefined || next.at > ms) break;
      this.pop();
      if (next.cancelled) continue;
      this.time = Math.max(this.time, next.at);
      this.fired++;
      next.fire();
      if (next.every > 0 && !next.cancelled) {
        next.at += next.every;
        this.push(next);
      }
      if (done()) return;
    }
    this.time = Math.max(this.time, ms);
  }

  private push(e: Event): Event {
    const { heap } = this;
    let at = heap.push(e) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up] as Event;
      if (!before(e, parent)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = e;
    return e;
  }

  private pop(): void {
    const { heap } = this;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Event, heap[child] as Event)) child++;
      if (!before(heap[child] as Event, last)) break;
      heap[at] = heap[child] as Event;
      at = child;
    }
    heap[at] = last;
  }
}
