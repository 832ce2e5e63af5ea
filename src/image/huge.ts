import { MiB, PAGE } from "../base/mod.ts";
import { memory, SysError } from "../sys/mod.ts";

export interface Range {
  readonly start: bigint;
  readonly end: bigint;
}

export const HUGE = BigInt(2 * MiB);
/** Memory is made ready so far ahead: each step costs a visit to every CPU (lru_add_drain_all). */
const STEP = 8n * BigInt(MiB);

/**
 * Puts huge pages where pages are about to be written in ascending order: a fresh GiB costs 50 ms then, 350 ms in small pages. By
 * MADV_COLLAPSE, which unlike MADV_HUGEPAGE leaves no mark on the area: one that is marked in parts is several areas, which mremap(2)
 * does not move as one. It fails where there are none to be had; small pages do then.
 */
export class HugePages implements Disposable {
  private readonly pid: number;
  private readonly ranges: readonly Range[];
  private pidfd: number;
  private index = 0;
  /** Behind everything that was written or made ready. */
  private high = 0n;

  /** `ranges`: in ascending order, none of which holds anything yet; those that are not of whole huge pages are left alone. */
  constructor(pid: number, ranges: readonly Range[]) {
    this.pid = pid;
    this.ranges = ranges.filter((r) => r.start % HUGE === 0n && r.end % HUGE === 0n);
    this.pidfd = this.ranges.length > 0 ? memory.openPid(pid) : -1;
  }

  /** [start, end) is about to be written. */
  before(start: bigint, end: bigint): void {
    const block = start & ~(HUGE - 1n);
    for (let range = this.ranges[this.index]; range !== undefined && this.pidfd >= 0; range = this.ranges[this.index]) {
      const from = max(range.start, block, (this.high + HUGE - 1n) & ~(HUGE - 1n));
      if (from >= end) break;
      if (from >= range.end) this.index++;
      else this.ready(from, from + STEP < range.end ? from + STEP : range.end);
    }
    this.high = max(this.high, end);
  }

  private ready(from: bigint, to: bigint): void {
    this.high = to;
    try {
      // A byte in each, so that there is something to collapse.
      const blocks = Array.from({ length: Number((to - from) / HUGE) }, (_, i) => ({ addr: from + BigInt(i) * HUGE, length: 1 }));
      memory.scatter(this.pid, blocks, Buffer.alloc(blocks.length));
      memory.collapse(this.pidfd, from, to - from);
    } catch (e) {
      if (!(e instanceof SysError)) throw e;
      // This kernel does not, or we may not. Other errors: none are free at the moment.
      if (e.code === "EPERM" || e.code === "EINVAL" || e.code === "ENOSYS") this[Symbol.dispose]();
    }
  }

  [Symbol.dispose](): void {
    if (this.pidfd >= 0) memory.closePid(this.pidfd);
    this.pidfd = -1;
  }
}

const max = (...values: readonly bigint[]): bigint => values.reduce((a, b) => (a > b ? a : b));

/** The parts of runs of pages that fill huge pages. */
export function hugeRanges(runs: readonly { readonly addr: bigint; readonly pages: number }[]): Range[] {
  return runs.flatMap((run) => {
    const start = (run.addr + HUGE - 1n) & ~(HUGE - 1n);
    const end = (run.addr + BigInt(run.pages * PAGE)) & ~(HUGE - 1n);
    return end > start ? [{ start, end }] : [];
  });
}
