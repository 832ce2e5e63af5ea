import { NR, RLIMIT, RLIMIT_BUF, STAT } from "../abi/mod.ts";
import { AHEAD_STAT, Behind, LISTED, packCall, type RawCall } from "../image/mod.ts";
import { memory } from "../sys/mod.ts";
import type { Deputy } from "./deputy.ts";
import { type Asked, type AskedLookup, unpackQuestion } from "./lookups.ts";
import { isPlain, MOST_READ } from "./read-ahead.ts";
import { AHEAD_BYTES, DeputyMap } from "./seat.ts";

const EMPTY = Buffer.alloc(0);
/** What calls write stands behind the table: where the stub looks, and behind that. */
const STAT_AT = AHEAD_STAT;
const LIMIT_AT = STAT_AT + STAT.size;
/** struct statx is the largest that a lookup writes; nobody reads it. */
const UNREAD_AT = AHEAD_BYTES - 512;
/** What is read, in the deputy's buffer: the path of an `open` is at its beginning. */
const CONTENT_AT = 0x40000n;
/** As much of a link's text: whether there is one is all that matters. */
const LINK_BYTES = 1;
/** Larger ones are no errors (include/linux/err.h), and those from 512 on the kernel's own. */
const MAX_ERRNO = 255;
const OPENS: ReadonlySet<number> = new Set([NR.open, NR.openat]);
/** Used at once, and again: fresh ones for each call would be most of what is collected. */
const TABLE = Buffer.alloc(STAT_AT);
const RESULTS = Buffer.alloc(LIMIT_AT + RLIMIT_BUF.size);

/**
 * What a thread's deputy does behind a call of its guest, before that is answered: it reads what the call has opened, and looks paths up.
 * It is done by the deputy, so it is what the program itself would have got at that moment. The table stays in the deputy's
 * pages from one question to the next, which may be the same.
 */
export class AheadAtHome {
  private readonly deputy: Deputy;
  private asked: Buffer = EMPTY;
  private lookups = 0;
  private reads = false;
  private count = 0;

  constructor(deputy: Deputy) {
    this.deputy = deputy;
  }

  /** @returns how many calls are to be made; none where the question makes no sense */
  place(nr: number, question: Uint8Array): number {
    if (this.asked.equals(question)) return this.count;
    const asked = unpackQuestion(Buffer.from(question));
    // Where the call's own data is could be written over.
    const table = asked && (!asked.reads || OPENS.has(nr)) ? tableOf(asked, this.deputy) : null;
    this.count = 0;
    this.asked = EMPTY;
    if (!asked || !table) return 0;
    this.deputy.poke(this.deputy.seat.base + DeputyMap.ahead, table.bytes);
    // Whether reading makes sense is for each call to say.
    if (!asked.reads) this.asked = Buffer.from(question);
    this.lookups = asked.lookups.length;
    this.reads = asked.reads;
    this.count = table.calls;
    return this.count;
  }

  /**
   * A byte for each lookup, its error, or 0 where it did not fail; how many descriptors the process may have, u32; the `struct stat` of
   * the file that was opened, and what was read of it, where it is one that can be read ahead.
   * @param result of the call itself
   */
  answers(result: bigint): Uint8Array[] {
    const all = RESULTS;
    const answers = Buffer.alloc(this.lookups + 4);
    if (memory.readUpTo(this.deputy.pid, this.deputy.seat.base + DeputyMap.ahead, all) !== all.length) return [answers];
    const first = this.count - this.lookups;
    for (let i = 0; i < this.lookups; i++) {
      const error = -resultOf(all, first + i);
      if (error > 0 && error <= MAX_ERRNO) answers[i] = error;
    }
    answers.writeUInt32LE(limitOf(all), this.lookups);
    return this.reads && result >= 0n ? [answers, ...this.file(all)] : [answers];
  }

  private file(all: Buffer): Uint8Array[] {
    const stat = Buffer.from(all.subarray(STAT_AT, STAT_AT + STAT.size));
    if (resultOf(all, Row.stat) !== 0 || !isPlain(stat)) return [];
    const length = resultOf(all, Row.content);
    if (length <= 0 || BigInt(length) !== stat.readBigInt64LE(STAT.at.st_size)) return [stat];
    const content = Buffer.allocUnsafe(length);
    return memory.readUpTo(this.deputy.pid, this.deputy.buffer + CONTENT_AT, content) === length ? [stat, content] : [stat];
  }
}

/** What comes before the lookups in a table. */
const Row = { limit: 0, stat: 1, content: 2 } as const;

function resultOf(all: Buffer, row: number): number {
  const at = row * LISTED.size + LISTED.result;
  const [low, high] = [all.readInt32LE(at), all.readInt32LE(at + 4)];
  return high === (low < 0 ? -1 : 0) ? low : 0;
}

/** RLIMIT_NOFILE, as far as it matters; 0 where it is not known. */
function limitOf(all: Buffer): number {
  if (resultOf(all, Row.limit) !== 0) return 0;
  const soft = all.readBigUInt64LE(LIMIT_AT + RLIMIT_BUF.at.rlim_cur);
  return soft > 0xffff_ffffn ? 0xffff_ffff : Number(soft);
}

/** In {@link TABLE}; null when it does not fit. */
function tableOf({ lookups, reads }: Asked, { seat, buffer }: Deputy): { bytes: Buffer; calls: number } | null {
  const base = seat.base + DeputyMap.ahead;
  const [stat, limit] = [base + BigInt(STAT_AT), base + BigInt(LIMIT_AT)];
  const before: RawCall[] = [{ nr: NR.prlimit64, args: [0, RLIMIT.NOFILE, 0, limit] }];
  if (reads) {
    before.push({ nr: NR.fstat, args: [0, stat, 0, 0, 0, Behind.onResult] });
    before.push({ nr: NR.pread64, args: [0, buffer + CONTENT_AT, MOST_READ, 0, 0, Behind.onResult | Behind.ifPlain] });
  }
  const calls = before.length + lookups.length;
  let at = calls * LISTED.size;
  const bytes = TABLE;
  for (const [i, call] of before.entries()) packCall(call, bytes, i * LISTED.size);
  for (const [i, lookup] of lookups.entries()) {
    if (at + lookup.path.length > bytes.length) return null;
    packCall(callOf(lookup, base + BigInt(at), base + BigInt(UNREAD_AT)), bytes, (before.length + i) * LISTED.size);
    bytes.set(lookup.path, at);
    at += lookup.path.length;
  }
  return { bytes: bytes.subarray(0, at), calls };
}

function callOf({ nr, dirfd, flags, more }: AskedLookup, path: bigint, unread: bigint): RawCall {
  switch (nr) {
    case NR.readlinkat:
      return { nr, args: [dirfd, path, unread, LINK_BYTES] };
    case NR.newfstatat:
      return { nr, args: [dirfd, path, unread, flags] };
    case NR.statx:
      return { nr, args: [dirfd, path, flags, more, unread] };
    default:
      return { nr, args: [dirfd, path, flags, more] };
  }
}
