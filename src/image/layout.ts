import type { Vma } from "./image.ts";
import type { RawCall } from "./stub.ts";

/** Turning a list of areas into the calls that make it. */

const MMAP = 9;
const MPROTECT = 10;
const MUNMAP = 11;
const MADVISE = 28;
export const PROT_RW = 3;
const MAP_PRIVATE = 0x2;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MAP_GROWSDOWN = 0x100;
const MAP_STACK = 0x20000;
const MAP_NORESERVE = 0x4000;
const MAP_FIXED_NOREPLACE = 0x100000;
const MADV_DONTNEED = 4;
const MADV_HUGEPAGE = 14;

const length = (v: { start: bigint; end: bigint }): bigint => v.end - v.start;

/**
 * Maps an area anew, writable so that it can be filled; {@link protectArea} gives it its own protection afterwards.
 * @param fd descriptor of the file for file areas, in the process that makes the call
 */
export function mapArea(vma: Vma, fd: number | null, replace: boolean): RawCall {
  const fixed = replace ? MAP_FIXED : MAP_FIXED_NOREPLACE;
  if (vma.backing.kind === "file" && fd !== null) {
    return { nr: MMAP, args: [vma.start, length(vma), PROT_RW, MAP_PRIVATE | fixed | MAP_NORESERVE, fd, vma.backing.offset] };
  }
  const stack = vma.growsDown ? MAP_GROWSDOWN | MAP_STACK : 0;
  return { nr: MMAP, args: [vma.start, length(vma), PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS | fixed | stack, -1, 0] };
}

export const protectArea = (vma: { start: bigint; end: bigint }, prot: number): RawCall => ({ nr: MPROTECT, args: [vma.start, length(vma), prot] });
export const unmapArea = (vma: { start: bigint; end: bigint }): RawCall => ({ nr: MUNMAP, args: [vma.start, length(vma)] });
export const adviseHuge = (r: { start: bigint; end: bigint }): RawCall => ({ nr: MADVISE, args: [r.start, length(r), MADV_HUGEPAGE] });
export const dropPages = (r: { start: bigint; end: bigint }): RawCall => ({ nr: MADVISE, args: [r.start, length(r), MADV_DONTNEED] });

/** A stretch of the address space that is the same in every respect at home and in the image, or is not. */
interface Stretch {
  readonly start: bigint;
  readonly end: bigint;
  readonly have: Vma | null;
  readonly want: Vma | null;
}

function stretches(have: readonly Vma[], want: readonly Vma[]): Stretch[] {
  const cuts = [...new Set([...have, ...want].flatMap((v) => [v.start, v.end]))].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const out: Stretch[] = [];
  let h = 0;
  let w = 0;
  for (let i = 0; i + 1 < cuts.length; i++) {
    const start = cuts[i] as bigint;
    const end = cuts[i + 1] as bigint;
    while (h < have.length && (have[h] as Vma).end <= start) h++;
    while (w < want.length && (want[w] as Vma).end <= start) w++;
    const inHave = have[h] && (have[h] as Vma).start <= start ? (have[h] as Vma) : null;
    const inWant = want[w] && (want[w] as Vma).start <= start ? (want[w] as Vma) : null;
    if (inHave || inWant) out.push({ start, end, have: inHave, want: inWant });
  }
  return out;
}

function sameBacking(a: Vma, b: Vma): boolean {
  if (a.backing.kind === "anon" || b.backing.kind === "anon") return a.backing.kind === b.backing.kind;
  return a.backing.hash === b.backing.hash && a.start - a.backing.offset === b.start - b.backing.offset;
}

export interface Reshape {
  /** Before the pages come: takes away what is not wanted, maps what is missing, makes everything writable. */
  readonly prepare: RawCall[];
  /** After them: each area's own protection. */
  readonly finish: RawCall[];
  /** File areas that home does not have any more: their clean pages must come with the others. */
  readonly lost: Vma[];
}

/**
 * The calls that turn the areas a process has at home into those of its image. Areas that are there already stay, so a
 * file's mapping keeps its file; both lists are sorted and neither overlaps itself.
 */
export function reshape(have: readonly Vma[], want: readonly Vma[]): Reshape {
  const prepare: RawCall[] = [];
  const finish: RawCall[] = [];
  const lost: Vma[] = [];
  for (const s of stretches(have, want)) {
    if (!s.want) {
      prepare.push(unmapArea(s));
      continue;
    }
    const keep = s.have !== null && sameBacking(s.have, s.want);
    if (!keep) {
      const part: Vma = { ...s.want, start: s.start, end: s.end, growsDown: s.want.growsDown && s.start === s.want.start };
      if (s.want.backing.kind === "file") lost.push(part);
      prepare.push(mapArea({ ...part, backing: { kind: "anon" } }, null, true));
    } else if (s.have && !s.have.shared && (s.have.prot & PROT_RW) !== PROT_RW) {
      prepare.push(protectArea(s, PROT_RW));
    }
    const untouched = keep && s.have && (s.have.shared || (s.have.prot & PROT_RW) === PROT_RW);
    const now = untouched ? (s.have?.prot ?? 0) : PROT_RW;
    if (now !== s.want.prot) finish.push(protectArea(s, s.want.prot));
  }
  return { prepare, finish, lost };
}
