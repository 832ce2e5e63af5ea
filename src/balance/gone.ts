import { capacity } from "./cost.ts";
import { SAMPLE_MS, unseen } from "./lag.ts";
import type { NodeView } from "./views.ts";

/** What has been sent away from a node, as far as its load still has it: without, each of a few moves in one second is one too many. */
export class Gone {
  private all: { readonly tasks: number; readonly at: number }[] = [];

  add(tasks: number, at: number): void {
    this.all.push({ tasks, at });
  }

  /** The node without that. @param self as of its last sample: `ageMs` is how long ago that was */
  without(self: NodeView, now: number): NodeView {
    const sampled = now - self.ageMs;
    this.all = this.all.filter(({ at }) => at > sampled - SAMPLE_MS);
    const tasks = this.all.reduce((sum, { tasks: some, at }) => sum + some * unseen(at, sampled), 0);
    return tasks === 0 ? self : { ...self, load: Math.max(0, self.load - tasks / capacity(self)) };
  }
}
