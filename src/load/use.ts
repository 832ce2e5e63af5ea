import type { ProcessStat } from "./stat.ts";

interface Seen {
  readonly startMs: number;
  readonly cpuMs: number;
}

/** Counts the CPU time that all processes of a node use together, those that live too shortly to be seen included. */
export class UseMeter {
  private before: ReadonlyMap<number, Seen> = new Map();
  private totalMs = 0;
  private atMs: number | null = null;

  /**
   * What one process has used moves to its parent when that waits for it, so the sum over all, of their own time and of their children's, grows by what
   * was used. Where nobody waits (`SIGCHLD` ignored) a life's time leaves the sum at once; then what the living have used is the most that is known.
   * @param processes all that there are, zombies too
   * @returns CPUs on the average since the look before; null at the first
   */
  look(processes: ReadonlyMap<number, ProcessStat>, nowMs: number): number | null {
    let [total, living] = [0, 0];
    for (const [pid, { startMs, cpuMs, childMs }] of processes) {
      const before = this.before.get(pid);
      total += cpuMs + childMs;
      living += Math.max(0, cpuMs - (before?.startMs === startMs ? before.cpuMs : 0));
    }
    const { totalMs, atMs } = this;
    this.before = processes;
    this.totalMs = total;
    this.atMs = nowMs;
    if (atMs === null || nowMs <= atMs) return null;
    return Math.max(living, total - totalMs) / (nowMs - atMs);
  }
}
