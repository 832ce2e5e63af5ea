import { type Arriving, type Offer, refusal } from "./admit.ts";
import type { BalanceKnobs } from "./knobs.ts";
import { unseen } from "./lag.ts";
import { lacking, type Needs, promised } from "./room.ts";
import { UNHEARD_MS } from "./sent.ts";
import type { NodeView } from "./views.ts";

/** What a node answers of its room for a program of another one. */
export interface Room {
  /** Why it has none; null when it has. */
  readonly refusal: string | null;
  /** As it is at this moment, with what is on its way. */
  readonly load: number;
  readonly memFree: number;
}

interface Coming extends Arriving {
  /** When its bytes begin to come and when all are here, as far as the link is as fast as it is taken for. */
  readonly begin: number;
  readonly end: number;
  /** When it runs here, as far as is known. */
  readonly runs: number;
  /** Until when it may not show yet in how much memory is used. */
  readonly until: number;
  /** By a move: not a program that is to begin here. */
  readonly isCarried: boolean;
}

/** What comes shows in what this node knows of itself after so long: a sample. */
const SEEN_MS = 1000;

/** What this node lets come: others ask before they send, since only it knows what it is at that moment (admit.ts). */
export class Admission {
  private readonly knobs: () => BalanceKnobs;
  private coming: Coming[] = [];

  constructor(knobs: () => BalanceKnobs) {
    this.knobs = knobs;
  }

  /** @param self with the load of what ran here at its last sample, `ageMs` ago. @returns why it shall not come, or null: then it counts as on its way for a while */
  answer(self: NodeView, offer: Offer, now: number): string | null {
    const arriving = this.arriving(now, now - self.ageMs);
    const why = refusal(self, arriving, offer, this.knobs());
    if (why === null) this.carried(self, offer, now);
    return why;
  }

  /** Of a program that is to begin here: the same. */
  room(self: NodeView, needs: Needs, now: number): Room {
    const here = promised(self, this.arriving(now, now - self.ageMs));
    const why = lacking(here, needs, false, this.knobs());
    const until = now + UNHEARD_MS;
    if (why === null) this.coming.push({ ...needs, growth: 0, begin: until, end: until, runs: until, until, isCarried: false });
    return { refusal: why, load: here.load, memFree: here.memFree };
  }

  /**
   * What is on its way here, and how many bytes a second come now.
   * @param sampledMs when it was looked at last what runs here: what ran by then shows in that
   */
  arriving(now: number, sampledMs: number): Arriving & { readonly rate: number; readonly carried: number } {
    this.coming = this.coming.filter((c) => now < c.until);
    const sum = { tasks: 0, carried: 0, rss: 0, growth: 0, rate: 0 };
    for (const c of this.coming) {
      const here = c.end > c.begin ? Math.min(1, Math.max(0, (now - SEEN_MS - c.begin) / (c.end - c.begin))) : 0;
      const tasks = c.tasks * unseen(c.runs, sampledMs);
      sum.tasks += tasks;
      if (c.isCarried) sum.carried += tasks;
      sum.rss += c.rss * (1 - here);
      sum.growth += c.growth;
      if (c.begin <= now && here < 1) sum.rate += (c.rss * 1000) / (c.end - c.begin);
    }
    return sum;
  }

  /** Carries share a link by following one another. */
  private carried({ bandwidth }: NodeView, { tasks, rss, growth }: Offer, now: number): void {
    const begin = this.coming.reduce((last, c) => (c.end > c.begin ? Math.max(last, c.end) : last), now);
    const end = begin + (Math.max(1, rss) / bandwidth) * 1000;
    const [runs, until] = [end + this.knobs().freezeMs, Math.max(now + UNHEARD_MS, end + SEEN_MS)];
    this.coming.push({ tasks, rss, growth, begin, end, runs, until, isCarried: true });
  }
}
