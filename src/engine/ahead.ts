import { NR, STAT } from "../abi/mod.ts";
import { TeselaError } from "../base/mod.ts";
import { type ForwardPlan, type GuestMemory, outLengths, type Plan } from "../forward/mod.ts";
import { Foresight } from "./foresight.ts";
import type { Guest } from "./guest.ts";
import type { InFlight } from "./guest-types.ts";
import { isRestart } from "./restarts.ts";
import { type Lookup, lookupOf, packQuestion, pathOf } from "./lookups.ts";
import { OpenedFile, opensToRead, type Position, tellPosition } from "./read-ahead.ts";

/**
 * Answers that home has given before they were asked for, see docs/decisions/0074 and 0081. With a call, home is told what the program is
 * likely to look up next; its deputy looks that up behind the call, and the answers come with the call's. They hold until the process
 * hears anything else, so that all it knows is from before they were found.
 */

/** Who looks at nothing but the clock sees what was true at most so long ago, and the time that the answer travelled. */
const HOLD_MS = 20;
/** What took longer to come is too old. */
const TRAVEL_MS = 250;
/** Who does not look something up for so long has other worries: a file system that hangs is left alone then. */
const FORGET_MS = 1000;
/** Questions that may find nothing before they become rare; an answer that is used saves what some of them cost. */
const CREDIT = 32;
const PAYS_FOR = 3;
const RARELY = 16;
const ENOENT = 2;
/** ENOENT, EACCES, ENOTDIR, EINVAL, ELOOP: what depends on the paths alone. */
const KEPT: ReadonlySet<number> = new Set([ENOENT, 13, 20, 22, 40]);
/** Calls other than lookups that are followed by one, and end at once: home may be asked with them. */
const BEFORE: ReadonlySet<number> = new Set([NR.open, NR.openat, NR.close, NR.fstat]);
/** Calls after which a descriptor that was free is free. */
const TAKE_NONE: ReadonlySet<number> = new Set([NR.close, NR.fstat, NR.newfstatat, NR.read, NR.write, NR.lseek]);
/** access(2) looks with other credentials than open(2). */
const LIKE_OPEN: ReadonlySet<number> = new Set([NR.readlinkat, NR.newfstatat, NR.statx]);
/** Bytes behind the answers: how many descriptors the process may have. */
const LIMIT_BYTES = 4;

/** What has gone home with a call. */
export interface Question {
  /** The call itself, when it is a lookup. */
  readonly lookup: Lookup | null;
  readonly lookups: readonly Lookup[];
  readonly reads: boolean;
  /** Empty for nothing. */
  readonly bytes: Buffer;
  readonly heard: number;
  readonly at: number;
}

/** What holds as long as nothing else is heard. */
interface Held {
  readonly lookups: readonly Lookup[];
  readonly errors: Uint8Array;
  readonly heard: number;
  readonly until: number;
  /** Home's RLIMIT_NOFILE. */
  readonly descriptors: number;
  /** They were found one after the other: what was found before the last one that was used is older than that. */
  from: number;
  /** The program has been told that this is not there. */
  absent: Lookup | null;
  file: OpenedFile | null;
}

/** What is known of the process of a thread that asks. */
export interface Asker {
  /** Others write into its memory: what they know, it knows. */
  readonly sharesMemory: boolean;
  /** It has one thread, and shares no memory: nobody else opens and closes its files. */
  readonly alone: boolean;
  /** Counts all that has come from home for it, for any of its threads, and what is for no process alone. */
  readonly heard: number;
}

/** Whether a kind of question has been worth asking. */
class Credit {
  private left = CREDIT;
  private skipped = 0;

  spend(): boolean {
    if (this.left > 0) this.left--;
    else if (++this.skipped % RARELY !== 0) return false;
    return true;
  }
  earn(): void {
    this.left = Math.min(this.left + PAYS_FOR, CREDIT);
  }
}

