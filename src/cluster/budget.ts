import type { Clock } from "../io/mod.ts";

/** Work that may be done for those who have proven nothing yet: `perSecond` on average, `burst` at once (a token bucket). */
export class Budget {
  private readonly clock: Clock;
  private readonly perSecond: number;
  private readonly burst: number;
  private left: number;
  private at: number;

  constructor(clock: Clock, perSecond: number, burst: number) {
    this.clock = clock;
    this.perSecond = perSecond;
    this.burst = burst;
    this.left = burst;
    this.at = clock.now();
  }

  /** Whether there is anything left. */
  get some(): boolean {
    const now = this.clock.now();
    this.left = Math.min(this.burst, this.left + ((now - this.at) * this.perSecond) / 1000);
    this.at = now;
    return this.left >= 1;
  }

  /** Takes one, if there is one. */
  take(): boolean {
    if (!this.some) return false;
    this.left--;
    return true;
  }
}
