import { Fault, isRefusal, type Refusal } from "../outcome.ts";
import { type Acknowledgement, readAcknowledgements, storeAcknowledgement } from "./acknowledgements.ts";
import { CommittedReads } from "./committed-reads.ts";
import type { Database } from "./database.ts";
import { readForwarded, storeForwarded } from "./forwarded.ts";
import { refuseHalted } from "./halt.ts";
import { createState } from "./ledger-creation.ts";
import { type LedgerQueries, ledgerQueries } from "./ledger-queries.ts";
import type { Extra, LedgerTransaction, RefusedFields } from "./ledger-transaction.ts";
import { LedgerWriter } from "./ledger-writer.ts";
import { effectiveTime } from "./log-clock.ts";
import type { EntryFields, LogEntry } from "./log-entry.ts";
import { logInode, openLogDatabase } from "./log-file.ts";
import { readCheckpoint, readHead, readVerifier } from "./log-head.ts";
import { readLogKey } from "./log-key.ts";
import { LogSource } from "./log-source.ts";
import { encodeVerifierKey, type NoteSigner, type VerifierKey } from "./signed-note.ts";

declare const durable: unique symbol;

/** A signature whose entry is durable on this host. Only {@link Ledger.sign} makes one, after its COMMIT. */
export interface RecordedSignature {
  readonly kind: "recorded";
  readonly entry: SignatureEntry;
  /** The entry's signature, as bytes. */
  readonly signature: Uint8Array;
  readonly [durable]: true;
}

/** The fields of an entry whose signature leaves the host. */
export type SignatureFields = EntryFields & { readonly kind: "signed" | "reissued" };
export type SignatureEntry = LogEntry & { readonly kind: "signed" | "reissued" };

/** What {@link Ledger.sign} logs before the signature in it may be delivered. */
export interface SignatureRecord {
  readonly kind: "signature-record";
  readonly fields: SignatureFields;
  readonly extra?: Extra;
}

export interface LedgerOptions {
  /** The log's identity, from the configuration: another log is refused. Left out: any log. */
  readonly origin?: string;
  /** How long to wait for another process's transaction, in ms; default 5,000. */
  readonly busyTimeoutMs?: number;
  /**
   * How long to ask for it again after that, in ms, with the process going on meanwhile: the timeout above holds all of it up.
   * Default: not at all.
   */
  readonly patienceMs?: number;
}

/**
 * Ledger and log of a signing host: one database, in which taking a place in a limit, appending the entry and growing the
 * tree is one transaction under one lock. Keeps nothing of the log from one transaction to the next but its head, to
 * notice a log that shrinks.
 *
 * Any number of callers may use it at once. What writes runs one after another, in the order of the calls, and what waits
 * meanwhile shares a commit ({@link LedgerWriter}); what reads sees what is committed.
 */
export class Ledger {
  /** Read-only questions outside a transaction, for early refusals and `status`. */
  readonly queries: LedgerQueries;
  readonly #writer: LedgerWriter;
  readonly #reads: CommittedReads;
  readonly #signer: NoteSigner;
  readonly #directory: string;

