import { NR } from "../abi/mod.ts";
import type { Plan } from "../forward/mod.ts";

/**
 * Lookups of a path that change nothing and, when they fail, write nothing: what an engine may ask home about before its guest does.
 *
 * On the wire: {u16 call, u16 path bytes, i32 descriptor, i32 flags, i32 more}, then the path with its NUL; behind the last of them
 * {u16 how many}. Little endian.
 */
export interface Lookup {
  /** Tells one from all others; sorts a directory before what is in it. */
  readonly key: string;
  readonly bytes: Buffer;
}

/** What a lookup's other arguments are called in one row; `size`: of the buffer for a link's text. */
interface Shape {
  /** The call that home makes: of several that the kernel treats as one, the general one. */
  readonly as: number;
  readonly dirfd: number | null;
  readonly path: number;
  readonly flags: number | null;
  readonly more: number | null;
  readonly size: number | null;
}

const shape = (as: number, dirfd: number | null, path: number, flags: number | null, more: number | null, size: number | null): Shape => ({
  as,
  dirfd,
  path,
  flags,
  more,
  size,
});

const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
/** fs/stat.c, fs/open.c: what each call does is another's with fixed arguments. */
const SHAPES: ReadonlyMap<number, Shape> = new Map([
  [NR.readlink, shape(NR.readlinkat, null, 0, null, null, 2)],
  [NR.readlinkat, shape(NR.readlinkat, 0, 1, null, null, 3)],
  [NR.stat, shape(NR.newfstatat, null, 0, null, null, null)],
  [NR.lstat, shape(NR.newfstatat, null, 0, null, null, null)],
  [NR.newfstatat, shape(NR.newfstatat, 0, 1, 3, null, null)],
  [NR.statx, shape(NR.statx, 0, 1, 2, 3, null)],
  [NR.access, shape(NR.faccessat, null, 0, 1, null, null)],
  [NR.faccessat, shape(NR.faccessat, 0, 1, 2, null, null)],
  [NR.faccessat2, shape(NR.faccessat2, 0, 1, 2, 3, null)],
]);

const HEAD = 16;
const TAIL = 2;
/** Longer ones are not worth sending over and over. */
export const MAX_PATH = 256;
/** Lookups in one question. Those that a program makes over and over are few, and each costs home about half a microsecond. */
export const MAX_LOOKUPS = 24;

const int = (register: bigint | undefined): number => Number(BigInt.asIntN(32, register ?? 0n));

/** @param base where its deputy's buffer is; null when the plan is of another kind */
export function lookupOf(nr: number, plan: Plan, base: bigint): Lookup | null {
  const s = SHAPES.get(nr);
  if (!s || plan.kind !== "forward" || plan.nr !== nr) return null;
  const { args, blob: path } = plan;
  // Nothing but a path, whole and not empty. The kernel looks at the size of a link's buffer before the path.
  if (args[s.path] !== base || path.length < 2 || path.length > MAX_PATH || path.indexOf(0) !== path.length - 1) return null;
  if (s.size !== null && int(args[s.size]) <= 0) return null;
  const dirfd = s.dirfd === null ? AT_FDCWD : int(args[s.dirfd]);
  const flags = nr === NR.lstat ? AT_SYMLINK_NOFOLLOW : s.flags === null ? 0 : int(args[s.flags]);
  const more = s.more === null ? 0 : int(args[s.more]);
  const bytes = Buffer.allocUnsafe(HEAD + path.length);
  bytes.writeUInt16LE(s.as, 0);
  bytes.writeUInt16LE(path.length, 2);
  bytes.writeInt32LE(dirfd, 4);
  bytes.writeInt32LE(flags, 8);
  bytes.writeInt32LE(more, 12);
  bytes.set(path, HEAD);
  return { key: `${bytes.toString("latin1", HEAD)}${s.as} ${dirfd} ${flags} ${more}`, bytes };
}

export function packLookups(list: readonly Lookup[]): Buffer {
  const tail = Buffer.allocUnsafe(TAIL);
  tail.writeUInt16LE(list.length, 0);
  return Buffer.concat([...list.map((l) => l.bytes), tail]);
}

/** One of them as home makes it. */
export interface AskedLookup {
  readonly nr: number;
  readonly dirfd: number;
  readonly flags: number;
  readonly more: number;
  /** With its NUL. */
  readonly path: Buffer;
}

const KNOWN: ReadonlySet<number> = new Set([...SHAPES.values()].map((s) => s.as));

/** Null where it does not add up. */
export function unpackLookups(bytes: Buffer): AskedLookup[] | null {
  if (bytes.length < TAIL) return null;
  const end = bytes.length - TAIL;
  const count = bytes.readUInt16LE(end);
  if (count > MAX_LOOKUPS) return null;
  const list: AskedLookup[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + HEAD > end) return null;
    const [nr, length] = [bytes.readUInt16LE(at), bytes.readUInt16LE(at + 2)];
    const path = bytes.subarray(at + HEAD, at + HEAD + length);
    if (!KNOWN.has(nr) || length < 2 || length > MAX_PATH || at + HEAD + length > end || path.indexOf(0) !== length - 1) return null;
    list.push({ nr, dirfd: bytes.readInt32LE(at + 4), flags: bytes.readInt32LE(at + 8), more: bytes.readInt32LE(at + 12), path });
    at += HEAD + length;
  }
  return at === end ? list : null;
}
