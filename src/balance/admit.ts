import { guarded } from "./cost.ts";
import type { BalanceKnobs } from "./knobs.ts";
import { loadAfter, roomAfter } from "./target.ts";
import type { Motive, NodeView } from "./views.ts";
import { bytes, load } from "./words.ts";

/** A process that another node wants to send here. */
export interface Offer {
  readonly motive: Motive;
  /** It comes home. */
  readonly comesHome: boolean;
  /** Tasks that it has ready on the average, and bytes. */
  readonly tasks: number;
  readonly rss: number;
  /** The sender's own load. */
  readonly load: number;
  /** Bytes a second by which it grows. */
  readonly growth: number;
  /** Seconds for which there has to be memory for it. */
  readonly lasts: number;
}

/** What is on its way here already, and does not show in what runs. */
export interface Arriving {
  readonly tasks: number;
  /** Bytes that are not here yet. */
  readonly rss: number;
  /** Bytes a second that they will grow by. */
  readonly growth: number;
}

/**
 * Why a node does not take what is offered, or null when it does. It alone knows what it is now: several that look at the same old news each take it for
 * free. `self.load` is best what runs here now, not an average. Whoever has to leave where it is, or goes home to an idle node, is not asked about load.
 */
export function refusal(self: NodeView, arriving: Arriving, offer: Offer, k: BalanceKnobs): string | null {
  if (!offer.comesHome) {
    const soon = Math.max(0, self.memGrowth ?? 0) + arriving.growth + offer.growth;
    const left = roomAfter(self, offer.rss + arriving.rss, k);
    const lacks = soon * offer.lasts - left;
    if (lacks > 0) return `node ${self.id} lacks ${bytes(lacks)}`;
  }
  if (offer.motive !== "load") return null;
  // An idle node knows that its CPUs are used, not by how many: the first that comes shows what one gets.
  if (self.untried === true && arriving.tasks > 0)
    return `node ${self.id} shares its CPUs, and what those get is not known yet that have just come`;
  const now = { ...self, load: loadAfter(self, arriving.tasks) };
  if (guarded(now, offer.tasks, k.guard) < offer.load) return null;
  return `node ${self.id} has filled up meanwhile: it would be at ${load(loadAfter(now, offer.tasks))}, there it is ${load(offer.load)}`;
}
