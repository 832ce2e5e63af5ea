import type { Survey } from "./measure.ts";
import { escapeText, type Plot, type Point, plotSvg } from "./plot.ts";
import { type Report, reportRows, type Run } from "./report.ts";

const MOST_POINTS = 300;
const COLOURS = ["#0b6e99", "#c2571a", "#4c8c2b", "#7a4fa3"] as const;
const colour = (i: number): string => COLOURS[i % COLOURS.length] as string;

/** A report as one file that needs no other: a table, and plots of loads and slowdowns. */
export function reportHtml(report: Report, runs: readonly Run[]): string {
  const { head, rows } = reportRows(report);
  const cells = (tag: string, row: readonly string[]): string => `<tr>${row.map((c) => `<${tag}>${escapeText(c)}</${tag}>`).join("")}</tr>`;
  const plots = [...runs.map((r, i) => loadPlot(r, colour(i))), slowdownPlot(runs), processPlot(runs)];
  const title = escapeText(`${report.scenario}: ${report.nodes} nodes, ${report.processes} processes, seed ${report.seed}`);
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${title}</title>
<style>
body { font: 14px/1.5 system-ui, sans-serif; max-width: 1340px; margin: 2em auto; padding: 0 1em; color: #222; background: #fff }
table { border-collapse: collapse; margin: 1em 0 } th, td { padding: .2em .8em; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left }
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 1em }
svg { width: 100%; font: 11px system-ui, sans-serif; fill: #333 } svg .grid { stroke: #e3e3e3 } svg .title { font-weight: 600; font-size: 13px }
</style></head>
<body><h1>${title}</h1><p>${escapeText(report.about)}</p>
<table>${cells("th", head)}${rows.map((r) => cells("td", r)).join("")}</table>
<main>
${plots.map((p) => `<figure>${plotSvg(p)}</figure>`).join("\n")}
</main></body></html>
`;
}

/** So many of them, evenly. */
function some<T>(all: readonly T[]): T[] {
  const step = Math.max(1, all.length / MOST_POINTS);
  return Array.from({ length: Math.min(all.length, MOST_POINTS) }, (_, i) => all[Math.floor(i * step)] as T);
}

function loadPlot({ outcome, surveys }: Run, shade: string): Plot {
  const line = (of: (s: Survey) => number): Point[] => some(surveys).map((s) => ({ x: s.atMs / 1000, y: of(s) }));
  return {
    title: `Load of the nodes: ${outcome.policy}`,
    x: "seconds",
    y: "processes for each standard processor",
    series: [
      { name: "all but tenths", colour: shade, line: line((s) => s.high), down: line((s) => s.low) },
      { name: "mean", colour: shade, line: line((s) => s.mean) },
      { name: "most", colour: "#999", line: line((s) => s.most) },
    ],
  };
}

function slowdownPlot(runs: readonly Run[]): Plot {
  return {
    title: "Slowdown: the part of processes that took longer than so many times as long as alone",
    x: "slowdown",
    y: "part of the processes",
    logX: true,
    logY: true,
    series: runs.map(({ outcome, slowdowns }, i) => ({
      name: outcome.policy,
      colour: colour(i),
      line: tail(slowdowns),
    })),
  };
}

/** Of sorted values, the part that is larger: closer together where few are left. */
function tail(sorted: Float64Array): Point[] {
  const n = sorted.length;
  const out: Point[] = [];
  for (let left = n; left >= 1; left = Math.min(left - 1, Math.floor(left * 0.96))) out.push({ x: sorted[n - left] ?? 1, y: left / n });
  return out;
}

function processPlot(runs: readonly Run[]): Plot {
  return {
    title: "Processes that run",
    x: "seconds",
    y: "processes",
    series: runs.map(({ outcome, surveys }, i) => ({
      name: outcome.policy,
      colour: colour(i),
      line: some(surveys).map((s) => ({ x: s.atMs / 1000, y: s.processes })),
    })),
  };
}
