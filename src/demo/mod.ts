/** Load levelling and moves on an embedded cluster, for people to watch, and proclb for the cluster at hand. */
export type { DemoOptions } from "./embedded.ts";
export { type LocalOptions, runLocal } from "./local.ts";
export { runMoves } from "./moves.ts";
export type { Output } from "./screen.ts";
export { isGood, outcomeLines, runSpread } from "./spread.ts";
