import { crowding } from "./cost.ts";
import type { BalanceKnobs } from "./knobs.ts";
import type { NodeView } from "./views.ts";

/** Milliseconds that a process stays at least where it came to: twice as long with each move in quick succession. */
export const stayMs = (bounces: number, k: BalanceKnobs): number => k.minStayMs * 2 ** Math.min(bounces, k.maxBounces);

/**
 * Bounces of a process that moves on by itself, having been where it was for so long: one more when that was soon, one less when it was not. What is
 * soon grows with the stay, or a process that goes to and fro slowly would never be held.
 */
export function bouncesAfter(bounces: number, sinceMoveMs: number, k: BalanceKnobs): number {
  if (sinceMoveMs < k.quick * stayMs(bounces, k)) return Math.min(k.maxBounces, bounces + 1);
  return Math.max(0, bounces - 1);
}

/** Milliseconds between departures from a node: the shorter, the more crowded it is, for what one departure changes there is the less. */
export const pauseMs = (self: NodeView, k: BalanceKnobs): number => k.departurePauseMs / Math.max(1, crowding(self));
