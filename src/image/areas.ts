import { memory, proc } from "../sys/mod.ts";
import { FileLooks, mayBeWritten, type SeenFile } from "./mapped-files.ts";

/** The mappings of a process, sorted by what they mean for moving it. */

export type Area =
  | { readonly kind: "anon"; readonly line: proc.MapsLine; readonly stack: boolean }
  /** Not `seen` where the mapping went away while it was looked at. */
  | { readonly kind: "file"; readonly line: proc.MapsLine; readonly seen: SeenFile | null }
  /** Memory that others may share: `reason` is why the process stays home where it cannot be taken along with them. */
  | { readonly kind: "shared"; readonly line: proc.MapsLine; readonly writable: boolean; readonly reason: string }
  | { readonly kind: "vdso"; readonly line: proc.MapsLine }
  | { readonly kind: "refused"; readonly line: proc.MapsLine; readonly reason: string };

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

function classify(pid: number, line: proc.MapsLine, looks: FileLooks): Area {
  const { name } = line;
  if (name === "[vdso]" || name.startsWith("[vvar")) return { kind: "vdso", line };
  for (const [pattern, reason] of REFUSED_NAMES) if (pattern.test(name)) return { kind: "refused", line, reason };
  const sharedName = SHARED_NAMES.find(([pattern]) => pattern.test(name));
  // A System V segment's number may be 0.
  if (line.inode === 0n && !sharedName) return { kind: "anon", line, stack: name === "[stack]" };
  const { kind: mode, seen } = looks.at(line);
  if (mode === "device") return { kind: "refused", line, reason: "mmap_dev" };
  if (mode === "hugetlb") return { kind: "refused", line, reason: "hugetlb" };
  if (line.shared && (mode === "memory" || sharedName)) {
    return { kind: "shared", line, writable: mayBeWritten(pid, line), reason: sharedName?.[1] ?? "monkey" };
  }
  // A shared mapping of a file that is open for writing may become writable by mprotect at any time.
  if (line.shared && ((line.prot & 2) !== 0 || mayBeWritten(pid, line))) return { kind: "refused", line, reason: "monkey" };
  return { kind: "file", line, seen };
}

/** Every mapping but the kernel's own and those that lie wholly in `except` (our own pages). */
export function readAreas(pid: number, except: readonly { start: bigint; end: bigint }[] = []): Area[] {
  const looks = new FileLooks(pid);
  return proc
    .readMaps(pid)
    .filter((l) => l.name !== KERNEL_OWN && !except.some((x) => l.start >= x.start && l.end <= x.end))
    .map((l) => classify(pid, l, looks));
}

/**
 * The vdso's bytes, which name the kernel build as far as programs can tell. vvar holds data and is left out.
 * @returns null when it is not there any more: the process has become another program
 */
export function readVdso(pid: number, line: proc.MapsLine): Buffer | null {
  const image = Buffer.alloc(Number(line.end - line.start));
  return memory.readUpTo(pid, line.start, image) < image.length ? null : image;
}
