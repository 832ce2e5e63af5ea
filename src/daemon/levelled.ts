import { readFileSync } from "node:fs";
import { hasEnded, type ProcessStat, readProcess, readProcesses } from "../load/mod.ts";
import { proc } from "../sys/mod.ts";
import { readHints, withHints } from "./hints.ts";
import { NARROW, programOf, type Scope, wantedBy } from "./scope.ts";
import type { EngineRow, Hints } from "./shapes.ts";
import { userName } from "./users.ts";
import { writeWhole } from "./write-whole.ts";

/** A process that may move by itself. */
interface Entry {
  readonly pid: number;
  /** In ticks since boot: the PID of a process that ended may come back, with another start. */
  readonly start: string;
  /** It moves only when told to; its children inherit that. */
  readonly lock: boolean;
  /** It is here only because every process is (`balance.scope`), and as long as that holds. Its children are here for the same, or not. */
  readonly wide?: true;
  /** What was said of it; its children inherit that, too. */
  readonly hints?: Hints;
}

/** Between a process and one of its forebears. */
const MOST_GENERATIONS = 64;

/**
 * The processes that `tesela run` started here and those that the scope has in (scope.ts), and all that descend from them, as long as they
 * live. Kept in a file, since teselad may be restarted at any time; they themselves know nothing of it. Whose parent has ended between two
 * looks is known by its process group.
 */
export class Levelled {
  private readonly file: string;
  private readonly self: number;
  private readonly scope: Scope;
  private entries: Map<number, Entry>;
  private used = new Map<number, { at: number; cpuMs: number; cpu: number }>();

  constructor(file: string, self: number, scope: Scope = NARROW) {
    this.file = file;
    this.self = self;
    this.scope = scope;
    this.entries = new Map(load(file).map((e) => [e.pid, e]));
  }

  add(pid: number, lock = false, hints: Hints = {}): void {
    const stat = statOf(pid);
    if (stat === null) return;
    this.entries.set(pid, { pid, start: startOf(stat), lock, hints });
    this.save();
  }

  /** Says anew which nodes one of them may be sent to; undefined for all. What descends from it already is not touched. */
  setMask(pid: number, mask: string | undefined): void {
    const entry = this.entries.get(pid);
    if (!entry) return;
    const { mask: _, ...others } = entry.hints ?? {};
    this.entries.set(pid, { ...entry, hints: mask === undefined ? others : { ...others, mask } });
    this.save();
  }

  /** What was said of a process; nothing of one that is none of them. */
  hints(pid: number): Hints {
    return this.entries.get(pid)?.hints ?? {};
  }

  has(pid: number): boolean {
    return this.entries.has(pid);
  }
  get pids(): Iterable<number> {
    return this.entries.keys();
  }
  get size(): number {
    return this.entries.size;
  }

  /** Whether more may become one of them without being told to. */
  get grows(): boolean {
    return this.entries.size > 0 || this.scope.all || this.scope.programs.size > 0;
  }

  /** A process becomes a program: whether it is one of them, or is from now on, for what it descends from or for the program. */
  begins(pid: number, program: string): boolean {
    if (this.discover(pid)) return true;
    const why = wantedBy(this.scope, pid, program);
    const stat = why === null ? null : statOf(pid);
    if (why === null || stat === null) return false;
    this.entries.set(pid, wanted(pid, stat, why));
    return true;
  }

  /**
   * Whether a process is one of them, or descends from one: then it is from now on. Its nearest forebear counts; the group only where a parent
   * has ended, for another of the group may have been said something else of.
   */
  discover(pid: number): boolean {
    const line: { pid: number; stat: ProcessStat }[] = [];
    const daemons = this.scope.daemons();
    let at = pid;
    for (; !this.isMeant(at); ) {
      const stat = at > 1 && line.length < MOST_GENERATIONS && !daemons.includes(at) ? statOf(at) : null;
      if (stat === null) break;
      line.push({ pid: at, stat });
      at = stat.ppid;
    }
    if (!this.isMeant(at)) {
      const orphan = line.findIndex(({ pid: one, stat }) => stat.pgrp !== one && this.isMeant(stat.pgrp));
      at = line[orphan]?.stat.pgrp ?? 0;
      line.length = orphan + 1;
    }
    const known = this.entries.get(at);
    if (!known) return false;
    for (const one of line) this.entries.set(one.pid, inherit(known, one.pid, one.stat));
    return true;
  }

  private isMeant(pid: number): boolean {
    const entry = this.entries.get(pid);
    return entry !== undefined && !entry.wide;
  }

  isLocked(pid: number): boolean {
    return this.entries.get(pid)?.lock ?? false;
  }

