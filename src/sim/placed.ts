import type { NodeId } from "../base/mod.ts";
import type { Job } from "./workload.ts";

/** The programs that a node has placed as they began and that still run, and what they usually take: the daemon's programs and habits. */
export class Placed {
  private readonly where = new Map<number, NodeId>();
  private readonly counts = new Map<NodeId, number>();
  private runsSeen = 0;
  private workSeen = 0;

  /** Whether there were any. */
  get isUsed(): boolean {
    return this.counts.size > 0;
  }

  count(node: NodeId): number {
    return this.counts.get(node) ?? 0;
  }

  /** Seconds of a standard processor; null before one has ended. */
  get usualWork(): number | null {
    return this.runsSeen === 0 ? null : this.workSeen / this.runsSeen;
  }

  runs(job: Job, on: NodeId): void {
    this.leave(job);
    this.where.set(job.pid, on);
    this.counts.set(on, this.count(on) + 1);
  }

  ended(job: Job): void {
    this.leave(job);
    this.where.delete(job.pid);
    this.runsSeen++;
    this.workSeen += job.work;
  }

  private leave(job: Job): void {
    const before = this.where.get(job.pid);
    if (before !== undefined) this.counts.set(before, this.count(before) - 1);
  }
}