/** Of one thread, as each may have its own directory, root and credentials, and as its own deputy looks. */
export class Ahead {
  /** Calls that were answered here. */
  used = 0;
  /** Where the program stands in a file of which home does not know that. */
  position: Position | null;
  private readonly asker: Asker;
  private readonly now: () => number;
  private readonly foresight = new Foresight();
  private readonly lookupCredit = new Credit();
  private readonly readCredit = new Credit();
  private held: Held | null = null;
  private current: { readonly plan: ForwardPlan; readonly lookup: Lookup | null; readonly opens: string | null } | null = null;
  /** When something was looked up. */
  private looked = 0;
  private before = -1;
  private readonly followed = new Set<number>();
  /** A descriptor that is not open. */
  private free: number | null = null;

  constructor(asker: Asker, position: Position | null = null, now: () => number = () => performance.now()) {
    this.asker = asker;
    this.position = position;
    this.now = now;
  }

  /** What is to be done for a call of the program: an answer where home has given it already. */
  known(nr: number, plan: Plan, base: bigint, memory: GuestMemory): Plan {
    this.current = null;
    if (plan.kind === "local" || plan.kind === "answer") return plan;
    const here = plan.kind === "forward" ? this.answer(nr, plan, base, memory) : null;
    if (here !== null) {
      this.used++;
      return { kind: "answer", result: here };
    }
    const { position } = this;
    if (position && !this.isIndifferent(nr, plan, base, position)) {
      return tellPosition(position, () => {
        this.position = null;
      });
    }
    if (!this.takesNone(nr)) this.free = null;
    return plan;
  }

  /** Whether what is no open descriptor is none behind this call; an `open` tells as it ends. */
  private takesNone(nr: number): boolean {
    const { current } = this;
    return current !== null && (TAKE_NONE.has(nr) || current.lookup !== null || current.opens !== null);
  }

  /** Whether a call shows nobody where the program stands in a file. */
  private isIndifferent(nr: number, plan: Plan, base: bigint, { fd }: Position): boolean {
    if (plan.kind !== "forward") return false;
    return (nr === NR.close && plan.args[0] === BigInt(fd)) || lookupOf(nr, plan, base) !== null;
  }

  private answer(nr: number, plan: ForwardPlan, base: bigint, memory: GuestMemory): bigint | null {
    const lookup = lookupOf(nr, plan, base);
    const opens = lookup ? null : opensToRead(nr, plan);
    const path = opens && pathOf(plan, opens.pathAt, base);
    this.current = { plan, lookup, opens: path };
    this.follows(lookup !== null);
    const held = this.holding();
    const found = held && (lookup ? this.take(held, lookup) : this.ofFile(held, nr, plan, base, memory));
    if (found !== null) return found;
    if (held && opens && path !== null && this.isAbsent(held, path, opens.dirfd)) {
      this.foresight.searched(path, false);
      this.lookupCredit.earn();
      return BigInt(-ENOENT);
    }
    this.before = nr;
    return null;
  }

  /** Whether a lookup comes behind the call before. */
  private follows(isLookup: boolean): void {
    if (this.before >= 0) {
      if (isLookup) this.followed.add(this.before);
      else this.followed.delete(this.before);
    }
    this.before = -1;
  }

  private holding(): Held | null {
    const { held } = this;
    if (held && (held.heard !== this.asker.heard || this.now() > held.until || this.asker.sharesMemory)) this.held = null;
    return this.held;
  }

  private take(held: Held, lookup: Lookup): bigint | null {
    const place = held.lookups.findIndex(({ key }, i) => i >= held.from && key === lookup.key);
    const error = place < 0 ? 0 : (held.errors[place] ?? 0);
    if (!KEPT.has(error)) return null;
    held.from = place;
    // What was read is older.
    held.file = null;
    held.absent = error === ENOENT ? lookup : null;
    this.lookupCredit.earn();
    this.missed(lookup);
    return BigInt(-error);
  }

  private ofFile(held: Held, nr: number, plan: ForwardPlan, base: bigint, memory: GuestMemory): bigint | null {
    if (!held.file || !this.asker.alone) return null;
    const result = held.file.answer(nr, plan, base, memory);
    if (result === null) return null;
    this.position = held.file.position;
    this.readCredit.earn();
    return result;
  }