  private constructor(directory: string, database: Database, options: LedgerOptions) {
    this.#directory = directory;
    const inode = logInode(directory);
    const verifier = readVerifier(database);
    if (options.origin !== undefined && options.origin !== verifier.name) {
      throw new Fault(
        "bad-configuration",
        "the configuration's origin is not the one that the log began with",
      );
    }
    this.#signer = readLogKey(directory, verifier.name);
    if (encodeVerifierKey(this.#signer.verifier) !== encodeVerifierKey(verifier)) {
      throw new Fault(
        "log-broken",
        "the log key is not the one that the log began with: restore log.key from the backup",
      );
    }
    database.exec("BEGIN");
    const head = readHead(database, verifier);
    database.exec("COMMIT");
    this.#writer = new LedgerWriter(database, {
      directory,
      inode,
      signer: this.#signer,
      head,
      patienceMs: options.patienceMs ?? 0,
    });
    this.#reads = new CommittedReads(database, () =>
      openLogDatabase(directory, { ...options, readOnly: true }),
    );
    this.queries = ledgerQueries(this.#reads);
  }

  /**
   * Makes state directory, log key and log, and opens it. Refuses where a log (Fault `bad-configuration`), or only one of log
   * and log key (`log-broken`), is there already.
   */
  static create(
    directory: string,
    options: LedgerOptions & { readonly origin: string; readonly now: Date },
  ): Ledger {
    createState(directory, options.origin, options.now);
    return Ledger.open(directory, options);
  }

  /**
   * Opens the log of a state directory; never creates one. Faults: `no-state` where log or log key is missing, `log-broken`
   * where signing was stopped ({@link halt}), where both ends of the log and its newest checkpoint do not agree, `bad-configuration` for another origin.
   */
  static open(directory: string, options: LedgerOptions = {}): Ledger {
    refuseHalted(directory);
    const database = openLogDatabase(directory, options);
    try {
      return new Ledger(directory, database, options);
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** The log's public key; its name is the origin. */
  get verifier(): VerifierKey {
    return this.#signer.verifier;
  }

  /**
   * Resolves when this object is of no further use, with why: a commit has failed, and whether it is in the log is for the next
   * open to see.
   */
  get lost(): Promise<Fault> {
    return this.#writer.lost;
  }

  /** The newest signed checkpoint: a C2SP note. */
  checkpoint(): string {
    return readCheckpoint(this.#reads);
  }

  /**
   * Runs `work` in a transaction, alone: what it appends is committed, and this resolves then, or undone where `work` rejects;
   * the rejection passes through. Calls that wait for their turn, up to 64 ({@link LedgerWriter}), are committed
   * together. `work` MUST end, and MUST NOT wait for another call that writes to this ledger: that one waits for it.
   * Faults: `busy` where other processes held the lock past the timeout, `clock-behind`, `log-broken`, `log-not-durable` where the
   * commit failed, for all that were to be committed with it: then nothing that `work` returned may leave the host, and
   * this object is of no further use.
   */
  async transact<T>(now: Date, work: (transaction: LedgerTransaction) => T | Promise<T>): Promise<T> {
    return await this.#writer.transact(
      (last) => effectiveTime(now, last),
      ({ transaction, appendSummaries }) => {
        appendSummaries();
        return work(transaction);
      },
    );
  }

  /**
   * Logs a signature durably. Where `work` refuses, what it appended is
   * committed all the same (a `configured` entry, say), and the refusal is returned.
   */
  async sign(
    now: Date,
    work: (transaction: LedgerTransaction) => Promise<SignatureRecord | Refusal>,
  ): Promise<RecordedSignature | Refusal> {
    const outcome = await this.transact(now, async (transaction) => {
      const record = await work(transaction);
      return isRefusal(record) ? record : transaction.append(record.fields, record.extra);
    });
    if (isRefusal(outcome)) return outcome;
    const entry = outcome as SignatureEntry;
    const signature = Buffer.from(entry.signature, "base64");
    return { kind: "recorded", entry, signature } as unknown as RecordedSignature;
  }

  /** Logs a refusal in a transaction of its own, or counts it: then undefined. */
  async recordRefusal(now: Date, fields: RefusedFields, extra?: Extra): Promise<LogEntry | undefined> {
    return await this.transact(now, (transaction) => transaction.refuse(fields, extra));
  }

  /**
   * Logs that an administrator takes `now` for right although the last entry lies after it; from here on times count from
   * `now`. Undefined, and nothing logged, where the last entry does not lie after it.
   */
  async acceptClock(now: Date): Promise<LogEntry | undefined> {
    let previous: Date | undefined;
    const timeOf = (last: Date) => {
      if (last > now) previous = last;
      return now;
    };
    return await this.#writer.transact(
      timeOf,
      ({ transaction }) =>
        previous && transaction.append({ kind: "clock-accepted", previous: previous.toISOString() }),
    );
  }

  /** What witnesses have acknowledged of this log. */
  acknowledgements(): readonly Acknowledgement[] {
    return readAcknowledgements(this.#reads, this.verifier);
  }

  /** Keeps an acknowledgement for proofs; resolves when that is durable. In its turn, as a transaction. Faults: `busy`, `log-not-durable`. */
  async acknowledge(acknowledgement: Acknowledgement): Promise<void> {
    await this.#writer.writeBeside((database) => storeAcknowledgement(database, acknowledgement));
  }

  /** How many entries were sent to the syslog collector of this name. */
  forwardedSize(collector: string): number {
    return readForwarded(this.#reads, collector);
  }

  /** Keeps that number, unless it is larger already. In its turn, as a transaction. Faults: `busy`, `log-not-durable`. */
  async recordForwarded(collector: string, size: number): Promise<void> {
    await this.#writer.writeBeside((database) => storeForwarded(database, collector, size));
  }

  /** The log as it is now, for who sends it on: one snapshot, which the caller closes. Signs heads of any size it had. */
  source(): LogSource {
    return new LogSource(this.#directory, this.#signer);
  }

  /**
   * Ends the use of the file. Calls that have not resolved by now reject, as all later ones do, with Fault `no-state`: those
   * that wait, and those of a transaction that still runs, which is rolled back whole. Who wants them done waits for them first.
   */
  close(): void {
    try {
      this.#reads.close();
    } finally {
      this.#writer.close();
    }
  }
}
