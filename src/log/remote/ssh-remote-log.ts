import type { SshRemoteLog as SshRemoteLogSource } from "../../config/config.ts";
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
import { ConflictFault, LogHost } from "./log-host.ts";
import { APPEND_TARGET_BYTES, MAX_ENTRIES_PER_MESSAGE } from "./message.ts";
import { noAnswer } from "./remote-log-fault.ts";
import type { RemoteLog } from "./remote-logs.ts";

/** A connection that has been silent for longer is asked whether it stands before it is relied upon, in ms. */
const FRESH_MS = 1_000;
/** How long a login that nobody needs any more may take before it is broken off, in ms. */
const LOGIN_MS = 2_000;

export interface SshRemoteLogOptions {
  readonly ledger: Pick<Ledger, "verifier" | "source" | "acknowledge" | "acknowledgements">;
  /** Of the ledger: where the mark is put that stops signing. */
  readonly stateDirectory: string;
  readonly journal: Journal;
  /**
   * How long {@link SshRemoteLog.deliver} may take: as a whole no longer than the timeout, which a request waits for, or as
   * long as each answer comes in time, for a backlog. Left out: a request.
   */
  readonly patience?: "request" | "backlog";
  /** Connects; left out: over SSH. Faults `remote-log-unavailable`. */
  readonly connect?: (signal: AbortSignal) => Promise<LogHost>;
}

/** A remote log of type `ssh`: a log host that keeps a copy of the log, and acknowledges what it has with its cosignature. */
export class SshRemoteLog implements RemoteLog {
  readonly name: string;
  readonly required: boolean;
  readonly #source: SshRemoteLogSource;
  readonly #options: SshRemoteLogOptions;
  readonly #connect: (signal: AbortSignal) => Promise<LogHost>;
  /** Ends everything that is under way; its reason is a Fault. */
  readonly #end = new AbortController();
  #greeting: Promise<LogHost> | undefined;
  /** When the other side was last heard, on the clock of `performance.now`. */
  #heardAt = 0;
  #contradiction: Fault | undefined;
  #acknowledged: Acknowledgement | undefined;
  #sent = 0;

  constructor(source: SshRemoteLogSource, options: SshRemoteLogOptions) {
    const { name, required } = source;
    this.name = name;
    this.required = required;
    this.#source = source;
    this.#options = options;
    this.#connect = options.connect ?? ((signal) => LogHost.connect(source, options.ledger.verifier, signal));
  }

  /** Entries that it has sent and that were acknowledged. */
  get sent(): number {
    return this.#sent;
  }

  /** The newest acknowledgement that it has received, or was greeted with. */
  get acknowledged(): Acknowledgement | undefined {
    return this.#acknowledged;
  }

  connect(): void {
    if (this.#greeting !== undefined) return;
    this.#greeting = this.#greet();
    this.#greeting.catch(() => undefined); // ready() says it
  }

  async ready(): Promise<void> {
    await this.#within(this.#source.timeoutMs, () => this.#host());
  }

  contradiction(): Fault | undefined {
    return this.#contradiction;
  }

  async deliver(size: number): Promise<void> {
    const { patience = "request" } = this.#options;
    const before = this.#acknowledged;
    try {
      await this.#within(patience === "request" ? this.#source.timeoutMs : undefined, async () => {
        const host = await this.#host();
        while (sizeOf(this.#acknowledged) < size) await this.#append(host, size);
      });
    } finally {
      if (sizeOf(this.#acknowledged) > sizeOf(before) || before === undefined) this.#store();
    }
  }

  async close(): Promise<void> {
    // sshd holds connections that end before a login against the address (PerSourcePenalties): a client that is refused
    // again and again must not be able to lock this host out.
    await this.#greeted();
    this.#end.abort(noAnswer(this.name, "the connection is closed"));
    this.#greeting?.then(
      (host) => host.close(),
      () => undefined,
    );
  }

  /** Waits until a greeting that is under way has come to its end, though not for long. */
  async #greeted(): Promise<void> {
    if (this.#greeting === undefined) return;
    const { promise: enough, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, LOGIN_MS);
    await Promise.race([this.#greeting.catch(() => undefined), enough]);
    clearTimeout(timer);
  }

  /** The log host, greeted, heard of lately. One that went away while the artefact was read is called once more. */
  async #host(): Promise<LogHost> {
    this.connect();
    const host = await this.#greeting;
    if (host !== undefined && (await this.#stands(host))) return host;
    this.#greeting = this.#greet();
    return await this.#greeting;
  }

  async #stands(host: LogHost): Promise<boolean> {
    if (!host.isOpen) return false;
    if (performance.now() - this.#heardAt < FRESH_MS) return true;
    // A third, so that there is time to connect anew.
    const timer = setTimeout(() => host.close(), this.#source.timeoutMs / 3);
    try {
      await host.rootOf(host.size);
      this.#heardAt = performance.now();
      return true;
    } catch (error) {
      if (error instanceof Fault && !this.#end.signal.aborted) return false;
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  async #greet(): Promise<LogHost> {
    const host = await this.#connect(this.#end.signal);
    this.#heardAt = performance.now();
    this.#acknowledged = undefined;
    if (host.newest !== undefined) this.#take(host.newest, host);
    this.#noticeLoss(host);
    return host;
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

  /** Sends the next entries that the log host lacks, of the first `size`, and takes its acknowledgement. */
  async #append(host: LogHost, size: number): Promise<void> {
    const from = sizeOf(this.#acknowledged);
    const source = this.#options.ledger.source();
    try {
      const entries = nextEntries(source, from, size);
      const to = from + entries.length;
      const acknowledgement = await host.append(source.checkpointAt(to), from, to, entries);
      this.#heardAt = performance.now();
      this.#take(acknowledgement, host);
      this.#sent += entries.length;
    } catch (error) {
      if (error instanceof ConflictFault) this.#judge(error, host);
      throw error;
    } finally {
      source.close();
    }
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

  /** Keeps the newest acknowledgement for proofs. One that cannot be kept comes again with the next request. */
  #store(): void {
    const { ledger, journal } = this.#options;
    if (this.#acknowledged === undefined) return;
    try {
      ledger.acknowledge(this.#acknowledged);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      journal.warn(
        { remote_log: this.name, code: error.code, err: error },
        "an acknowledgement was not kept",
      );
    }
  }

  /** Runs `work`, and ends all that this remote log does where it takes longer. */
  async #within<T>(timeoutMs: number | undefined, work: () => Promise<T>): Promise<T> {
    const { promise, reject } = Promise.withResolvers<never>();
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            const fault = noAnswer(this.name, "timed out");
            reject(fault);
            this.#end.abort(fault);
            void this.#greeting?.then((host) => host.close()).catch(() => undefined);
          }, timeoutMs);
    try {
      return await Promise.race([work(), promise]);
    } finally {
      clearTimeout(timer);
    }
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
