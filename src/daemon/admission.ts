import { type BalanceKnobs, lacking, type Needs, type NodeView, type Offer, promised, refusal, UNHEARD_MS } from "../balance/mod.ts";
import type { RoomHere } from "./shapes.ts";

interface Coming {
  readonly tasks: number;
  readonly rss: number;
  readonly at: number;
}

/** What this node lets come: others ask before they send, since only it knows what it is at that moment (src/balance/admit.ts). */
export class Admission {
  private readonly knobs: () => BalanceKnobs;
  private coming: Coming[] = [];

  constructor(knobs: () => BalanceKnobs) {
    this.knobs = knobs;
  }

  /** @param self with the load of what runs here now. @returns why it shall not come, or null: then it counts as on its way for a while */
  answer(self: NodeView, offer: Offer, now: number): string | null {
    const arriving = this.arriving(now);
    const why = refusal(self, arriving, offer, this.knobs());
    if (why === null) this.coming.push({ tasks: offer.tasks, rss: offer.rss, at: now });
    return why;
  }

  /** Of a program that is to begin here: the same. */
  room(self: NodeView, needs: Needs, now: number): RoomHere {
    const here = promised(self, this.arriving(now));
    const why = lacking(here, needs, false, this.knobs());
    if (why === null) this.coming.push({ ...needs, at: now });
    return { refusal: why, load: here.load, memFree: here.memFree };
  }

  private arriving(now: number): Needs {
    this.coming = this.coming.filter((c) => now - c.at < UNHEARD_MS);
    return this.coming.reduce((sum, c) => ({ tasks: sum.tasks + c.tasks, rss: sum.rss + c.rss }), { tasks: 0, rss: 0 });
  }
}
