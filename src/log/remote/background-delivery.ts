import type { Journal } from "../../journal.ts";
import { Fault } from "../../outcome.ts";
import type { RemoteLog } from "./remote-logs.ts";

/** How often a service sees to a remote log, in ms. */
export interface Pace {
  /** Between two looks where nothing is wrong. */
  readonly idleMs: number;
  /** The rest after a failure; each further one doubles it. */
  readonly firstRestMs: number;
  readonly maxRestMs: number;
}

export const SERVICE_PACE: Pace = { idleMs: 60_000, firstRestMs: 1_000, maxRestMs: 60_000 };

export interface BackgroundDeliveryOptions {
  readonly journal: Journal;
  /** Sees each piece of work, and passes its outcome on. */
  readonly watch: (work: Promise<void>) => Promise<void>;
}

/**
 * Deliveries to one remote log that no signature waits for. One at a time, each up to the newest entry that was asked for
 * before it began: however many ask, one more follows. What goes wrong goes to the journal.
 */
export class BackgroundDelivery {
  readonly #log: RemoteLog;
  readonly #options: BackgroundDeliveryOptions;
  /** How far the next one is to come; undefined: none is asked for. */
  #wanted: number | undefined;
  #running: Promise<void> | undefined;
  #following: { readonly size: () => number; readonly pace: Pace } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  /** Whether it rests after a failure: what is asked for meanwhile waits. */
  #isResting = false;
  #hasEnded = false;

  constructor(log: RemoteLog, options: BackgroundDeliveryOptions) {
    this.#log = log;
    this.#options = options;
  }

  /** Sees to the remote log from now on, at once and again and again, asked or not. @param size of the log; may throw a Fault */
  follow(size: () => number, pace: Pace): void {
    this.#following = { size, pace };
    this.ask(0);
  }

  /** Begins to connect, unless it rests. */
  connect(): void {
    if (!this.#isResting) this.#log.connect();
  }

  /** Wants the first `size` entries to be sent. Never throws. */
  ask(size: number): void {
    this.#wanted = Math.max(this.#wanted ?? 0, size);
    this.#start();
  }

  /** Resolves when what was asked for is sent, or has failed; where it follows, at once. Nothing more is begun. */
  async end(): Promise<void> {
    if (this.#following === undefined) await this.#running;
    this.#hasEnded = true;
    clearTimeout(this.#timer);
  }

  get #isDue(): boolean {
    return this.#wanted !== undefined && !this.#isResting && !this.#hasEnded;
  }

  #start(): void {
    if (this.#isDue) this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    while (this.#isDue) {
      const size = this.#wanted ?? 0;
      this.#wanted = undefined;
      const hasFailed = !(await this.#deliver(size));
      this.#failures = hasFailed ? this.#failures + 1 : 0;
      if (this.#following !== undefined) this.#schedule(this.#following.pace, hasFailed);
    }
    this.#running = undefined; // in one go with the last look: who asks later begins anew
  }

  /** Whether it went well. */
  async #deliver(size: number): Promise<boolean> {
    const { watch, journal } = this.#options;
    try {
      await watch(this.#following === undefined ? this.#log.deliver(size) : this.#see(size));
      return true;
    } catch (error) {
      if (this.#hasEnded) return false;
      const name = this.#log.name;
      if (error instanceof Fault)
        journal.warn({ remote_log: name, code: error.code, err: error }, error.message);
      else journal.error({ remote_log: name, err: error }, "an unexpected error");
      return false;
    }
  }

  /** Whether it answers, and what it lacks. */
  async #see(wanted: number): Promise<void> {
    await this.#log.ready();
    const size = Math.max(wanted, this.#following?.size() ?? 0);
    if (this.#log.entries < size) await this.#log.catchUp(size);
  }

  #schedule({ idleMs, firstRestMs, maxRestMs }: Pace, hasFailed: boolean): void {
    clearTimeout(this.#timer);
    this.#isResting = hasFailed;
    const restMs = Math.min(firstRestMs * 2 ** (this.#failures - 1), maxRestMs);
    this.#timer = setTimeout(
      () => {
        this.#isResting = false;
        this.ask(0);
      },
      hasFailed ? restMs : idleMs,
    ).unref();
  }
}
