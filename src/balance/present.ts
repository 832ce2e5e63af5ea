import { STANDARD } from "./cost.ts";
import type { NodeView } from "./views.ts";

/** CPUs in use up to here leave tasks nothing to wait for. */
const FREE = 0.95;

/**
 * Its load as of now. What a node tells falls slowly, and for programs that live for a second most nodes would look busy with those before. Where CPUs
 * are free no more tasks run than CPUs are in use.
 */
export function presentLoad(n: NodeView): number {
  return n.util === undefined || n.util > FREE ? n.load : Math.min(n.load, (n.util * STANDARD) / n.speed);
}
