import type { GuestMemory } from "../forward/mod.ts";

const WORD = 8;
/** Pointers read at a time. */
const STEP = 512;
/** As long as a string may be (execve(2), MAX_ARG_STRLEN), its NUL included. */
const MAX_STRING = 32 * 4096;
const NEAR = 256;

/** What execve(2) needs beside its numbers: the path, and the two lists with their strings. */
export type ExecData =
  | { readonly kind: "data"; readonly blob: Buffer; readonly path: bigint; readonly argv: bigint; readonly envp: bigint }
  | { readonly kind: "fault" }
  /** More than the deputy's buffer holds, or a string that is too long: for the kernel at home to judge. */
  | { readonly kind: "big" };

class TooBig extends Error {}
class BadAddress extends Error {}

/** Lays out the strings of execve(2) and execveat(2) as they are to stand in the deputy's buffer. */
export function execData(mem: GuestMemory, area: { base: bigint; size: number }, path: bigint, argv: bigint, envp: bigint): ExecData {
  const parts: Buffer[] = [];
  let used = 0;
  const put = (bytes: Buffer): bigint => {
    const at = area.base + BigInt(used);
    used += bytes.length;
    if (used > area.size) throw new TooBig();
    parts.push(bytes);
    return at;
  };
  const list = (at: bigint): bigint => {
    if (at === 0n) return 0n;
    const strings = pointers(mem, at, area.size / WORD).map((p) => put(string(mem, p)));
    put(Buffer.alloc(-used & (WORD - 1)));
    const words = Buffer.alloc((strings.length + 1) * WORD);
    strings.forEach((s, i) => {
      words.writeBigUInt64LE(s, i * WORD);
    });
    return put(words);
  };
  try {
    const where = put(string(mem, path));
    const [args, env] = [list(argv), list(envp)];
    return { kind: "data", blob: Buffer.concat(parts), path: where, argv: args, envp: env };
  } catch (e) {
    if (e instanceof TooBig) return { kind: "big" };
    if (e instanceof BadAddress) return { kind: "fault" };
    throw e;
  }
}

/** The pointers of a list up to the null that ends it. */
function pointers(mem: GuestMemory, at: bigint, most: number): bigint[] {
  const out: bigint[] = [];
  for (let from = at; ; from += BigInt(STEP * WORD)) {
    const words = mem.readUpTo(from, STEP * WORD);
    for (let i = 0; i + WORD <= words.length; i += WORD) {
      const p = words.readBigUInt64LE(i);
      if (p === 0n) return out;
      if (out.push(p) > most) throw new TooBig();
    }
    if (words.length < STEP * WORD) throw new BadAddress();
  }
}

function string(mem: GuestMemory, at: bigint): Buffer {
  for (const size of [NEAR, MAX_STRING]) {
    const bytes = mem.readUpTo(at, size);
    const end = bytes.indexOf(0);
    if (end >= 0) return bytes.subarray(0, end + 1);
    if (bytes.length < size) throw new BadAddress();
  }
  throw new TooBig();
}