  /**
   * Forgets those that ended, finds their children, and measures the CPU use of all: once a second.
   * @param all as they were a moment ago
   */
  sample(all: ReadonlyMap<number, ProcessStat> = readProcesses(), now: number = performance.now()): void {
    const stats = new Map([...all].filter(([, stat]) => !hasEnded(stat)));
    let changed = false;
    for (const { pid, start, wide } of [...this.entries.values()]) {
      const stat = stats.get(pid);
      if (stat && startOf(stat) === start && (!wide || this.scope.all)) continue;
      this.entries.delete(pid);
      changed = true;
    }
    if (this.grows) changed = this.follow(stats) || changed;
    if (changed) this.save();
    const old = this.used;
    this.used = new Map();
    for (const { pid } of this.entries.values()) {
      const cpuMs = stats.get(pid)?.cpuMs ?? 0;
      const before = old.get(pid);
      const cpu = before && now > before.at ? (cpuMs - before.cpuMs) / (now - before.at) : 0;
      this.used.set(pid, { at: now, cpuMs, cpu });
    }
  }

  /** Parents are older than their children, so one pass from the oldest on finds all of a tree. */
  private follow(stats: ReadonlyMap<number, ProcessStat>): boolean {
    let found = false;
    const isWide = this.scope.all || this.scope.programs.size > 0;
    // One that is in only because all are may yet be found to be meant, or to have become a program that stays out.
    const byAge = [...stats].filter(([pid]) => !this.isMeant(pid)).sort(([, a], [, b]) => a.startMs - b.startMs);
    const outside = new Set(this.scope.daemons());
    for (const [pid, stat] of byAge) {
      if (outside.has(pid) || outside.has(stat.ppid)) {
        outside.add(pid);
        continue;
      }
      const forebear = [stat.ppid, stat.pgrp].find((at) => this.isMeant(at));
      const parent = forebear === undefined ? undefined : this.entries.get(forebear);
      const why = parent || !isWide ? null : wantedBy(this.scope, pid, programOf(pid));
      const before = this.entries.get(pid);
      if (parent) this.entries.set(pid, inherit(parent, pid, stat));
      else if (why !== null) this.entries.set(pid, wanted(pid, stat, why));
      else this.entries.delete(pid);
      found ||= this.entries.get(pid)?.wide !== before?.wide || this.entries.has(pid) !== (before !== undefined);
    }
    return found;
  }

  rows(): EngineRow[] {
    return [...this.entries.values()].flatMap((e) => this.row(e));
  }

  private row({ pid, start, lock, hints = {} }: Entry): EngineRow[] {
    try {
      const stat = readProcess(pid);
      if (stat === null || startOf(stat) !== start) return [];
      const uid = Number((proc.statusField(proc.readStatus(pid), "Uid") ?? "0").split(/\s+/)[0]);
      const row: EngineRow = {
        pid,
        cpid: `${this.self}:${pid}`,
        home: this.self,
        node: this.self,
        nmigs: 0,
        state: stat.state,
        cpu: Math.round((this.used.get(pid)?.cpu ?? 0) * 1000) / 1000,
        cpuMs: Math.round(stat.cpuMs),
        rss: stat.rss,
        user: userName(uid),
        lock,
        cantmove: [],
        command: proc.readCommand(pid),
        role: "home",
      };
      return [withHints(row, lock, hints)];
    } catch (e) {
      if (gone(e)) return [];
      throw e;
    }
  }

  private save(): void {
    writeWhole(this.file, [...this.entries.values()]);
  }
}

const WIDE = { wide: true } as const;

const startOf = ({ startMs }: ProcessStat): string => String(Math.round((startMs * proc.TICKS_PER_SECOND) / 1000));
const inherit = ({ lock, hints }: Entry, pid: number, stat: ProcessStat): Entry => ({
  ...{ pid, start: startOf(stat), lock },
  ...(hints && { hints }),
});
const wanted = (pid: number, stat: ProcessStat, why: "list" | "all"): Entry => ({
  ...{ pid, start: startOf(stat), lock: false },
  ...(why === "all" && WIDE),
});

/** A file that is not there, or not whole after a crash of the machine, means that nothing is known. */
function load(file: string): Entry[] {
  try {
    const list: unknown = JSON.parse(readFileSync(file, "utf8"));
    if (!Array.isArray(list)) return [];
    const good = list.filter((e: Entry) => Number.isInteger(e?.pid) && typeof e.start === "string");
    return good.map(({ pid, start, lock, wide, hints }: Entry) => ({
      ...{ pid, start, lock: lock === true },
      ...(wide === true && WIDE),
      hints: readHints(hints) ?? {},
    }));
  } catch (e) {
    if (e instanceof SyntaxError || gone(e)) return [];
    throw e;
  }
}

const gone = (e: unknown): boolean => ["ENOENT", "ESRCH"].includes((e as NodeJS.ErrnoException).code ?? "");

/** Null for one that has ended. */
function statOf(pid: number): ProcessStat | null {
  const stat = readProcess(pid);
  return stat === null || hasEnded(stat) ? null : stat;
}
