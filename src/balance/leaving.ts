import type { NodeId } from "../base/mod.ts";

/** So long the growth of a process that leaves is still part of what is measured of the node. */
const GROWTH_MS = 2000;

/** Something on its way out. */
export interface Departure {
  readonly to: NodeId;
  /** That it has ready. */
  readonly tasks: number;
  /** Bytes, and bytes a second that it grew by. */
  readonly rss: number;
  readonly growth: number;
  readonly since: number;
}

/** Moves under way from a node, by process. */
export class Leaving<K> {
  private readonly moving = new Map<K, Departure>();

  get size(): number {
    return this.moving.size;
  }
  has(process: K): boolean {
    return this.moving.has(process);
  }
  add(process: K, departure: Departure): void {
    this.moving.set(process, departure);
  }
  delete(process: K): void {
    this.moving.delete(process);
  }

  /** Where they go. */
  get targets(): ReadonlySet<NodeId> {
    return new Set([...this.moving.values()].map(({ to }) => to));
  }

  /** Tasks that are as good as gone. */
  get tasks(): number {
    return [...this.moving.values()].reduce((sum, m) => sum + m.tasks, 0);
  }

  /** What will be free, and grows no more, when they are there. */
  departing(now: number): { bytes: number; growth: number } {
    let [bytes, growth] = [0, 0];
    for (const m of this.moving.values()) {
      bytes += m.rss;
      // It stands still soon, and then its growth is no part any more of what is measured.
      if (now - m.since < GROWTH_MS) growth += m.growth;
    }
    return { bytes, growth };
  }
}
