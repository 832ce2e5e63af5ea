import { closeSync, openSync, readlinkSync, readSync } from "node:fs";
import type { Beginning } from "./exec-watch.ts";

/** Hearing of programs that begin where the kernel tells nobody but root: by looking. */

/** Nobody is looked at more often. */
export const POLL_MS = 30;
/** Looking takes one part in so many of a CPU at most: a large tree is looked at less often. */
const PART = 128;
/** A process that has been the same program for so long is asked for its program in one look of so many only. */
const OLD_MS = 500;
const OLD_LOOKS = 8;
/** A look takes no more than some tens of milliseconds, however many there are. */
const MOST = 2000;
/** More children of one process are not seen at once. */
const LIST_BYTES = 16_384;
const list = Buffer.alloc(LIST_BYTES);

interface Seen {
  /** Its executable; null when that may not be read, as of a program with set-user-ID. */
  path: string | null;
  since: number;
}

/**
 * The processes of some trees, look after look: who has children, and who has become another program (proc_pid_task_tid_children(5), since Linux 4.2 in all kernels
 * with CONFIG_PROC_CHILDREN). What lives from one look to the next is seen; a program that is the same as its parent is not told of, nor a child of another
 * thread than its parent's first.
 */
export class ExecPoll implements Disposable {
  private readonly roots: () => Iterable<number>;
  private seen = new Map<number, Seen>();
  private looks = 0;
  private due = Number.NEGATIVE_INFINITY;

  /** @param roots processes whose trees are looked at. @throws Error ENOENT where the kernel tells of no children */
  constructor(roots: () => Iterable<number>) {
    this.roots = roots;
    readChildren(process.pid);
  }

  /** What has begun since the last look, parents first. Returns at once when it is not time for a look. */
  take(now: number = performance.now()): Beginning[] {
    if (now < this.due) return [];
    const before = process.threadCpuUsage();
    const out = this.look(now);
    const { user, system } = process.threadCpuUsage(before);
    this.due = now + Math.max(POLL_MS, ((user + system) / 1000) * PART);
    return out;
  }

  private look(now: number): Beginning[] {
    const [old, out, turn] = [this.seen, [] as Beginning[], this.looks++ % OLD_LOOKS];
    this.seen = new Map();
    const queue: { pid: number; parent: string | null }[] = Array.from(this.roots(), (pid) => ({ pid, parent: null }));
    // A root is found below another one, too: then it is that one's child. Children are added while it goes.
    for (const { pid, parent } of queue) {
      if (this.seen.has(pid) || this.seen.size >= MOST) continue;
      const children = childrenOf(pid);
      if (children === null) continue;
      const before = old.get(pid);
      let one = before ?? { path: parent, since: now };
      if (before === undefined || now - before.since < OLD_MS || pid % OLD_LOOKS === turn) {
        const path = programOf(pid);
        if (path !== one.path) {
          one = { path, since: now };
          // Of a root that was not known, nobody knows when it became what it is.
          if (path !== null && (before !== undefined || parent !== null)) out.push({ pid, path });
        }
      }
      this.seen.set(pid, one);
      for (const child of children) queue.push({ pid: child, parent: one.path });
    }
    return out;
  }

  [Symbol.dispose](): void {
    this.seen.clear();
  }
}

/** Each number is followed by a space; a last one that is not was cut off. */
function readChildren(pid: number): string {
  const fd = openSync(`/proc/${pid}/task/${pid}/children`, "r");
  try {
    const text = list.toString("latin1", 0, readSync(fd, list, 0, LIST_BYTES, 0));
    return text.slice(0, text.lastIndexOf(" ") + 1);
  } finally {
    closeSync(fd);
  }
}

/** Null for one that has ended. */
function childrenOf(pid: number): number[] | null {
  const text = orNull(() => readChildren(pid));
  return text === null ? null : text.split(" ").filter(Boolean).map(Number);
}

const programOf = (pid: number): string | null => orNull(() => readlinkSync(`/proc/${pid}/exe`));

function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch (e) {
    if (["ENOENT", "ESRCH", "EACCES"].includes((e as NodeJS.ErrnoException).code ?? "")) return null;
    throw e;
  }
}
