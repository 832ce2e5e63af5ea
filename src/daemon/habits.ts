import { readFileSync } from "node:fs";
import { writeWhole } from "./write-whole.ts";

/** What an executable file usually does. */
export interface Habit {
  /** CPU seconds from its beginning to its end. */
  readonly cpu: number;
  /** Calls that home makes for it in that time, while it is away; null when it never was. */
  readonly calls: number | null;
  /** Bytes that are resident at the end. */
  readonly rss: number;
  /** Runs that this was learnt from. */
  readonly runs: number;
}

/** Paths that are remembered; those longest without a run are forgotten. */
export const MOST_PATHS = 4096;
/** The part of a new run in what is remembered, once there were a few. */
const SHARE = 1 / 4;

/** Learnt and kept per path, so that the first run after a restart knows already. */
export class Habits {
  private readonly file: string;
  private readonly known: Map<string, Habit>;
  private changed = false;

  constructor(file: string) {
    this.file = file;
    this.known = load(file);
  }

  of(path: string): Habit | null {
    return this.known.get(path) ?? null;
  }

  /** @param calls null when it never was away */
  learn(path: string, run: { readonly cpu: number; readonly calls: number | null; readonly rss: number }): void {
    const old = this.known.get(path);
    const part = old ? Math.max(SHARE, 1 / (old.runs + 1)) : 1;
    const mix = (before: number, now: number): number => before + part * (now - before);
    this.known.delete(path);
    this.known.set(path, {
      cpu: mix(old?.cpu ?? 0, run.cpu),
      calls: run.calls === null ? (old?.calls ?? null) : mix(old?.calls ?? run.calls, run.calls),
      rss: mix(old?.rss ?? 0, run.rss),
      runs: (old?.runs ?? 0) + 1,
    });
    if (this.known.size > MOST_PATHS) this.known.delete(this.known.keys().next().value as string);
    this.changed = true;
  }

  /** Now and then. */
  save(): void {
    if (!this.changed) return;
    this.changed = false;
    writeWhole(this.file, [...this.known]);
  }
}

/** What cannot be read is learnt anew. */
function load(file: string): Map<string, Habit> {
  try {
    const list = JSON.parse(readFileSync(file, "utf8")) as unknown;
    if (!Array.isArray(list)) return new Map();
    return new Map(list.filter((e): e is [string, Habit] => Array.isArray(e) && typeof e[0] === "string" && isHabit(e[1])));
  } catch (e) {
    if (e instanceof SyntaxError || (e as NodeJS.ErrnoException).code === "ENOENT") return new Map();
    throw e;
  }
}

function isHabit(value: unknown): value is Habit {
  const { cpu, calls, rss, runs } = (value ?? {}) as Record<string, unknown>;
  return [cpu, calls ?? 0, rss, runs].every((n) => typeof n === "number" && Number.isFinite(n) && n >= 0);
}
