import { type Rumour, rumourBytes } from "./gossip-message.ts";

/** What is still to be passed on: the newest for each member, what was told least often first. */
export class Rumours {
  private readonly waiting = new Map<number, { readonly rumour: Rumour; told: number }>();

  /** What was to be told of that member before is outdated. */
  add(rumour: Rumour): void {
    this.waiting.delete(rumour.id);
    this.waiting.set(rumour.id, { rumour, told: 0 });
  }

  remove(id: number): void {
    this.waiting.delete(id);
  }

  get size(): number {
    return this.waiting.size;
  }

  /** As many as fit into `bytes`; after being told `times` a rumour is let go. What probably nobody hears does not count. */
  pick(bytes: number, times: number, counts = true, most = 200): Rumour[] {
    const out: Rumour[] = [];
    let left = bytes;
    // The sort is stable: of those told equally often the older goes first.
    for (const w of [...this.waiting.values()].sort((a, b) => a.told - b.told)) {
      const need = rumourBytes(w.rumour);
      if (need > left) continue;
      left -= need;
      out.push(w.rumour);
      if (counts && ++w.told >= times) this.waiting.delete(w.rumour.id);
      if (out.length >= most) break;
    }
    return out;
  }
}
