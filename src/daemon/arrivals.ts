import type { NodeId } from "../base/mod.ts";
import type { NodeView } from "../balance/mod.ts";

/** For so long a node's own word may not count yet what has been sent there: its sample, its average, the way of the news. */
export const UNHEARD_MS = 3000;
const STANDARD_SPEED = 10_000;

interface Arrival {
  readonly node: NodeId;
  readonly cpu: number;
  readonly rss: number;
  readonly at: number;
}

/** What this node has lately sent to others, which they have not told of yet. */
export class Arrivals {
  private list: Arrival[] = [];

  add(node: NodeId, { cpu, rss }: { readonly cpu: number; readonly rss: number }, at: number): void {
    this.list.push({ node, cpu, rss, at });
  }

  /** A node as it will say that it is. */
  added(node: NodeView, now: number): NodeView {
    this.list = this.list.filter((a) => now - a.at < UNHEARD_MS);
    const here = this.list.filter((a) => a.node === node.id);
    if (here.length === 0) return node;
    const cpu = here.reduce((sum, a) => sum + a.cpu, 0);
    const rss = here.reduce((sum, a) => sum + a.rss, 0);
    return {
      ...node,
      load: node.load + (cpu * STANDARD_SPEED) / (node.speed * node.cpus),
      memFree: Math.max(0, node.memFree - rss),
    };
  }
}
