import type { NodeId } from "../base/mod.ts";
import { carrySeconds, demand, elapsed, guarded, marginalCost, rate, STANDARD } from "./cost.ts";
import type { BalanceKnobs, CostKnobs } from "./knobs.ts";
import { barred, disturbsOwner, loadAfter, roomSoon } from "./target.ts";
import type { Considered, NodeView, ProcessView } from "./views.ts";
import { type Bar, barText, load, seconds } from "./words.ts";

/** What a process is, as the deciding node sees it. */
export interface Subject {
  readonly process: ProcessView;
  /** Tasks that it has ready on the average. */
  readonly tasks: number;
  /** Expected remaining work, seconds of a standard processor: as much as it has done. */
  readonly work: number;
  /** Seconds that this takes where it is. */
  readonly life: number;
  /** Round trip to its home from here, seconds; 0 when this is its home. */
  readonly rtt: number;
}

/** A process on a node, with what it would gain and cost there. All times in seconds. */
export interface Weighed {
  readonly node: NodeView;
  readonly bar: Bar | null;
  /** Its load with the process. */
  readonly after: number;
  readonly gain: number;
  readonly cost: number;
  /** `gain - payback * cost`: above zero the move pays. */
  readonly net: number;
  /** By how much its opportunity cost would rise. */
  readonly marginal: number;
  /** MOSIX's guard holds: it would be better off there even if it brought somewhat more. */
  readonly guarded: boolean;
}

export interface Scale {
  readonly self: NodeView;
  readonly byId: ReadonlyMap<NodeId, NodeView>;
  readonly nodes: number;
  readonly highest: number;
}

/** Calls a second that its moves are weighed by. */
export const callRate = (p: ProcessView): number => (p.job === "cpu" ? 0 : p.calls);

export function subject(p: ProcessView, { self, byId }: Scale): Subject {
  const tasks = demand(p, self);
  const work = (p.cpuMs / 1000) * (self.speed / STANDARD);
  const life = elapsed(work, tasks, rate(self, self.load));
  const rtt = p.home === self.id ? 0 : (byId.get(p.home)?.rttMs ?? 0) / 1000;
  return { process: p, tasks, work, life, rtt };
}

/** What a process would gain and what it would cost it to move there, seconds; and the load there with it. */
export function times(s: Subject, n: NodeView, k: CostKnobs): { after: number; gain: number; cost: number } {
  const { process: p } = s;
  const after = loadAfter(n, s.tasks);
  const there = elapsed(s.work, s.tasks, rate(n, after));
  // From node to node the way home is about as long as the longer of the two.
  const rtt = n.id === p.home ? 0 : Math.max(n.rttMs / 1000, s.rtt);
  const calls = callRate(p) * s.life;
  const gain = s.life - there + Math.max(0, calls * (s.rtt - rtt));
  const cost = carrySeconds(p.rss, n, k) + Math.max(0, calls * (rtt - s.rtt));
  return { after, gain, cost };
}

export function weigh(s: Subject, n: NodeView, scale: Scale, inFlight: ReadonlySet<NodeId>, k: BalanceKnobs): Weighed {
  const { process: p } = s;
  const { after, gain, cost } = times(s, n, k);
  let bar = barred(p, n, inFlight, k);
  if (bar === null && disturbsOwner(n, s.tasks, k) && n.id !== p.home) bar = "owner";
  if (bar === null && roomSoon(n, p, k) < 0) bar = "memory";
  return {
    node: n,
    bar,
    after,
    gain,
    cost,
    net: gain - k.payback * cost,
    marginal: marginalCost(n, after - n.load, p.rss, scale.nodes, scale.highest),
    guarded: guarded(n, s.tasks, k.guard) < scale.self.load,
  };
}

export const pays = (w: Weighed): boolean => w.bar === null && w.guarded && w.net > 0;

/** Less shows as no seconds at all. */
const NO_GAIN = 0.005;

/** `node 2 would be at 1.93, here it is 2.00: moving would gain 0.4 s of the 3.1 s that it is taken to run on, and cost 0.9 s`. */
export function reason(w: Weighed, s: Subject, self: NodeView, k: BalanceKnobs): string {
  if (w.bar !== null) return barText(w.node, w.bar);
  const loads = `node ${w.node.id} would be at ${load(w.after)}, here it is ${load(self.load)}`;
  if (!w.guarded) return `${loads}: too little between them`;
  if (w.gain < NO_GAIN && w.net <= 0) return `${loads}: it computes too little for a move to gain anything`;
  const unpaid = w.net <= 0 && w.gain > w.cost ? `; the gain has to be ${k.payback} times the cost` : "";
  return `${loads}: moving would gain ${seconds(w.gain)} of the ${seconds(s.life)} that it is taken to run on, and cost ${seconds(w.cost)}${unpaid}`;
}

export const considered = (w: Weighed, s: Subject, self: NodeView, k: BalanceKnobs): Considered => ({
  node: w.node.id,
  gain: w.gain,
  cost: w.cost,
  verdict: reason(w, s, self, k),
});

/** The best first: those that nothing bars by what they bring, then the others. */
export const byMerit = (a: Weighed, b: Weighed): number =>
  Number(a.bar !== null) - Number(b.bar !== null) || Number(b.guarded) - Number(a.guarded) || b.net - a.net || a.node.id - b.node.id;
