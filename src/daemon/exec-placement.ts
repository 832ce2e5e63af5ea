import { readFileSync } from "node:fs";
import { type Log, type NodeId, nodeId, PAGE } from "../base/mod.ts";
import { type NodeView, Ours, place, type PlaceKnobs } from "../balance/mod.ts";
import type { Random } from "../io/mod.ts";
import { type Beginning, ExecPoll, ExecWatch, POLL_MS, proc } from "../sys/mod.ts";
import { localLoad, STANDARD_SPEED, toldLoad } from "../load/mod.ts";
import { Habits } from "./habits.ts";
import type { Levelled } from "./levelled.ts";
import { parseMask } from "./node-mask.ts";
import { type Look, Programs } from "./programs.ts";
import type { EngineRow } from "./shapes.ts";

/** Who tells which programs have begun. */
interface Execs extends Disposable {
  take(): Beginning[];
}

/** How often it is asked which programs have begun: a program waits for nobody, so later is only less gain. */
const TAKE_MS = 15;
/** How often running ones are looked at: what one has used in its last moments is not learnt. */
const LOOK_MS = 100;
/** A program that usually takes less CPU time than this many seconds is not worth a move. */
export const WORTH_SECONDS = 0.25;
/** One in so many stays at home though it is worth sending, so that what it takes is measured again. */
const STAYS_ONE_IN = 16;
/** Nodes take their averages once a second; rounds may follow one another faster. */
const SAMPLE_MS = 900;

export interface PlacementParts {
  readonly self: number;
  readonly levelled: Levelled;
  readonly random: Random;
  readonly log: Log;
  readonly habitsFile: string;
  readonly knobs: () => PlaceKnobs;
  /** The node and the others, as they are known now. */
  readonly view: () => { readonly self: NodeView; readonly others: readonly NodeView[] };
  /** Whether programs may be sent away now. */
  readonly open: () => boolean;
  /** Moves a process that has just become a program. @throws TeselaError */
  readonly send: (pid: number, to: NodeId) => Promise<void>;
}

/**
 * Sends programs to other nodes as they begin, where their habit says that it pays: so `make -j` uses all nodes though each compiler lives
 * a second only. The kernel tells root of every exec (src/sys/exec-watch.ts); others look (src/sys/exec-poll.ts). Nobody waits for an answer.
 */
export class ExecPlacement implements Disposable {
  private readonly p: PlacementParts;
  private readonly habits: Habits;
  private readonly programs: Programs;
  private watch: Execs | null = null;
  /** While there is a watch: an idle node is not woken. */
  private timer: NodeJS.Timeout | undefined = undefined;
  /** Of /proc/self/mountinfo, what is watched. */
  private mounts = "";
  private lame = false;
  private lookedAt = 0;
  private averagedAt = Number.NEGATIVE_INFINITY;
  private away: ReadonlyMap<number, EngineRow> = new Map();
  private readonly ours = new Ours((id) => this.programs.countHeavy(id === this.p.self ? null : id));

  constructor(parts: PlacementParts) {
    this.p = parts;
    this.habits = new Habits(parts.habitsFile);
    this.programs = new Programs(this.habits);
  }

  /** In each round. @param rows what the engine says of own processes; @param now milliseconds of a clock that never steps back */
  tick(rows: readonly EngineRow[], now: number): void {
    this.away = new Map(rows.filter((r) => r.role === "home" && r.node !== this.p.self).map((r) => [r.pid, r]));
    this.guarded(() => this.openOrClose());
    if (now - this.averagedAt < SAMPLE_MS) return;
    this.averagedAt = now;
    if (this.watch) this.guarded(() => this.watchMounts());
    const { self, others } = this.p.view();
    this.ours.average(self, localLoad);
    for (const n of others) this.ours.average(n, toldLoad);
    this.habits.save();
  }

  /** Nobody is watched while nothing can be sent. */
  private openOrClose(): void {
    const wanted = this.p.levelled.grows && this.p.open();
    if (wanted === (this.watch !== null) || this.lame) return;
    if (!wanted) {
      this.close();
      return;
    }
    this.watch = this.begin();
    this.watchMounts();
    this.timer = setInterval(() => this.guarded(() => this.take()), this.watch instanceof ExecWatch ? TAKE_MS : POLL_MS);
  }

  private begin(): Execs {
    const { levelled, log } = this.p;
    try {
      return new ExecWatch();
    } catch (e) {
      // Without the right, or on a kernel that cannot.
      log.info("programs that begin are looked for: the kernel does not tell of them", { error: String(e) });
      return new ExecPoll(() => levelled.pids);
    }
  }

