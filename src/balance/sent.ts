import type { NodeId } from "../base/mod.ts";
import { brings } from "./cost.ts";
import type { NodeView } from "./views.ts";

/** For so long a node's own word may not count yet what is to begin there: its sample, its average, the way of the news. */
export const UNHEARD_MS = 3000;
/** Of a node that says nothing for so long nobody knows anything any more. */
const FORGET_MS = 60_000;

interface Sending {
  readonly tasks: number;
  readonly rss: number;
  readonly growth: number;
  readonly at: number;
}

/** What a node has sent to others, until they tell of themselves: what they tell counts all that they have let come (admission.ts). */
export class Sent {
  private readonly by = new Map<NodeId, Sending[]>();

  add(node: NodeId, what: Omit<Sending, "at">, at: number): void {
    const recent = (this.by.get(node) ?? []).filter((s) => at - s.at < FORGET_MS);
    this.by.set(node, [...recent, { ...what, at }]);
  }

  /** A node as it will say that it is. */
  added(node: NodeView, now: number): NodeView {
    const told = now - node.ageMs;
    const sent = (this.by.get(node.id) ?? []).filter((s) => s.at > told);
    if (sent.length === 0) {
      this.by.delete(node.id);
      return node;
    }
    this.by.set(node.id, sent);
    const tasks = sent.reduce((sum, s) => sum + s.tasks, 0);
    const rss = sent.reduce((sum, s) => sum + s.rss, 0);
    return {
      ...node,
      load: node.load + brings(tasks, node),
      memFree: Math.max(0, node.memFree - rss),
      memGrowth: sent.reduce((sum, s) => sum + s.growth, node.memGrowth ?? 0),
    };
  }
}
