/** Plots as SVG text. Numbers only, but for labels, which are escaped. */

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** A line, or a band between two lines. */
export interface Series {
  readonly name: string;
  readonly colour: string;
  readonly line: readonly Point[];
  /** Lower edge of a band whose upper edge is `line`. */
  readonly down?: readonly Point[];
}

export interface Plot {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  /** Axes on which each step is ten times the one before. Values at or below zero are left out of them. */
  readonly logX?: boolean;
  readonly logY?: boolean;
  readonly series: readonly Series[];
}

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [640, 300, 56, 12, 34, 40] as const;
const TICKS = 5;

export const escapeText = (text: string): string => text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

interface Axis {
  readonly at: (value: number) => number;
  readonly ticks: readonly number[];
}

function axis(values: readonly number[], log: boolean, from: number, to: number): Axis {
  const scale = log ? Math.log10 : (v: number): number => v;
  const most = scale(values.reduce((a, b) => Math.max(a, b), log ? 1 : 0));
  const least = log ? scale(values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)) : 0;
  const begin = log ? Math.floor(Number.isFinite(least) ? least : 0) : 0;
  const step = log ? 1 : niceStep(most / TICKS);
  const end = Math.max(begin + step, Math.ceil(most / step - 1e-9) * step);
  const ticks = Array.from({ length: Math.round((end - begin) / step) + 1 }, (_, i) => begin + i * step);
  return {
    at: (v) => from + ((scale(v) - begin) / (end - begin)) * (to - from),
    ticks: log ? ticks.map((t) => 10 ** t) : ticks,
  };
}

/** 1, 2 or 5 times a power of ten. */
function niceStep(rough: number): number {
  if (!(rough > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  return ([1, 2, 5].find((m) => m * power >= rough - 1e-12) ?? 10) * power;
}

const short = (n: number): string => String(Number(n.toPrecision(3)));

/** One plot: axes, a legend and its series. */
export function plotSvg(p: Plot): string {
  const good = (pt: Point): boolean => !(p.logX && pt.x <= 0) && !(p.logY && pt.y <= 0);
  const series = p.series.map((s) => ({ ...s, line: s.line.filter(good), down: s.down?.filter(good) }));
  const points = series.flatMap((s) => [...s.line, ...(s.down ?? [])]);
  const x = axis(
    points.map((pt) => pt.x),
    p.logX === true,
    LEFT,
    WIDTH - RIGHT,
  );
  const y = axis(
    points.map((pt) => pt.y),
    p.logY === true,
    HEIGHT - BOTTOM,
    TOP,
  );
  const place = (pt: Point): string => `${x.at(pt.x).toFixed(1)},${y.at(pt.y).toFixed(1)}`;
  const text = (at: string, words: string, anchor = "middle"): string => `<text ${at} text-anchor="${anchor}">${escapeText(words)}</text>`;
  const grid = [
    ...x.ticks.map(
      (t) =>
        `<path class="grid" d="M${x.at(t).toFixed(1)} ${TOP}V${HEIGHT - BOTTOM}"/>${text(`x="${x.at(t).toFixed(1)}" y="${HEIGHT - BOTTOM + 14}"`, short(t))}`,
    ),
    ...y.ticks.map(
      (t) =>
        `<path class="grid" d="M${LEFT} ${y.at(t).toFixed(1)}H${WIDTH - RIGHT}"/>${text(`x="${LEFT - 6}" y="${(y.at(t) + 4).toFixed(1)}"`, short(t), "end")}`,
    ),
  ];
  const shapes = series.map(({ colour, line, down }) =>
    down === undefined
      ? `<polyline fill="none" stroke="${colour}" stroke-width="1.6" points="${line.map(place).join(" ")}"/>`
      : `<polygon fill="${colour}" fill-opacity="0.22" points="${[...line, ...[...down].reverse()].map(place).join(" ")}"/>`,
  );
  const legend = series.map(
    (s, i) =>
      `<rect x="${LEFT + 8 + i * 138}" y="${TOP - 12}" width="10" height="8" fill="${s.colour}"/>${text(`x="${LEFT + 22 + i * 138}" y="${TOP - 4}"`, s.name, "start")}`,
  );
  return [
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeText(p.title)}">`,
    text(`x="${LEFT}" y="14" class="title"`, p.title, "start"),
    ...grid,
    ...shapes,
    ...legend,
    text(`x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 6}"`, p.x),
    text(`transform="translate(13 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)"`, p.y),
    "</svg>",
  ].join("\n");
}
