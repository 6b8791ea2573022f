import { Fault } from "../outcome.ts";

/** Aborts where nothing was heard for `timeoutMs`; {@link Silence.end} MUST be called. */
export class Silence {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(timeoutMs: number) {
    this.#timer = setTimeout(() => {
      const seconds = Math.round(timeoutMs / 1000);
      this.#controller.abort(new Fault("host-unreachable", `the host was silent for ${seconds} s`));
    }, timeoutMs);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Something was heard, or was taken by the other side. */
  broken(): void {
    this.#timer.refresh();
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}
