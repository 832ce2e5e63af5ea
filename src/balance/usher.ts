import type { NodeId } from "../base/mod.ts";
import type { Random } from "../io/mod.ts";
import { carrySeconds } from "./cost.ts";
import { findFit, type Fit, looks } from "./fit.ts";
import { type Forecast, forecast, holds, secondsLeft, type UsherState, urgency, without } from "./forecast.ts";
import type { UsherKnobs } from "./knobs.ts";
import { isUsable } from "./target.ts";
import type { Decision, NodeView } from "./views.ts";
import { type Subject, subject } from "./weigh.ts";
import { bytes, seconds } from "./words.ts";

/** A process that could go, and what that would do for this node. */
interface Option {
  readonly s: Subject;
  readonly fit: Fit;
  /** Seconds from now for which memory has to last with it: until it has been carried, and a margin. */
  readonly horizon: number;
  /** Memory does not run out before it has been carried. */
  readonly inTime: boolean;
  /** That is all that has to be done. */
  readonly enough: boolean;
  readonly cost: number;
  /** Bytes that will be free at the horizon and would not be. */
  readonly relief: number;
}

/**
 * Memory ushering, one look: who has to go before free memory crosses the low mark. Pure, as balance() is. Empty while memory lasts; otherwise
 * all that was looked at, those that go with a `to`. Several go when one is not enough, each to another node.
 */
export function usher(state: UsherState, k: UsherKnobs, random: Random): Decision[] {
  const others = state.others.filter((n) => n.id !== state.self.id && isUsable(n));
  const scale = { self: state.self, byId: new Map<NodeId, NodeView>(others.map((n) => [n.id, n])), nodes: others.length + 1, highest: 1 };
  const start = forecast(state, k);
  const left = urgency(state, start, k);
  if (!Number.isFinite(left)) return [];

  const subjects = state.processes.map((p) => subject(p, scale));
  const movable = subjects.filter((s) => s.process.fixed.length === 0 && s.process.rss > 0 && s.process.sinceMoveMs >= k.settleMs);
  if (left > longestCarry(movable, others, k) + k.marginMs / 1000) return [];
  const busy = new Set(state.inFlight);
  const goes = new Map<Subject, Fit>();
  let now = start;
  for (;;) {
    const rest = movable.filter((s) => !goes.has(s));
    const best = bestOption(rest, others, busy, now, k, random);
    if (best === null) break;
    // The first decides whether it is time; those that go beside it are needed because it is not enough.
    if (goes.size === 0 && left > best.horizon) return [];
    if (goes.size > 0 && holds(now, best.horizon)) break;
    goes.set(best.s, best.fit);
    busy.add(best.fit.node.id);
    now = without(now, best.s.process.rss, best.s.process.growth);
    if (best.enough) break;
  }
  if (goes.size === 0 && left > k.marginMs / 1000) return [];
  const kept = subjects.filter((s) => !goes.has(s));
  const moves = [...goes].map(([s, fit]) => ({
    ...decision(state, s, others, left, k, fit.node.id, whyGoes(s, fit, start, left)),
    lasts: hopedFor(fit, k),
  }));
  return [
    ...moves,
    ...kept.map((s) => decision(state, s, others, left, k, null, whyStays(s, others, state, start, left, goes.size > 0, k))),
  ];
}

/** Seconds for which memory has to last there: nearly as long as it looks from here, or another node is better. */
function hopedFor(fit: Fit, k: UsherKnobs): number {
  const least = (fit.comfortable ? k.aheadMs : k.marginMs) / 1000;
  return Number.isFinite(fit.lasts) ? Math.max(least, fit.lasts / k.worthwhile) : least;
}

/** Seconds to carry the largest over the slowest link; while memory lasts longer than that no fit has to be looked for. */
function longestCarry(subjects: readonly Subject[], others: readonly NodeView[], k: UsherKnobs): number {
  const rss = subjects.reduce((most, s) => Math.max(most, s.process.rss), 0);
  return others.reduce((most, n) => Math.max(most, carrySeconds(rss, n, k)), 0);
}

