import { AT, NR } from "../abi/mod.ts";
import type { Plan } from "../forward/mod.ts";

/**
 * Lookups of a path that change nothing and, when they fail, write nothing: what an engine may ask home about before its guest does.
 *
 * On the wire: {u16 call, u16 path bytes, i32 descriptor, i32 flags, i32 more}, then the path with its NUL; behind the last of them
 * {u16 how many, u16 flags}. Little endian. With flag 1, what the call opens is read ahead (src/engine/read-ahead.ts).
 */
export interface Lookup {
  /** Tells one from all others. */
  readonly key: string;
  /** Without its NUL; a byte is a character. */
  readonly path: string;
  readonly how: How;
}

/** All of a lookup but its path, as home makes it. */
interface How {
  readonly nr: number;
  readonly dirfd: number;
  readonly flags: number;
  readonly more: number;
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
const TAIL = 4;
const READ = 1;
/** Longer ones are not worth sending over and over. */
export const MAX_PATH = 256;
/** Lookups in one question: each costs home about half a microsecond. */
export const MAX_LOOKUPS = 24;

const int = (register: bigint | undefined): number => Number(BigInt.asIntN(32, register ?? 0n));

/** The path that is all of a plan's data, at argument `at`; null where there is none, or a long one. */
export function pathOf(plan: Plan, at: number, base: bigint): string | null {
  if (plan.kind !== "forward") return null;
  const { args, blob } = plan;
  if (args[at] !== base || blob.length < 2 || blob.length > MAX_PATH || blob.indexOf(0) !== blob.length - 1) return null;
  return Buffer.from(blob.buffer, blob.byteOffset, blob.length - 1).toString("latin1");
}

/** @param base where its deputy's buffer is; null when the plan is of another kind */
export function lookupOf(nr: number, plan: Plan, base: bigint): Lookup | null {
  const s = SHAPES.get(nr);
  if (!s || plan.kind !== "forward" || plan.nr !== nr) return null;
  const { args } = plan;
  const path = pathOf(plan, s.path, base);
  // The kernel looks at the size of a link's buffer before the path.
  if (path === null || (s.size !== null && int(args[s.size]) <= 0)) return null;
  return lookupAt(path, {
    nr: s.as,
    dirfd: s.dirfd === null ? AT.FDCWD : int(args[s.dirfd]),
    flags: nr === NR.lstat ? AT.SYMLINK_NOFOLLOW : s.flags === null ? 0 : int(args[s.flags]),
    more: s.more === null ? 0 : int(args[s.more]),
  });
}

export function lookupAt(path: string, how: How): Lookup {
  return { key: keyOf(path, how), path, how };
}

export const keyOf = (path: string, { nr, dirfd, flags, more }: How): string => `${path}\0${nr} ${dirfd} ${flags} ${more}`;

/** What is asked of home with a call; `reads`: and what that opens is read. */
export function packQuestion(lookups: readonly Lookup[], reads: boolean): Buffer {
  const size = lookups.reduce((sum, { path }) => sum + HEAD + path.length + 1, 0);
  const bytes = Buffer.alloc(size + TAIL);
  let at = 0;
  for (const { path, how } of lookups) {
    bytes.writeUInt16LE(how.nr, at);
    bytes.writeUInt16LE(path.length + 1, at + 2);
    bytes.writeInt32LE(how.dirfd, at + 4);
    bytes.writeInt32LE(how.flags, at + 8);
    bytes.writeInt32LE(how.more, at + 12);
    bytes.write(path, at + HEAD, "latin1");
    at += HEAD + path.length + 1;
  }
  bytes.writeUInt16LE(lookups.length, size);
  bytes.writeUInt16LE(reads ? READ : 0, size + 2);
  return bytes;
}

/** One of them as home makes it. */
export interface AskedLookup extends How {
  /** With its NUL. */
  readonly path: Buffer;
}

export interface Asked {
  readonly lookups: readonly AskedLookup[];
  readonly reads: boolean;
}

const KNOWN: ReadonlySet<number> = new Set([...SHAPES.values()].map((s) => s.as));

/** Null where it does not add up. */
export function unpackQuestion(bytes: Buffer): Asked | null {
  if (bytes.length < TAIL) return null;
  const end = bytes.length - TAIL;
  const [count, flags] = [bytes.readUInt16LE(end), bytes.readUInt16LE(end + 2)];
  if (count > MAX_LOOKUPS || (flags & ~READ) !== 0) return null;
  const lookups: AskedLookup[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + HEAD > end) return null;
    const [nr, length] = [bytes.readUInt16LE(at), bytes.readUInt16LE(at + 2)];
    const path = bytes.subarray(at + HEAD, at + HEAD + length);
    if (!KNOWN.has(nr) || length < 2 || length > MAX_PATH || at + HEAD + length > end || path.indexOf(0) !== length - 1) return null;
    lookups.push({ nr, dirfd: bytes.readInt32LE(at + 4), flags: bytes.readInt32LE(at + 8), more: bytes.readInt32LE(at + 12), path });
    at += HEAD + length;
  }
  return at === end ? { lookups, reads: (flags & READ) !== 0 } : null;
}
