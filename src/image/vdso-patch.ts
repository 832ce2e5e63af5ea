import { parseVdso } from "./vdso-elf.ts";
import { HLT, makeThunk } from "./vdso-thunks.ts";

/**
 * The vdso of another kernel, made fit to stand where the program knows it. Its data (vvar) is not there, so its code must not run: all of
 * it is filled with instructions that fault, and its functions begin with a jump. A thread that returns into the middle of a function, since a
 * signal interrupted it there at home, faults at just that place and goes on with it at home. See docs/decisions/0053.
 */
export interface PatchedVdso {
  /** In place of the image. */
  readonly image: Buffer;
  /** What stands in front of it, where its data would be: the way from a function's start to the code that does its work here. */
  readonly springs: readonly { readonly at: bigint; readonly bytes: Buffer }[];
  readonly thunks: Buffer;
  readonly entries: readonly Entry[];
}

/** A function of home's vdso and all that belongs to it here. Addresses. */
export interface Entry {
  readonly name: string;
  readonly at: bigint;
  readonly spring: bigint;
  readonly thunk: { readonly start: bigint; readonly end: bigint };
  /** Where nothing is left but to return. */
  readonly returns: readonly bigint[];
}

export interface VdsoPlace {
  /** Of the data in front, and of the image. */
  readonly start: bigint;
  readonly code: bigint;
  /** A page that the springs reach. */
  readonly thunks: bigint;
  /** A function of the vdso here by its plain name. */
  readonly local: (name: string) => bigint | null;
  /** What home's getrandom says of its states. */
  readonly random: Buffer | null;
}

/**
 * `jmp` to 4879 bytes before. A thread may have been interrupted between any two instructions that were here: read from any of its bytes
 * but the first, this faults there at once. `in al, dx` (twice) and `cli` are not for programs, and `ff /7`, from either `ff`, does not exist.
 */
const ENTRY = Buffer.from("e9ececfffffa", "hex");
const BACK = 4879n;
/** `jmp [rip]`, and the address. */
const SPRING = Buffer.from("ff2500000000", "hex");
const SPRING_BYTES = SPRING.length + 8;
const THUNK_ALIGN = 16;
const PAGE = 4096;

/** @returns null for an image that cannot be taken apart */
export function patchVdso(original: Buffer, place: VdsoPlace): PatchedVdso | null {
  const elf = parseVdso(original);
  if (!elf) return null;
  const image = Buffer.from(original);
  for (const { start, end } of elf.code) image.fill(HLT, start, end);
  const springs: { at: bigint; bytes: Buffer }[] = [];
  const thunks = Buffer.alloc(PAGE, HLT);
  const entries: Entry[] = [];
  let free = 0;
  for (const [name, offset] of elf.functions) {
    const at = place.code + BigInt(offset);
    const spring = at - BACK;
    const start = place.thunks + BigInt(free);
    const thunk = makeThunk(name, start, place.local(name), place.random);
    const room = elf.code.some((c) => c.start <= offset && offset + ENTRY.length <= c.end) && fits(spring, place, springs);
    // Whoever calls it comes home.
    if (!thunk || !room || free + thunk.code.length > PAGE) continue;
    ENTRY.copy(image, offset);
    springs.push({ at: spring, bytes: Buffer.concat([SPRING, addressBytes(start)]) });
    thunk.code.copy(thunks, free);
    const end = start + BigInt(thunk.code.length);
    entries.push({ name, at, spring, thunk: { start, end }, returns: thunk.returns.map((r) => start + BigInt(r)) });
    free += (thunk.code.length + THUNK_ALIGN - 1) & -THUNK_ALIGN;
  }
  return { image, springs, thunks, entries };
}

function fits(spring: bigint, { start, code }: VdsoPlace, others: readonly { at: bigint }[]): boolean {
  const room = BigInt(SPRING_BYTES);
  const apart = others.every((o) => o.at + room <= spring || spring + room <= o.at);
  return apart && start <= spring && spring + room <= code;
}

function addressBytes(address: bigint): Buffer {
  const b = Buffer.alloc(8);
  b.writeBigUInt64LE(address);
  return b;
}

/**
 * Of a thread at `rip` that is to go on elsewhere: where it stands in home's own image, as if it had not gone further.
 * `null`: it must run on first, out of the code that is of this machine.
 */
export function standsAt(rip: bigint, { entries }: PatchedVdso, own: { start: bigint; end: bigint }): bigint | null {
  for (const { at, spring, thunk, returns } of entries) {
    if (spring <= rip && rip < spring + BigInt(SPRING_BYTES)) return at;
    if (thunk.start <= rip && rip < thunk.end) return returns.includes(rip) ? null : at;
  }
  return own.start <= rip && rip < own.end ? null : rip;
}
