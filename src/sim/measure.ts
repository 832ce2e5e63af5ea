import type { Machine } from "./machine.ts";
import type { Task } from "./task.ts";
import type { Move, World } from "./world.ts";

/** A process that is back on a node so soon after leaving it went to and fro. */
export const PING_PONG_MS = 60_000;

/** How loaded the nodes are at a moment: processes for each standard processor. */
export interface Survey {
  readonly atMs: number;
  readonly mean: number;
  /** A tenth of the nodes is below, and a tenth above. */
  readonly low: number;
  readonly high: number;
  readonly most: number;
  readonly processes: number;
}

/** Counts what happens. */
export class Measure {
  readonly slowdowns: number[] = [];
  readonly surveys: Survey[] = [];
  moves = 0;
  pingPongs = 0;
  movedBytes = 0;
  frozenMs = 0;
  /** Seconds that nodes swapped, all together. */
  swapSeconds = 0;
  /** When the first process began, and when the last one ended or time was up. */
  firstMs = Number.POSITIVE_INFINITY;
  lastMs = 0;

  ended(task: Task, now: number, home: Machine): void {
    this.lastMs = now;
    const alone = task.job.work / home.factor;
    this.slowdowns.push((now - task.begun) / 1000 / alone);
  }

  moved({ task, to, bytes, ms }: Move, now: number): void {
    this.moves++;
    this.movedBytes += bytes;
    this.frozenMs += ms;
    if (task.departures.some((d) => d.node === to && now - ms - d.at <= PING_PONG_MS)) this.pingPongs++;
  }

  survey(world: World, intervalMs: number): void {
    const loads = Float64Array.from(world.machines, (m) => m.load).sort();
    const at = (part: number): number => loads[Math.min(loads.length - 1, Math.floor(part * loads.length))] ?? 0;
    let processes = 0;
    for (const m of world.machines) {
      processes += m.tasks.length;
      if (m.swaps) this.swapSeconds += intervalMs / 1000;
    }
    const capacity = world.machines.reduce((sum, m) => sum + (m.factor * m.cpus) / m.mates.length, 0);
    this.surveys.push({
      atMs: world.clock.now() - world.zeroMs,
      mean: processes / capacity,
      low: at(0.1),
      high: at(0.9),
      most: at(1),
      processes,
    });
  }
}
