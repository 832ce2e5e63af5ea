import { decayed, smoothGrowth, smoothShare } from "../load/mod.ts";
import { type Pace, THOUSAND } from "./hints.ts";
import type { EngineRow } from "./shapes.ts";

/** How a process has fared lately, where it runs. */
export interface Figure {
  /** Share of CPUs, smoothed: 0.5 is half of one. */
  readonly cpu: number;
  /** CPU time used so far, milliseconds. */
  readonly cpuMs: number;
  /** Resident bytes. */
  readonly rss: number;
  /** Bytes a second, smoothed; negative when it shrinks. */
  readonly growth: number;
  /** Calls a second that home makes for it. */
  readonly calls: number;
}

interface Seen extends Figure {
  readonly at: number;
  /** When it was first looked at here. */
  readonly first: number;
  readonly total: number;
}

/** Less time between two looks tells more of chance than of the process. */
const LEAST_MS = 200;

/** Averages over what an engine says of its processes, look after look. */
export class Figures {
  private seen = new Map<string, Seen>();

  /**
   * @param now milliseconds of a clock that never steps back
   * @param pace how fast the averages of one follow; null: as is usual
   */
  take(rows: readonly EngineRow[], now: number, pace: (row: EngineRow) => Pace | null = () => null): ReadonlyMap<string, Figure> {
    const old = this.seen;
    this.seen = new Map();
    for (const row of rows) {
      const before = old.get(row.cpid);
      this.seen.set(row.cpid, before && now - before.at < LEAST_MS ? before : next(row, before, now, pace(row)));
    }
    return this.seen;
  }
}

function next(row: EngineRow, before: Seen | undefined, at: number, pace: Pace | null): Seen {
  const { cpuMs = 0, calls: total = 0, rss } = row;
  if (!before) return { at, first: at, total, cpuMs, rss, cpu: row.cpu, growth: 0, calls: 0 };
  const seconds = (at - before.at) / 1000;
  // A figure that fell is counted anew: the process has moved.
  const rate = (now: number, then: number): number => (now >= then ? (now - then) / seconds : 0);
  const keep = pace === null ? 0 : (pace.keep / THOUSAND) ** (seconds / pace.seconds);
  const seen = (before.at - before.first) / 1000;
  const follow = (old: number, sample: number): number =>
    pace === null ? smoothShare(old, sample) : decayed(old, sample, keep, seconds, seen);
  return {
    at,
    first: before.first,
    total,
    cpuMs,
    rss,
    cpu: follow(before.cpu, rate(cpuMs, before.cpuMs) / 1000),
    growth: smoothGrowth(before.growth, (rss - before.rss) / seconds),
    calls: follow(before.calls, rate(total, before.total)),
  };
}
