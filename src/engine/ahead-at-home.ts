import { NR } from "../abi/mod.ts";
import { LISTED, packCall, type RawCall } from "../image/mod.ts";
import { memory } from "../sys/mod.ts";
import type { Deputy } from "./deputy.ts";
import { type AskedLookup, unpackLookups } from "./lookups.ts";
import { AHEAD_BYTES, DeputyMap } from "./seat.ts";

const EMPTY = Buffer.alloc(0);
/** struct statx is the largest that a lookup writes; nobody reads it. */
const UNREAD_AT = AHEAD_BYTES - 512;
/** As much of a link's text: whether there is one is all that matters. */
const LINK_BYTES = 1;
/** Larger ones are no errors (include/linux/err.h), and those from 512 on the kernel's own. */
const MAX_ERRNO = 255;

/**
 * What a thread's deputy looks up behind a call of its guest, before that is answered. It is made by the deputy, so it is what the
 * program itself would have got at that moment. The table stays in the deputy's pages from one question to the next, which mostly
 * is the same.
 */
export class AheadAtHome {
  private readonly deputy: Deputy;
  private asked: Buffer = EMPTY;
  private count = 0;

  constructor(deputy: Deputy) {
    this.deputy = deputy;
  }

  /** @returns how many are to be made; none where the question makes no sense */
  place(question: Uint8Array): number {
    if (this.asked.equals(question)) return this.count;
    const list = unpackLookups(Buffer.from(question));
    const table = list && tableOf(list, this.deputy.seat.base + DeputyMap.ahead);
    this.count = 0;
    this.asked = EMPTY;
    if (!list || !table) return 0;
    this.deputy.poke(this.deputy.seat.base + DeputyMap.ahead, table);
    this.asked = Buffer.from(question);
    this.count = list.length;
    return this.count;
  }

  /** A byte for each: its error, or 0 where it did not fail. */
  answers(): Uint8Array {
    const table = Buffer.allocUnsafe(this.count * LISTED.size);
    const answers = Buffer.alloc(this.count);
    if (memory.readUpTo(this.deputy.pid, this.deputy.seat.base + DeputyMap.ahead, table) !== table.length) return answers;
    for (let i = 0; i < this.count; i++) {
      const at = i * LISTED.size + LISTED.result;
      const low = table.readInt32LE(at);
      if (table.readInt32LE(at + 4) === -1 && low < 0 && low >= -MAX_ERRNO) answers[i] = -low;
    }
    return answers;
  }
}

/** Null when it does not fit. */
function tableOf(list: readonly AskedLookup[], base: bigint): Buffer | null {
  let at = list.length * LISTED.size;
  const table = Buffer.alloc(UNREAD_AT);
  for (const [i, lookup] of list.entries()) {
    if (at + lookup.path.length > UNREAD_AT) return null;
    packCall(callOf(lookup, base + BigInt(at), base + BigInt(UNREAD_AT)), table, i * LISTED.size);
    table.set(lookup.path, at);
    at += lookup.path.length;
  }
  return table.subarray(0, at);
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
