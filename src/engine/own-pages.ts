import { SKELETON_END } from "../image/mod.ts";
import { Sys } from "./numbers.ts";

/**
 * A guest may not touch the lowest addresses, where the engine's own pages are: code that it makes calls with, and room for what they
 * point to. A program that maps or unmaps something there does so at home, where there is nothing of ours.
 */
export const OWN_PAGES_END = SKELETON_END;

/** mremap(2)'s new address counts with MREMAP_FIXED only. */
export const MREMAP_FIXED = 0x2;
/** mmap(2): MAP_FIXED and MAP_FIXED_NOREPLACE. Without them address 0 is any address. */
export const MAP_THERE = 0x10_0010;

/** Calls that the kernel here makes unseen and that change what is mapped at their first argument. */
export const MAPPING_CALLS: ReadonlySet<number> = new Set([Sys.mmap, Sys.mprotect, Sys.munmap, Sys.mremap, Sys.madvise]);

/** Those of them after which an area shows its memory at another place. */
export const MOVES_MAPPINGS: ReadonlySet<number> = new Set([Sys.mremap]);

const isLow = (address: bigint | undefined): boolean => (address ?? 0n) < OWN_PAGES_END;

/** Whether a call may change the pages that are the engine's own. The guest's filter says the same: see {@link guestFilter}. */
export function touchesOwnPages(nr: number, args: readonly bigint[]): boolean {
  if (!MAPPING_CALLS.has(nr)) return false;
  const flags = Number(BigInt.asUintN(32, args[3] ?? 0n));
  if (nr === Sys.mmap && args[0] === 0n && (flags & MAP_THERE) === 0) return false;
  if (nr === Sys.mremap && (flags & MREMAP_FIXED) !== 0 && isLow(args[4])) return true;
  return isLow(args[0]);
}
