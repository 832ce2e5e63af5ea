import { proc } from "../sys/mod.ts";
import { readSmall } from "./read.ts";

/** What some CPUs of the machine have done since boot, milliseconds of all of them together. */
interface CoreTimes {
  readonly idleMs: number;
  readonly stolenMs: number;
}

/** The same, as CPUs on the average since the look before: 0.5 is half of one. */
export interface CoreUse {
  readonly count: number;
  readonly idle: number;
  /** Taken away by a hypervisor while something wanted to run. */
  readonly stolen: number;
}

const MS_PER_TICK = 1000 / proc.TICKS_PER_SECOND;

/**
 * The CPUs that this node may use, from their own lines of /proc/stat (proc_stat(5)). A namespace host sees those of the whole machine there, and
 * each line is of one CPU whoever runs on it: so this is true of its own CPUs, though most of what it counts may be of others.
 */
export class CoreMeter {
  private readonly root: string;
  private before: { readonly list: string; readonly times: CoreTimes; readonly atMs: number } | null = null;

  /** @param root another place of /proc, for tests */
  constructor(root = "") {
    this.root = root;
  }

  /** @param allowed numbers of CPUs. Null at the first look, after a change of them, and where the kernel does not tell of all */
  look(allowed: readonly number[], nowMs: number): CoreUse | null {
    const list = allowed.join(",");
    const times = readTimes(new Set(allowed), this.root);
    const { before } = this;
    this.before = times === null ? null : { list, times, atMs: nowMs };
    if (times === null || before === null || before.list !== list || nowMs <= before.atMs) return null;
    const average = (now: number, then: number): number => Math.min(allowed.length, Math.max(0, now - then) / (nowMs - before.atMs));
    return {
      count: allowed.length,
      idle: average(times.idleMs, before.times.idleMs),
      stolen: average(times.stolenMs, before.times.stolenMs),
    };
  }
}

function readTimes(allowed: ReadonlySet<number>, root: string): CoreTimes | null {
  const text = readSmall(`${root}/proc/stat`);
  if (text === null) return null;
  let [idleMs, stolenMs, found] = [0, 0, 0];
  for (const [, number, fields = ""] of text.matchAll(/^cpu(\d+) (.*)$/gm)) {
    if (!allowed.has(Number(number))) continue;
    // user, nice, system, idle, iowait, irq, softirq, steal
    const ticks = fields.split(" ").map(Number);
    idleMs += ((ticks[3] ?? 0) + (ticks[4] ?? 0)) * MS_PER_TICK;
    stolenMs += (ticks[7] ?? 0) * MS_PER_TICK;
    found++;
  }
  return found === allowed.size && found > 0 ? { idleMs, stolenMs } : null;
}
