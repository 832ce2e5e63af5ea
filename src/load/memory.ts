import { KiB, PAGE } from "../base/mod.ts";
import { smoothGrowth } from "./averages.ts";
import { ownGroupV2, type Quota, readQuota } from "./cgroup.ts";
import { numberOf, readSmall } from "./read.ts";

/** Memory of this node, within the limits of its control groups. Bytes, and bytes a second. */
export interface MemorySample {
  readonly memTotal: number;
  /** What programs can still get without swapping. */
  readonly memFree: number;
  /** By how much that shrinks; below zero when it grows. */
  readonly memGrowth: number;
  /** Swap traffic: of its own group where the kernel tells that, of the whole machine otherwise. */
  readonly swapIn: number;
  readonly swapOut: number;
}

interface Traffic {
  readonly in: number;
  readonly out: number;
}

/** Quick enough to be asked ten times a second when memory runs short. */
export class MemoryMeter {
  private readonly root: string;
  private readonly group: string | null;
  private before: { readonly atMs: number; readonly free: number; readonly swap: Traffic } | null = null;
  private growth = 0;

  /** @param root another place of /proc and /sys, for tests */
  constructor(root = "") {
    this.root = root;
    this.group = ownGroupV2(root);
  }

  sample(nowMs: number, quota: Quota = readQuota("self", this.root)): MemorySample {
    const machine = readMeminfo(this.root);
    const memTotal = Math.min(machine.total, quota.memory);
    const memFree = Math.max(0, Math.min(machine.available, quota.memory - quota.memoryUsed));
    const swap = this.readSwap();
    const { before } = this;
    const seconds = before === null ? 0 : (nowMs - before.atMs) / 1000;
    this.before = { atMs: nowMs, free: memFree, swap };
    if (before === null || seconds <= 0) return { memTotal, memFree, memGrowth: 0, swapIn: 0, swapOut: 0 };
    this.growth = smoothGrowth(this.growth, (before.free - memFree) / seconds);
    return {
      memTotal,
      memFree,
      memGrowth: Math.round(this.growth),
      swapIn: Math.max(0, Math.round((swap.in - before.swap.in) / seconds)),
      swapOut: Math.max(0, Math.round((swap.out - before.swap.out) / seconds)),
    };
  }

  private readSwap(): Traffic {
    const own = this.group === null ? null : traffic(readSmall(`${this.group}/memory.stat`));
    return own ?? traffic(readSmall(`${this.root}/proc/vmstat`)) ?? { in: 0, out: 0 };
  }
}

function traffic(text: string | null): Traffic | null {
  const [pagesIn, pagesOut] = [numberOf(text, "pswpin"), numberOf(text, "pswpout")];
  return pagesIn === null || pagesOut === null ? null : { in: pagesIn * PAGE, out: pagesOut * PAGE };
}

function readMeminfo(root: string): { total: number; available: number } {
  const text = readSmall(`${root}/proc/meminfo`) ?? "";
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s*(\\d+) kB$`, "m").exec(text)?.[1] ?? 0) * KiB;
  return { total: field("MemTotal"), available: field("MemAvailable") };
}
