import { type Clock, realClock } from "../io/mod.ts";
import { localLoad, toldLoad } from "./averages.ts";
import { readQuota } from "./cgroup.ts";
import { CoreMeter } from "./cores.ts";
import { affinityCpus, cpuFeatures } from "./cpus.ts";
import { MemoryMeter, type MemorySample } from "./memory.ts";
import { type Pressure, PressureMeter } from "./pressure.ts";
import { alone, RivalMeter } from "./rivals.ts";
import { type ProcessStat, readProcesses } from "./stat.ts";
import { TaskMeter, type TaskUse } from "./tasks.ts";
import { UseMeter } from "./use.ts";

/** The reference processor's speed; a node counts as one until a yardstick has measured it. */
export const STANDARD_SPEED = 10_000;

/**
 * What a node can offer, and how busy it is. Loads count the tasks that want its CPUs, for each standard processor: `tasks * 10000 / (speed * cpus)`. Those
 * of others with whom it shares its CPUs count, too, though it does not see them.
 */
export interface NodeSample extends MemorySample {
  /** CPUs that it may use, by affinity and quota: 1.5 is possible. */
  readonly cpus: number;
  /** Those of them that its tasks get, where others use the same CPUs or a hypervisor takes them away: at most `cpus`. */
  readonly got: number;
  /** Others use its CPUs, and none of its own tasks has shown lately what one gets there: `got` is a guess. */
  readonly untried: boolean;
  readonly speed: number;
  /** CPU features that glibc chooses by: bits of GLIBC_FEATURES. */
  readonly cpu: number;
  /** Its own tasks that ran or wanted to since the last sample, on the average. */
  readonly runnable: number;
  /** The load of that time, not averaged. */
  readonly present: number;
  /** What others are told: rises at once and falls slowly. */
  readonly load: number;
  /** For own decisions: rises slowly and falls at once. */
  readonly local: number;
  /**
   * The part of `local` that is of processes which do not move by themselves: the owner's own work. Others are told the same, or a command that
   * took a second would keep guests away for ten.
   */
  readonly own: number;
  /** Part of its CPUs that was used, by whomever, 0 to 1. */
  readonly util: number;
  /** Null where the kernel tells nothing of it. */
  readonly psi: Pressure | null;
}

export interface SamplerOptions {
  /** Another place of /proc and /sys, for tests. */
  readonly root?: string;
  readonly clock?: Clock;
  /** As the yardstick measured it, or as the administrator says. */
  readonly speed?: number;
}

/** Whose tasks count as whose. PIDs as this node's /proc counts them. */
export interface Parts {
  /** Tesela's own: they serve the others, and nothing is gained by moving those. What descends from them are guests. */
  readonly ours?: ReadonlySet<number>;
  /** Whether one is over in a moment, and no load. */
  readonly passing?: (pid: number, stat: ProcessStat) => boolean;
  /** Whether one that is at home here is under load levelling. */
  readonly movable?: (pid: number) => boolean;
  /** Whether those count that this node does not see: they do when left out. */
  readonly rivals?: boolean;
}

interface Averages {
  readonly local: number;
  readonly told: number;
  readonly own: number;
  /** Seconds that are in it. */
  readonly seen: number;
}

/** What a task wants of a CPU that wants it for the whole time, or misses that by what clocks differ. */
const STEADY = 0.95;
/** Generations of processes that are looked up. */
const DEEPEST = 64;
const NONE: ReadonlySet<number> = new Set();
const PRECISION = 1000;
const round = (n: number): number => Math.round(n * PRECISION) / PRECISION;

/**
 * Samples this machine, or this namespace host: by its own /proc view, its affinity and control groups; never by /proc/loadavg, which all hosts of
 * a machine share. Deputies of processes that are away sleep and count nothing; guests count where they run.
 */
export class LoadSampler {
  private readonly root: string;
  private readonly clock: Clock;
  private readonly cpu: number;
  private readonly tasks: TaskMeter;
  private readonly memory: MemoryMeter;
  private readonly pressure: PressureMeter;
  private readonly cores: CoreMeter;
  private readonly use = new UseMeter();
  private readonly rivals = new RivalMeter();
  private averages: Averages | null = null;
  /** When it looked last; null when averages begin with what comes after the next look. */
  private lookedAt: number | null = null;
  private looked: ReadonlyMap<number, TaskUse> = new Map();
  private stats: ReadonlyMap<number, ProcessStat> = new Map();
  /** May be changed at any time. */
  speed: number;

