import { NR } from "../abi/mod.ts";
import { TeselaError } from "../base/mod.ts";
import { type ForwardPlan, outLengths, type Plan } from "../forward/mod.ts";
import type { Guest } from "./guest.ts";
import type { InFlight } from "./guest-types.ts";
import { isRestart } from "./restarts.ts";
import { type Lookup, lookupOf, MAX_LOOKUPS, packLookups } from "./lookups.ts";

/**
 * Answers that home has given before they were asked for, see docs/decisions/0074. With a call, home is told what the program has looked
 * up in vain over and over; its deputy looks that up once more behind the call, and the answers come with the call's. They hold
 * until the process hears anything else, so that all it knows is from before they were found.
 */

/** Who looks at nothing but the clock sees what was true at most so long ago, and the time that the answer travelled. */
const HOLD_MS = 20;
/** What took longer to come is too old. */
const TRAVEL_MS = 250;
/** Who does not look something up for so long has other worries: a file system that hangs is left alone then. */
const FORGET_MS = 1000;
/** Failed lookups that are kept to see which of them come again. */
const MAX_SEEN = 64;
/** Questions that may find nothing before they become rare; an answer that is used saves what some of them cost. */
const CREDIT = 32;
const PAYS_FOR = 3;
const RARELY = 16;
/** ENOENT, EACCES, ENOTDIR, EINVAL, ELOOP: what depends on the paths alone. */
const KEPT: ReadonlySet<number> = new Set([2, 13, 20, 22, 40]);
/** Calls other than lookups that are followed by one, and end at once: home may be asked with them. */
const BEFORE: ReadonlySet<number> = new Set([NR.open, NR.openat, NR.close, NR.fstat]);

interface Packed {
  readonly bytes: Buffer;
  readonly places: ReadonlyMap<string, number>;
  readonly since: number;
}

/** What has gone home with a call. */
export interface Question {
  /** The call itself, when it is a lookup. */
  readonly lookup: Lookup | null;
  readonly packed: Packed | null;
  readonly heard: number;
  readonly at: number;
}

interface Held {
  readonly places: ReadonlyMap<string, number>;
  readonly errors: Uint8Array;
  readonly heard: number;
  readonly until: number;
  /** They were found one after the other: what was found before the last one that was used is older than that. */
  from: number;
}

/** What is known of the process of a thread that asks. */
export interface Asker {
  /** Others write into its memory: what they know, it knows. */
  readonly sharesMemory: boolean;
  /** Counts all that has come from home for it, for any of its threads, and what is for no process alone. */
  readonly heard: number;
}

/** Of one thread, as each may have its own directory, root and credentials, and as its own deputy looks. */
export class Ahead {
  /** Calls that were answered here. */
  used = 0;
  private readonly asker: Asker;
  private readonly now: () => number;
  private readonly seen = new Map<string, Lookup>();
  /** By key: what has failed more than once, and when it did last; the latest at the end. */
  private readonly listed = new Map<string, { readonly lookup: Lookup; at: number }>();
  private packed: Packed | null = null;
  private held: Held | null = null;
  private current: { readonly plan: Plan; readonly lookup: Lookup | null } | null = null;
  private credit = CREDIT;
  private skipped = 0;
  private before = -1;
  private readonly followed = new Set<number>();

  constructor(asker: Asker, now: () => number = () => performance.now()) {
    this.asker = asker;
    this.now = now;
  }

  /** What is to be done for a call of the program: an answer where home has given it already. */
  known(nr: number, plan: Plan, base: bigint): Plan {
    if (plan.kind !== "forward") return plan;
    const lookup = lookupOf(nr, plan, base);
    this.current = { plan, lookup };
    if (this.before >= 0) {
      if (lookup) this.followed.add(this.before);
      else this.followed.delete(this.before);
    }
    this.before = -1;
    const error = lookup ? this.take(lookup.key) : 0;
    if (!lookup || error === 0) {
      this.before = nr;
      return plan;
    }
    this.used++;
    this.credit = Math.min(this.credit + PAYS_FOR, CREDIT);
    this.note(lookup);
    return { kind: "answer", result: BigInt(-error) };
  }

