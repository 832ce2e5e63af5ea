import type { RawCall } from "./stub.ts";

/**
 * Advice on an area that changes what a program finds, now or in its children (madvise(2)), as a set of bits. Memory that the kernel may
 * drop (MAP_DROPPABLE) shows two of them, and is carried as memory that has these.
 */
interface Advice {
  readonly bit: number;
  /** Its letters in /proc/PID/smaps. */
  readonly flag: string;
  readonly on: number;
  readonly off: number;
}
const ADVICE: readonly Advice[] = [
  // MADV_WIPEONFORK, MADV_KEEPONFORK: generators of random numbers count on it.
  { bit: 1, flag: "wf", on: 18, off: 19 },
  // MADV_DONTFORK, MADV_DOFORK.
  { bit: 2, flag: "dc", on: 10, off: 11 },
  // MADV_DONTDUMP, MADV_DODUMP: secrets.
  { bit: 4, flag: "dd", on: 16, off: 17 },
];
const MADVISE = 28;

/** By the flags that the kernel shows of an area. */
export const adviceOf = (flags: readonly string[] | undefined): number =>
  flags ? ADVICE.reduce((bits, { bit, flag }) => (flags.includes(flag) ? bits | bit : bits), 0) : 0;

/** The calls that change it from one set to another. */
export function advise({ start, end }: { start: bigint; end: bigint }, have: number, want: number): RawCall[] {
  return ADVICE.filter(({ bit }) => ((have ^ want) & bit) !== 0).map(({ bit, on, off }) => ({
    nr: MADVISE,
    args: [start, end - start, (want & bit) !== 0 ? on : off],
  }));
}