  constructor({ root = "", clock = realClock, speed = STANDARD_SPEED }: SamplerOptions = {}) {
    this.root = root;
    this.clock = clock;
    this.speed = speed;
    this.cpu = cpuFeatures(root);
    this.tasks = new TaskMeter(root);
    this.memory = new MemoryMeter(root);
    this.pressure = new PressureMeter(root);
    this.cores = new CoreMeter(root);
  }

  /** What was seen of each process at the last sample, without Tesela's own. */
  get processes(): ReadonlyMap<number, TaskUse> {
    return this.looked;
  }

  /** All processes as they were at the last sample, for whoever else looks at them each second. */
  get everybody(): ReadonlyMap<number, ProcessStat> {
    return this.stats;
  }

  /** What was until now is of no account, for loads are not what they were: averages begin with the time from now to the next sample. */
  begin(parts: Parts = {}): NodeSample {
    this.averages = null;
    this.lookedAt = null;
    return this.sample(parts);
  }

  /** Call once a second, the first time sooner: the averages depend on it. A first look has the moment alone, which is in no average. */
  sample({ ours = NONE, passing = () => false, movable = () => false, rivals: counted = true }: Parts = {}): NodeSample {
    const now = this.clock.now();
    const { root, speed } = this;
    const quota = readQuota("self", root);
    const affinity = affinityCpus(root);
    const cpus = Math.min(affinity.length, quota.cpus);
    this.stats = readProcesses(root);
    const cores = this.cores.look(affinity, now);
    const got = this.use.look(this.stats, now);
    // Those that a quota holds back do not wait for a CPU, though they want one: then the states have to do.
    const wants = (use: TaskUse): number => (quota.cpus < affinity.length ? use.runs : use.demand);
    const others = [...this.stats].filter(([pid, stat]) => pid !== process.pid && !ours.has(pid) && !passing(pid, stat));
    this.looked = this.tasks.look(others, now);
    let [runnable, own, used, ran, steady] = [0, 0, 0, 0, 0];
    for (const [pid, use] of this.looked) {
      runnable += wants(use);
      used += use.cpu;
      ran += use.ran;
      steady += Math.floor(use.demand + 1 - STEADY);
      if (wants(use) > 0 && !movable(pid) && !this.descends(pid, ours)) own += wants(use);
    }
    const competition = this.rivals.look({ cpus, got, wanted: runnable, ran, steady, cores });
    const share = counted ? competition : alone(cpus);
    const perTask = STANDARD_SPEED / (speed * share.whole);
    const present = (runnable + share.suspended) * perTask;
    // An average already.
    const rivals = share.rivals * perTask;
    const averages = this.average(present, own * perTask, now);
    return {
      cpus,
      got: round(share.got),
      untried: share.untried,
      speed,
      cpu: this.cpu,
      runnable: round(runnable),
      present: round(present + rivals),
      load: round(averages.told + rivals),
      local: round(averages.local + rivals),
      own: round(Math.min(averages.own, averages.local)),
      // Its own daemons take their part, too.
      util: round(Math.min(1, (Math.max(used, got ?? 0) + share.unseen) / share.whole)),
      ...this.memory.sample(now, quota),
      psi: this.pressure.sample(now),
    };
  }

  /** The owner knows better than the yardstick. */
  setSpeed(speed: number): void {
    this.speed = speed;
  }

  /** Memory alone, as often as one likes. */
  sampleMemory(): MemorySample {
    return this.memory.sample(this.clock.now());
  }

  private descends(pid: number, from: ReadonlySet<number>): boolean {
    const { looked } = this;
    // A PID that was given anew while we looked could close a ring.
    for (let [at, steps] = [looked.get(pid)?.stat.ppid, 0]; at !== undefined && steps < DEEPEST; at = looked.get(at)?.stat.ppid, steps++) {
      if (from.has(at)) return true;
    }
    return false;
  }

  private average(now: number, own: number, atMs: number): Averages {
    const { averages: old, lookedAt } = this;
    this.lookedAt = atMs;
    const seconds = lookedAt === null ? 0 : (atMs - lookedAt) / 1000;
    if (old === null || seconds <= 0) {
      const first = { local: now, told: now, own, seen: seconds };
      if (seconds > 0) this.averages = first;
      return old ?? first;
    }
    this.averages = {
      local: localLoad(old.local, now),
      told: toldLoad(old.told, now, seconds, old.seen),
      own: localLoad(old.own, own),
      seen: old.seen + seconds,
    };
    return this.averages;
  }
}
