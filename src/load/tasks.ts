import { numbersIn, readSmall } from "./read.ts";
import { hasEnded, type ProcessStat, uptimeMs } from "./stat.ts";

/** What one process wanted and got since it was looked at last. */
export interface TaskUse {
  readonly stat: ProcessStat;
  /** Tasks of it that ran or wanted to, on the average while it was there. */
  readonly demand: number;
  /** CPUs that it got. */
  readonly cpu: number;
  /** The same, as exactly as `demand`: `demand - ran` is how many waited for a CPU. */
  readonly ran: number;
  /** Tasks of it that run or want to at this moment. */
  readonly runs: number;
}

/** Nanoseconds. */
interface Times {
  readonly ran: number;
  readonly waited: number;
}
type Threads = ReadonlyMap<number, Times>;

interface Before {
  readonly startMs: number;
  readonly cpuMs: number;
  /** Null: not looked at, since it slept. */
  readonly threads: Threads | null;
}

/** Shorter lives than a clock tick are taken for one. */
const TICK_MS = 10;
const NS_PER_MS = 1e6;

/**
 * Measures processes from one look to the next. What a task wants is what it ran and what it waited for a CPU (/proc/PID/schedstat, Linux
 * Documentation/scheduler/sched-stats.rst), which is an average over the time between, where the state letter is one moment's. A process that began
 * in between counts by its own age: so short ones, of which most are never seen, add up to what they are. Where the kernel has no schedstat, and at
 * the first look, the state has to do.
 */
export class TaskMeter {
  private readonly root: string;
  private before = new Map<number, Before>();
  private next = new Map<number, Before>();
  private elapsedMs = 0;
  private uptime: number | null = null;
  private atMs: number | null = null;

  /** @param root another place of /proc, for tests */
  constructor(root = "") {
    this.root = root;
  }

  /** Looks at processes that have not ended; those that are not asked for are forgotten. */
  look(processes: Iterable<readonly [pid: number, stat: ProcessStat]>, nowMs: number): Map<number, TaskUse> {
    this.elapsedMs = this.atMs === null ? 0 : nowMs - this.atMs;
    this.atMs = nowMs;
    this.uptime = uptimeMs(this.root);
    this.next = new Map();
    const uses = new Map<number, TaskUse>();
    for (const [pid, stat] of processes) if (!hasEnded(stat)) uses.set(pid, this.measure(pid, stat));
    this.before = this.next;
    return uses;
  }

  private measure(pid: number, stat: ProcessStat): TaskUse {
    const known = this.before.get(pid);
    const before = known?.startMs === stat.startMs ? known : null;
    const still = before !== null && stat.state !== "R" && stat.cpuMs === before.cpuMs;
    const threads = still ? before.threads : this.threadTimes(pid, stat);
    this.next.set(pid, { startMs: stat.startMs, cpuMs: stat.cpuMs, threads });
    if (still) return { stat, demand: 0, cpu: 0, ran: 0, runs: 0 };

    const age = this.uptime === null ? Number.POSITIVE_INFINITY : Math.max(TICK_MS, this.uptime - stat.startMs);
    const began = before === null && this.elapsedMs > 0 && age <= this.elapsedMs + TICK_MS;
    const present = began ? age : this.elapsedMs;
    const runs = this.runsNow(pid, stat);
    if (present <= 0 || (before === null && !began)) return { stat, demand: runs, cpu: 0, ran: 0, runs };
    const cpu = (stat.cpuMs - (before?.cpuMs ?? 0)) / present;
    const times = threads === null ? null : since(threads, began ? new Map() : (before?.threads ?? null));
    if (times === null) return { stat, demand: runs, cpu, ran: cpu, runs };
    const part = Math.min(1 / present, stat.threads / (times.ran + times.waited));
    return { stat, demand: (times.ran + times.waited) * part, cpu, ran: times.ran * part, runs };
  }

  private threadTimes(pid: number, stat: ProcessStat): Threads | null {
    const dir = `${this.root}/proc/${pid}`;
    const times = new Map<number, Times>();
    const tids = stat.threads <= 1 ? [pid] : numbersIn(`${dir}/task`);
    for (const tid of tids) {
      const text = readSmall(stat.threads <= 1 ? `${dir}/schedstat` : `${dir}/task/${tid}/schedstat`);
      if (text === null) continue;
      const [ran = "0", waited = "0"] = text.split(" ");
      times.set(tid, { ran: Number(ran), waited: Number(waited) });
    }
    return times.size === 0 ? null : times;
  }

  private runsNow(pid: number, stat: ProcessStat): number {
    if (stat.threads <= 1) return stat.state === "R" ? 1 : 0;
    const states = numbersIn(`${this.root}/proc/${pid}/task`).map((tid) => readSmall(`${this.root}/proc/${pid}/task/${tid}/stat`));
    return states.filter((text) => text !== null && text.charAt(text.lastIndexOf(")") + 2) === "R").length;
  }
}

const NONE: Times = { ran: 0, waited: 0 };

/** Milliseconds that threads ran and waited since; null when nothing is known of before. A thread that is new did so since it began. */
function since(now: Threads, before: Threads | null): Times | null {
  if (before === null) return null;
  let [ran, waited] = [0, 0];
  for (const [tid, time] of now) {
    const then = before.get(tid) ?? NONE;
    ran += Math.max(0, time.ran - then.ran);
    waited += Math.max(0, time.waited - then.waited);
  }
  return { ran: ran / NS_PER_MS, waited: waited / NS_PER_MS };
}