function bestOption(
  subjects: readonly Subject[],
  others: readonly NodeView[],
  busy: ReadonlySet<NodeId>,
  now: Forecast,
  k: UsherKnobs,
  random: Random,
): Option | null {
  const lasts = secondsLeft(now, 0);
  let best: Option | null = null;
  for (const s of subjects) {
    const fit = findFit(s, others, busy, lasts, k, random);
    if (fit === null) continue;
    const o = option(s, fit, now, k);
    if (best === null || better(o, best)) best = o;
  }
  return best;
}

function option(s: Subject, fit: Fit, now: Forecast, k: UsherKnobs): Option {
  const { rss, growth, home } = s.process;
  const horizon = fit.carry + k.marginMs / 1000;
  // It grows no more while it is carried; the others do, into what is left.
  const after = without(now, rss, growth);
  return {
    s,
    fit,
    horizon,
    inTime: after.growth * fit.carry <= now.free,
    enough: holds(after, horizon),
    cost: fit.cost * (home === fit.node.id || s.rtt > 0 ? k.guestCost : 1),
    relief: rss + Math.max(0, growth) * horizon,
  };
}

/** In time before too late, enough before in part; then the cheapest of those that are enough, and most relief for the cost of the others. */
function better(a: Option, b: Option): boolean {
  if (a.inTime !== b.inTime) return a.inTime;
  if (a.enough !== b.enough) return a.enough;
  if (a.fit.comfortable !== b.fit.comfortable) return a.fit.comfortable;
  if (a.enough) return a.cost < b.cost;
  return a.relief / a.cost > b.relief / b.cost;
}

function decision(
  state: UsherState,
  s: Subject,
  others: readonly NodeView[],
  left: number,
  k: UsherKnobs,
  to: NodeId | null,
  why: string,
): Decision {
  const { pid, home } = s.process;
  const considered = looks(s, others, state.inFlight, left, k);
  return { pid, home, motive: "memory", from: state.self.id, to, why, considered, atMs: state.nowMs };
}

const shortage = (f: Forecast, left: number): string =>
  f.free <= f.mark
    ? `${bytes(f.free)} are free here, the low mark is ${bytes(f.mark)}`
    : left <= 0
      ? `memory here is short: ${bytes(f.free)} are free, and pages are swapped or waited for`
      : `free memory here, ${bytes(f.free)}, shrinks by ${bytes(f.growth)}/s and crosses the low mark of ${bytes(f.mark)} in ${seconds(left)}`;

function whyGoes(s: Subject, fit: Fit, f: Forecast, left: number): string {
  const takes = `it takes ${bytes(s.process.rss)} along in ${seconds(fit.carry)}`;
  return `moves to node ${fit.node.id}: ${shortage(f, left)}; ${takes}, costs ${seconds(fit.cost)}`;
}

function whyStays(
  s: Subject,
  others: readonly NodeView[],
  state: UsherState,
  f: Forecast,
  left: number,
  helped: boolean,
  k: UsherKnobs,
): string {
  const { fixed, rss, sinceMoveMs } = s.process;
  if (fixed.length === 0 && sinceMoveMs < k.settleMs)
    return `stays, though ${shortage(f, left)}: it came ${seconds(sinceMoveMs / 1000)} ago, and how it grows is not known`;
  if (fixed.length > 0) return `stays, though ${shortage(f, left)}: it may not move by itself (${fixed.join(", ")})`;
  if (helped) return "stays: others make the room that is needed here";
  const roomiest = looks(s, others, state.inFlight, left, { ...k, explain: 1 })[0];
  const where = roomiest === undefined ? "no other node is known" : roomiest.verdict;
  return `stays, though ${shortage(f, left)}: its ${bytes(rss)} fit nowhere (${where})`;
}
