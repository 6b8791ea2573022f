import type { LogHostSource } from "../../config/config.ts";
import type { Journal } from "../../journal.ts";
import { Fault } from "../../outcome.ts";
import type { Acknowledgement } from "../acknowledgements.ts";
import { type Checkpoint, openCheckpoint } from "../checkpoint.ts";
import type { WitnessKey } from "../cosignature.ts";
import { halt } from "../halt.ts";
import type { Ledger } from "../ledger.ts";
import type { LogSource, StoredEntry } from "../log-source.ts";
import { encodeVerifierKey } from "../signed-note.ts";
import { contradictionOf } from "./contradiction-of.ts";
import { KeptLogHost } from "./kept-log-host.ts";
import { ConflictFault, LogHost } from "./log-host.ts";
import { APPEND_TARGET_BYTES, MAX_ENTRIES_PER_MESSAGE } from "./message.ts";
import { noAnswer } from "./remote-log-fault.ts";
import type { RemoteLog } from "./remote-logs.ts";
import { type Patience, WaitingDeliveries } from "./waiting-deliveries.ts";

export interface CosignedRemoteLogOptions {
  readonly ledger: Pick<Ledger, "verifier" | "source" | "acknowledge" | "acknowledgements">;
  /** Of the ledger: where the mark is put that stops signing. */
  readonly stateDirectory: string;
  readonly journal: Journal;
  /** Connects; left out: as the source says. Faults `remote-log-unavailable`. */
  readonly connect?: (signal: AbortSignal) => Promise<LogHost>;
}

/**
 * A remote log of type `ssh` or `https`: a log host that keeps a copy of the log, and acknowledges what it has with its cosignature. Many
 * requests may use one at once, for as long as the process lives.
 */
