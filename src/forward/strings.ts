import { isBad } from "./forward.ts";
import type { GuestMemory } from "./types.ts";

/** Most paths are shorter, so one look is enough. */
const FIRST_LOOK = 256;

/**
 * A string with its NUL, or its first `max` bytes without one when it is longer: the kernel at home then finds it too long by itself.
 * Null where the memory ends first.
 */
export function readString(mem: GuestMemory, address: bigint, max: number): Buffer | null {
  if (isBad(address, 1)) return null;
  let size = Math.min(FIRST_LOOK, max);
  for (;;) {
    const bytes = mem.readUpTo(address, size);
    const end = bytes.indexOf(0);
    if (end >= 0) return bytes.subarray(0, end + 1);
    if (bytes.length < size) return null;
    if (size === max) return bytes;
    size = max;
  }
}
