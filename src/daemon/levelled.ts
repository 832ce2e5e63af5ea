import { readdirSync, readFileSync } from "node:fs";
import { PAGE } from "../base/mod.ts";
import { proc } from "../sys/mod.ts";
import type { EngineRow } from "./shapes.ts";
import { userName } from "./users.ts";
import { writeWhole } from "./write-whole.ts";

/** A process that may move by itself. */
interface Entry {
  readonly pid: number;
  /** In ticks since boot: the PID of a process that ended may come back, with another start. */
  readonly start: string;
  /** It moves only when told to; its children inherit that. */
  readonly lock: boolean;
}

const PPID = 4;
const PGRP = 5;
/** Between a process and one of its forebears. */
const MOST_GENERATIONS = 64;

/**
 * The processes that `tesela run` started here, and all that descend from them, as long as they live. Kept in a file, since teselad may
 * be restarted at any time; they themselves know nothing of it. Whose parent has ended between two looks is known by its process group.
 */
export class Levelled {
  private readonly file: string;
  private readonly self: number;
  private entries: Map<number, Entry>;
  private ticks = new Map<number, { at: number; ticks: number; cpu: number }>();

  constructor(file: string, self: number) {
    this.file = file;
    this.self = self;
    this.entries = new Map(load(file).map((e) => [e.pid, e]));
  }

  add(pid: number, lock = false): void {
    const stat = statOf(pid);
    if (stat === null) return;
    this.entries.set(pid, { pid, start: String(stat.startTime), lock });
    this.save();
  }

  has(pid: number): boolean {
    return this.entries.has(pid);
  }
  get size(): number {
    return this.entries.size;
  }

  /** Whether a process is one of them, or descends from one: then it is from now on. */
  discover(pid: number): boolean {
    const line: { pid: number; stat: proc.Stat }[] = [];
    for (let at = pid; !this.entries.has(at); ) {
      const stat = at > 1 && line.length < MOST_GENERATIONS ? statOf(at) : null;
      if (stat === null) return false;
      line.push({ pid: at, stat });
      const group = Number(stat.field(PGRP));
      at = this.entries.has(group) && group !== at ? group : Number(stat.field(PPID));
      const known = this.entries.get(at);
      if (!known) continue;
      for (const one of line) this.entries.set(one.pid, { pid: one.pid, start: String(one.stat.startTime), lock: known.lock });
    }
    return true;
  }

  isLocked(pid: number): boolean {
    return this.entries.get(pid)?.lock ?? false;
  }

  /** Forgets those that ended, finds their children, and measures the CPU use of all: once a second. */
  sample(now: number = performance.now()): void {
    const stats = allStats();
    let changed = false;
    for (const { pid, start } of [...this.entries.values()]) {
      if (String(stats.get(pid)?.startTime) === start) continue;
      this.entries.delete(pid);
      changed = true;
    }
    if (this.entries.size > 0) changed = this.follow(stats) || changed;
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
    const byAge = [...stats].filter(([pid]) => !this.entries.has(pid)).sort(([, a], [, b]) => Number(a.startTime - b.startTime));
    for (const [pid, stat] of byAge) {
      const parent = this.entries.get(Number(stat.field(PPID))) ?? this.entries.get(Number(stat.field(PGRP)));
      if (!parent) continue;
      this.entries.set(pid, { pid, start: String(stat.startTime), lock: parent.lock });
      found = true;
    }
    return found;
  }

  rows(): EngineRow[] {
    return [...this.entries.values()].flatMap((e) => this.row(e));
  }

  private row({ pid, start, lock }: Entry): EngineRow[] {
    try {
      const stat = proc.readStat(pid);
      if (String(stat.startTime) !== start) return [];
      const uid = Number((proc.statusField(proc.readStatus(pid), "Uid") ?? "0").split(/\s+/)[0]);
      return [
        {
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
        },
      ];
    } catch (e) {
      if (gone(e)) return [];
      throw e;
    }
  }

  private save(): void {
    writeWhole(this.file, [...this.entries.values()]);
  }
}

/** A file that is not there, or not whole after a crash of the machine, means that nothing is known. */
function load(file: string): Entry[] {
  try {
    const list: unknown = JSON.parse(readFileSync(file, "utf8"));
    if (!Array.isArray(list)) return [];
    const good = list.filter((e: Entry) => Number.isInteger(e?.pid) && typeof e.start === "string");
    return good.map(({ pid, start, lock }: Entry) => ({ pid, start, lock: lock === true }));
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
