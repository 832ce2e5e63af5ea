import type { NodeId } from "../base/mod.ts";
import { brings } from "./cost.ts";
import type { NodeView } from "./views.ts";

/** For so long a node's own word may not count yet what has been sent there: its sample, its average, the way of the news. */
export const UNHEARD_MS = 3000;

interface Sending {
  readonly tasks: number;
  readonly rss: number;
  readonly growth: number;
  readonly at: number;
}

/** What a node has lately sent to others, which they have not told of yet. */
export class Sent {
  private readonly by = new Map<NodeId, Sending[]>();

  add(node: NodeId, what: Omit<Sending, "at">, at: number): void {
    this.by.set(node, [...this.recent(node, at), { ...what, at }]);
  }

  /** A node as it will say that it is. */
  added(node: NodeView, now: number): NodeView {
    if (this.by.size === 0) return node;
    const sent = this.recent(node.id, now);
    if (sent.length === 0) {
      this.by.delete(node.id);
      return node;
    }
    const tasks = sent.reduce((sum, s) => sum + s.tasks, 0);
    const rss = sent.reduce((sum, s) => sum + s.rss, 0);
    return {
      ...node,
      load: node.load + brings(tasks, node),
      memFree: Math.max(0, node.memFree - rss),
      memGrowth: sent.reduce((sum, s) => sum + s.growth, node.memGrowth ?? 0),
    };
  }

  private recent(node: NodeId, now: number): Sending[] {
    return (this.by.get(node) ?? []).filter((s) => now - s.at < UNHEARD_MS);
  }
}
