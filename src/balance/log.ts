import type { Decision } from "./views.ts";

/** A decision as it is kept: with how often in a row it was made, its numbers being those of the last time. */
export interface Logged {
  readonly decision: Decision;
  readonly times: number;
  readonly firstMs: number;
}

export interface DecisionLogOptions {
  /** Decisions kept for each process. */
  readonly perProcess?: number;
  /** Processes that decisions are kept of; those longest without one are forgotten. */
  readonly processes?: number;
}

const PER_PROCESS = 16;
const PROCESSES = 4096;

/** The last decisions about each process, for and against: what `tesela why PID` prints. */
export class DecisionLog {
  private readonly perProcess: number;
  private readonly limit: number;
  /** By `home:pid`, in the order of their last decision. */
  private readonly byProcess = new Map<string, Logged[]>();

  constructor({ perProcess = PER_PROCESS, processes = PROCESSES }: DecisionLogOptions = {}) {
    this.perProcess = perProcess;
    this.limit = processes;
  }

  /** A decision to stay, for the same reason as the one before, takes its place: only the numbers have changed. */
  add(decisions: readonly Decision[]): void {
    for (const decision of decisions) {
      const key = keyOf(decision.home, decision.pid);
      const kept = this.byProcess.get(key) ?? [];
      const last = kept.at(-1);
      if (last !== undefined && decision.to === null && sameReason(last.decision, decision)) {
        kept[kept.length - 1] = { decision, times: last.times + 1, firstMs: last.firstMs };
      } else {
        kept.push({ decision, times: 1, firstMs: decision.atMs });
        if (kept.length > this.perProcess) kept.shift();
      }
      this.byProcess.delete(key);
      this.byProcess.set(key, kept);
    }
    for (const key of this.byProcess.keys()) {
      if (this.byProcess.size <= this.limit) break;
      this.byProcess.delete(key);
    }
  }

  /** The newest last. */
  of(home: number, pid: number): readonly Logged[] {
    return this.byProcess.get(keyOf(home, pid)) ?? [];
  }

  /** Its PID will be another's. */
  forget(home: number, pid: number): void {
    this.byProcess.delete(keyOf(home, pid));
  }
}

const keyOf = (home: number, pid: number): string => `${home}:${pid}`;

const sameReason = (a: Decision, b: Decision): boolean => a.to === b.to && a.motive === b.motive && shape(a.why) === shape(b.why);

/** Without its numbers, and without the units that change with them. */
const shape = (why: string): string => why.replace(/-?\d+(?:\.\d+)?(?: (?:[KMG]iB|B|s)\b)?/g, "#");
