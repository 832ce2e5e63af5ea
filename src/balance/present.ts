import { capacity, demand, STANDARD } from "./cost.ts";
import type { NodeView, ProcessView } from "./views.ts";

/** CPUs in use up to here leave tasks nothing to wait for. */
const FREE = 0.9;

/**
 * Its load as of now. What a node tells falls slowly, and for programs that live for a second most nodes would look busy with those before. Where CPUs
 * are free no more tasks run than CPUs are in use. Behind those that it does not get there are others all the same, as many as leave it that part.
 */
export function presentLoad(n: NodeView): number {
  if (n.util === undefined || n.util > FREE) return n.load;
  const others = (n.cpus / (n.got ?? n.cpus) - 1) / capacity(n);
  return Math.min(n.load, Math.max(others, (n.util * STANDARD) / n.speed));
}

/** What is told falls slowly, for what has just ended there may begin again: of what it was so much counts at least. */
const DOUBT = 1 / 2;

/** A node with the load by which those are moved that run already: where CPUs have become free, nearer to what it is than what is told. */
export const asTarget = (n: NodeView): NodeView => ({ ...n, load: Math.max(presentLoad(n), n.load * DOUBT) });

/** A node as it would be without a process that runs there: where that is best off is asked as if it ran nowhere yet. */
export function vacated(n: NodeView, p: Pick<ProcessView, "cpu" | "demand" | "rss">): NodeView {
  return {
    ...n,
    load: Math.max(0, n.load - demand(p, n) / capacity(n)),
    memFree: n.memFree + p.rss,
    ...(n.util !== undefined && { util: Math.max(0, n.util - p.cpu / n.cpus) }),
  };
}
