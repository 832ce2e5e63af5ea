import { type Lookup, lookupAt, MAX_LOOKUPS } from "./lookups.ts";

/** What is told from each other: lookups, and directories in which any name may be looked up. When there are more of anything, all is forgotten. */
const MAX_SYMBOLS = 255;
const MAX_SEEN = 2048;
const MAX_STEPS = 4096;
/** Looked up so often, a name stands for itself; before, for any name in its directory. */
const OFTEN = 3;
const OPENED = 0;
/** Steps that tell what comes next: first so many, and where these are new, fewer. */
const LONG = 5;
const ORDERS = [LONG, 2, 1] as const;
/** How many numbers eight bits have. */
const BITS = 256;

/** What a step is: a lookup, any name in a directory, or (null) an `open` that finds its file. */
interface Symbol {
  readonly lookup: Lookup;
  readonly anyName: boolean;
}

/**
 * What a thread is likely to look up next. Programs that search for files do the same over and over: the directories above a name, then the
 * name, the same in the next directory of a list, until one has it. What came after the last few steps when these were made before
 * is expected again, with the name that is searched for now.
 */
export class Foresight {
  private readonly seen = new Map<string, number>();
  private readonly numbers = new Map<string, number>();
  private symbols: (Symbol | null)[] = [null];
  /** By the last steps, packed; what came behind them. */
  private readonly steps = new Map<number, number>();
  /** The last {@link LONG} steps, eight bits each, the latest in the lowest. */
  private last = OPENED;
  /** What is searched for; null when it has been found. */
  private name: string | null = null;

  /** It was looked up in vain. */
  missed(lookup: Lookup): void {
    if (this.symbols.length > MAX_SYMBOLS || this.seen.size > MAX_SEEN || this.steps.size > MAX_STEPS) this.forget();
    const isOften = this.isOften(lookup);
    this.seen.set(lookup.key, (this.seen.get(lookup.key) ?? 0) + 1);
    if (!isOften) this.name = nameOf(lookup.path);
    const key = isOften ? lookup.key : anyIn(lookup);
    let number = this.numbers.get(key);
    if (number === undefined) {
      number = this.symbols.length;
      this.numbers.set(key, number);
      this.symbols.push({ lookup, anyName: !isOften });
    }
    this.step(number);
  }

  private isOften({ key }: Lookup): boolean {
    return (this.seen.get(key) ?? 0) >= OFTEN - 1;
  }

  /** A file of that path was opened, or not. */
  searched(path: string, found: boolean): void {
    this.name = found ? null : nameOf(path);
    // Files that are opened one after the other are one step.
    if (found && this.last % BITS !== OPENED) this.step(OPENED);
  }

  /** What is likely to be looked up behind this lookup, if that is in vain, or from here; in that order. */
  ahead(lookup: Lookup | null): Lookup[] {
    let { last, name } = this;
    if (lookup) {
      const isOften = this.isOften(lookup);
      const number = this.numbers.get(isOften ? lookup.key : anyIn(lookup));
      if (number === undefined) return [];
      if (!isOften) name = nameOf(lookup.path);
      last = push(last, number);
    }
    const list: Lookup[] = [];
    while (list.length < MAX_LOOKUPS) {
      const next = this.after(last);
      const symbol = next === undefined ? null : this.symbols[next];
      if (next === undefined || !symbol) break;
      if (!symbol.anyName) list.push(symbol.lookup);
      else if (name === null) break;
      else list.push(lookupAt(directoryOf(symbol.lookup.path) + name, symbol.lookup.how));
      last = push(last, next);
    }
    return list;
  }

  private after(last: number): number | undefined {
    for (const order of ORDERS) {
      const next = this.steps.get(context(last, order));
      if (next !== undefined) return next;
    }
    return undefined;
  }

  private step(to: number): void {
    for (const order of ORDERS) this.steps.set(context(this.last, order), to);
    this.last = push(this.last, to);
  }

  private forget(): void {
    this.seen.clear();
    this.numbers.clear();
    this.steps.clear();
    this.symbols = [null];
    this.last = OPENED;
  }
}

const directoryOf = (path: string): string => path.slice(0, path.lastIndexOf("/") + 1);
const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

const anyIn = ({ path, how }: Lookup): string => `${directoryOf(path)}\0\0${how.nr} ${how.dirfd} ${how.flags} ${how.more}`;

const KEPT = BITS ** (LONG - 1);
const push = (last: number, to: number): number => (last % KEPT) * BITS + to;
/** Contexts of another length are others. */
const context = (last: number, order: number): number => (last % BITS ** order) * 8 + order;
