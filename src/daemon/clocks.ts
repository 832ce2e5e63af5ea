import { type Caller, ROOT } from "./authorize.ts";
import type { PeerControl } from "./peer.ts";

/** What a teselad asks another one to know of its clock. */
export const CLOCK = "GET /clock";
const SELF: Caller = { uid: ROOT, gid: ROOT, via: null };
const ANSWER_MS = 2000;
const MOST = 16;

/** How another node's clock differs from this one's. */
export interface ClockRow {
  readonly node: number;
  /** Positive: it is ahead of this node's. */
  readonly aheadMs: number;
  /** The truth is at most so far from that: half of the time that the answer took. */
  readonly offMs: number;
}

/** Asks some nodes for the time; who does not answer is left out. */
export async function clocksOf(others: readonly PeerControl[]): Promise<ClockRow[]> {
  const all = await Promise.allSettled(others.slice(0, MOST).map(clockOf));
  return all.flatMap((r) => (r.status === "fulfilled" ? [r.value] : []));
}

async function clockOf(other: PeerControl): Promise<ClockRow> {
  const signal = AbortSignal.timeout(ANSWER_MS);
  // So that no handshake is in the time that is halved.
  await other.status(signal);
  const start = performance.now();
  const wall = Date.now();
  const { now } = (await other.question(CLOCK, {}, SELF, signal)) as { now?: unknown };
  const offMs = (performance.now() - start) / 2;
  if (typeof now !== "number" || !Number.isFinite(now)) throw new Error(`node ${other.node} tells no time`);
  return { node: other.node, aheadMs: Math.round(now - wall - offMs), offMs: Math.ceil(offMs) };
}
