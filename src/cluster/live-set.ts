import { type Random, shuffle } from "../io/mod.ts";

/** A set of node numbers out of which random ones are drawn, in time that does not depend on its size; and all in turn. */
export class LiveSet {
  private readonly random: Random;
  private readonly ids: number[] = [];
  private readonly places = new Map<number, number>();
  private turn: number[] = [];

  constructor(random: Random) {
    this.random = random;
  }

  get size(): number {
    return this.ids.length;
  }

  has(id: number): boolean {
    return this.places.has(id);
  }

  add(id: number): void {
    if (this.places.has(id)) return;
    this.places.set(id, this.ids.length);
    this.ids.push(id);
    // Somewhere in the turn that is going on, so that nobody who joins has to wait for all the others (SWIM, section 4.3).
    this.turn.splice(this.random.int(this.turn.length + 1), 0, id);
  }

  remove(id: number): void {
    const place = this.places.get(id);
    if (place === undefined) return;
    const last = this.ids.pop();
    if (last !== undefined && last !== id) {
      this.ids[place] = last;
      this.places.set(last, place);
    }
    this.places.delete(id);
  }

  /** Up to `most` different ones, without those in `but`. */
  draw(most: number, ...but: readonly number[]): number[] {
    const { ids, random } = this;
    const out = new Set<number>();
    const want = Math.min(most, ids.length - but.filter((id) => this.places.has(id)).length);
    if (want * 3 >= ids.length) {
      return shuffle(random, ids)
        .filter((id) => !but.includes(id))
        .slice(0, Math.max(0, want));
    }
    while (out.size < want) {
      const id = ids[random.int(ids.length)] as number;
      if (!but.includes(id)) out.add(id);
    }
    return [...out];
  }

  /** Each one once, in random order, then all again in another order; null when there is none. */
  next(): number | null {
    for (;;) {
      if (this.turn.length === 0) {
        if (this.ids.length === 0) return null;
        this.turn = shuffle(this.random, this.ids);
      }
      const id = this.turn.pop();
      if (id !== undefined && this.places.has(id)) return id;
    }
  }
}