  /** Those that have come since the last look, too. */
  private watchMounts(): void {
    const text = readFileSync("/proc/self/mountinfo", "utf8");
    if (!(this.watch instanceof ExecWatch) || text === this.mounts) return;
    for (const path of mountsWithPrograms(newLines(this.mounts, text))) {
      try {
        this.watch.addMount(path);
      } catch (e) {
        this.p.log.debug("a mount is not watched for programs that begin", { path, error: String(e) });
      }
    }
    this.mounts = text;
  }

  private close(): void {
    this.mounts = "";
    clearInterval(this.timer);
    this.watch?.[Symbol.dispose]();
    this.watch = null;
  }

  private guarded(work: () => void): void {
    try {
      work();
    } catch (e) {
      // Programs then begin at home, and may move later.
      if (!this.lame) this.p.log.info("programs are not placed as they begin", { error: String(e) });
      this.lame = true;
      this.close();
    }
  }

  private take(): void {
    if (!this.watch) return;
    for (const { pid, path } of this.watch.take()) this.begins(pid, path);
    const now = performance.now();
    if (now - this.lookedAt < LOOK_MS) return;
    this.lookedAt = now;
    this.programs.look(now, (pid) => this.look(pid));
  }

  private begins(pid: number, path: string): void {
    const { levelled, log } = this.p;
    // Its loader is opened to be executed, too.
    if (pid <= 0 || isLoader(path) || !levelled.begins(pid, path)) return;
    const look = this.look(pid);
    if (!look) return;
    const { to, heavy } = this.choose(pid, path);
    const begunAt = performance.now();
    this.programs.begin({ pid, start: look.start, path, before: look.cpuMs, cpuMs: 0, rss: 0, calls: null, node: to, heavy, begunAt });
    if (to === null) return;
    this.p.send(pid, to).catch((e: unknown) => {
      log.debug("a program begins at home after all", { pid, path, error: String(e) });
      this.programs.stays(pid, path);
    });
  }

  private choose(pid: number, path: string): { to: NodeId | null; heavy: boolean } {
    const habit = this.habits.of(path);
    const heavy = habit !== null && habit.cpu >= WORTH_SECONDS;
    if (!heavy || this.p.levelled.isLocked(pid) || this.p.random.int(STAYS_ONE_IN) === 0) return { to: null, heavy };
    const { self, others } = this.p.view();
    const state = { self: this.ours.present(self), others: others.map((n) => this.ours.present(n)), inFlight: new Set<NodeId>() };
    const work = (habit.cpu * self.speed) / STANDARD_SPEED;
    const { job, mask } = this.p.levelled.hints(pid);
    const wants = {
      ...{ cpu: 1, rss: habit.rss, home: nodeId(this.p.self), work, calls: job === "cpu" ? 0 : (habit.calls ?? 0) },
      ...(job !== undefined && { job }),
      ...(mask !== undefined && { allowed: parseMask(mask).allows }),
    };
    return { to: place(state, wants, this.p.knobs(), this.p.random), heavy };
  }

  private look(pid: number): Look | null {
    try {
      const stat = proc.readStat(pid);
      if (stat.state === "Z") return null;
      const start = String(stat.startTime);
      const away = this.away.get(pid);
      if (away) return { start, cpuMs: away.cpuMs ?? 0, rss: away.rss, calls: away.calls ?? 0, node: away.node };
      return { start, cpuMs: (stat.cpuTicks * 1000) / proc.TICKS_PER_SECOND, rss: stat.rssPages * PAGE, calls: null, node: null };
    } catch (e) {
      if (["ENOENT", "ESRCH"].includes((e as NodeJS.ErrnoException).code ?? "")) return null;
      throw e;
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

const isLoader = (path: string): boolean => /\/ld(-linux[^/]*|-musl[^/]*|-[\d.]+)\.so[^/]*$/.test(path);

/** File systems that programs are run from. What the kernel makes up holds none. */
const NONE: ReadonlySet<string> = new Set([
  "proc",
  "sysfs",
  "devpts",
  "cgroup",
  "cgroup2",
  "mqueue",
  "devtmpfs",
  "securityfs",
  "debugfs",
  "tracefs",
  "bpf",
]);

/** A mount over another one has the same path, and a line of its own. */
export function newLines(old: string, text: string): string {
  const known = new Set(old.split("\n"));
  return text
    .split("\n")
    .filter((line) => !known.has(line))
    .join("\n");
}

/** Mount points of a mountinfo text (proc_pid_mountinfo(5)) on which programs may lie. */
export function mountsWithPrograms(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    const fields = line.split(" ");
    const [path, options, type] = [fields[4], fields[5], fields[fields.indexOf("-") + 1]];
    if (path === undefined || options === undefined || type === undefined || NONE.has(type) || options.split(",").includes("noexec"))
      return [];
    return [path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))];
  });
}
