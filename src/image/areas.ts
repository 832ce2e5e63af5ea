import { createHash } from "node:crypto";
import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, statfsSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { MiB } from "../base/mod.ts";
import { memory, proc } from "../sys/mod.ts";

/** The mappings of a process, sorted by what they mean for moving it. */

export type Area =
  | { readonly kind: "anon"; readonly line: proc.MapsLine; readonly stack: boolean }
  | { readonly kind: "file"; readonly line: proc.MapsLine }
  /** Memory that others may share: `reason` is why the process stays home where it cannot be taken along with them. */
  | { readonly kind: "shared"; readonly line: proc.MapsLine; readonly writable: boolean; readonly reason: string }
  | { readonly kind: "vdso"; readonly line: proc.MapsLine }
  | { readonly kind: "refused"; readonly line: proc.MapsLine; readonly reason: string };

/** Files larger than this are not carried: a program that maps such a file privately stays at home. */
export const MAX_MAPPED_FILE = 256 * MiB;

/** Kernel-made names of mappings that cannot move, and the reason each gives. */
const REFUSED_NAMES: readonly (readonly [RegExp, string])[] = [
  [/^anon_inode:\[io_uring\]/, "io_uring"],
  [/^anon_inode:\[perf_event\]/, "perf_event"],
  [/^anon_inode:/, "mmap_dev"],
  [/^\/\[aio\]/, "aio"],
  [/^\/anon_hugepage/, "hugetlb"],
  [/^\[uprobes\]/, "uprobes"],
];

/** Memory that is shared and has a name of the kernel's; other such memory is a file that some program has made. */
const SHARED_NAMES: readonly (readonly [RegExp, string])[] = [
  [/^\/SYSV/, "sysv_shm"],
  [/^\/dev\/zero \(deleted\)/, "shared_memory"],
];

/** 256 MiB of mappings that are the kernel's own and are the same at every address on every node. */
const KERNEL_OWN = "[vsyscall]";
const DELETED = / \(deleted\)$/;

function classify(pid: number, line: proc.MapsLine): Area {
  const { name } = line;
  if (name === "[vdso]" || name.startsWith("[vvar")) return { kind: "vdso", line };
  for (const [pattern, reason] of REFUSED_NAMES) if (pattern.test(name)) return { kind: "refused", line, reason };
  const sharedName = SHARED_NAMES.find(([pattern]) => pattern.test(name));
  // A System V segment's number may be 0.
  if (line.inode === 0n && !sharedName) return { kind: "anon", line, stack: name === "[stack]" };
  const mode = fileMode(pid, line);
  if (mode === "device") return { kind: "refused", line, reason: "mmap_dev" };
  if (mode === "hugetlb") return { kind: "refused", line, reason: "hugetlb" };
  if (line.shared && (mode === "memory" || sharedName)) {
    return { kind: "shared", line, writable: mayBeWritten(pid, line), reason: sharedName?.[1] ?? "monkey" };
  }
  // A shared mapping of a file that is open for writing may become writable by mprotect at any time.
  if (line.shared && ((line.prot & 2) !== 0 || mayBeWritten(pid, line))) return { kind: "refused", line, reason: "monkey" };
  return { kind: "file", line };
}

const mapFile = (pid: number, line: proc.MapsLine): string => `/proc/${pid}/map_files/${line.start.toString(16)}-${line.end.toString(16)}`;

/** Whether mprotect(2) may make a shared mapping writable: the link's mode tells how the mapped file is open (fs/proc/base.c, proc_map_files_instantiate). */
export function mayBeWritten(pid: number, line: proc.MapsLine): boolean {
  // A running process may take it away meanwhile: no link then.
  return ((lstatSync(mapFile(pid, line), { throwIfNoEntry: false })?.mode ?? 0) & 0o200) !== 0;
}

/** open(2): a descriptor for looking only; Node has no name for it. */
const O_PATH = 0o10000000;
const HUGETLBFS_BLOCK = 2 * MiB;
/** TMPFS_MAGIC (statfs(2)): shared memory of every kind is in such a file system. */
const TMPFS = 0x01021994;
function fileMode(pid: number, line: proc.MapsLine): "regular" | "memory" | "device" | "hugetlb" {
  try {
    const fd = openMapped(pid, line, O_PATH);
    try {
      const st = fstatSync(fd);
      if (!st.isFile()) return "device";
      if (statfsSync(`/proc/self/fd/${fd}`).type === TMPFS) return "memory";
      return st.blksize >= HUGETLBFS_BLOCK ? "hugetlb" : "regular";
    } finally {
      closeSync(fd);
    }
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === "ENOENT") return "regular";
    throw e;
  }
}

/**
 * Opens the very file that a mapping shows, deleted or replaced as its path may be: through map_files where the kernel
 * allows it, else by path when the inode is still the same.
 */
