import type { Fault } from "../../outcome.ts";

/** Who waits until so many entries are acknowledged. */
interface Waiting {
  readonly size: number;
  readonly settle: () => void;
  readonly fail: (error: unknown) => void;
}

/** How long one of them waits. */
export interface Patience {
  readonly timeoutMs: number;
  /** What it gets then, alone. */
  readonly fault: () => Fault;
}

/** Sends a piece of what is wanted, which `begin` says when that is to be known; resolves with how far all is acknowledged. */
type SendPiece = (begin: () => number) => Promise<number>;

/**
 * Deliveries to one place, of which each covers all who wait: a round sends towards the largest size that is asked for, one
 * round after the other, as long as anybody waits. A round that fails fails those who were there when it began, or all where it
 * never did; who came meanwhile gets a round of its own.
 */
export class WaitingDeliveries {
  readonly #waiting = new Set<Waiting>();
  readonly #send: SendPiece;
  #isRunning = false;

  /** @param send MUST reject, or come further than before */
  constructor(send: SendPiece) {
    this.#send = send;
  }

  /**
   * Resolves when the first `size` entries are acknowledged. Rejects with what a round failed with, or with that of `patience`.
   * @param patience left out: as long as the rounds go on
   */
  async reach(size: number, patience?: Patience): Promise<void> {
    const { promise, resolve: settle, reject: fail } = Promise.withResolvers<void>();
    const one: Waiting = { size, settle, fail };
    this.#waiting.add(one);
    const timer = patience && setTimeout(() => fail(patience.fault()), patience.timeoutMs);
    void this.#run();
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(one);
    }
  }

  async #run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    while (this.#waiting.size > 0) {
      let round: readonly Waiting[] | undefined;
      const begin = (): number => {
        round = [...this.#waiting];
        return Math.max(0, ...round.map(({ size }) => size));
      };
      try {
        const reached = await this.#send(begin);
        for (const one of this.#waiting) if (one.size <= reached) this.#end(one, one.settle);
      } catch (error) {
        for (const one of round ?? this.#waiting) this.#end(one, () => one.fail(error));
      }
    }
    this.#isRunning = false;
  }

  #end(one: Waiting, how: () => void): void {
    this.#waiting.delete(one);
    how();
  }
}
