import { type Column, textTable } from "../base/mod.ts";
import type { Survey } from "./measure.ts";
import type { Played } from "./play.ts";
import { nodeCount, type Scenario } from "./scenario.ts";

/** What one policy made of a scenario, in figures. Seconds are of virtual time. */
export interface Outcome {
  readonly policy: string;
  /** From the first beginning to the last end. */
  readonly makespan: number;
  /** Of a process: how many times as long it took as alone at home. */
  readonly slowdown: { readonly mean: number; readonly median: number; readonly p95: number; readonly most: number };
  readonly unfinished: number;
  readonly moves: number;
  /** Moves back to a node that was left within 60 s, and which part of the moves they are. */
  readonly pingPongs: number;
  readonly pingPongShare: number;
  /** Bytes that moves carried, and milliseconds that a move kept its process still, on the average. */
  readonly movedBytes: number;
  readonly freezeMs: number;
  /** Seconds that nodes swapped, all together. */
  readonly swapSeconds: number;
  /** A node and second. */
  readonly messages: number;
  readonly bytes: number;
  readonly seconds: number;
}

/** All of it, as `--json` has it. What depends on the machine that simulates is not in it: the same seed, the same text. */
export interface Report {
  readonly scenario: string;
  readonly about: string;
  readonly seed: number;
  readonly nodes: number;
  readonly processes: number;
  readonly outcomes: readonly Outcome[];
}

/** Figures, and what plots need. */
export interface Run {
  readonly outcome: Outcome;
  readonly surveys: readonly Survey[];
  /** Sorted. */
  readonly slowdowns: Float64Array;
  readonly tookMs: number;
  readonly events: number;
}

export function runOf(scenario: Scenario, p: Played): Run {
  const { measure: m, policy, seconds, traffic } = p;
  const slowdowns = Float64Array.from(m.slowdowns).sort();
  const at = (part: number): number => slowdowns[Math.min(slowdowns.length - 1, Math.floor(part * slowdowns.length))] ?? 0;
  const nodeSeconds = nodeCount(scenario) * seconds;
  const outcome: Outcome = {
    policy: policy.name,
    makespan: round((m.lastMs - m.firstMs) / 1000),
    slowdown: {
      mean: round(slowdowns.reduce((sum, s) => sum + s, 0) / Math.max(1, slowdowns.length)),
      median: round(at(0.5)),
      p95: round(at(0.95)),
      most: round(at(1)),
    },
    unfinished: p.unfinished,
    moves: m.moves,
    pingPongs: m.pingPongs,
    pingPongShare: round(m.moves === 0 ? 0 : m.pingPongs / m.moves, 5),
    movedBytes: Math.round(m.movedBytes),
    freezeMs: round(m.moves === 0 ? 0 : m.frozenMs / m.moves),
    swapSeconds: round(m.swapSeconds),
    messages: round(traffic.messages / nodeSeconds),
    bytes: round(traffic.bytes / nodeSeconds),
    seconds: round(seconds),
  };
  return { outcome, surveys: m.surveys, slowdowns, tookMs: p.tookMs, events: p.events };
}

export function reportOf(s: Scenario, processes: number, runs: readonly Run[]): Report {
  return { scenario: s.name, about: s.about, seed: s.seed, nodes: nodeCount(s), processes, outcomes: runs.map((r) => r.outcome) };
}

const round = (n: number, digits = 3): number => Number(n.toFixed(digits));

const TITLES = [
  "POLICY",
  "MAKESPAN",
  "SLOWDOWN",
  "P95",
  "MOVES",
  "PING-PONGS",
  "SWAPPED",
  "MSG/NODE/S",
  "BYTES/NODE/S",
  "UNFINISHED",
] as const;
const COLUMNS: readonly Column[] = TITLES.map((title, i) => ({ title, right: i > 0 }));

/** A line for each policy. */
export function reportRows(r: Report): { head: readonly string[]; rows: string[][] } {
  const rows = r.outcomes.map((o) => [
    o.policy,
    `${o.makespan.toFixed(1)} s`,
    o.slowdown.mean.toFixed(2),
    o.slowdown.p95.toFixed(2),
    String(o.moves),
    o.moves === 0 ? "-" : `${o.pingPongs} (${(o.pingPongShare * 100).toFixed(2)} %)`,
    `${o.swapSeconds.toFixed(0)} s`,
    o.messages.toFixed(1),
    o.bytes.toFixed(0),
    String(o.unfinished),
  ]);
  return { head: TITLES, rows };
}

/** A table, and how makespans compare with the omniscient one. */
export function reportText(r: Report): string {
  const head = `${r.scenario}: ${r.nodes} nodes, ${r.processes} processes, seed ${r.seed}`;
  const about = r.about === "" ? [] : [r.about];
  const best = r.outcomes.find((o) => o.policy === "omniscient");
  const ratios = r.outcomes
    .filter((o) => best !== undefined && o !== best)
    .map((o) => `${o.policy} ${(o.makespan / (best?.makespan ?? 1)).toFixed(3)}`);
  const against = ratios.length === 0 ? [] : ["", `makespan against the omniscient: ${ratios.join(", ")}`];
  return [head, ...about, "", textTable(reportRows(r).rows, COLUMNS), ...against].join("\n");
}
