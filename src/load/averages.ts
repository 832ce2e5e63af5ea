/** The two averages of a load, as MOSIX has them: one for a node's own decisions, one for what it tells others. */

/** Slow up, fast down: nothing is sent away for a moment's crowd. */
export const localLoad = (old: number, now: number): number => (now > old ? (5 * old + 3 * now) / 8 : now);

/**
 * Fast up, slow down: nobody sends work to a node that is about to be busy. What it has seen for less than eight seconds it forgets sooner, as `decayed`
 * does: one that has just been switched on would otherwise be shunned for as long for what its start cost.
 */
export const toldLoad = (old: number, now: number, seconds = 1, seen = Number.POSITIVE_INFINITY): number =>
  now >= old ? now : decayed(old, now, 7 / 8, seconds, seen);

/** A process's share of the CPUs. */
export const smoothShare = (old: number, sample: number): number => (5 * old + 3 * sample) / 8;

/** Growth of memory, bytes a second: nearly at once what it is when it rises, gone after some samples when it was one allocation. */
export const smoothGrowth = (old: number, sample: number): number => (sample > old ? (old + 3 * sample) / 4 : (old + sample) / 2);

/**
 * An average that keeps the part `keep` of what was over `seconds` that have passed since. As long as it has seen less than that makes, it is the
 * plain mean of what it saw, for `seen` seconds before these; with `keep` 1 it always is.
 */
export const decayed = (old: number, sample: number, keep: number, seconds: number, seen: number): number =>
  old + Math.max(1 - keep, seconds / (seen + seconds)) * (sample - old);
