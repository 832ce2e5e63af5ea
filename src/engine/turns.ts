/** Work that is done one piece after the other. */
export class Turns {
  private last: Promise<unknown> = Promise.resolve();

  take<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.last.then(work);
    this.last = mine.catch(() => undefined);
    return mine;
  }

  /** Resolves once all that was begun by now is done. */
  async idle(): Promise<void> {
    await this.last;
  }
}
