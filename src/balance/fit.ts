import type { NodeId } from "../base/mod.ts";
import type { Random } from "../io/mod.ts";
import { chooseTarget } from "./choose.ts";
import { carrySeconds } from "./cost.ts";
import type { UsherKnobs } from "./knobs.ts";
import { barred, lastsWith, roomAfter, roomSoon } from "./target.ts";
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
  /** Seconds until it has grown to the low mark there. */
  readonly lasts: number;
  /** It will not have to be carried on at once. */
  readonly comfortable: boolean;
}

const growthOf = (s: Subject): number => Math.max(0, s.process.growth);

function fitOn(s: Subject, n: NodeView, k: UsherKnobs): Fit {
  const t = times(s, n, k);
  const carry = carrySeconds(s.process.rss, n, k);
  const left = roomSoon(n, s.process, k);
  return { node: n, carry, cost: t.cost + Math.max(0, -t.gain), left, lasts: lastsWith(n, s.process, k), comfortable: left >= 0 };
}

/** It fits for now. While it is carried it stands still, and does not grow. */
const fitsForNow = (f: Fit, k: UsherKnobs): boolean => f.lasts >= k.marginMs / 1000;

/** There is room for it for so much longer than where it is, `lasts` seconds, that it is worth being carried. */
const isWorthwhile = (s: Subject, f: Fit, lasts: number, k: UsherKnobs): boolean =>
  growthOf(s) <= k.noise || f.lasts > k.worthwhile * lasts;

/**
 * The node for a process: of those that cost nearly the least, the one that it fills best, so that room for large ones is left elsewhere; for one
 * that grows the one with most room. Where its growth fits nowhere for long, the node with most room. Never one that is no better than here.
 */
export function findFit(
  s: Subject,
  others: readonly NodeView[],
  inFlight: ReadonlySet<NodeId>,
  lasts: number,
  k: UsherKnobs,
  random: Random,
): Fit | null {
  const open = others.filter((n) => barred(s.process, n, inFlight, k) === null).map((n) => fitOn(s, n, k));
  const fits = open.filter((f) => isWorthwhile(s, f, lasts, k));
  const comfortable = fits.filter((f) => f.comfortable);
  if (comfortable.length > 0) {
    // Nobody knows when growth ends: what grows goes where it can for longest.
    const way = growthOf(s) > k.noise ? -1 : 1;
    const ranked = comfortable.map((fit) => ({ fit, net: -fit.cost, marginal: way * fit.left }));
    return chooseTarget(ranked, k, random)?.fit ?? null;
  }
  const tight = fits.filter((f) => fitsForNow(f, k));
  return tight.reduce<Fit | null>((best, f) => (best === null || f.left > best.left ? f : best), null);
}

/** What each node is for a process, the roomiest first; as many as the knob says. */
export function looks(s: Subject, others: readonly NodeView[], inFlight: ReadonlySet<NodeId>, lasts: number, k: UsherKnobs): Considered[] {
  if (k.explain === 0) return [];
  return others
    .map((n) => ({ n, fit: fitOn(s, n, k), bar: barred(s.process, n, inFlight, k) }))
    .sort((a, b) => Number(a.bar !== null) - Number(b.bar !== null) || b.fit.left - a.fit.left || a.n.id - b.n.id)
    .slice(0, k.explain)
    .map(({ n, fit, bar }) => ({
      node: n.id,
      gain: roomAfter(n, s.process.rss, k),
      cost: fit.cost,
      verdict: bar === null ? roomText(s, fit, lasts, k) : barText(n, bar),
    }));
}

function roomText(s: Subject, f: Fit, lasts: number, k: UsherKnobs): string {
  const left = roomAfter(f.node, s.process.rss, k);
  if (left < 0) return `node ${f.node.id} lacks ${bytes(-left)}`;
  const costs = `costs ${seconds(f.cost)}`;
  if (!isWorthwhile(s, f, lasts, k)) return `node ${f.node.id} would be full in ${seconds(left / growthOf(s))}: too little more than here`;
  if (!f.comfortable) return `node ${f.node.id} would keep ${bytes(left)}, which lasts for ${seconds(left / growthOf(s))} only; ${costs}`;
  return `node ${f.node.id} would keep ${bytes(left)} above its low mark; ${costs}`;
}
