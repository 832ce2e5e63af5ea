import type { Habits } from "./habits.ts";

/** A program under load levelling, from its exec to its end. */
export interface Program {
  readonly pid: number;
  /** With the PID it names the process for good. */
  readonly start: string;
  readonly path: string;
  /** CPU milliseconds that the process had used before it became this. */
  readonly before: number;
  cpuMs: number;
  rss: number;
  /** Null as long as it is at home. */
  calls: number | null;
  /** Where it runs; null for here. What it was sent to as it began, until it has been seen there or elsewhere. */
  node: number | null;
  readonly begunAt: number;
  /** It keeps a CPU busy for a while, by its habit. */
  readonly heavy: boolean;
}

/** What is known of a process now: `away` ones by their engine, those at home by /proc. */
export interface Look {
  readonly start: string;
  readonly cpuMs: number;
  readonly rss: number;
  readonly calls: number | null;
  readonly node: number | null;
}

/** So old may the news be of where processes are, milliseconds. */
const NEWS_MS = 2000;

/** The programs that run, so that their executables' habits are learnt when they end. */
export class Programs {
  private readonly live = new Map<number, Program>();
  private readonly habits: Habits;

  constructor(habits: Habits) {
    this.habits = habits;
  }

  /** A process has become a program; what it was before has ended with that. */
  begin(program: Program): void {
    const old = this.live.get(program.pid);
    if (old) this.end(old);
    this.live.set(program.pid, program);
  }

  /** One that was to be sent away has stayed. */
  stays(pid: number, path: string): void {
    const program = this.live.get(pid);
    if (program?.path === path) program.node = null;
  }

  /** Heavy ones that are on a node, or with null here. */
  countHeavy(node: number | null): number {
    let n = 0;
    for (const p of this.live.values()) if (p.heavy && p.node === node) n++;
    return n;
  }

  /**
   * Looks at all that run; those that are gone, or somebody else by now, have ended.
   * @param time milliseconds of the clock of `begunAt`
   */
  look(time: number, at: (pid: number) => Look | null): void {
    for (const p of this.live.values()) {
      const now = at(p.pid);
      if (now === null || now.start !== p.start) {
        this.end(p);
        continue;
      }
      p.cpuMs = Math.max(p.cpuMs, now.cpuMs - p.before);
      p.rss = now.rss;
      // The balancer may have moved it since.
      if (time - p.begunAt >= NEWS_MS) p.node = now.node;
      if (now.calls !== null) p.calls = now.calls;
    }
  }

  private end(p: Program): void {
    this.live.delete(p.pid);
    const known = this.habits.of(p.path);
    const cpu = p.cpuMs / 1000;
    // Of one that was away the last look may be a second old: that says how much at least, not how little.
    if (p.calls !== null && known && cpu < known.cpu) return;
    this.habits.learn(p.path, { cpu, calls: p.calls, rss: p.rss });
  }
}
