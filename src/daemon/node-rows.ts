import { STANDARD_SPEED } from "../load/mod.ts";
import type { Peer } from "./config.ts";
import type { NodeStatus } from "./peer.ts";
import type { NodeRow } from "./shapes.ts";

/** Rows of `tesela nodes`. */

const NOTHING: NodeStatus = { cpus: 0, speed: 0, load: 0, memTotal: 0, memFree: 0, guests: 0, away: 0, flags: [] };

/** Loads as people here want them: `runnable * yard / (speed * cpus)`. */
export function inYards(row: NodeRow, yard: number): NodeRow {
  if (yard === STANDARD_SPEED) return row;
  const shown = (load: number): number => Math.round((load * yard * 1000) / STANDARD_SPEED) / 1000;
  return { ...row, load: shown(row.load), ...(row.own !== undefined && { own: shown(row.own) }) };
}

/** @param status null for a node that nothing is known of */
export function nodeRow(peer: Peer, state: NodeRow["state"], status: NodeStatus | null): NodeRow {
  const { id, name, address } = peer;
  return { id, name, address, state, ...(status ?? NOTHING) };
}
