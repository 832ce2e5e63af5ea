import { smoothGrowth, smoothShare } from "../load/mod.ts";
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
  readonly total: number;
}

/** Less time between two looks tells more of chance than of the process. */
const LEAST_MS = 200;

/** Averages over what an engine says of its processes, look after look. */
export class Figures {
  private seen = new Map<string, Seen>();

  /** @param now milliseconds of a clock that never steps back */
  take(rows: readonly EngineRow[], now: number): ReadonlyMap<string, Figure> {
    const old = this.seen;
    this.seen = new Map();
    for (const row of rows) {
      const before = old.get(row.cpid);
      this.seen.set(row.cpid, before && now - before.at < LEAST_MS ? before : next(row, before, now));
    }
    return this.seen;
  }
}

function next(row: EngineRow, before: Seen | undefined, at: number): Seen {
  const { cpuMs = 0, calls: total = 0, rss } = row;
  if (!before) return { at, total, cpuMs, rss, cpu: row.cpu, growth: 0, calls: 0 };
  const seconds = (at - before.at) / 1000;
  // A figure that fell is counted anew: the process has moved.
  const rate = (now: number, then: number): number => (now >= then ? (now - then) / seconds : 0);
  return {
    at,
    total,
    cpuMs,
    rss,
    cpu: smoothShare(before.cpu, rate(cpuMs, before.cpuMs) / 1000),
    growth: smoothGrowth(before.growth, (rss - before.rss) / seconds),
    calls: smoothShare(before.calls, rate(total, before.total)),
  };
}
