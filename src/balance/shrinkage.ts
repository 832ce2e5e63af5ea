/** Bytes a second, smoothed as MOSIX does its figures. */
const smooth = (old: number, now: number): number => (5 * old + 3 * now) / 8;

interface Look {
  readonly at: number;
  readonly free: number;
  /** Bytes a second: all of it, and what the processes that are known do not explain. */
  readonly all: number;
  readonly unexplained: number;
}

/** By how much a node's free memory shrinks, look after look. Bytes, milliseconds. */
export class Shrinkage {
  private before: Look | null = null;

  /**
   * @param explained bytes a second by which the processes grow that are known: that one of them has stopped is seen at once, while who
   * else takes memory by fits and starts is remembered for some looks
   * @returns bytes a second
   */
  look(free: number, at: number, explained: number): number {
    const { before } = this;
    const now = before && at > before.at ? ((before.free - free) * 1000) / (at - before.at) : 0;
    const rest = Math.max(0, now - explained);
    const unexplained = before ? Math.max(rest, smooth(before.unexplained, rest)) : 0;
    // A rise is believed at once: whoever waits for the average to follow comes too late.
    const all = before ? Math.max(now, Math.min(smooth(before.all, now), explained + unexplained)) : 0;
    this.before = { at, free, all, unexplained };
    return all;
  }
}
