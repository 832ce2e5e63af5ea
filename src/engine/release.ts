import type { Vma } from "../image/mod.ts";

/** Pages are given back in pieces, so that the guest's first calls do not wait behind a gigabyte. */
const RELEASE_BYTES = 64n << 20n;

/** The areas of a process in pieces, without [keepFrom, keepTo). */
export function* pieces(vmas: readonly Vma[], keepFrom: bigint, keepTo: bigint): Generator<{ start: bigint; end: bigint }> {
  for (const vma of vmas) {
    const parts =
      keepTo > vma.start && keepFrom < vma.end
        ? [
            { start: vma.start, end: keepFrom > vma.start ? keepFrom : vma.start },
            { start: keepTo < vma.end ? keepTo : vma.end, end: vma.end },
          ]
        : [vma];
    for (const part of parts) {
      for (let at = part.start; at < part.end; at += RELEASE_BYTES) {
        yield { start: at, end: at + RELEASE_BYTES < part.end ? at + RELEASE_BYTES : part.end };
      }
    }
  }
}
