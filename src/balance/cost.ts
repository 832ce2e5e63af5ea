import type { CostKnobs } from "./knobs.ts";
import type { NodeView, ProcessView } from "./views.ts";

/** The speed of the standard processor, in which loads are counted. */
export const STANDARD = 10_000;

/** Standard processors that a node is. */
export const capacity = (n: NodeView): number => (n.cpus * n.speed) / STANDARD;

/** Tasks that run or want to, as its load says; those of others on the same CPUs, too. */
export const runnable = (n: NodeView): number => n.load * capacity(n);

/** Tasks for each of its CPUs, however fast they are: above 1 they wait for one another. */
export const crowding = (n: NodeView): number => runnable(n) / n.cpus;

/**
 * Tasks that a process has ready on the average. Its share of the CPUs is what it gets; where tasks wait for one another it wants more
 * than that, by as much as the node is crowded. Another node has to bear what it wants.
 */
export function demand(p: Pick<ProcessView, "cpu" | "demand">, self: NodeView): number {
  if (p.demand !== undefined) return p.demand;
  const wants = p.cpu * Math.max(1, crowding(self));
  return Math.min(wants, Math.max(p.cpu, runnable(self)));
}

/**
 * The load that so many tasks make on a node: half as much on one that is twice as fast. Where it gets a part of its CPUs only, as much more as if that part
 * stayed what it is. Where those that share a CPU get more of it the more tasks they have, it is less.
 */
export const brings = (tasks: number, n: Pick<NodeView, "cpus" | "got" | "speed">): number =>
  (tasks * STANDARD) / ((n.got ?? n.cpus) * n.speed);

/** Its load with so many tasks more, and a margin: of the tasks, or for what a part of a CPU may turn out to be. */
export const guarded = (n: NodeView, tasks: number, guard: number): number =>
  n.load + Math.max(guard * (tasks / capacity(n)), brings(tasks, n));

/** Standard processors that one task gets on a node at this load, itself counted: no more than one of its CPUs. */
export const rate = (n: NodeView, load: number): number => Math.min(n.speed / STANDARD, load > 0 ? 1 / load : Number.POSITIVE_INFINITY);

/** Seconds for so much work (seconds of a standard processor) at this rate; tasks of one process work side by side. */
export const elapsed = (work: number, tasks: number, perTask: number): number => work / (Math.max(1, tasks) * perTask);

/** Bytes that are kept free on a node. */
export const lowMark = (memTotal: number, k: CostKnobs): number =>
  Math.min(k.lowMarkMax, Math.max(k.lowMarkMin, memTotal * k.lowMarkShare));

/** Seconds to carry so many bytes to a node, its standing still counted. */
export const carrySeconds = (bytes: number, to: NodeView, k: CostKnobs): number => bytes / to.bandwidth + k.freezeMs / 1000;

/**
 * By how much the opportunity cost of a node rises with a process on it, `sum over CPU and memory of n^(used/capacity)` (Amir, Awerbuch, Barak,
 * Borgstrom, Keren, TPDS 11(7), 2000). A CPU can be shared by any number, so what counts as its capacity is the highest load there is.
 * @param nodes how many there are: the more, the more a full node costs
 */
export function marginalCost(n: NodeView, load: number, bytes: number, nodes: number, highest: number): number {
  const base = Math.max(2, nodes);
  const cpu = base ** ((n.load + load) / highest) - base ** (n.load / highest);
  const used = n.memTotal - n.memFree;
  const memory = base ** ((used + bytes) / n.memTotal) - base ** (used / n.memTotal);
  return cpu + memory;
}

/** What counts as the capacity of CPUs: the highest load known, at least one task for each standard processor. */
export const highestLoad = (self: NodeView, others: readonly NodeView[]): number =>
  others.reduce((most, n) => Math.max(most, n.load), Math.max(1, self.load));
