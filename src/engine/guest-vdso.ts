import { readSync } from "node:fs";
import { assert, TeselaError } from "../base/mod.ts";
import {
  LOCAL_VDSO_AT,
  LOCAL_VDSO_END,
  MAX_VDSO_BYTES,
  type PatchedVdso,
  patchVdso,
  type Range,
  type RawCall,
  SKELETON_END,
  THUNKS_AT,
  type VdsoArea,
} from "../image/mod.ts";
import { isErrno, memory, proc, type Tracees } from "../sys/mod.ts";
import type { FileCache } from "./file-cache.ts";
import { Sys } from "./numbers.ts";
import { type OwnVdso, ownVdso } from "./own-vdso.ts";
import { runList } from "./skeleton.ts";

/** The vdso that a guest's program knows. */
export interface GuestVdso {
  /** Home's, as it is there: it goes with the process wherever that goes. */
  readonly bytes: Buffer;
  /** Where the kernel here has another one; null where it is the same, which is then mapped in its place. */
  readonly patched: PatchedVdso | null;
}

const ARCH_MAP_VDSO_64 = 0x2003;
const PROT = { none: 0, write: 3, exec: 5 } as const;
/** MAP_PRIVATE, MAP_ANONYMOUS, MAP_NORESERVE, MAP_FIXED_NOREPLACE. */
const FRESH = 0x2 | 0x20 | 0x4000 | 0x100000;
const PAGE = 4096n;

/**
 * Gives a skeleton the vdso that its program has at home.
 * @param vmas the program's own areas, none of which is there yet
 * @param here the name of the one that this node has
 * @throws TeselaError E_CANTMOVE `kernel_differs`: home's cannot be made fit
 */
export function mapVdso(
  tracees: Tracees,
  tid: number,
  area: VdsoArea,
  vmas: readonly Range[],
  here: string | null,
  cache: FileCache,
): GuestVdso {
  const own = ownVdso();
  if (own && area.hash === here) {
    runList(tracees, tid, [{ nr: Sys.archPrctl, args: [ARCH_MAP_VDSO_64, area.start] }]);
    return { bytes: own.bytes, patched: null };
  }
  const bytes = readAll(cache.fd(area.hash));
  const code = area.end - BigInt(bytes.length);
  if (area.start < SKELETON_END || code < area.start || (code & (PAGE - 1n)) !== 0n) throw differs("home's vdso is not where it says");
  if (vmas.some((v) => v.start < LOCAL_VDSO_END && THUNKS_AT < v.end))
    throw new TeselaError("E_CANTMOVE", "the program has memory where the kernel's vdso would be", { reasons: ["low_address"] });
  const local = own && mapLocal(tracees, tid, own);
  const random = area.random ? Buffer.from(area.random) : null;
  const patched = patchVdso(bytes, {
    start: area.start,
    code,
    thunks: THUNKS_AT,
    local: (name) => (local && own ? addressOf(own, name) : null),
    random,
  });
  if (!patched) throw differs("home's vdso cannot be taken apart");
  mapPatched(tracees, tid, { start: area.start, code, end: area.end }, patched);
  return { bytes, patched };
}

const differs = (what: string): TeselaError =>
  new TeselaError("E_CANTMOVE", `the kernels differ, and ${what}`, { reasons: ["kernel_differs"] });

function readAll(fd: number): Buffer {
  const bytes = Buffer.alloc(MAX_VDSO_BYTES);
  return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0));
}

const addressOf = (own: OwnVdso, name: string): bigint | null => {
  const offset = own.functions.get(name);
  return offset === undefined ? null : LOCAL_VDSO_AT + own.dataBytes + BigInt(offset);
};

/** The kernel's own, out of the program's way. @returns false where that cannot be: the functions make system calls then */
function mapLocal(tracees: Tracees, tid: number, own: OwnVdso): boolean {
  if (LOCAL_VDSO_AT + own.dataBytes + BigInt(own.bytes.length) > LOCAL_VDSO_END) return false;
  const [r = 0n] = runList(tracees, tid, [{ nr: Sys.archPrctl, args: [ARCH_MAP_VDSO_64, LOCAL_VDSO_AT] }], true);
  if (isErrno(r)) return false;
  const at = proc.readMaps(tid).find((l) => l.name === "[vdso]")?.start;
  assert(at === LOCAL_VDSO_AT + own.dataBytes, "the kernel maps its vdso where it is told");
  return true;
}

function mapPatched(tracees: Tracees, tid: number, at: { start: bigint; code: bigint; end: bigint }, patched: PatchedVdso): void {
  const { start, code, end } = at;
  const map = (from: bigint, to: bigint, prot: number): RawCall => ({ nr: Sys.mmap, args: [from, to - from, prot, FRESH, -1, 0] });
  const protect = (from: bigint, to: bigint): RawCall => ({ nr: Sys.mprotect, args: [from, to - from, PROT.exec] });
  // Nobody may find room where home's data is: it is in the way there.
  const lowest = patched.springs.reduce((low, s) => (s.at < low ? s.at : low), code) & ~(PAGE - 1n);
  const thunksEnd = THUNKS_AT + PAGE;
  runList(tracees, tid, [
    ...(start < lowest ? [map(start, lowest, PROT.none)] : []),
    map(lowest, end, PROT.write),
    map(THUNKS_AT, thunksEnd, PROT.write),
  ]);
  for (const { at, bytes } of [...patched.springs, { at: code, bytes: patched.image }, { at: THUNKS_AT, bytes: patched.thunks }]) {
    assert(memory.writeUpTo(tid, at, bytes) === bytes.length, "home's vdso is written");
  }
  runList(tracees, tid, [protect(lowest, end), protect(THUNKS_AT, thunksEnd)]);
}
