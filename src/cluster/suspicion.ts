import type { Clock, Timer } from "../io/mod.ts";

export interface SuspicionTimes {
  /** With all confirmations, and with none. */
  readonly leastMs: number;
  readonly mostMs: number;
  /** Confirmations that make it the least; 0 when there are not that many others. */
  readonly enough: number;
}

/** When a timer is later than this, the node itself stood still, and the answer may lie unread in its socket. */
export const LATE_MS = 100;

/** How long a suspect has, in milliseconds, when `confirmations` others suspect it too. */
export function suspicionMs({ leastMs, mostMs, enough }: SuspicionTimes, confirmations: number): number {
  if (enough === 0) return leastMs;
  const share = Math.min(1, Math.log(confirmations + 1) / Math.log(enough + 1));
  return mostMs - (mostMs - leastMs) * share;
}

/** The time that a suspect has left to refute: the shorter, the more others suspect it independently (Lifeguard, Dadgar et al. 2018). */
export class Suspicion implements Disposable {
  private readonly clock: Clock;
  private readonly times: SuspicionTimes;
  private readonly begun: number;
  private readonly by: Set<number>;
  private readonly expired: () => void;
  private timer: Timer;
  private due = 0;

  constructor(clock: Clock, times: SuspicionTimes, by: number, expired: () => void) {
    this.clock = clock;
    this.times = times;
    this.begun = clock.now();
    this.by = new Set([by]);
    this.expired = expired;
    this.timer = this.set();
  }

  /** Whether this is a voice that was not heard before, and one is still wanted. */
  confirm(by: number): boolean {
    if (this.by.has(by) || this.by.size > this.times.enough) return false;
    this.by.add(by);
    this.timer.cancel();
    this.timer = this.set();
    return true;
  }

  [Symbol.dispose](): void {
    this.timer.cancel();
  }

  private set(): Timer {
    const ends = this.begun + suspicionMs(this.times, this.by.size - 1);
    this.due = Math.max(this.clock.now(), ends);
    return this.clock.after(this.due - this.clock.now(), () => this.end());
  }

  private end(): void {
    if (this.clock.now() - this.due > LATE_MS) {
      this.due = this.clock.now() + LATE_MS;
      this.timer = this.clock.after(LATE_MS, () => this.end());
    } else this.expired();
  }
}
