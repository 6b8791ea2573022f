import type { Journal } from "../../journal.ts";
import { Fault, type FaultCode } from "../../outcome.ts";
import type { RecordedSignature, SignatureEntry } from "../ledger.ts";
import { BackgroundDelivery, type Pace, SERVICE_PACE } from "./background-delivery.ts";

/**
 * One remote log, as requests meet it: many at once, and one after the other. `ready` and `deliver` MUST end within the remote
 * log's timeout, for each request its own.
 */
export interface RemoteLog {
  /** As the configuration calls it. */
  readonly name: string;
  /** Whether a signature waits for it. */
  readonly required: boolean;
  /** Whether there is a connection now, as far as this side has heard. */
  readonly isConnected: boolean;
  /** How many entries it has acknowledged, as far as is known; of one that cannot acknowledge, how many were sent to it. */
  readonly entries: number;
  /** Begins to connect, where that has not begun. MUST NOT throw. */
  connect(): void;
  /**
   * Resolves when the other side is authenticated, answers, and holds nothing that contradicts this log. Faults:
   * `remote-log-unavailable`; `log-broken` where it shows that this log is not what it was.
   */
  ready(): Promise<void>;
  /** Why this log is not what it was, where the other side has shown it by now; never waits. */
  contradiction(): Fault | undefined;
  /**
   * Sends what the other side lacks; resolves when it has acknowledged the first `size` entries (one that cannot
   * acknowledge: when they are sent). Faults as {@link RemoteLog.ready}. Of one that is not required, one at a time.
   */
  deliver(size: number): Promise<void>;
  /** The same for a backlog: for as long as each answer comes in time. */
  catchUp(size: number): Promise<void>;
  /** Ends the connection, within seconds, and what is under way with it. MUST NOT reject. */
  close(): Promise<void>;
}

declare const released: unique symbol;

/**
 * A signature that may leave the host: its entry is durable here and acknowledged by every required remote log. Only
 * {@link RemoteLogs.release} makes one.
 */
export interface Receipt {
  readonly entry: SignatureEntry;
  readonly signature: Uint8Array;
  readonly [released]: true;
}

/** How a remote log is doing, for metrics and `signer status`. */
export interface RemoteLogStatus {
  readonly name: string;
  readonly required: boolean;
  readonly connected: boolean;
  /** As {@link RemoteLog.entries}. */
  readonly entries: number;
  /** What went wrong since it last went well; undefined where nothing did. */
  readonly failure: { readonly at: Date; readonly code: FaultCode; readonly reason: string } | undefined;
}

/**
 * All remote logs of a configuration: for one request, which then calls {@link RemoteLogs.finish}, or for a service, which
 * calls {@link RemoteLogs.follow} first. What goes wrong with one that is not required goes to the journal.
 */
export class RemoteLogs {
  readonly #logs: readonly RemoteLog[];
  readonly #background: ReadonlyMap<RemoteLog, BackgroundDelivery>;
  readonly #failures = new Map<RemoteLog, NonNullable<RemoteLogStatus["failure"]>>();

  constructor(logs: readonly RemoteLog[], journal: Journal) {
    this.#logs = logs;
    this.#background = new Map(
      logs.map((log) => {
        const watch = (work: Promise<void>) => this.#watch(log, work);
        return [log, new BackgroundDelivery(log, { watch, journal })];
      }),
    );
  }

  get #required(): readonly RemoteLog[] {
    return this.#logs.filter((log) => log.required);
  }

  /**
   * From now on each remote log is kept connected, and is sent what it lacks without a request as well: again and again
   * after a failure, in growing intervals of at most a minute, and each minute what was refused meanwhile.
   * @param size how many entries the log has now; may throw a Fault
   * @param pace other than a service's in tests
   */
  follow(size: () => number, pace: Pace = SERVICE_PACE): void {
    for (const delivery of this.#background.values()) delivery.follow(size, pace);
  }

  /** Each remote log as it is now, in file order. Asks nobody. Faults as those of the ledger. */
  state(): readonly RemoteLogStatus[] {
    return this.#logs.map((log) => {
      const { name, required, isConnected: connected, entries } = log;
      return { name, required, connected, entries, failure: this.#failures.get(log) };
    });
  }

  /** Begins to connect to all, so that the handshakes go on while the artefact is read. */
  connect(): void {
    for (const log of this.#logs) {
      if (log.required) log.connect();
      else this.#background.get(log)?.connect();
    }
  }

  /**
   * Resolves when every required remote log is ready, and none, required or not, has shown a contradiction so far. To be
   * called before anything is decided. Faults as {@link RemoteLog.ready}.
   */
  async ready(): Promise<void> {
    this.connect();
    await all(this.#required.map((log) => this.#watch(log, log.ready(), "a part")));
    for (const log of this.#logs) {
      const fault = log.contradiction();
      if (fault !== undefined) throw fault;
    }
  }

  /**
   * Waits for the acknowledgement of every required remote log. A Fault leaves the entry in the log, and the same request
   * later gets the signature (`reissued`). The others are sent to as well, without being waited for.
   */
  async release(recorded: RecordedSignature): Promise<Receipt> {
    const size = recorded.entry.seq + 1;
    for (const log of this.#logs) if (!log.required) this.#background.get(log)?.ask(size);
    try {
      await all(this.#required.map((log) => this.#watch(log, log.deliver(size))));
    } catch (error) {
      throw isUnavailable(error) ? withAdvice(error) : error;
    }
    const { entry, signature } = recorded;
    return { entry, signature } as unknown as Receipt;
  }

  /**
   * Ends all connections: of a request, when those that are not required are done or timed out; of a service, at once. Never
   * throws.
   */
  async finish(): Promise<void> {
    await Promise.all([...this.#background.values()].map((delivery) => delivery.end()));
    await Promise.all(this.#logs.map((log) => log.close()));
  }

  /** Notes how it went, and passes it on. Only the whole shows that what went wrong does so no more. */
  async #watch(log: RemoteLog, work: Promise<void>, what: "a part" | "all" = "all"): Promise<void> {
    try {
      await work;
      if (what === "all") this.#failures.delete(log);
    } catch (error) {
      if (error instanceof Fault)
        this.#failures.set(log, { at: new Date(), code: error.code, reason: error.message });
      throw error;
    }
  }
}

function isUnavailable(error: unknown): error is Fault {
  return error instanceof Fault && error.code === "remote-log-unavailable";
}

/** Before the commit nothing has happened; after it, the client should know that the signature is waiting for it. */
function withAdvice({ code, message, cause }: Fault): Fault {
  return new Fault(code, `${message}; the same request again gets the signature that was logged`, { cause });
}

/** Waits for all, and throws the first Fault when none is under way any more. */
async function all(work: readonly Promise<void>[]): Promise<void> {
  const outcomes = await Promise.allSettled(work);
  const failed = outcomes.find((outcome) => outcome.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}
