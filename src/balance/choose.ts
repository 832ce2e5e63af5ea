import type { Random } from "../io/mod.ts";
import type { CostKnobs } from "./knobs.ts";
import type { Weighed } from "./weigh.ts";

/**
 * The target among those that pay: of those that bring nearly the most, those whose opportunity cost rises least, and among near-equal ones
 * chance decides, since other nodes look at the same numbers at the same moment.
 */
export function chooseTarget<T extends Pick<Weighed, "net" | "marginal">>(paying: readonly T[], k: CostKnobs, random: Random): T | null {
  const most = Math.max(...paying.map((w) => w.net));
  const good = paying.filter((w) => w.net >= most - Math.abs(most) * k.nearEqual);
  const least = Math.min(...good.map((w) => w.marginal));
  const equal = good.filter((w) => w.marginal <= least + Math.abs(least) * k.nearEqual);
  return equal.length === 0 ? null : (equal[random.int(equal.length)] ?? null);
}
