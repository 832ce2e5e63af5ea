import type { NodeId } from "../base/mod.ts";
import { capacity } from "./cost.ts";
import type { NodeView } from "./views.ts";

/** How a node averages its load, sample after sample. */
export type Averages = (old: number, now: number) => number;

/**
 * What of the nodes' loads is a node's own programs. They live for a second, and what is known of a load is an average over those that have ended
 * since; where the own ones run now is known exactly.
 */
export class Ours {
  private readonly averages = new Map<NodeId, number>();
  private readonly count: (node: NodeId) => number;

  /** @param count own programs that keep a CPU busy and run on a node now */
  constructor(count: (node: NodeId) => number) {
    this.count = count;
  }

  /** Each time that the node has taken its sample. */
  average(n: NodeView, how: Averages): void {
    this.averages.set(n.id, how(this.averages.get(n.id) ?? 0, this.load(n)));
  }

  /**
   * A node as it is now: in place of the average of ours those count that run there. They count in full: that CPUs are free because they wait for
   * their calls makes no room for more of them.
   */
  present({ util: _, ...n }: NodeView): NodeView {
    return { ...n, load: Math.max(0, n.load - (this.averages.get(n.id) ?? 0)) + this.load(n) };
  }

  private load(n: NodeView): number {
    return this.count(n.id) / capacity(n);
  }
}
