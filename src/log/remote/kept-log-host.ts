import { Fault } from "../../outcome.ts";
import type { LogHost } from "./log-host.ts";
import { noAnswer } from "./remote-log-fault.ts";

/** A connection that has been silent for longer is asked whether it stands before it is relied upon, in ms. */
const FRESH_MS = 1_000;
/** How long a login that nobody needs any more may take before it is broken off, in ms. */
const LOGIN_MS = 2_000;
/** The rest after a first failure, in ms; each further one doubles it, up to a quarter of the timeout. */
const FIRST_REST_MS = 250;

export interface KeptLogHostOptions {
  /** As messages call it. */
  readonly name: string;
  /** How long connecting and greeting may take, in ms. */
  readonly timeoutMs: number;
  /** Connects and greets. MUST reject with a Fault. @param signal gives up when it aborts, also later on; its reason is a Fault */
  readonly connect: (signal: AbortSignal) => Promise<LogHost>;
  /** Looks at what a log host was greeted with; its Fault ends the connection. */
  readonly greeted: (host: LogHost) => void;
}

/**
 * A log host that is called when it is needed and kept on the line. Who uses it waits for its turn, and finds it standing: one
 * that has ended, or that does not answer any more, is called anew; many who wait share one attempt. Between failures
 * there is a rest, so that attempts are bounded however many ask.
 */
export class KeptLogHost {
  readonly #options: KeptLogHostOptions;
  #host: LogHost | undefined;
  /** The attempt that made, or is to make, the host: to break it off. */
  #attempt: AbortController | undefined;
  #calling: Promise<LogHost> | undefined;
  #failures = 0;
  #restUntil = 0;
  /** Ends when all that has been asked so far is done. */
  #turn: Promise<unknown> = Promise.resolve();
  #standing: Promise<void> | undefined;
  #closed: Fault | undefined;

  constructor(options: KeptLogHostOptions) {
    this.#options = options;
  }

  /** Whether there is a connection, as far as this side has heard. */
  get isOpen(): boolean {
    return this.#host?.isOpen === true;
  }

  /** Begins to connect, unless it is connected. Never throws. */
  connect(): void {
    if (!this.isOpen) this.stand().catch(() => undefined); // who needs it meets it again
  }

  /** Resolves when the log host is there and was heard of lately. */
  async stand(): Promise<void> {
    if (this.#isFresh()) return;
    this.#standing ??= this.use(async () => undefined).finally(() => {
      this.#standing = undefined;
    });
    await this.#standing;
  }

  /** Runs a piece of conversation, alone, with a log host that stands. A Fault of it counts as a failure of the log host. */
  use<T>(work: (host: LogHost) => Promise<T>): Promise<T> {
    const mine = this.#turn.then(() => this.#use(work));
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  /** Ends it, for good. A login that is under way is waited for, though not for long. Never rejects. */
  async close(): Promise<void> {
    this.#closed ??= noAnswer(this.#options.name, "the connection is closed");
    // sshd holds connections that end before a login against the address (PerSourcePenalties): a client that is refused
    // again and again must not be able to lock this host out.
    await this.#called();
    this.#attempt?.abort(this.#closed);
    this.#host?.close();
  }

  async #use<T>(work: (host: LogHost) => Promise<T>): Promise<T> {
    try {
      const result = await work(await this.#stand());
      this.#failures = 0;
      return result;
    } catch (error) {
      this.#failures += 1;
      const restMs = Math.min(FIRST_REST_MS * 2 ** (this.#failures - 1), this.#options.timeoutMs / 4);
      this.#restUntil = performance.now() + restMs;
      throw error;
    }
  }

  #isFresh(): boolean {
    const host = this.#host;
    return host?.isOpen === true && performance.now() - host.heardAt < FRESH_MS;
  }

  async #stand(): Promise<LogHost> {
    const before = this.#host;
    if (before !== undefined && (await this.#stands(before))) return before;
    this.#host = undefined;
    before?.close();
    if (this.#closed !== undefined) throw this.#closed;
    this.#calling = this.#call();
    try {
      const host = await this.#calling;
      this.#host = host;
      this.#options.greeted(host);
      return host;
    } catch (error) {
      this.#host?.close();
      throw error;
    } finally {
      this.#calling = undefined;
    }
  }

  async #stands(host: LogHost): Promise<boolean> {
    if (this.#isFresh()) return true;
    if (!host.isOpen || this.#closed !== undefined) return false;
    // A third, so that there is time to connect anew.
    const timer = setTimeout(() => host.close(), this.#options.timeoutMs / 3);
    try {
      await host.rootOf(host.size);
      return true;
    } catch (error) {
      if (error instanceof Fault) return false;
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** One attempt, after the rest that is due. */
  async #call(): Promise<LogHost> {
    const { name, timeoutMs, connect } = this.#options;
    const attempt = new AbortController();
    this.#attempt = attempt;
    const { promise: givenUp, reject: giveUp } = Promise.withResolvers<never>();
    givenUp.catch(() => undefined); // it may come when nobody listens any more
    attempt.signal.addEventListener("abort", () => giveUp(attempt.signal.reason), { once: true });
    const restMs = this.#restUntil - performance.now();
    let timer: NodeJS.Timeout | undefined;
    let connecting: Promise<LogHost> | undefined;
    try {
      if (restMs > 0) {
        const { promise: rested, resolve } = Promise.withResolvers<void>();
        timer = setTimeout(resolve, restMs);
        await Promise.race([rested, givenUp]);
      }
      timer = setTimeout(() => attempt.abort(noAnswer(name, "timed out")), timeoutMs);
      connecting = connect(attempt.signal);
      return await Promise.race([connecting, givenUp]);
    } catch (error) {
      connecting?.then(
        (host) => host.close(),
        () => undefined,
      );
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Waits until an attempt that is under way has come to its end, though not for long. */
  async #called(): Promise<void> {
    if (this.#calling === undefined) return;
    const { promise: enough, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, LOGIN_MS);
    await Promise.race([this.#calling.catch(() => undefined), enough]);
    clearTimeout(timer);
  }
}
