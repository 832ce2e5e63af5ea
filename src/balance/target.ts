import type { NodeId } from "../base/mod.ts";
import { brings, capacity, crowding, lowMark } from "./cost.ts";
import type { CostKnobs } from "./knobs.ts";
import type { NodeView, ProcessView } from "./views.ts";
import type { Bar } from "./words.ts";

/** What bars a node as a target of a process; null when nothing does. A process may come home where nobody else's may. */
export function barred(p: Pick<ProcessView, "home" | "allowed">, n: NodeView, inFlight: ReadonlySet<NodeId>, k: CostKnobs): Bar | null {
  if (n.ageMs > k.maxAgeMs) return "old";
  const comesHome = n.id === p.home;
  if (!n.accepts && !(comesHome && n.up === true)) return "closed";
  if (!p.allowed(n.id)) return "forbidden";
  if (inFlight.has(n.id)) return "arrival";
  return null;
}

/** Whether its owner's work would have to share its CPUs with so many tasks more. */
export function disturbsOwner(n: NodeView, tasks: number, k: CostKnobs): boolean {
  return (n.ownLoad ?? 0) >= k.ownerLoad && crowding({ ...n, load: n.load + brings(tasks, n) }) > 1;
}

/** Bytes that a process will have soon, at its present growth. */
export const soonBytes = (p: Pick<ProcessView, "rss" | "growth">, k: CostKnobs): number =>
  p.rss + (Math.max(0, p.growth) * k.aheadMs) / 1000;

/** Bytes that a node will have lost so soon. */
export const soonTaken = (n: NodeView, k: CostKnobs): number => (Math.max(0, n.memGrowth ?? 0) * k.aheadMs) / 1000;

/** Bytes that would be left above the low mark. */
export const roomAfter = (n: NodeView, bytes: number, k: CostKnobs): number => n.memFree - bytes - lowMark(n.memTotal, k);

/** Bytes that would be left above the low mark with a process on it, both having grown on for a while. */
export const roomSoon = (n: NodeView, p: Pick<ProcessView, "rss" | "growth">, k: CostKnobs): number =>
  roomAfter(n, soonBytes(p, k) + soonTaken(n, k), k);

/** Seconds until a node's memory would be used up to the low mark with a process on it. */
export function lastsWith(n: NodeView, p: Pick<ProcessView, "rss" | "growth">, k: CostKnobs): number {
  const room = roomAfter(n, p.rss, k);
  const growth = Math.max(0, p.growth) + Math.max(0, n.memGrowth ?? 0);
  return room < 0 ? 0 : growth > 0 ? room / growth : Number.POSITIVE_INFINITY;
}

/** Its load with so many tasks more. */
export const loadAfter = (n: NodeView, tasks: number): number => n.load + brings(tasks, n);

export const isUsable = (n: NodeView): boolean => capacity(n) > 0 && (n.got ?? n.cpus) > 0;
