import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { PAGE } from "../base/mod.ts";
import { proc } from "../sys/mod.ts";
import type { EngineRow } from "./shapes.ts";
import { userName } from "./users.ts";

interface Entry {
  readonly pid: number;
  /** In ticks since boot: the PID of a process that ended may come back, with another start. */
  readonly start: string;
}

/**
 * The processes that `tesela run` started here and that are still alive. Kept in a file, since teselad may be restarted at any
 * time; they themselves know nothing of it.
 */
export class Levelled {
  private readonly file: string;
  private readonly self: number;
  private entries: Entry[];
  private ticks = new Map<number, { at: number; ticks: number; cpu: number }>();

  constructor(file: string, self: number) {
    this.file = file;
    this.self = self;
    this.entries = load(file);
  }

  add(pid: number): void {
    const start = startOf(pid);
    if (start === null) return;
    this.entries = [...this.entries.filter((e) => e.pid !== pid), { pid, start }];
    this.save();
  }

  /** Forgets those that ended and measures the CPU use of the others: once a second. */
  sample(now: number = performance.now()): void {
    const alive = this.entries.filter((e) => startOf(e.pid) === e.start);
    if (alive.length !== this.entries.length) {
      this.entries = alive;
      this.save();
    }
    const old = this.ticks;
    this.ticks = new Map();
    for (const { pid } of alive) {
      const ticks = ticksOf(pid);
      const before = old.get(pid);
      const cpu = before && now > before.at ? (1000 * (ticks - before.ticks)) / proc.TICKS_PER_SECOND / (now - before.at) : 0;
      this.ticks.set(pid, { at: now, ticks, cpu });
    }
  }

  rows(): EngineRow[] {
    return this.entries.flatMap((e) => this.row(e));
  }

  private row({ pid, start }: Entry): EngineRow[] {
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
          rss: stat.rssPages * PAGE,
          user: userName(uid),
          lock: false,
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
    writeFileSync(`${this.file}.new`, JSON.stringify(this.entries), { mode: 0o600 });
    renameSync(`${this.file}.new`, this.file);
  }
}

/** A file that is not there, or not whole after a crash of the machine, means that nothing is known. */
function load(file: string): Entry[] {
  try {
    const list: unknown = JSON.parse(readFileSync(file, "utf8"));
    return Array.isArray(list) ? list.filter((e: Entry) => Number.isInteger(e?.pid) && typeof e.start === "string") : [];
  } catch (e) {
    if (e instanceof SyntaxError || gone(e)) return [];
    throw e;
  }
}

const gone = (e: unknown): boolean => ["ENOENT", "ESRCH"].includes((e as NodeJS.ErrnoException).code ?? "");

function startOf(pid: number): string | null {
  try {
    const stat = proc.readStat(pid);
    return stat.state === "Z" ? null : String(stat.startTime);
  } catch (e) {
    if (gone(e)) return null;
    throw e;
  }
}

function ticksOf(pid: number): number {
  try {
    return proc.readStat(pid).cpuTicks;
  } catch (e) {
    if (gone(e)) return 0;
    throw e;
  }
}
