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
  /** Where it was sent as it began; null when it stayed. */
  readonly node: number | null;
  /** It keeps a CPU busy for a while, by its habit. */
  readonly heavy: boolean;
}

/** What is known of a process now: `away` ones by their engine, those at home by /proc. */
export interface Look {
  readonly start: string;
  readonly cpuMs: number;
  readonly rss: number;
  readonly calls: number | null;
}

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
    if (program?.path === path) this.live.set(pid, { ...program, node: null });
  }

  /** Heavy ones that were sent to a node, or with null stayed, and have not ended. */
  countHeavy(node: number | null): number {
    let n = 0;
    for (const p of this.live.values()) if (p.heavy && p.node === node) n++;
    return n;
  }

  /** Looks at all that run; those that are gone, or somebody else by now, have ended. */
  look(at: (pid: number) => Look | null): void {
    for (const p of this.live.values()) {
      const now = at(p.pid);
      if (now === null || now.start !== p.start) {
        this.end(p);
        continue;
      }
      p.cpuMs = Math.max(p.cpuMs, now.cpuMs - p.before);
      p.rss = now.rss;
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
