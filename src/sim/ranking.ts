/** Indices in a heap by a figure that changes, the largest first. */
export class Ranking {
  private readonly keys: Float64Array;
  private readonly heap: Int32Array;
  private readonly places: Int32Array;

  constructor(keys: readonly number[]) {
    this.keys = Float64Array.from(keys);
    this.heap = Int32Array.from(keys, (_, i) => i);
    this.places = Int32Array.from(keys, (_, i) => i);
    for (let i = keys.length - 1; i >= 0; i--) this.down(i);
  }

  /** The one with the largest figure. */
  get top(): number {
    return this.heap[0] as number;
  }
  key(index: number): number {
    return this.keys[index] as number;
  }
  set(index: number, key: number): void {
    this.keys[index] = key;
    this.up(this.places[index] as number);
    this.down(this.places[index] as number);
  }

  /** Of equal ones the first. */
  private above(a: number, b: number): boolean {
    const [x, y] = [this.key(a), this.key(b)];
    return x > y || (x === y && a < b);
  }
  private up(from: number): void {
    for (let at = from; at > 0; ) {
      const parent = (at - 1) >> 1;
      if (!this.swap(at, parent)) return;
      at = parent;
    }
  }
  private down(from: number): void {
    for (let at = from; ; ) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      if (left >= this.heap.length) return;
      const best = right < this.heap.length && this.above(this.heap[right] as number, this.heap[left] as number) ? right : left;
      if (!this.swap(best, at)) return;
      at = best;
    }
  }
  /** Exchanges two when the lower one belongs above. */
  private swap(low: number, high: number): boolean {
    const [a, b] = [this.heap[low] as number, this.heap[high] as number];
    if (!this.above(a, b)) return false;
    this.heap[low] = b;
    this.heap[high] = a;
    this.places[a] = high;
    this.places[b] = low;
    return true;
  }
}