export function openMapped(pid: number, line: proc.MapsLine, flags: number = constants.O_RDONLY): number {
  try {
    return openSync(mapFile(pid, line), flags);
  } catch (e) {
    const code = (e as NodeJS.ErrnoException).code;
    if (code !== "EPERM" && code !== "EACCES" && code !== "ENOENT") throw e;
  }
  const fd = openSync(`/proc/${pid}/root${line.name.replace(DELETED, "").replaceAll("\\012", "\n")}`, flags);
  if (fstatSync(fd, { bigint: true }).ino !== line.inode) {
    closeSync(fd);
    throw Object.assign(new Error(`${line.name} is not the mapped file any more`), { code: "ENOENT" });
  }
  return fd;
}

/** Every mapping but the kernel's own and those that lie wholly in `except` (our own pages). */
export function readAreas(pid: number, except: readonly { start: bigint; end: bigint }[] = []): Area[] {
  return proc
    .readMaps(pid)
    .filter((l) => l.name !== KERNEL_OWN && !except.some((x) => l.start >= x.start && l.end <= x.end))
    .map((l) => classify(pid, l));
}

/** Content of mapped files by hash, remembered by inode and times so that a library is hashed once. */
export class FileHashes {
  private readonly known = new Map<string, string>();
  /** On their way, by the same keys. */
  private readonly learning = new Map<string, Promise<string>>();

  /**
   * Hashes what a process has mapped ahead of {@link hash}, in pieces: a program of 100 MiB takes a while, and others wait for the engine.
   * What it maps or unmaps meanwhile, and what cannot be opened, is left to that.
   */
  async learn(pid: number): Promise<void> {
    const seen = new Set<string>();
    for (const { kind, line } of readAreas(pid)) {
      if (kind !== "file" || seen.has(line.name)) continue;
      seen.add(line.name);
      let fd: number;
      try {
        fd = openMapped(pid, line);
      } catch {
        // Whoever needs it says so.
        continue;
      }
      try {
        if (fstatSync(fd).size <= MAX_MAPPED_FILE) await this.learnFd(fd);
      } finally {
        closeSync(fd);
      }
    }
  }

  /** {@link hashFd} in pieces. */
  async learnFd(fd: number): Promise<string> {
    const key = keyOf(fd);
    const known = this.known.get(key) ?? this.learning.get(key);
    if (known !== undefined) return await known;
    const work = inPieces(hashFile(fd));
    this.learning.set(key, work);
    try {
      return this.remember(key, await work);
    } finally {
      this.learning.delete(key);
    }
  }

  /** @returns the sha256 of the file behind the mapping, or null when it is too big to carry. */
  hash(pid: number, line: proc.MapsLine): { hash: string; size: number } | null {
    const fd = openMapped(pid, line);
    try {
      const { size } = fstatSync(fd);
      return size > MAX_MAPPED_FILE ? null : { hash: this.hashFd(fd), size };
    } finally {
      closeSync(fd);
    }
  }

  /** The sha256 of an open file. */
  hashFd(fd: number): string {
    const key = keyOf(fd);
    return this.known.get(key) ?? this.remember(key, atOnce(hashFile(fd)));
  }

  private remember(key: string, hash: string): string {
    if (this.known.size >= MAX_KNOWN) this.known.clear();
    this.known.set(key, hash);
    return hash;
  }
}
const MAX_KNOWN = 4096;

function keyOf(fd: number): string {
  const st = fstatSync(fd, { bigint: true });
  return `${st.dev}:${st.ino}:${st.size}:${st.mtimeNs}:${st.ctimeNs}`;
}

function atOnce(work: Generator<void, string>): string {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
  }
}

async function inPieces(work: Generator<void, string>): Promise<string> {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
    await setImmediate();
  }
}

/** A step for each MiB. */
function* hashFile(fd: number): Generator<void, string> {
  const { size } = fstatSync(fd);
  const sum = createHash("sha256");
  const chunk = Buffer.alloc(Math.max(1, Math.min(size, MiB)));
  for (let at = 0; at < size; ) {
    const n = readSync(fd, chunk, 0, chunk.length, at);
    if (n === 0) break;
    sum.update(chunk.subarray(0, n));
    at += n;
    yield;
  }
  return sum.digest("hex");
}

/**
 * The vdso's bytes, which name the kernel build as far as programs can tell. vvar holds data and is left out.
 * @returns null when it is not there any more: the process has become another program
 */
export function readVdso(pid: number, line: proc.MapsLine): Buffer | null {
  const image = Buffer.alloc(Number(line.end - line.start));
  return memory.readUpTo(pid, line.start, image) < image.length ? null : image;
}
export const contentHash = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
