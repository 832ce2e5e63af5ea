import type { NodeId } from "../base/mod.ts";
import type { Random } from "../io/mod.ts";
import { chooseTarget } from "./choose.ts";
import { carrySeconds, demand, highestLoad, marginalCost, rate } from "./cost.ts";
import type { PlaceKnobs } from "./knobs.ts";
import { presentLoad, vacated } from "./present.ts";
import { barred, disturbsOwner, isUsable, loadAfter, roomAfter } from "./target.ts";
import type { BalanceState, NodeView } from "./views.ts";

/** What a program that is about to begin will want. */
export interface Wants {
  /** Tasks that it keeps busy. */
  readonly cpu: number;
  /** Bytes. */
  readonly rss: number;
  readonly home: NodeId;
  /** Seconds of a standard processor until its end, and calls that home makes for it in that time; unknown when left out, and taken as much and none. */
  readonly work?: number;
  readonly calls?: number;
  /** What its node list, masks and CPU features say; everything when left out. */
  readonly allowed?: (node: NodeId) => boolean;
  /** As in a {@link ProcessView}. */
  readonly job?: "cpu" | "io";
}

/** `self.load` is best what runs now, not the average: programs begin faster than that rises. */
export interface PlaceState extends Pick<BalanceState, "self" | "others" | "inFlight"> {
  /** Tasks that were placed on a node and that its load does not show yet. */
  readonly placed?: ReadonlyMap<NodeId, number>;
}

/** Standard processors that it gets there, from now to its end: the way there and its calls home are time in which it gets nothing. */
function pace(n: NodeView, after: number, { work, calls = 0, home }: Wants, k: PlaceKnobs): number {
  const there = rate(n, after);
  if (work === undefined) return there;
  const lost = carrySeconds(0, n, k) + (n.id === home ? 0 : (calls * n.rttMs) / 1000);
  return work / (work / there + lost);
}

/**
 * Where a program that is about to begin is best placed: a node, or null for here. Elsewhere only where it would run noticeably faster, or when
 * its memory does not fit here. Of nodes that are as fast, the one whose opportunity cost rises least; chance among equals.
 */
export function place(state: PlaceState, wants: Wants, k: PlaceKnobs, random: Random): NodeId | null {
  const loaded = (n: NodeView): NodeView => {
    const now = { ...n, load: presentLoad(n) };
    return { ...now, load: loadAfter(now, state.placed?.get(n.id) ?? 0) };
  };
  const self = loaded(state.self);
  const others = state.others.filter((n) => n.id !== self.id && isUsable(n)).map(loaded);
  const highest = highestLoad(self, others);
  const fitsHere = roomAfter(self, wants.rss, k) >= 0;
  const here = rate(self, loadAfter(self, wants.cpu));
  // With its files, as long as there is memory.
  if (wants.job === "io" && wants.home === self.id && fitsHere) return null;
  const subject = { home: wants.home, allowed: wants.allowed ?? (() => true) };
  const good = others
    .filter((n) => barred(subject, n, state.inFlight, k) === null && roomAfter(n, wants.rss, k) >= 0)
    .filter((n) => n.id === wants.home || !disturbsOwner(n, wants.cpu, k))
    .map((n) => {
      const after = loadAfter(n, wants.cpu);
      return { id: n.id, net: pace(n, after, wants, k), marginal: marginalCost(n, after - n.load, wants.rss, others.length + 1, highest) };
    })
    .filter((n) => !fitsHere || n.net > here * (1 + k.placeGain));
  return good.length === 0 ? null : (chooseTarget(good, k, random)?.id ?? null);
}

/**
 * Where a process that runs on node `at` is best placed: there, unless it would run noticeably faster elsewhere. It is in the load of its node, and wants more
 * than the part of a CPU that it gets in a crowd.
 * @param nodes all of them
 */
export function placeAgain(at: NodeId, nodes: readonly NodeView[], process: Wants, k: PlaceKnobs, random: Random): NodeId {
  const here = nodes.find((n) => n.id === at);
  if (here === undefined) return at;
  const others = nodes.filter((n) => n !== here);
  const wants = { ...process, cpu: demand(process, here) };
  return place({ self: vacated(here, process), others, inFlight: new Set() }, wants, k, random) ?? at;
}
