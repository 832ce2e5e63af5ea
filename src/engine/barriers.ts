import type { RawCall } from "../image/mod.ts";
import { isErrno } from "../sys/mod.ts";
import { Sys } from "./numbers.ts";

/** The registrations of membarrier(2), which belong to the memory of a process and do not come with it. */
export const GET_REGISTRATIONS = 512;

/** What the kernel answers to that; before Linux 6.3 it cannot tell. */
export const barriersOf = (result: bigint): number => (isErrno(result) ? 0 : Number(result));

/** The calls that register for what `wanted` has and `have` has not: each bit is the command for itself. */
export function register(wanted: number, have = 0): RawCall[] {
  const calls: RawCall[] = [];
  for (let bit = 1; bit <= wanted; bit *= 2) {
    if ((wanted & bit) !== 0 && (have & bit) === 0) calls.push({ nr: Sys.membarrier, args: [bit, 0, 0] });
  }
  return calls;
}
