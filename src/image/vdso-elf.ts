/**
 * The vdso as an ELF image (vdso(7), elf(5)): the functions that it exports and where its code is. It comes from another machine, so
 * nothing in it is taken for granted.
 */
export interface VdsoElf {
  /** By plain name: `clock_gettime` for `__vdso_clock_gettime` and its weak alias. Offsets in the image. */
  readonly functions: ReadonlyMap<string, number>;
  /** Sections with code. */
  readonly code: readonly { readonly start: number; readonly end: number }[];
}

/** Data in front of the code and the code itself are some pages each in every kernel so far. */
export const MAX_VDSO_BYTES = 64 * 1024;
const PAGE = 4096;

const EHDR = 64;
const SHDR = 64;
const SYMBOL = 24;
const SHT_DYNSYM = 11;
const SHF_EXECINSTR = 4n;
const STT_FUNC = 2;
const MAX_SECTIONS = 64;
const MAX_SYMBOLS = 256;
const MAX_NAME = 64;
const PREFIX = /^__(vdso|kernel)_/;

/** @returns null for what is no vdso that can be taken apart */
export function parseVdso(image: Buffer): VdsoElf | null {
  const magic = image.length >= EHDR && image.toString("latin1", 0, 6) === "\x7fELF\x02\x01";
  if (!magic || image.length > MAX_VDSO_BYTES || image.length % PAGE !== 0) return null;
  const sections = readSections(image);
  const symbols = sections.find((s) => s.type === SHT_DYNSYM);
  const strings = symbols && sections[symbols.link];
  const code = sections.filter((s) => (s.flags & SHF_EXECINSTR) !== 0n && s.start < s.end).map(({ start, end }) => ({ start, end }));
  if (!symbols || !strings || code.length === 0) return null;
  const functions = readFunctions(image, symbols, strings, code);
  return functions.size === 0 ? null : { functions, code };
}

interface Section {
  readonly type: number;
  readonly flags: bigint;
  readonly start: number;
  readonly end: number;
  readonly link: number;
}

/** Those that lie in the image at the place that they say; others are of no size. */
function readSections(image: Buffer): Section[] {
  const [at, size, count] = [image.readBigUInt64LE(40), image.readUInt16LE(58), image.readUInt16LE(60)];
  if (size !== SHDR || count > MAX_SECTIONS || at > BigInt(image.length - count * SHDR)) return [];
  return Array.from({ length: count }, (_, i) => {
    const h = image.subarray(Number(at) + i * SHDR);
    const [address, offset, bytes] = [h.readBigUInt64LE(16), h.readBigUInt64LE(24), h.readBigUInt64LE(32)];
    const inside = address === offset && offset + bytes <= BigInt(image.length) && offset + bytes >= offset;
    const start = inside ? Number(offset) : 0;
    return {
      type: h.readUInt32LE(4),
      flags: h.readBigUInt64LE(8),
      start,
      end: inside ? start + Number(bytes) : 0,
      link: h.readUInt32LE(40),
    };
  });
}

function readFunctions(image: Buffer, symbols: Section, strings: Section, code: VdsoElf["code"]): Map<string, number> {
  const functions = new Map<string, number>();
  const count = Math.min(MAX_SYMBOLS, Math.floor((symbols.end - symbols.start) / SYMBOL));
  for (let i = 0; i < count; i++) {
    const s = image.subarray(symbols.start + i * SYMBOL);
    const [name, at] = [nameAt(image, strings, s.readUInt32LE(0)), Number(s.readBigUInt64LE(8))];
    const isCode = code.some((c) => c.start <= at && at < c.end);
    if ((s.readUInt8(4) & 0xf) === STT_FUNC && isCode && name !== "") functions.set(name.replace(PREFIX, ""), at);
  }
  return functions;
}

function nameAt(image: Buffer, strings: Section, offset: number): string {
  const from = strings.start + offset;
  const bytes = image.subarray(from, Math.min(from + MAX_NAME, strings.end));
  const end = bytes.indexOf(0);
  return end < 0 ? "" : bytes.toString("latin1", 0, end);
}
