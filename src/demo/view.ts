import { type Column, cutTo, humanBytes, textTable } from "../base/mod.ts";
import type { MoveTold, Running } from "./moving.ts";
import { bar } from "./screen.ts";

/** Texts of the demo: pure, from what is known to lines. */

const LIVE: readonly Column[] = [
  { title: "PROGRAM" },
  { title: "PID", right: true },
  { title: "RUNS ON" },
  { title: "%CPU", right: true },
  { title: "MOVES", right: true },
  { title: "LAST STOP", right: true },
  { title: "STATE" },
];

export const ms = (n: number): string => `${n < 10 ? n.toFixed(1) : Math.round(n)} ms`;

/** The live table with a progress bar below. */
export function liveLines(all: readonly Running[], nodes: readonly string[], part: number, columns: number): string[] {
  const rows = all.map((r) => {
    const last = r.moves.at(-1);
    const at = r.row?.node ?? last?.to ?? 1;
    const ended = r.end !== null;
    return [
      r.job.name,
      String(r.pid ?? "-"),
      // One place a node, so that the eye sees it move.
      nodes.map((name, i) => (!ended && i + 1 === at ? name : "\u00b7".repeat(name.length))).join(" "),
      ended ? "-" : ((r.row?.cpu ?? 0) * 100).toFixed(0),
      String(r.moves.length),
      last ? ms(last.freezeMs) : "-",
      r.end === null ? "runs" : "done",
    ];
  });
  const width = Math.max(20, columns - 1);
  const table = textTable(rows, LIVE).split("\n");
  return ["", ...table, "", bar(part, Math.min(width, 72))].map((l) => cutTo(l, width));
}

/** A move in one line: the command as anybody could give it, and what came of it. */
export function moveLine(m: MoveTold, seconds: number): string {
  const when = seconds.toFixed(1).padStart(5);
  const head = `${when} s  h1$ ${m.command.padEnd(24)} # ${m.running.job.name}: `;
  if (m.moved === null) return `${head}refused: ${m.error}`;
  const { from, to, bytes, freezeMs } = m.moved;
  return `${head}h${from} -> h${to}, ${humanBytes(bytes)}, stood still ${ms(freezeMs)}`;
}

const SUMMARY: readonly Column[] = [
  { title: "PROGRAM" },
  { title: "SIZE" },
  { title: "MOVES", right: true },
  { title: "TYPICAL STOP", right: true },
  { title: "LONGEST", right: true },
  { title: "RESULT" },
];

export function summaryLines(all: readonly Running[], verdicts: readonly string[]): string[] {
  const rows = all.map((r, i) => {
    const stops = r.moves.map((m) => m.freezeMs);
    const size = `${r.job.size} ${r.job.unit}`;
    return [
      r.job.name,
      size,
      String(stops.length),
      stops.length > 0 ? ms(median(stops)) : "-",
      stops.length > 0 ? ms(Math.max(...stops)) : "-",
      verdicts[i] ?? "",
    ];
  });
  return textTable(rows, SUMMARY).split("\n");
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}
