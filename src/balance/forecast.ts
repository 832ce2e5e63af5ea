import { lowMark } from "./cost.ts";
import type { UsherKnobs } from "./knobs.ts";
import type { BalanceState, NodeView, ProcessView } from "./views.ts";

/** What usher() looks at. */
export interface UsherState extends Omit<BalanceState, "lastDepartureMs"> {
  /** Bytes a second by which free memory shrinks here. */
  readonly growth: number;
  /** Bytes that are to stay free; worked out from the memory there is when left out. */
  readonly lowMark?: number;
  /** Bytes a second that come back from swap. */
  readonly swapIn?: number;
  /** Part of the time, 0 to 1, for which some task stands still for want of memory (PSI). */
  readonly pressure?: number;
  /** What is on its way out already, and not among the processes: it will be free, and grows no more. */
  readonly departing?: { readonly bytes: number; readonly growth: number };
  /** What is on its way here: bytes that are still to come, and bytes a second that come now. It is no growth, and as good as here. */
  readonly arriving?: { readonly bytes: number; readonly rate: number };
}

/** What a forecast needs to know. */
export interface MemoryState extends Pick<UsherState, "growth" | "lowMark" | "departing" | "arriving"> {
  readonly self: Pick<NodeView, "memTotal" | "memFree">;
  readonly processes?: readonly Pick<ProcessView, "rss" | "growth" | "sinceMoveMs">[];
}

/** Where memory goes if nothing is done. Bytes, bytes a second. */
export interface Forecast {
  readonly free: number;
  readonly growth: number;
  readonly mark: number;
}

export function forecast(state: MemoryState, k: UsherKnobs): Forecast {
  const { bytes = 0, growth = 0 } = state.departing ?? {};
  return {
    free: state.self.memFree + bytes - (state.arriving?.bytes ?? 0),
    growth: Math.max(0, ongoing(state) - Math.max(0, growth)),
    mark: state.lowMark ?? lowMark(state.self.memTotal, k),
  };
}

/**
 * Growth without what processes brought along that have just come: that was taken at once, and no more follows but what they grow by. An average of what
 * was measured remembers it for some seconds.
 */
function ongoing({ growth, processes = [], arriving }: MemoryState): number {
  const came = processes.reduce(
    (sum, p) => sum + (p.sinceMoveMs < REMEMBERED_MS ? p.rss * 2 ** (-p.sinceMoveMs / HALF_MS) : 0),
    arriving?.rate ?? 0,
  );
  if (came === 0) return growth;
  const known = processes.reduce((sum, p) => sum + Math.max(0, p.growth), 0);
  return Math.max(Math.min(growth, known), growth - came);
}
const REMEMBERED_MS = 8000;
/** The averages of the classics, five parts of eight a second, forget half in so long. */
const HALF_MS = 1500;

/** Seconds until free memory crosses the low mark; 0 when it has. */
export function secondsLeft({ free, growth, mark }: Forecast, noise: number): number {
  if (free <= mark) return 0;
  return growth > noise ? (free - mark) / growth : Number.POSITIVE_INFINITY;
}

/** Seconds left to act in: none where the kernel shows already that memory is short. */
export function urgency(state: UsherState, f: Forecast, k: UsherKnobs): number {
  const short = (state.swapIn ?? 0) > k.swapIn || (state.pressure ?? 0) > k.pressure;
  return short && f.free < f.mark * k.signsBelow ? 0 : secondsLeft(f, k.noise);
}

/** Without a process of so many bytes that grew so fast. */
export const without = (f: Forecast, rss: number, growth: number): Forecast => ({
  ...f,
  free: f.free + rss,
  growth: Math.max(0, f.growth - Math.max(0, growth)),
});

/** Whether memory stays above the mark for so long. */
export const holds = ({ free, growth, mark }: Forecast, seconds: number): boolean => free - growth * seconds >= mark;

/** Milliseconds after which to look again: a quarter of what is left, so that a fast program is met in time; at most a second. */
export function lookAgainMs(state: MemoryState, k: UsherKnobs): number {
  const left = secondsLeft(forecast(state, k), k.noise) * 1000;
  return Math.min(SLOWEST_LOOK_MS, Math.max(FASTEST_LOOK_MS, left / 4));
}
const FASTEST_LOOK_MS = 100;
const SLOWEST_LOOK_MS = 1000;
