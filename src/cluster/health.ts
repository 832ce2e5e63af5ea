/**
 * How far a node trusts itself: 0 is well. A node that misses answers which others get, or has to refute that it is dead, is more likely to be ill
 * itself than all the others, and gives them more time (Lifeguard's local health multiplier).
 */
export class Health {
  private readonly most: number;
  private points = 0;

  constructor(most: number) {
    this.most = most;
  }

  worse(by: number): void {
    this.points = Math.min(this.most - 1, this.points + by);
  }

  better(): void {
    this.points = Math.max(0, this.points - 1);
  }

  /** 1 to `most`: what its own time limits are multiplied by. */
  get factor(): number {
    return this.points + 1;
  }
}
