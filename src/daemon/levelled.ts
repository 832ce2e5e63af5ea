import { readdirSync, readFileSync } from "node:fs";
import { PAGE } from "../base/mod.ts";
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

const PPID = 4;
const PGRP = 5;
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
  private ticks = new Map<number, { at: number; ticks: number; cpu: number }>();

  constructor(file: string, self: number, scope: Scope = NARROW) {
    this.file = file;
    this.self = self;
    this.scope = scope;
    this.entries = new Map(load(file).map((e) => [e.pid, e]));
  }

  add(pid: number, lock = false, hints: Hints = {}): void {
    const stat = statOf(pid);
    if (stat === null) return;
    this.entries.set(pid, { pid, start: String(stat.startTime), lock, hints });
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
    const line: { pid: number; stat: proc.Stat }[] = [];
    const daemons = this.scope.daemons();
    let at = pid;
    for (; !this.isMeant(at); ) {
      const stat = at > 1 && line.length < MOST_GENERATIONS && !daemons.includes(at) ? statOf(at) : null;
      if (stat === null) break;
      line.push({ pid: at, stat });
      at = Number(stat.field(PPID));
    }
    if (!this.isMeant(at)) {
      const orphan = line.findIndex(({ pid: one, stat }) => Number(stat.field(PGRP)) !== one && this.isMeant(Number(stat.field(PGRP))));
      at = Number(line[orphan]?.stat.field(PGRP));
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

  /** Forgets those that ended, finds their children, and measures the CPU use of all: once a second. */
  sample(now: number = performance.now()): void {
    const stats = allStats();
    let changed = false;
    for (const { pid, start, wide } of [...this.entries.values()]) {
      if (String(stats.get(pid)?.startTime) === start && (!wide || this.scope.all)) continue;
      this.entries.delete(pid);
      changed = true;
    }
    if (this.grows) changed = this.follow(stats) || changed;
    if (changed) this.save();
    const old = this.ticks;
    this.ticks = new Map();
    for (const { pid } of this.entries.values()) {
      const ticks = stats.get(pid)?.cpuTicks ?? 0;
      const before = old.get(pid);
      const cpu = before && now > before.at ? (1000 * (ticks - before.ticks)) / proc.TICKS_PER_SECOND / (now - before.at) : 0;
      this.ticks.set(pid, { at: now, ticks, cpu });
    }
  }

  /** Parents are older than their children, so one pass from the oldest on finds all of a tree. */
  private follow(stats: ReadonlyMap<number, proc.Stat>): boolean {
    let found = false;
    const isWide = this.scope.all || this.scope.programs.size > 0;
    // One that is in only because all are may yet be found to be meant, or to have become a program that stays out.
    const byAge = [...stats].filter(([pid]) => !this.isMeant(pid)).sort(([, a], [, b]) => Number(a.startTime - b.startTime));
    const outside = new Set(this.scope.daemons());
    for (const [pid, stat] of byAge) {
      if (outside.has(pid) || outside.has(Number(stat.field(PPID)))) {
        outside.add(pid);
        continue;
      }
      const forebear = [PPID, PGRP].map((field) => Number(stat.field(field))).find((at) => this.isMeant(at));
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
      const stat = proc.readStat(pid);
      if (String(stat.startTime) !== start) return [];
      const uid = Number((proc.statusField(proc.readStatus(pid), "Uid") ?? "0").split(/\s+/)[0]);
      const row: EngineRow = {
        pid,
        cpid: `${this.self}:${pid}`,
        home: this.self,
        node: this.self,
        nmigs: 0,
        state: stat.state,
        cpu: Math.round((this.ticks.get(pid)?.cpu ?? 0) * 1000) / 1000,
        cpuMs: Math.round((stat.cpuTicks * 1000) / proc.TICKS_PER_SECOND),
        rss: stat.rssPages * PAGE,
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

const inherit = ({ lock, hints }: Entry, pid: number, stat: proc.Stat): Entry => ({
  ...{ pid, start: String(stat.startTime), lock },
  ...(hints && { hints }),
});
const wanted = (pid: number, stat: proc.Stat, why: "list" | "all"): Entry => ({
  ...{ pid, start: String(stat.startTime), lock: false },
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
function statOf(pid: number): proc.Stat | null {
  try {
    const stat = proc.readStat(pid);
    return stat.state === "Z" ? null : stat;
  } catch (e) {
    if (gone(e)) return null;
    throw e;
  }
}

function allStats(): Map<number, proc.Stat> {
  const out = new Map<number, proc.Stat>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    const stat = Number.isInteger(pid) ? statOf(pid) : null;
    if (stat) out.set(pid, stat);
  }
  return out;
}
