import { TeselaError } from "../base/mod.ts";
import { advise } from "./advice.ts";
import type { Backing, Vma } from "./image.ts";
import type { RawCall } from "./stub.ts";

/** Turning a list of areas into the calls that make it. */

const MMAP = 9;
const MPROTECT = 10;
const MUNMAP = 11;
const MREMAP = 25;
const PAGE = 4096n;
const MADVISE = 28;
const PROT_WRITE = 2;
const MAP_SHARED = 0x1;
const MAP_PRIVATE = 0x2;
const MAP_FIXED = 0x10;
const MAP_ANONYMOUS = 0x20;
const MAP_GROWSDOWN = 0x100;
const MAP_STACK = 0x20000;
const MAP_NORESERVE = 0x4000;
const MAP_FIXED_NOREPLACE = 0x100000;
const MADV_DONTNEED = 4;

const length = (v: { start: bigint; end: bigint }): bigint => v.end - v.start;

/**
 * Maps an area with its own protection; {@link PageWriter} fills it whatever that is.
 * @param fd descriptor of the file for file areas, in the process that makes the call
 * @param host on a guest's node, where memory is never promised ahead of use
 */
export function mapArea(vma: Vma, fd: number | null, host: boolean): RawCall {
  const fixed = host ? MAP_FIXED_NOREPLACE : MAP_FIXED;
  const reserve = host || (vma.prot & PROT_WRITE) === 0 ? MAP_NORESERVE : 0;
  if (vma.backing.kind !== "anon" && fd !== null) {
    const type = vma.backing.kind === "file" ? MAP_PRIVATE : MAP_SHARED;
    return { nr: MMAP, args: [vma.start, length(vma), vma.prot, type | fixed | reserve, fd, vma.backing.offset] };
  }
  const stack = vma.growsDown ? MAP_GROWSDOWN | MAP_STACK : 0;
  return { nr: MMAP, args: [vma.start, length(vma), vma.prot, MAP_PRIVATE | MAP_ANONYMOUS | fixed | stack | reserve, -1, 0] };
}

const protectArea = (vma: { start: bigint; end: bigint }, prot: number): RawCall => ({
  nr: MPROTECT,
  args: [vma.start, length(vma), prot],
});
const unmapArea = (vma: { start: bigint; end: bigint }): RawCall => ({ nr: MUNMAP, args: [vma.start, length(vma)] });
export const dropPages = (r: { start: bigint; end: bigint }): RawCall => ({ nr: MADVISE, args: [r.start, length(r), MADV_DONTNEED] });

/**
 * Makes the area before a stretch larger: beside it another one would be made where the kernel does not join the two, as memory that a child shares with
 * its parent (mm/vma.c, is_mergeable_anon_vma), and mremap(2) takes no range of two areas.
 */
const growInto = (s: { start: bigint; end: bigint }): RawCall => ({ nr: MREMAP, args: [s.start - PAGE, PAGE, PAGE + length(s), 0] });

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

const contentOf = (b: Exclude<Backing, { kind: "anon" }>): string => (b.kind === "file" ? `file ${b.hash}` : `object ${b.object}`);

function sameBacking(a: Vma, b: Vma): boolean {
  if (a.backing.kind === "anon" || b.backing.kind === "anon") return a.backing.kind === b.backing.kind;
  return contentOf(a.backing) === contentOf(b.backing) && a.start - a.backing.offset === b.start - b.backing.offset;
}

export interface Reshape {
  /** Takes away what is not wanted, maps what is missing, sets protections that have changed. */
  readonly calls: RawCall[];
  /** File areas that home does not have any more: their clean pages must come with the others. */
  readonly lost: Vma[];
}

/**
 * The calls that turn the areas a process has at home into those of its image. Areas that are there already stay, so a
 * file's mapping keeps its file; both lists are sorted and neither overlaps itself.
 */
export function reshape(have: readonly Vma[], want: readonly Vma[]): Reshape {
  const calls: RawCall[] = [];
  const lost: Vma[] = [];
  let before: Stretch | null = null;
  for (const s of stretches(have, want)) {
    if (!s.want) {
      calls.push(unmapArea(s));
    } else if (before && grows(before, s)) {
      calls.push(growInto(s));
    } else if (s.have === null || !sameBacking(s.have, s.want)) {
      // A guest does not move what it shares: see the engine's filter.
      if (s.want.backing.kind === "shared") throw new TeselaError("E_PROTOCOL", "shared memory came home to where it was not");
      const part: Vma = { ...s.want, start: s.start, end: s.end, growsDown: s.want.growsDown && s.start === s.want.start };
      if (s.want.backing.kind === "file") lost.push(part);
      calls.push(mapArea({ ...part, backing: { kind: "anon" } }, null, false), ...advise(s, 0, s.want.advice ?? 0));
    } else {
      if (s.have.prot !== s.want.prot) calls.push(protectArea(s, s.want.prot));
      calls.push(...advise(s, s.have.advice ?? 0, s.want.advice ?? 0));
    }
    before = s;
  }
  return { calls, lost };
}

/** Whether nothing is in a stretch at home, and what is before it there is the same anonymous area of the image. */
const grows = (before: Stretch, s: Stretch): boolean =>
  s.have === null &&
  before.want === s.want &&
  s.want?.backing.kind === "anon" &&
  before.have?.backing.kind === "anon" &&
  before.end === s.start;
