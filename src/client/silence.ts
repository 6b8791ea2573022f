import { Fault } from "../outcome.ts";

/** Aborts where nothing was heard of the host for `timeoutMs`; {@link Silence.end} MUST be called. */
export class Silence {
  readonly #controller = new AbortController();
  readonly #timeoutMs: number;
  #timer: NodeJS.Timeout | undefined;
  #isOurs = false;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
    this.broken();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Something was heard, or was taken by the other side. */
  broken(): void {
    this.end();
    if (!this.#isOurs) this.#timer = setTimeout(() => this.#abort(), this.#timeoutMs);
  }

  /** From here on the host waits for us, until it does not: no silence of its own. */
  isOurs(isOurs: boolean): void {
    this.#isOurs = isOurs;
    this.broken();
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #abort(): void {
    const seconds = this.#timeoutMs / 1000;
    this.#controller.abort(new Fault("host-unreachable", `the host was silent for ${seconds} s`));
  }
}
