import { capacity, rate, runnable } from "./cost.ts";
import type { BalanceKnobs } from "./knobs.ts";
import { presentLoad } from "./present.ts";
import { isUsable, loadAfter, roomAfter } from "./target.ts";
import type { NodeView } from "./views.ts";
import { barText, bytes, load } from "./words.ts";

/** What a program needs before it begins. */
export interface Needs {
  /** Tasks that want a CPU to themselves; 0 for one that does not ask for any. */
  readonly tasks: number;
  /** Bytes. */
  readonly rss: number;
}

/** A node with what was promised to others there. */
export const promised = (n: NodeView, { tasks, rss }: Needs): NodeView => ({
  ...n,
  load: presentLoad(n) + tasks / capacity(n),
  util: 1,
  memFree: Math.max(0, n.memFree - rss),
});

const round = (n: number): number => Math.round(n * 100) / 100;

/** Why a node has no room for a program, in a few words with the numbers; null when it has. `self`: it begins at home, where it needs no leave. */
export function lacking(n: NodeView, needs: Needs, self: boolean, k: BalanceKnobs): string | null {
  if (!isUsable(n)) return `node ${n.id} has not said what it is`;
  if (n.ageMs > k.maxAgeMs) return barText(n, "old");
  if (!self && !n.accepts) return barText(n, "closed");
  const left = roomAfter(n, needs.rss, k);
  if (needs.rss > 0 && left < 0) return `node ${n.id} lacks ${bytes(-left)}`;
  // Not by how much one task more would be felt (`brings`): of two CPUs of which others use a half, one is free all the same.
  const wanted = runnable({ ...n, load: presentLoad(n) });
  if (needs.tasks > 0 && wanted + needs.tasks > n.cpus * k.overload)
    return `node ${n.id} has no whole CPU free: tasks want ${load(wanted)} of its ${round(n.cpus)}`;
  return null;
}

/** The one of those with room where a program runs fastest, and of such the one with most memory. */
export function roomiest(nodes: readonly NodeView[], { tasks }: Needs): NodeView | null {
  const speed = (n: NodeView): number => rate(n, presentLoad(n) + (loadAfter(n, Math.max(1, tasks)) - n.load));
  return nodes.reduce<NodeView | null>((best, n) => {
    if (best === null) return n;
    return (speed(n) - speed(best) || n.memFree - best.memFree) > 0 ? n : best;
  }, null);
}