export class CosignedRemoteLog implements RemoteLog {
  readonly name: string;
  readonly required: boolean;
  readonly #source: LogHostSource;
  readonly #options: CosignedRemoteLogOptions;
  readonly #host: KeptLogHost;
  readonly #deliveries = new WaitingDeliveries(async (begin) => {
    if (this.#contradiction !== undefined) throw this.#contradiction;
    return await this.#host.use((host) => this.#append(host, begin()));
  });
  #contradiction: Fault | undefined;
  #acknowledged: Acknowledgement | undefined;
  #sent = 0;
  /** Ends with the keeping of acknowledgements that is under way. */
  #storing = Promise.resolve();
  #isStoring = false;
  #stored = 0;

  constructor(source: LogHostSource, options: CosignedRemoteLogOptions) {
    const { name, required, timeoutMs } = source;
    this.name = name;
    this.required = required;
    this.#source = source;
    this.#options = options;
    this.#host = new KeptLogHost({
      name,
      timeoutMs,
      connect: options.connect ?? ((signal) => LogHost.connect(source, options.ledger.verifier, signal)),
      greeted: (host) => this.#greeted(host),
    });
  }

  /** Entries that it has sent and that were acknowledged. */
  get sent(): number {
    return this.#sent;
  }

  /** The newest acknowledgement that it has received, or was greeted with. */
  get acknowledged(): Acknowledgement | undefined {
    return this.#acknowledged;
  }

  get isConnected(): boolean {
    return this.#host.isOpen;
  }

  get entries(): number {
    return sizeOf(this.#acknowledged ?? acknowledgedBy(this.#source.witness, this.#options.ledger));
  }

  connect(): void {
    if (this.#contradiction === undefined) this.#host.connect();
  }

  async ready(): Promise<void> {
    if (this.#contradiction !== undefined) throw this.#contradiction;
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(this.#timedOut()), this.#source.timeoutMs);
    try {
      await Promise.race([this.#host.stand(), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  contradiction(): Fault | undefined {
    return this.#contradiction;
  }

  async deliver(size: number): Promise<void> {
    await this.#reach(size, { timeoutMs: this.#source.timeoutMs, fault: () => this.#timedOut() });
  }

  async catchUp(size: number): Promise<void> {
    await this.#reach(size);
  }

  async close(): Promise<void> {
    await this.#host.close();
    await this.#storing;
  }

  async #reach(size: number, patience?: Patience): Promise<void> {
    if (this.#contradiction !== undefined) throw this.#contradiction;
    try {
      if (sizeOf(this.#acknowledged) < size) await this.#deliveries.reach(size, patience);
    } finally {
      this.#keep();
    }
  }

  #timedOut(): Fault {
    return noAnswer(this.name, "timed out");
  }

  #greeted(host: LogHost): void {
    this.#acknowledged = undefined;
    if (host.newest !== undefined) this.#take(host.newest, host);
    this.#noticeLoss(host);
  }

  /** A log host that has less than it once acknowledged is filled again; somebody should know. */
  #noticeLoss(host: LogHost): void {
    const { ledger, journal } = this.#options;
    const once = acknowledgedBy(this.#source.witness, ledger);
    if (sizeOf(once) > host.size)
      journal.warn(
        { remote_log: this.name, acknowledged: sizeOf(once), holds: host.size },
        "the remote log holds less than it once acknowledged",
      );
  }

  /** Sends the next entries that the log host lacks, of the first `size`; how many it has acknowledged then. */
  async #append(host: LogHost, size: number): Promise<number> {
    const from = sizeOf(this.#acknowledged);
    if (from >= size) return from; // it was greeted with as many
    const source = this.#options.ledger.source();
    try {
      const entries = nextEntries(source, from, size);
      const to = from + entries.length;
      const acknowledgement = await host.append(source.checkpointAt(to), from, to, entries);
      this.#take(acknowledgement, host);
      this.#sent += entries.length;
    } catch (error) {
      if (error instanceof ConflictFault) this.#judge(error, host);
      throw error;
    } finally {
      source.close();
    }
    return sizeOf(this.#acknowledged);
  }

  /** An acknowledgement counts where it is of a head of this log; one that is not is evidence against the log. */
  #take(acknowledgement: Acknowledgement, host: LogHost): void {
    this.#hold(acknowledgement.checkpoint, acknowledgement.note, host);
    this.#acknowledged = acknowledgement;
  }

  /** The log host says that there is a contradiction: only what the log's own key has signed shows that it is so. */
  #judge({ note }: ConflictFault, host: LogHost): void {
    const checkpoint = note === undefined ? undefined : openCheckpoint(note, this.#options.ledger.verifier);
    if (checkpoint !== undefined) this.#hold(checkpoint, note ?? "", host);
  }

  /** Holds a head that the log's key has signed against the log as it is now; stops signing where it is none of its heads. */
  #hold(head: Checkpoint, note: string, host: LogHost): void {
    const { ledger, journal, stateDirectory } = this.#options;
    const source = ledger.source();
    let reason: string | undefined;
    try {
      reason = contradictionOf(this.name, head, source);
    } finally {
      source.close();
    }
    if (reason === undefined) return;
    host.close();
    const fault = new Fault("log-broken", `${reason}; signing is stopped`);
    this.#contradiction = fault;
    journal.error({ remote_log: this.name, code: fault.code, note }, reason);
    halt(stateDirectory, reason, new Date());
    throw fault;
  }

  /** Keeps the newest acknowledgement for proofs, without being waited for. One that cannot be kept comes again with the next. */
  #keep(): void {
    if (!this.#isStoring) this.#storing = this.#store();
  }

  async #store(): Promise<void> {
    const { ledger, journal } = this.#options;
    this.#isStoring = true;
    while (this.#acknowledged !== undefined && sizeOf(this.#acknowledged) !== this.#stored) {
      this.#stored = sizeOf(this.#acknowledged);
      try {
        await ledger.acknowledge(this.#acknowledged);
      } catch (error) {
        const fault = error instanceof Fault ? { code: error.code } : {};
        journal.warn({ remote_log: this.name, ...fault, err: error }, "an acknowledgement was not kept");
      }
    }
    this.#isStoring = false; // in one go with the last look
  }
}

/** What a witness has acknowledged of a log, as far as it was kept; undefined for nothing. */
export function acknowledgedBy(
  witness: WitnessKey,
  ledger: Pick<Ledger, "acknowledgements">,
): Acknowledgement | undefined {
  const wanted = encodeVerifierKey(witness);
  return ledger.acknowledgements().find(({ witness: found }) => encodeVerifierKey(found) === wanted);
}

function sizeOf(acknowledgement: Acknowledgement | undefined): number {
  return acknowledgement?.checkpoint.size ?? 0;
}

/** As many entries from `from` on, before `end`, as one append takes; at least one. */
function nextEntries(source: LogSource, from: number, end: number): readonly StoredEntry[] {
  const entries: StoredEntry[] = [];
  let bytes = 0;
  for (const entry of source.entries(from, Math.min(from + MAX_ENTRIES_PER_MESSAGE, end))) {
    entries.push(entry);
    bytes += entry.line.length + (entry.packages?.length ?? 0);
    if (bytes > APPEND_TARGET_BYTES) break;
  }
  if (entries.length === 0) throw new Error(`the log has no entry ${from}`);
  return entries;
}
