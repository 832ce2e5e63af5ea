import type { Network } from "./scenario.ts";

/** Largest piece that TCP sends over Ethernet, and the constant of its throughput (Mathis, Semke, Mahdavi, Ott, CCR 27(3), 1997). */
const SEGMENT = 1448;
const MATHIS = Math.sqrt(1.5);

export const rttMs = ({ delayMs: [least, most] }: Network): number => least + most;

/** Bytes a second of a stream: TCP takes loss for congestion, and slows down to `segment / rtt * sqrt(3/2) / sqrt(loss)`. */
export function streamRate(n: Network): number {
  if (n.streamLoss === 0) return n.bandwidth;
  return Math.min(n.bandwidth, ((SEGMENT * 1000) / Math.max(0.05, rttMs(n))) * (MATHIS / Math.sqrt(n.streamLoss)));
}

/** Whether one node can reach another at a moment. */
export function reach(n: Network, nodes: number, a: number, b: number, nowMs: number): boolean {
  const now = nowMs / 1000;
  return n.partitions.every(({ from, until, share }) => {
    const border = nodes - Math.round(share * nodes);
    return now < from || now >= until || a < border === b < border;
  });
}
