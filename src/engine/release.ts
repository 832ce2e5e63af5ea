import type { Log } from "../base/mod.ts";
import { dropPages, type Image, type RawCall, type ThreadImage, type Vma } from "../image/mod.ts";
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
  for (const piece of pieces(image.vmas, keepFrom, keepTo)) {
    if (!goesOn()) return;
    const [hidden = 0n, r = 0n] = await deputy.calls([hide(piece), dropPages(piece)]);
    // Sealed, for example (mseal(2)).
    if (isErrno(hidden)) log.info("memory at home stays readable", { pid: deputy.pid, start: piece.start, errno: Number(-hidden) });
    if (isErrno(r)) log.warn("memory at home was not given back", { pid: deputy.pid, start: piece.start, errno: Number(-r) });
  }
}

const PROT_NONE = 0;
const hide = (r: { start: bigint; end: bigint }): RawCall => ({ nr: Sys.mprotect, args: [r.start, r.end - r.start, PROT_NONE] });

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
