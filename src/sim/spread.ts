import type { Random } from "../io/mod.ts";

/** How a figure is spread: always the same, evenly, exponentially, or with a heavy tail. */
export type Spread =
  | number
  | { readonly uniform: readonly [least: number, most: number] }
  | { readonly exponential: number }
  | { readonly pareto: { readonly alpha: number; readonly least: number; readonly most: number } };

/** One value. The bounded Pareto with alpha about 1 is what lives of Unix processes follow (Harchol-Balter and Downey, 1996). */
export function draw(spread: Spread, random: Random): number {
  if (typeof spread === "number") return spread;
  const u = random.float();
  if ("uniform" in spread) {
    const [least, most] = spread.uniform;
    return least + (most - least) * u;
  }
  if ("exponential" in spread) return -Math.log(1 - u) * spread.exponential;
  const { alpha, least, most } = spread.pareto;
  return least * (1 - u * (1 - (least / most) ** alpha)) ** (-1 / alpha);
}

/** The mean of what `draw` gives. */
export function mean(spread: Spread): number {
  if (typeof spread === "number") return spread;
  if ("uniform" in spread) return (spread.uniform[0] + spread.uniform[1]) / 2;
  if ("exponential" in spread) return spread.exponential;
  const { alpha, least: l, most: h } = spread.pareto;
  const weight = l ** alpha / (1 - (l / h) ** alpha);
  return alpha === 1 ? weight * Math.log(h / l) : (weight * alpha * (l ** (1 - alpha) - h ** (1 - alpha))) / (alpha - 1);
}
