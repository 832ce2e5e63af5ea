/** How far behind the newest a datagram may come: the reordering that is borne (as the window of RFC 4303, section 3.4.3). */
export const WINDOW = 128;
const WORD = 32;

/** Which of a sender's numbers came already. Numbers grow by one a datagram; what is older than the window counts as seen. */
export class ReplayWindow {
  private newest = -1;
  private readonly words = new Uint32Array(WINDOW / WORD);

  /** Whether this number is new. Changes nothing: a number is only used up by a datagram that proved genuine. */
  fresh(n: number): boolean {
    if (n > this.newest) return true;
    if (n <= this.newest - WINDOW) return false;
    return ((this.words[this.word(n)] ?? 0) & (1 << (n % WORD))) === 0;
  }

  mark(n: number): void {
    if (n > this.newest) {
      if (n - this.newest >= WINDOW) this.words.fill(0);
      else for (let i = this.newest + 1; i < n; i++) this.clear(i);
      this.clear(n);
      this.newest = n;
    }
    const w = this.word(n);
    this.words[w] = (this.words[w] ?? 0) | (1 << (n % WORD));
  }

  /** From now on everything up to `n` counts as seen. */
  startAfter(n: number): void {
    this.newest = n;
    this.words.fill(0xffff_ffff);
  }

  private clear(n: number): void {
    const w = this.word(n);
    this.words[w] = (this.words[w] ?? 0) & ~(1 << (n % WORD));
  }

  private word(n: number): number {
    return Math.floor(n / WORD) % this.words.length;
  }
}
