import { closeSync, constants, fstatSync, lstatSync, openSync, statfsSync, statSync } from "node:fs";
import { MiB } from "../base/mod.ts";
import type { proc } from "../sys/mod.ts";

/** The files behind the mappings of a process. */

const DELETED = / \(deleted\)$/;

/** A file as it was when it was looked at. */
export interface SeenFile {
  /** Device, inode, size and times: while they are the same, so is what it holds. */
  readonly key: string;
  /** Bytes. */
  readonly size: number;
}

/** What a mapping shows. What could not be looked at, since the mapping is gone by now, counts as a file, and was not `seen`. */
export interface Shown {
  readonly kind: "regular" | "memory" | "device" | "hugetlb";
  readonly seen: SeenFile | null;
}

const HUGETLBFS_BLOCK = BigInt(2 * MiB);
/** TMPFS_MAGIC (statfs(2)): shared memory of every kind is in such a file system. */
const TMPFS = 0x01021994;

/**
 * Looks at the files behind the mappings of one process, one after the other, without opening them: a program has some ten libraries, mapped
 * in five pieces each. To be used for one reading of its mappings only, which keep the file systems where they are.
 */
export class FileLooks {
  private readonly pid: number;
  /** By device, which names a file system as long as it is mounted. */
  private readonly inMemory = new Map<bigint, boolean>();

  constructor(pid: number) {
    this.pid = pid;
  }

  at(line: proc.MapsLine): Shown {
    try {
      return this.look(line);
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === "ENOENT") return { kind: "regular", seen: null };
      throw e;
    }
  }

  private look(line: proc.MapsLine): Shown {
    const { path, st } = statMapped(this.pid, line);
    const seen = seenFile(st);
    if (!st.isFile()) return { kind: "device", seen };
    if (this.isInMemory(st.dev, path)) return { kind: "memory", seen };
    return { kind: st.blksize >= HUGETLBFS_BLOCK ? "hugetlb" : "regular", seen };
  }

  private isInMemory(dev: bigint, path: string): boolean {
    const known = this.inMemory.get(dev);
    if (known !== undefined) return known;
    const is = statfsSync(path).type === TMPFS;
    this.inMemory.set(dev, is);
    return is;
  }
}

type BigStats = ReturnType<typeof statBig>;
const statBig = (path: string) => statSync(path, { bigint: true });

const seenFile = ({ dev, ino, size, mtimeNs, ctimeNs }: BigStats): SeenFile => ({
  key: `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`,
  size: Number(size),
});

/** An open file, looked at. */
export const seeFile = (fd: number): SeenFile => seenFile(fstatSync(fd, { bigint: true }));

const mapFile = (pid: number, line: proc.MapsLine): string => `/proc/${pid}/map_files/${line.start.toString(16)}-${line.end.toString(16)}`;
/** Where the file had its name when it was mapped. */
const byName = (pid: number, line: proc.MapsLine): string => `/proc/${pid}/root${line.name.replace(DELETED, "").replaceAll("\\012", "\n")}`;

/** Where the kernel does not let us follow map_files, or the mapping is gone. */
function mustBeDenied(e: unknown): void {
  const code = (e as NodeJS.ErrnoException).code;
  if (code !== "EPERM" && code !== "EACCES" && code !== "ENOENT") throw e;
}
const anotherFile = (line: proc.MapsLine): Error =>
  Object.assign(new Error(`${line.name} is not the mapped file any more`), { code: "ENOENT" });

/** The very file that a mapping shows, see {@link openMapped}. */
function statMapped(pid: number, line: proc.MapsLine): { path: string; st: BigStats } {
  try {
    const path = mapFile(pid, line);
    return { path, st: statBig(path) };
  } catch (e) {
    mustBeDenied(e);
  }
  const path = byName(pid, line);
  const st = statBig(path);
  if (st.ino !== line.inode) throw anotherFile(line);
  return { path, st };
}

/**
 * Opens the very file that a mapping shows, deleted or replaced as its path may be: through map_files where the kernel
 * allows it, else by path when the inode is still the same.
 */
export function openMapped(pid: number, line: proc.MapsLine, flags: number = constants.O_RDONLY): number {
  try {
    return openSync(mapFile(pid, line), flags);
  } catch (e) {
    mustBeDenied(e);
  }
  const fd = openSync(byName(pid, line), flags);
  if (fstatSync(fd, { bigint: true }).ino !== line.inode) {
    closeSync(fd);
    throw anotherFile(line);
  }
  return fd;
}

/** Whether mprotect(2) may make a shared mapping writable: the link's mode tells how the mapped file is open (fs/proc/base.c, proc_map_files_instantiate). */
export function mayBeWritten(pid: number, line: proc.MapsLine): boolean {
  // A running process may take it away meanwhile: no link then.
  return ((lstatSync(mapFile(pid, line), { throwIfNoEntry: false })?.mode ?? 0) & 0o200) !== 0;
}
