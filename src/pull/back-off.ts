/** First wait before something that failed is tried again, in ms. */
const FIRST_MS = 1_000;
/** Times vary by this much to either side, so that what failed at once is not tried again at once. */
const JITTER = 0.2;

/** A time that varies. @param random from 0 to 1, without 1 */
export function jittered(ms: number, random: number): number {
  return ms * (1 - JITTER + 2 * JITTER * random);
}

/** Waits that grow twofold with each failure, up to a longest one; then there is jitter on them. */
export class BackOff {
  readonly #maxMs: number;
  readonly #firstMs: number;
  readonly #random: () => number;
  #failures = 0;

  constructor(
    maxMs: number,
    {
      firstMs = FIRST_MS,
      random = Math.random,
    }: { readonly firstMs?: number; readonly random?: () => number } = {},
  ) {
    this.#maxMs = Math.max(maxMs, 0);
    this.#firstMs = firstMs;
    this.#random = random;
  }

  /** It failed: how long to wait, in ms. */
  next(): number {
    const ms = Math.min(this.#maxMs, this.#firstMs * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    return jittered(ms, this.#random());
  }

  /** It went well, or on. */
  reset(): void {
    this.#failures = 0;
  }
}
