import { AT, NR, O, S, SEEK, STAT } from "../abi/mod.ts";
import type { ForwardPlan, GuestMemory } from "../forward/mod.ts";
import { isRestart, Restart } from "./restarts.ts";

/**
 * Files that a guest opens to read come with the answer: `struct stat`, and all of a file that is not large. What it then reads is answered where it
 * runs, while home's file stays at its beginning; where the program stands in it, home is told before anything that could show it
 * (docs/decisions/0081).
 */

/** Of larger ones only the `struct stat` comes. */
export const MOST_READ = 64 * 1024;
/** What else an `open` may say, the kernel's O_LARGEFILE too: none of it changes what is read. */
const PLAIN = O.CLOEXEC | O.NOCTTY | 0o100000;
const EINVAL = -22n;

/** Where the program stands in a file, which home does not know. */
export interface Position {
  readonly fd: number;
  readonly at: bigint;
}

const int = (register: bigint | undefined): number => Number(BigInt.asIntN(32, register ?? 0n));

/** Whether a call opens a path to read it, and which argument the path is; null for any other. */
export function opensToRead(nr: number, { args }: ForwardPlan): { readonly pathAt: number; readonly dirfd: number } | null {
  const pathAt = nr === NR.open ? 0 : nr === NR.openat ? 1 : null;
  if (pathAt === null || (int(args[pathAt + 1]) & ~PLAIN) !== O.RDONLY) return null;
  return { pathAt, dirfd: nr === NR.open ? AT.FDCWD : int(args[0]) };
}

/** Whether that is a file whose content is kept somewhere: one that is made up as it is read takes no blocks (proc, sysfs). */
export const isPlain = (stat: Buffer): boolean =>
  (stat.readUInt32LE(STAT.at.st_mode) & S.IFMT) === S.IFREG && stat.readBigInt64LE(STAT.at.st_blocks) > 0n;

/** A file that has just been opened. */
export class OpenedFile {
  readonly fd: number;
  private readonly stat: Buffer;
  /** All of it; null where it did not come. */
  private readonly content: Buffer | null;
  private at = 0;
  private isRead = false;

  /** @param bytes its `struct stat`, and what was read from its beginning; kept */
  constructor(fd: number, bytes: Buffer) {
    this.fd = fd;
    this.stat = bytes.subarray(0, STAT.size);
    const content = bytes.subarray(STAT.size);
    const size = this.stat.readBigInt64LE(STAT.at.st_size);
    // A file that has changed in between, or of which a part cannot be read.
    this.content = BigInt(content.length) === size && size > 0n ? content : null;
  }

  /** Where home's file does not stand; null when it does. */
  get position(): Position | null {
    return this.at === 0 ? null : { fd: this.fd, at: BigInt(this.at) };
  }

  /** The result of a call about it; null for what only home can answer. */
  answer(nr: number, plan: ForwardPlan, base: bigint, memory: GuestMemory): bigint | null {
    if (int(plan.args[0]) !== this.fd || plan.nr !== nr) return null;
    switch (nr) {
      case NR.fstat:
        return this.tell(plan, memory);
      case NR.newfstatat:
        // By the empty path alone.
        if (int(plan.args[3]) !== AT.EMPTY_PATH || plan.args[1] !== base || plan.blob[0] !== 0) return null;
        return this.tell(plan, memory);
      case NR.read:
        return this.read(plan, memory);
      case NR.lseek:
        return this.seek(plan.args[1] ?? 0n, int(plan.args[2]));
      default:
        return null;
    }
  }

  private tell(plan: ForwardPlan, memory: GuestMemory): bigint | null {
    // Reading changes when it was read last.
    const out = plan.outs[0];
    if (this.isRead || plan.outs.length !== 1 || out?.length !== STAT.size) return null;
    const finished = plan.finish(0n, this.stat, memory);
    return "done" in finished ? finished.done : null;
  }

  private read(plan: ForwardPlan, memory: GuestMemory): bigint | null {
    const out = plan.outs[0];
    if (!this.content || plan.outs.length !== 1 || !out || out.limit !== "return" || BigInt(out.length) !== plan.args[2]) return null;
    const bytes = this.content.subarray(this.at, this.at + out.length);
    const finished = plan.finish(BigInt(bytes.length), bytes, memory);
    if (!("done" in finished)) return null;
    // A fault leaves open how far home's kernel would have read.
    if (finished.done !== BigInt(bytes.length)) return null;
    this.at += bytes.length;
    this.isRead = true;
    return finished.done;
  }

  private seek(offset: bigint, whence: number): bigint | null {
    if (!this.content) return null;
    const from = { [SEEK.SET]: 0n, [SEEK.CUR]: BigInt(this.at), [SEEK.END]: BigInt(this.content.length) }[whence];
    if (from === undefined) return null;
    const to = from + BigInt.asIntN(64, offset);
    if (to < 0n) return EINVAL;
    if (to > BigInt(this.content.length)) return null;
    this.at = Number(to);
    return to;
  }
}

/** Home's file is put where the program stands in it, and the call that this comes before is made again. */
export function tellPosition({ fd, at }: Position, told: () => void): ForwardPlan {
  return {
    kind: "forward",
    nr: NR.lseek,
    args: [BigInt(fd), at, BigInt(SEEK.SET), 0n, 0n, 0n],
    blob: EMPTY,
    outs: [],
    blocking: false,
    restartOnEintr: false,
    finish: (result) => {
      if (!isRestart(result)) told();
      return { done: Restart.NOINTR };
    },
  };
}
const EMPTY = Buffer.alloc(0);
