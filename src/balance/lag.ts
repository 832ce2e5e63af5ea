/** A node's load is the average of what ran in so long. */
export const SAMPLE_MS = 1000;

/** The part of what has come or gone at a moment that a sample does not show, 0 to 1: all of it when that is older. By one clock. */
export const unseen = (atMs: number, sampledMs: number): number => Math.min(1, Math.max(0, (atMs - sampledMs) / SAMPLE_MS + 1));
