import type { Random } from "../io/mod.ts";
import type { Scenario, Work } from "./scenario.ts";
import { nodeCount } from "./scenario.ts";
import { draw } from "./spread.ts";

/** A process that is to run, as no policy but the omniscient one may know it. */
export interface Job {
  readonly pid: number;
  /** Index of the node where it starts. */
  readonly home: number;
  /** Seconds of a standard processor. */
  readonly work: number;
  readonly memory: number;
  readonly growth: number;
  readonly peak: number;
  readonly calls: number;
  readonly place: boolean;
}

/** Jobs that start at a moment; of a make tree only `width` at a time, each of the others when one has ended. */
export interface Start {
  readonly atMs: number;
  readonly width: number;
  readonly jobs: readonly Job[];
}

/** All that is to run, the same for every policy. In the order of its beginnings. */
export function workload(s: Scenario, random: Random): Start[] {
  const nodes = nodeCount(s);
  let pids = 0;
  const starts: Start[] = [];
  for (const w of s.work) {
    const homes = w.on === 0 ? 1 : Math.max(1, Math.round(w.on * nodes));
    for (let home = 0; home < homes; home++) {
      const jobs = (count: number): Job[] => Array.from({ length: count }, () => job(w, ++pids, home, random));
      if (w.kind === "make") starts.push({ atMs: w.at * 1000, width: w.jobs, jobs: jobs(w.files) });
      else if (w.kind === "batch") starts.push({ atMs: w.at * 1000, width: w.each, jobs: jobs(w.each) });
      else for (const at of arrivals(w.from, w.until, w.every, random)) starts.push({ atMs: at * 1000, width: 1, jobs: jobs(1) });
    }
  }
  // The sort is stable: what starts at one moment does so in the scenario's order.
  return starts.sort((a, b) => a.atMs - b.atMs);
}

function arrivals(from: number, until: number, every: number, random: Random): number[] {
  const out: number[] = [];
  for (let at = from + draw({ exponential: every }, random); at < until; at += draw({ exponential: every }, random)) out.push(at);
  return out;
}

function job(w: Work, pid: number, home: number, random: Random): Job {
  const memory = draw(w.memory, random);
  return {
    pid,
    home,
    work: draw(w.life, random),
    memory,
    growth: w.growth,
    peak: Math.max(memory, w.peak),
    calls: w.calls,
    place: w.place,
  };
}
