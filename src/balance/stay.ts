import type { BalanceKnobs } from "./knobs.ts";

/** Milliseconds that a process stays at least where it came to: twice as long with each move in quick succession. */
export const stayMs = (bounces: number, k: BalanceKnobs): number => k.minStayMs * 2 ** Math.min(bounces, k.maxBounces);
