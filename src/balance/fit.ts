import type { NodeId } from "../base/mod.ts";
import type { Random } from "../io/mod.ts";
import { chooseTarget } from "./choose.ts";
import { carrySeconds } from "./cost.ts";
import type { UsherKnobs } from "./knobs.ts";
import { barred, roomAfter } from "./target.ts";
import type { Considered, NodeView } from "./views.ts";
import { type Subject, times } from "./weigh.ts";
import { barText, bytes, seconds } from "./words.ts";

/** A node that could hold a process. */
export interface Fit {
  readonly node: NodeView;
  /** Seconds to carry it there. */
  readonly carry: number;
  /** Seconds that all of it costs the process: carrying, living there, running slower. */
  readonly cost: number;
  /** Bytes above the low mark there when the process has grown on for a while. */
  readonly left: number;
  /** It will not have to be carried on at once. */
  readonly comfortable: boolean;
}

const growthOf = (s: Subject): number => Math.max(0, s.process.growth);

function fitOn(s: Subject, n: NodeView, k: UsherKnobs): Fit {
  const t = times(s, n, k);
  const carry = carrySeconds(s.process.rss, n, k);
  const left = roomAfter(n, s.process.rss + (growthOf(s) * k.aheadMs) / 1000, k);
  return { node: n, carry, cost: t.cost + Math.max(0, -t.gain), left, comfortable: left >= 0 };
}

/** It fits for now, and will for longer than where it is: `lasts` seconds. */
function fitsForNow(s: Subject, f: Fit, lasts: number, k: UsherKnobs): boolean {
  const room = roomAfter(f.node, s.process.rss, k);
  const grown = room - growthOf(s) * (f.carry + k.marginMs / 1000);
  return grown >= 0 && room / growthOf(s) > lasts;
}

/**
 * The node for a process: of those that cost nearly the least, the one that it fills best, so that room for large ones is left elsewhere. Where
 * its growth fits nowhere for long, the node with most room, if it lasts longer there than here.
 */
export function findFit(
  s: Subject,
  others: readonly NodeView[],
  inFlight: ReadonlySet<NodeId>,
  lasts: number,
  k: UsherKnobs,
  random: Random,
): Fit | null {
  const fits = others.filter((n) => barred(s.process, n, inFlight, k) === null).map((n) => fitOn(s, n, k));
  const comfortable = fits.filter((f) => f.comfortable);
  if (comfortable.length > 0) {
    const ranked = comfortable.map((fit) => ({ fit, net: -fit.cost, marginal: fit.left }));
    return chooseTarget(ranked, k, random)?.fit ?? null;
  }
  const tight = fits.filter((f) => fitsForNow(s, f, lasts, k));
  return tight.reduce<Fit | null>((best, f) => (best === null || f.left > best.left ? f : best), null);
}

/** What each node is for a process, the roomiest first; as many as the knob says. */
export function looks(s: Subject, others: readonly NodeView[], inFlight: ReadonlySet<NodeId>, k: UsherKnobs): Considered[] {
  if (k.explain === 0) return [];
  return others
    .map((n) => ({ n, fit: fitOn(s, n, k), bar: barred(s.process, n, inFlight, k) }))
    .sort((a, b) => Number(a.bar !== null) - Number(b.bar !== null) || b.fit.left - a.fit.left || a.n.id - b.n.id)
    .slice(0, k.explain)
    .map(({ n, fit, bar }) => ({
      node: n.id,
      gain: roomAfter(n, s.process.rss, k),
      cost: fit.cost,
      verdict: bar === null ? roomText(s, fit, k) : barText(n.id, bar),
    }));
}

function roomText(s: Subject, f: Fit, k: UsherKnobs): string {
  const left = roomAfter(f.node, s.process.rss, k);
  if (left < 0) return `node ${f.node.id} lacks ${bytes(-left)}`;
  const costs = `costs ${seconds(f.cost)}`;
  if (!f.comfortable) return `node ${f.node.id} would keep ${bytes(left)}, which lasts for ${seconds(left / growthOf(s))} only; ${costs}`;
  return `node ${f.node.id} would keep ${bytes(left)} above its low mark; ${costs}`;
}
