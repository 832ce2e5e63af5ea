import { crowding, rate } from "./cost.ts";
import type { BalanceKnobs } from "./knobs.ts";
import { presentLoad } from "./present.ts";
import { isUsable, loadAfter, roomAfter } from "./target.ts";
import type { NodeView } from "./views.ts";
import { bytes, load } from "./words.ts";

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
  load: presentLoad(n) + (tasks === 0 ? 0 : loadAfter(n, tasks) - n.load),
  util: 1,
  memFree: Math.max(0, n.memFree - rss),
});

/** Why a node has no room for a program, in a few words with the numbers; null when it has. `self`: it begins at home, where it needs no leave. */
export function lacking(n: NodeView, needs: Needs, self: boolean, k: BalanceKnobs): string | null {
  if (!isUsable(n)) return `node ${n.id} has not said what it is`;
  if (n.ageMs > k.maxAgeMs) return `node ${n.id} has not been heard of for too long`;
  if (!self && !n.accepts) return `node ${n.id} takes no processes`;
  const left = roomAfter(n, needs.rss, k);
  if (needs.rss > 0 && left < 0) return `node ${n.id} lacks ${bytes(-left)}`;
  const now = { ...n, load: presentLoad(n) };
  if (needs.tasks > 0 && crowding({ ...now, load: loadAfter(now, needs.tasks) }) > k.overload)
    return `node ${n.id} has no free CPU (load ${load(now.load)})`;
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
