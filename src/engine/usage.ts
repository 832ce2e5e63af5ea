import { PAGE } from "../base/mod.ts";
import type { CallContext } from "../forward/mod.ts";
import type { Image } from "../image/mod.ts";
import { proc } from "../sys/mod.ts";
import type { Guest } from "./guest.ts";

const TICK_US = 1_000_000 / proc.TICKS_PER_SECOND;

/**
 * CPU time of a process of this node, or of its thread `task`, and of what it did on nodes before, in microseconds.
 * @param task as /proc names it: PID, or PID/task/TID
 */
export function cpuUsed(task: string, before: Image["cpuUsed"]): Image["cpuUsed"] {
  try {
    const stat = proc.readStat(task);
    return { user: before.user + Number(stat.field(14)) * TICK_US, system: before.system + Number(stat.field(15)) * TICK_US };
  } catch {
    // It has just ended; what it used here is in nobody's account any more.
    return before;
  }
}

/** What a thread's calls are planned with. */
export function contextOf(guest: Guest): CallContext {
  const { process, homeTid } = guest;
  const cpuAway = (who: "self" | "thread") => inNanoseconds(who === "self" ? process.cpuUsed() : guest.cpuUsed());
  return { pid: process.image.pid, tid: homeTid, reservedFds: process.reservedFds, cpuAway };
}

function inNanoseconds({ user, system }: Image["cpuUsed"]): { user: bigint; system: bigint } {
  return { user: BigInt(user) * 1000n, system: BigInt(system) * 1000n };
}

export function residentBytes(tid: number): number {
  try {
    return proc.readStat(tid).rssPages * PAGE;
  } catch {
    return 0;
  }
}
