import type { Journal } from "../../journal.ts";
import { Fault } from "../../outcome.ts";
import type { RecordedSignature, SignatureEntry } from "../ledger.ts";

/** One remote log, as a request meets it. Each method MUST end within the remote log's timeout. */
export interface RemoteLog {
  /** As the configuration calls it. */
  readonly name: string;
  /** Whether a signature waits for it. */
  readonly required: boolean;
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
   * acknowledge: when they are sent). Faults as {@link RemoteLog.ready}.
   */
  deliver(size: number): Promise<void>;
  /** Ends the connection, within seconds. MUST NOT reject. */
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

/** All remote logs of a configuration. What goes wrong with one that is not required goes to the journal. */
export class RemoteLogs {
  readonly #logs: readonly RemoteLog[];
  readonly #journal: Journal;
  /** What is under way to those that are not required: one delivery after the other to each. */
  readonly #deliveries = new Map<RemoteLog, Promise<void>>();

  constructor(logs: readonly RemoteLog[], journal: Journal) {
    this.#logs = logs;
    this.#journal = journal;
  }

  get #required(): readonly RemoteLog[] {
    return this.#logs.filter((log) => log.required);
  }

  /** Begins to connect to all, so that the handshakes go on while the artefact is read. */
  connect(): void {
    for (const log of this.#logs) log.connect();
  }

  /**
   * Resolves when every required remote log is ready, and none, required or not, has shown a contradiction so far. To be
   * called before anything is decided. Faults as {@link RemoteLog.ready}.
   */
  async ready(): Promise<void> {
    this.connect();
    await all(this.#required.map((log) => log.ready()));
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
    this.#deliverOptional(size);
    try {
      await all(this.#required.map((log) => log.deliver(size)));
    } catch (error) {
      throw isUnavailable(error) ? withAdvice(error) : error;
    }
    const { entry, signature } = recorded;
    return { entry, signature } as unknown as Receipt;
  }

  /** Waits until those that are not required are done, or timed out, and ends all connections. Never throws. */
  async finish(): Promise<void> {
    await Promise.all(this.#deliveries.values());
    await Promise.all(this.#logs.map((log) => log.close()));
  }

  #deliverOptional(size: number): void {
    for (const log of this.#logs.filter(({ required }) => !required)) {
      const before = this.#deliveries.get(log);
      const deliver = () => this.#deliver(log, size);
      this.#deliveries.set(log, before === undefined ? deliver() : before.then(deliver));
    }
  }

  async #deliver(log: RemoteLog, size: number): Promise<void> {
    try {
      await log.deliver(size);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#journal.warn({ remote_log: log.name, code: error.code, err: error }, error.message);
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