  private take(key: string): number {
    const { held } = this;
    if (!held) return 0;
    if (held.heard !== this.asker.heard || this.now() > held.until || this.asker.sharesMemory) {
      this.held = null;
      return 0;
    }
    const place = held.places.get(key);
    if (place === undefined || place < held.from) return 0;
    const error = held.errors[place] ?? 0;
    if (!KEPT.has(error)) return 0;
    held.from = place;
    return error;
  }

  /** What to ask home with a call; null when it is of no use. */
  ask(plan: ForwardPlan): Question | null {
    const lookup = this.current?.plan === plan ? this.current.lookup : null;
    if ((!lookup && !this.followed.has(plan.nr)) || this.asker.sharesMemory) return null;
    if (!lookup && !BEFORE.has(plan.nr)) return null;
    return { lookup, packed: this.isWorthIt() ? this.pack() : null, heard: this.asker.heard, at: this.now() };
  }

  /** Home has answered: `bytes` are what came with it, without the call's own. */
  answered(question: Question, result: bigint, bytes: Uint8Array): void {
    const { lookup, packed, heard, at } = question;
    if (lookup && KEPT.has(Number(-result))) this.note(lookup);
    this.held = null;
    // This answer itself is one thing that was heard.
    if (!packed || bytes.length !== packed.places.size || this.asker.heard !== heard + 1) return;
    const now = this.now();
    if (now - at > TRAVEL_MS) return;
    this.held = { places: packed.places, errors: Buffer.from(bytes), heard: this.asker.heard, until: now + HOLD_MS, from: 0 };
  }

  private isWorthIt(): boolean {
    if (this.listed.size === 0) return false;
    if (this.credit > 0) this.credit--;
    else if (++this.skipped % RARELY !== 0) return false;
    return true;
  }

  private note(lookup: Lookup): void {
    const { key } = lookup;
    const at = this.now();
    const here = this.listed.get(key);
    if (here) {
      here.at = at;
      this.listed.delete(key);
      this.listed.set(key, here);
      return;
    }
    if (!this.seen.delete(key)) {
      this.seen.set(key, lookup);
      if (this.seen.size > MAX_SEEN) dropFirst(this.seen);
      return;
    }
    this.listed.set(key, { lookup, at });
    if (this.listed.size > MAX_LOOKUPS) dropFirst(this.listed);
    this.packed = null;
  }

  /** In the order of their names, in which a path's directories are looked up one below the other. */
  private pack(): Packed | null {
    const now = this.now();
    if (this.packed && now - this.packed.since < FORGET_MS / 4) return this.packed;
    for (const [key, { at }] of this.listed) if (now - at > FORGET_MS) this.listed.delete(key);
    this.packed = null;
    if (this.listed.size === 0) return null;
    const keys = [...this.listed.keys()].sort();
    const lookups = keys.flatMap((key) => this.listed.get(key)?.lookup ?? []);
    this.packed = { bytes: packLookups(lookups), places: new Map(keys.map((key, i) => [key, i])), since: now };
    return this.packed;
  }
}

function dropFirst<V>(map: Map<string, V>): void {
  for (const key of map.keys()) {
    map.delete(key);
    return;
  }
}

/**
 * The bytes of a reply that are its call's own; those behind them answer what was asked with it. Null for a call that was not made.
 * @throws TeselaError E_PROTOCOL
 */
export function withoutAhead(guest: Guest, { nr, plan, question }: InFlight, result: bigint, bytes: Uint8Array): Uint8Array | null {
  const due = outLengths(plan.outs, result).reduce((sum, n) => sum + n, 0);
  const asked = question?.packed?.places.size ?? 0;
  const more = asked > 0 && bytes.length === due + asked ? asked : 0;
  if (question) guest.ahead.answered(question, result, bytes.subarray(bytes.length - more));
  if (bytes.length === due + more) return bytes.subarray(0, due);
  if (isRestart(result)) return null;
  throw new TeselaError("E_PROTOCOL", `home answered call ${nr} with ${bytes.length} bytes in place of ${due}`);
}
