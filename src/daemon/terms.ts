import { toTeselaError } from "../base/mod.ts";
import { type DecayRates, type Pace, paceOf, readHints } from "./hints.ts";
import type { Levelled } from "./levelled.ts";
import type { EngineRow, Hints } from "./shapes.ts";

/** What the home of a process says of it to the node where it runs, which decides about it. */
export interface Terms {
  readonly lock: boolean;
  readonly hints: Hints;
  /** Its decay in numbers: what `slow` and `fast` are, home says. */
  readonly pace: Pace | null;
}
/** By PID. */
export type TermsOf = Readonly<Record<string, Terms>>;

export const NO_TERMS: Terms = { lock: false, hints: {}, pace: null };

/** What was said may be said anew at home: it is asked again after so long. */
const GOOD_MS = 2000;
/** No node has more guests of one home. */
const MOST_PIDS = 65_536;

/** Terms of own processes; what they descend from counts, for children that have just come to be. */
export const ownTerms = (levelled: Levelled, pid: number, rates: DecayRates): Terms => {
  if (!levelled.discover(pid)) return NO_TERMS;
  const hints = levelled.hints(pid);
  return { lock: levelled.isLocked(pid), hints, pace: paceOf(hints, rates) };
};

/** POST /terms: `{"pids":[4711]}`; null when it is something else. */
export function termsAsk(body: unknown): number[] | null {
  const { pids } = (body ?? {}) as Record<string, unknown>;
  if (!Array.isArray(pids) || pids.length > MOST_PIDS) return null;
  return pids.every((p) => Number.isInteger(p) && p > 0) ? (pids as number[]) : null;
}

/** Asks a home about its processes. @throws TeselaError */
export type AskTerms = (home: number, pids: readonly number[]) => Promise<TermsOf>;

/** The terms of the guests that run here, each home asked now and then. Nothing is known for a moment: home has the last word about any move. */
export class GuestTerms {
  private readonly ask: AskTerms;
  private readonly known = new Map<string, Terms>();
  private readonly asked = new Map<number, { readonly at: number; readonly cpids: ReadonlySet<string> }>();
  private readonly asking = new Set<number>();

  constructor(ask: AskTerms) {
    this.ask = ask;
  }

  of(cpid: string): Terms {
    return this.known.get(cpid) ?? NO_TERMS;
  }

  /** In each round. @param guests those that run here. @returns when all answers are there, for tests */
  async keep(guests: readonly EngineRow[], now: number): Promise<void> {
    const here = new Set(guests.map((g) => g.cpid));
    for (const cpid of this.known.keys()) if (!here.has(cpid)) this.known.delete(cpid);
    const homes = new Map<number, EngineRow[]>();
    for (const g of guests) homes.set(g.home, [...(homes.get(g.home) ?? []), g]);
    for (const home of this.asked.keys()) if (!homes.has(home)) this.asked.delete(home);
    await Promise.all([...homes].map(([home, rows]) => this.askHome(home, rows, now)));
  }

  private async askHome(home: number, rows: readonly EngineRow[], now: number): Promise<void> {
    const last = this.asked.get(home);
    const fresh = last !== undefined && now - last.at < GOOD_MS && rows.every((r) => last.cpids.has(r.cpid));
    if (fresh || this.asking.has(home)) return;
    this.asking.add(home);
    this.asked.set(home, { at: now, cpids: new Set(rows.map((r) => r.cpid)) });
    try {
      const answer = await this.ask(
        home,
        rows.map((r) => r.pid),
      );
      for (const { cpid, pid } of rows) this.known.set(cpid, readTerms(answer[String(pid)]));
    } catch (e) {
      // A home that does not answer moves nothing either; what it said last holds until it does.
      toTeselaError(e);
    } finally {
      this.asking.delete(home);
    }
  }
}

function readTerms(value: unknown): Terms {
  const { lock, hints, pace } = (value ?? {}) as Record<string, unknown>;
  const read = readHints({ ...(readHints(hints) ?? {}), ...(pace !== null && pace !== undefined && { decay: pace }) });
  const isPace = typeof read?.decay === "object" ? read.decay : null;
  return { lock: lock === true, hints: readHints(hints) ?? {}, pace: isPace };
}
