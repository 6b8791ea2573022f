/** Takes turns: of those that want to work, so many do at the same time, the others in the order in which they came. */
export class Turns {
  readonly #waiting = new Set<(isMine: boolean) => void>();
  readonly #atOnce: () => number;
  #active = 0;

  /** `atOnce` is asked at each turn; at least 1. */
  constructor(atOnce: () => number) {
    this.#atOnce = atOnce;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Waits for a turn, at most `maxWaitMs`. What it resolves with ends the turn, and MUST be called, once; undefined where the
   * turn did not come.
   */
  async take(maxWaitMs: number): Promise<(() => void) | undefined> {
    if (this.#active < this.#atOnce()) return this.#begin();
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#waiting.add(resolve);
    const timer = setTimeout(() => {
      if (this.#waiting.delete(resolve)) resolve(false);
    }, maxWaitMs);
    const isMine = await promise;
    clearTimeout(timer);
    return isMine ? () => this.#end() : undefined;
  }

  /** Nobody who waits now gets a turn. */
  abandon(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve(false);
  }

  #begin(): () => void {
    this.#active += 1;
    return () => this.#end();
  }

  /** Ends a turn; those who wait get what places there are by now, which may be more or fewer than before. */
  #end(): void {
    this.#active -= 1;
    for (const next of this.#waiting) {
      if (this.#active >= this.#atOnce()) return;
      this.#waiting.delete(next);
      this.#active += 1;
      next(true);
    }
  }
}
