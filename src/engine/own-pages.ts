import { SKELETON_END } from "../image/mod.ts";
import { Sys } from "./numbers.ts";

/**
 * A guest may not touch the lowest addresses, where the engine's own pages are: code that it makes calls with, and room for what they
 * point to. A program that maps or unmaps something there does so at home, where there is nothing of ours.
 */
export const OWN_PAGES_END = SKELETON_END;

/**
 * Nor may it touch the addresses where deputies are at home, or it could not come home with what it has there. Programs are not linked
 * there, and heap, libraries and stack, which grow towards each other, leave a wide gap between them; who keeps a map of its own address
 * space (valgrind, sanitizers) uses what is below. V8 asks for places at random all over: room for 60,000 threads is hardly ever met.
 */
export const DEPUTIES = { from: 0x2000_0000_0000n, to: 0x2010_0000_0000n } as const;

/** mremap(2)'s new address counts with MREMAP_FIXED only. */
export const MREMAP_FIXED = 0x2;
/** mmap(2): MAP_FIXED and MAP_FIXED_NOREPLACE. Without them address 0 is any address. */
export const MAP_THERE = 0x10_0010;

/** Calls that the kernel here makes unseen and that change what is mapped at their first argument. */
export const MAPPING_CALLS: ReadonlySet<number> = new Set([Sys.mmap, Sys.mprotect, Sys.munmap, Sys.mremap, Sys.madvise]);

/** Those of them after which an area shows its memory at another place. */
export const MOVES_MAPPINGS: ReadonlySet<number> = new Set([Sys.mremap]);

const high = (value: bigint): number => Number(BigInt.asUintN(64, value) >> 32n);
/** Upper halves of addresses, and of sums of those of an address and a length, that may be among the deputies. */
export const [NEAR_DEPUTIES, BEHIND_DEPUTIES] = [high(DEPUTIES.from) - 1, high(DEPUTIES.to)];

const isLow = (address: bigint): boolean => address < OWN_PAGES_END;
/** As a filter can tell, which looks at halves: what comes near counts. */
const reachesDeputies = (address: bigint, length: bigint): boolean =>
  high(address) < BEHIND_DEPUTIES && (high(address) + high(length)) >>> 0 >= NEAR_DEPUTIES;
const isOurs = (address: bigint, length: bigint): boolean => isLow(address) || reachesDeputies(address, length);

/** Whether a call may change pages that are the engine's own, here or at home. The guest's filter says the same: see {@link guestFilter}. */
export function touchesOwnPages(nr: number, args: readonly bigint[]): boolean {
  if (!MAPPING_CALLS.has(nr)) return false;
  const [at = 0n, length = 0n, newLength = 0n, , to = 0n] = args;
  const flags = Number(BigInt.asUintN(32, args[3] ?? 0n));
  if (nr === Sys.mmap && at === 0n && (flags & MAP_THERE) === 0) return reachesDeputies(at, length);
  if (nr !== Sys.mremap) return isOurs(at, length);
  return isOurs(at, length) || reachesDeputies(at, newLength) || ((flags & MREMAP_FIXED) !== 0 && isOurs(to, newLength));
}
