import { PAGE } from "../base/mod.ts";
import type { Image } from "../image/mod.ts";
import { proc } from "../sys/mod.ts";

const TICK_US = 1_000_000 / proc.TICKS_PER_SECOND;

/** CPU time of a task of this node and of what it did on nodes before, in microseconds. */
export function cpuUsed(tid: number, before: Image["cpuUsed"]): Image["cpuUsed"] {
  try {
    const stat = proc.readStat(tid);
    return { user: before.user + Number(stat.field(14)) * TICK_US, system: before.system + Number(stat.field(15)) * TICK_US };
  } catch {
    // It has just ended; what it used here is in nobody's account any more.
    return before;
  }
}

export function residentBytes(tid: number): number {
  try {
    return proc.readStat(tid).rssPages * PAGE;
  } catch {
    return 0;
  }
}
