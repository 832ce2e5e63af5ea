import { type Clock, realClock } from "../io/mod.ts";
import { smoothGrowth, smoothShare } from "./averages.ts";
import { uptimeMs } from "./stat.ts";
import { TaskMeter, type TaskUse } from "./tasks.ts";

/** What a process uses here. */
export interface Figures {
  /** Share in CPUs, smoothed: `p = (5p + 3 sample) / 8`. */
  readonly cpu: number;
  /** Tasks that it has ready, smoothed alike: what it would use if it had the node for itself. */
  readonly demand: number;
  /** User and system time of the whole process since it began here, milliseconds. */
  readonly cpuMs: number;
  /** Resident bytes, and the bytes a second by which they grow, smoothed. */
  readonly rss: number;
  readonly growth: number;
  /** One letter, as ps(1) has it. */
  readonly state: string;
}

interface Kept extends Figures {
  readonly startMs: number;
}

export interface FiguresOptions {
  /** Another place of /proc, for tests. */
  readonly root?: string;
  readonly clock?: Clock;
}

/** Figures of chosen processes: those that could move. Of one that is away there are none here: ask where it runs. */
export class ProcessFigures {
  private readonly root: string;
  private readonly clock: Clock;
  private readonly meter: TaskMeter;
  private kept = new Map<number, Kept>();
  private atMs = 0;

  constructor({ root = "", clock = realClock }: FiguresOptions = {}) {
    this.root = root;
    this.clock = clock;
    this.meter = new TaskMeter(root);
  }

  /** Once a second, or more often. Processes that have ended are left out; those not asked for are forgotten. */
  sample(pids: readonly number[]): ReadonlyMap<number, Figures> {
    const now = this.clock.now();
    const seconds = (now - this.atMs) / 1000;
    const uptime = uptimeMs(this.root);
    const next = new Map<number, Kept>();
    for (const [pid, use] of this.meter.look(pids, now)) {
      const before = this.kept.get(pid);
      const known = before?.startMs === use.stat.startMs ? before : null;
      next.set(pid, known === null ? firstFigures(use, uptime) : nextFigures(known, use, seconds));
    }
    this.kept = next;
    this.atMs = now;
    return next;
  }
}

/** Of one that was not known: its share is what it got in its life. */
function firstFigures({ stat, demand }: TaskUse, uptime: number | null): Kept {
  const age = uptime === null ? 0 : uptime - stat.startMs;
  const cpu = age > 0 ? Math.min(stat.threads, stat.cpuMs / age) : 0;
  return { cpu, demand: Math.max(cpu, demand), cpuMs: stat.cpuMs, rss: stat.rss, growth: 0, state: stat.state, startMs: stat.startMs };
}

function nextFigures(known: Kept, { stat, demand, cpu }: TaskUse, seconds: number): Kept {
  return {
    cpu: smoothShare(known.cpu, cpu),
    demand: smoothShare(known.demand, demand),
    cpuMs: stat.cpuMs,
    rss: stat.rss,
    growth: seconds > 0 ? smoothGrowth(known.growth, (stat.rss - known.rss) / seconds) : known.growth,
    state: stat.state,
    startMs: stat.startMs,
  };
}
