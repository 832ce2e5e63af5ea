import { median } from "./view.ts";

/** The lines of proclb: pure, from figures to text. */

const BAR = 30;

/** `  9: ############         |1800:  835 recs/sec`, as OpenSSI's demo-proclb had it. */
export function gaugeLine(second: number, rate: number, max: number, width = BAR): string {
  const full = Math.max(0, Math.min(width, Math.round((rate / max) * width)));
  const digits = String(Math.round(max)).length;
  return `${String(second).padStart(3)}: ${"#".repeat(full).padEnd(width)} |${max}: ${String(Math.round(rate)).padStart(digits)} recs/sec`;
}

/** Records a second made on each node. */
export function shareText(names: readonly string[], rates: readonly number[]): string {
  return names.map((name, i) => `${name} ${String(Math.round(rates[i] ?? 0)).padStart(4)}`).join("  ");
}

/** The bar's end: what all CPUs would make if each made what one of this node's makes, rounded up to something readable. */
export function scaleFor(rate: number, cpusHere: number, cpusAll: number): number {
  const whole = (Math.max(1, rate) / Math.max(1, cpusHere)) * Math.max(1, cpusAll);
  const step = 10 ** Math.max(1, Math.floor(Math.log10(whole)) - 1);
  return Math.ceil(whole / step) * step;
}

/** Rate before and after: of what came before, all but the second in which it began; of what came after, the last half, when moves have been made. */
export function beforeAfter(rates: readonly number[], on: number): { before: number; after: number } | null {
  const before = rates.slice(Math.min(1, on - 1), on);
  const after = rates.slice(on + Math.floor((rates.length - on) / 2));
  return on <= 0 || before.length === 0 || after.length === 0 || on >= rates.length
    ? null
    : { before: median(before), after: median(after) };
}

export function riseText({ before, after }: { before: number; after: number }): string {
  const times = before > 0 ? `: ${(after / before).toFixed(2)} x` : "";
  return `${Math.round(before)} records/s before, ${Math.round(after)} after${times}`;
}
