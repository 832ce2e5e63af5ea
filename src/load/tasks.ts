import { numbersIn, readSmall } from "./read.ts";
import { type ProcessStat, readProcess, uptimeMs } from "./stat.ts";

/** What one process wanted and got since it was looked at last. */
export interface TaskUse {
  readonly stat: ProcessStat;
  /** Tasks of it that ran or wanted to, on the average while it was there. */
  readonly demand: number;
  /** CPUs that it got. */
  readonly cpu: number;
  /** Tasks of it that run or want to at this moment. */
  readonly runs: number;
}

interface Before {
  readonly startMs: number;
  readonly cpuMs: number;
  /** Of each thread, nanoseconds that it ran and waited for a CPU; null: not looked at, since it slept. */
  readonly threads: ReadonlyMap<number, number> | null;
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

  /** Looks at processes; those that are not asked for are forgotten. */
  look(pids: readonly number[], nowMs: number): Map<number, TaskUse> {
    this.elapsedMs = this.atMs === null ? 0 : nowMs - this.atMs;
    this.atMs = nowMs;
    this.uptime = uptimeMs(this.root);
    this.next = new Map();
    const uses = new Map<number, TaskUse>();
    for (const pid of pids) {
      const use = this.measure(pid);
      if (use !== null) uses.set(pid, use);
    }
    this.before = this.next;
    return uses;
  }

  private measure(pid: number): TaskUse | null {
    const stat = readProcess(pid, this.root);
    if (stat === null) return null;
    const known = this.before.get(pid);
    const before = known?.startMs === stat.startMs ? known : null;
    const still = before !== null && stat.state !== "R" && stat.cpuMs === before.cpuMs;
    const threads = still ? before.threads : this.threadTimes(pid, stat);
    this.next.set(pid, { startMs: stat.startMs, cpuMs: stat.cpuMs, threads });
    if (still) return { stat, demand: 0, cpu: 0, runs: 0 };

    const age = this.uptime === null ? Number.POSITIVE_INFINITY : Math.max(TICK_MS, this.uptime - stat.startMs);
    const began = before === null && this.elapsedMs > 0 && age <= this.elapsedMs + TICK_MS;
    const present = began ? age : this.elapsedMs;
    const runs = this.runsNow(pid, stat);
    if (present <= 0 || (before === null && !began)) return { stat, demand: runs, cpu: 0, runs };
    const cpu = (stat.cpuMs - (before?.cpuMs ?? 0)) / present;
    const wanted = threads === null ? null : wantedMs(threads, began ? new Map() : (before?.threads ?? null));
    const demand = wanted === null ? runs : Math.min(stat.threads, wanted / present);
    return { stat, demand, cpu, runs };
  }

  private threadTimes(pid: number, stat: ProcessStat): Map<number, number> | null {
    const dir = `${this.root}/proc/${pid}`;
    const times = new Map<number, number>();
    const tids = stat.threads <= 1 ? [pid] : numbersIn(`${dir}/task`);
    for (const tid of tids) {
      const text = readSmall(stat.threads <= 1 ? `${dir}/schedstat` : `${dir}/task/${tid}/schedstat`);
      if (text === null) continue;
      const [ran = "0", waited = "0"] = text.split(" ");
      times.set(tid, Number(ran) + Number(waited));
    }
    return times.size === 0 ? null : times;
  }

  private runsNow(pid: number, stat: ProcessStat): number {
    if (stat.threads <= 1) return stat.state === "R" ? 1 : 0;
    const states = numbersIn(`${this.root}/proc/${pid}/task`).map((tid) => readSmall(`${this.root}/proc/${pid}/task/${tid}/stat`));
    return states.filter((text) => text !== null && text.charAt(text.lastIndexOf(")") + 2) === "R").length;
  }
}

/** Milliseconds that threads ran and waited since; null when nothing is known of before. A thread that is new did so since it began. */
function wantedMs(now: ReadonlyMap<number, number>, before: ReadonlyMap<number, number> | null): number | null {
  if (before === null) return null;
  let ns = 0;
  for (const [tid, time] of now) ns += Math.max(0, time - (before.get(tid) ?? 0));
  return ns / NS_PER_MS;
}