  /** An `open` looks for a descriptor before it looks for the path (fs/open.c, do_sys_openat2). */
  private isAbsent(held: Held, path: string, dirfd: number): boolean {
    const { absent } = held;
    if (!absent || absent.how.dirfd !== dirfd || !LIKE_OPEN.has(absent.how.nr)) return false;
    if (path !== absent.path && !path.startsWith(`${absent.path}/`)) return false;
    return this.asker.alone && this.free !== null && this.free < held.descriptors;
  }

  private missed(lookup: Lookup): void {
    this.looked = this.now();
    this.foresight.missed(lookup);
  }

  /** What to ask home with a call; null when it is of no use. */
  ask(plan: ForwardPlan): Question | null {
    if (this.current?.plan !== plan || this.asker.sharesMemory) return null;
    const { lookup, opens } = this.current;
    const reads = opens !== null && this.asker.alone && this.position === null && this.readCredit.spend();
    const looks = lookup !== null || (BEFORE.has(plan.nr) && this.followed.has(plan.nr));
    const lookups = looks ? this.expected(lookup) : [];
    // Also without a question: how many descriptors it may have is told.
    const isAsked = reads || lookups.length > 0 || (lookup !== null && this.free !== null && this.asker.alone);
    const bytes = isAsked ? packQuestion(lookups, reads) : NOTHING;
    return { lookup, lookups, reads, bytes, heard: this.asker.heard, at: this.now() };
  }

  private expected(lookup: Lookup | null): Lookup[] {
    if (this.now() - this.looked > FORGET_MS) return [];
    const lookups = this.foresight.ahead(lookup);
    return lookups.length > 0 && this.lookupCredit.spend() ? lookups : [];
  }

  /** Home has answered: `bytes` are what came with it, without the call's own. */
  answered(plan: ForwardPlan, question: Question | null, result: bigint, bytes: Uint8Array): void {
    this.held = null;
    const { current } = this;
    if (current?.plan === plan) this.learn(plan, current, result);
    if (!question) return;
    const { lookups, reads, heard, at } = question;
    const now = this.now();
    // This answer itself is one thing that was heard.
    if (question.bytes.length === 0 || this.asker.heard !== heard + 1 || now - at > TRAVEL_MS) return;
    const limitAt = lookups.length;
    const fileAt = limitAt + LIMIT_BYTES;
    if (bytes.length < fileAt) return;
    // What has come is used again for what comes next.
    const all = Buffer.from(bytes);
    this.held = {
      lookups,
      errors: all.subarray(0, limitAt),
      descriptors: all.readUInt32LE(limitAt),
      heard: this.asker.heard,
      until: now + HOLD_MS,
      from: 0,
      absent: result === BigInt(-ENOENT) ? question.lookup : null,
      file: reads && all.length >= fileAt + STAT.size ? new OpenedFile(Number(result), all.subarray(fileAt)) : null,
    };
  }

  private learn(plan: ForwardPlan, { lookup, opens }: { lookup: Lookup | null; opens: string | null }, result: bigint): void {
    if (isRestart(result)) return;
    if (lookup && KEPT.has(Number(-result))) this.missed(lookup);
    if (opens !== null) this.foresight.searched(opens, result >= 0n);
    if (opens !== null && result >= 0n) this.free = null;
    if (plan.nr !== NR.close || result !== 0n) return;
    this.free = Number(plan.args[0]);
    if (this.position?.fd === this.free) this.position = null;
  }
}
const NOTHING = Buffer.alloc(0);

/**
 * The bytes of a reply that are its call's own; those behind them answer what was asked with it. Null for a call that was not made.
 * @throws TeselaError E_PROTOCOL
 */
export function withoutAhead(guest: Guest, { nr, plan, question }: InFlight, result: bigint, bytes: Uint8Array): Uint8Array | null {
  const due = outLengths(plan.outs, result).reduce((sum, n) => sum + n, 0);
  const isAsked = question !== null && question.bytes.length > 0;
  if (bytes.length >= due) guest.ahead.answered(plan, question, result, bytes.subarray(due));
  if (bytes.length === due || (bytes.length > due && isAsked)) return bytes.subarray(0, due);
  if (isRestart(result)) return null;
  throw new TeselaError("E_PROTOCOL", `home answered call ${nr} with ${bytes.length} bytes in place of ${due}`);
}
