import type { Log } from "../base/mod.ts";
import { dropPages, type Image, type Range, type RawCall, type ThreadImage, type Vma } from "../image/mod.ts";
import { isErrno } from "../sys/mod.ts";
import type { Deputy } from "./deputy.ts";
import { Sys } from "./numbers.ts";

const RSEQ_FLAG_UNREGISTER = 1;
const ROBUST_HEAD = 24;

/** What the kernel would fault on once the memory is gone. */
export const leaveMemory = (thread: ThreadImage | undefined): RawCall[] => [
  ...(thread?.rseq ? [{ nr: Sys.rseq, args: [thread.rseq.pointer, thread.rseq.size, RSEQ_FLAG_UNREGISTER, thread.rseq.signature] }] : []),
  { nr: Sys.setRobustList, args: [0, ROBUST_HEAD] },
  { nr: Sys.setTidAddress, args: [0] },
];

/**
 * Gives a deputy's pages back while `goesOn`, but those with the arguments and the environment, which ps(1) reads. Who reads the memory
 * of the process meanwhile (process_vm_readv(2)) shall be told that it is not there, and not find zeros: nothing of it is readable.
 */
export async function giveBack(deputy: Deputy, image: Image, goesOn: () => boolean, log: Log): Promise<void> {
  const keepFrom = image.mm.argStart & ~0xfffn;
  const keepTo = (image.mm.envEnd + 0xfffn) & ~0xfffn;
  for (const batch of batches(pieces(image.vmas, keepFrom, keepTo))) {
    if (!goesOn()) return;
    const results = await deputy.calls(batch.flatMap((piece) => [hide(piece), dropPages(piece)]));
    for (const [i, { start }] of batch.entries()) {
      const [hidden = 0n, r = 0n] = results.slice(2 * i);
      // Sealed, for example (mseal(2)).
      if (isErrno(hidden)) log.info("memory at home stays readable", { pid: deputy.pid, start, errno: Number(-hidden) });
      if (isErrno(r)) log.warn("memory at home was not given back", { pid: deputy.pid, start, errno: Number(-r) });
    }
  }
}

const PROT_NONE = 0;
const hide = (r: Range): RawCall => ({ nr: Sys.mprotect, args: [r.start, r.end - r.start, PROT_NONE] });

/** Pages are given back in pieces, so that the guest's first calls do not wait behind a gigabyte. */
const RELEASE_BYTES = 64n << 20n;

/** Small ones go together: each batch costs the engine and the deputy a wake-up. */
const MOST_TOGETHER = 128;

/** Of at most {@link RELEASE_BYTES} each, and a piece more. */
export function* batches(all: Iterable<Range>): Generator<Range[]> {
  let batch: Range[] = [];
  let bytes = 0n;
  for (const piece of all) {
    batch.push(piece);
    bytes += piece.end - piece.start;
    if (bytes < RELEASE_BYTES && batch.length < MOST_TOGETHER) continue;
    yield batch;
    batch = [];
    bytes = 0n;
  }
  if (batch.length > 0) yield batch;
}

/** The areas of a process in pieces, without [keepFrom, keepTo). */
export function* pieces(vmas: readonly Vma[], keepFrom: bigint, keepTo: bigint): Generator<Range> {
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
