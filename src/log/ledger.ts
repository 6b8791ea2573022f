import { Fault, isRefusal, type Refusal } from "../outcome.ts";
import { type Acknowledgement, readAcknowledgements, storeAcknowledgement } from "./acknowledgements.ts";
import { signCheckpoint, type TreeHead } from "./checkpoint.ts";
import type { Database } from "./database.ts";
import { readForwarded, storeForwarded } from "./forwarded.ts";
import { refuseHalted, WHEN_BROKEN } from "./halt.ts";
import { createState } from "./ledger-creation.ts";
import { type LedgerQueries, ledgerQueries } from "./ledger-queries.ts";
import {
  type Extra,
  type LedgerTransaction,
  type RefusedFields,
  startTransaction,
  type TransactionHandle,
} from "./ledger-transaction.ts";
import { effectiveTime } from "./log-clock.ts";
import type { EntryFields, LogEntry } from "./log-entry.ts";
import { commitLog, logInode, openLogDatabase } from "./log-file.ts";
import { type LogHead, readCheckpoint, readHead, readVerifier } from "./log-head.ts";
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
}

/**
 * Ledger and log of a signing host: one database, in which taking a place in a limit, appending the entry and growing the
 * tree is one transaction under one lock. Keeps nothing of the log from one transaction to the next but its head, to
 * notice a log that shrinks.
 */
export class Ledger {
  /** Read-only questions outside a transaction, for early refusals and `status`. */
  readonly queries: LedgerQueries;
  readonly #database: Database;
  readonly #signer: NoteSigner;
  readonly #directory: string;
  readonly #inode: number;
  #head: TreeHead;
  #inTransaction = false;
  #unusable: Fault | undefined;

  private constructor(directory: string, database: Database, options: LedgerOptions) {
    this.#directory = directory;
    this.#inode = logInode(directory);
    this.#database = database;
    this.queries = ledgerQueries(database);
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
    this.#head = readHead(database, verifier);
    database.exec("COMMIT");
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

  /** The newest signed checkpoint: a C2SP note. */
  checkpoint(): string {
    return readCheckpoint(this.#database);
  }

  /**
   * Runs `work` in one transaction, which is committed when `work` resolves and rolled back when it rejects; the rejection
   * passes through. One at a time. Faults: `busy` where others held the lock past the timeout, `clock-behind`,
   * `log-broken`, `log-not-durable` where the commit failed: then nothing that `work` returned may leave the host, and
   * this object is of no further use.
   */
  async transact<T>(now: Date, work: (transaction: LedgerTransaction) => T | Promise<T>): Promise<T> {
    return await this.#transact(
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
    return await this.#transact(
      timeOf,
      ({ transaction }) =>
        previous && transaction.append({ kind: "clock-accepted", previous: previous.toISOString() }),
    );
  }

  /** What witnesses have acknowledged of this log. */
  acknowledgements(): readonly Acknowledgement[] {
    return readAcknowledgements(this.#database, this.verifier);
  }

  /** Keeps an acknowledgement for proofs, in a transaction of its own. Faults as SQLite's: `busy`, `log-not-durable`. */
  acknowledge(acknowledgement: Acknowledgement): void {
    storeAcknowledgement(this.#database, acknowledgement);
  }

  /** How many entries were sent to the syslog collector of this name. */
  forwardedSize(collector: string): number {
    return readForwarded(this.#database, collector);
  }

  /** Keeps that number, unless it is larger already, in a transaction of its own. Faults: `busy`, `log-not-durable`. */
  recordForwarded(collector: string, size: number): void {
    storeForwarded(this.#database, collector, size);
  }

  /** The log as it is now, for who sends it on: one snapshot, which the caller closes. Signs heads of any size it had. */
  source(): LogSource {
    return new LogSource(this.#directory, this.#signer);
  }

  /** Ends the use of the file; a transaction that still runs is rolled back. */
  close(): void {
    this.#unusable ??= new Fault("no-state", "the ledger is closed");
    this.#database.close();
  }

  async #transact<T>(
    timeOf: (last: Date) => Date,
    work: (handle: TransactionHandle) => T | Promise<T>,
  ): Promise<T> {
    if (this.#unusable !== undefined) throw this.#unusable;
    if (this.#inTransaction) throw new Error("a ledger runs one transaction at a time");
    this.#inTransaction = true;
    try {
      this.#database.exec("BEGIN IMMEDIATE");
      // Asked again: a request may have taken an hour since the log was opened.
      refuseHalted(this.#directory);
      const head = this.#readHead();
      const handle = startTransaction(this.#database, head, timeOf(head.lastTime));
      const { transaction, grew } = handle;
      let result: T;
      try {
        result = await work(handle);
      } finally {
        handle.end();
      }
      if (grew()) {
        this.#database.run("UPDATE head SET checkpoint = ?", signCheckpoint(transaction, this.#signer));
      }
      const { size, root } = transaction;
      this.#commit();
      this.#head = { size, root };
      return result;
    } catch (error) {
      this.#rollBack();
      throw error;
    } finally {
      this.#inTransaction = false;
    }
  }

  /** The head that this transaction starts from. A log that is not the continuation of what this process saw is broken. */
  #readHead(): LogHead {
    const head = readHead(this.#database);
    const { size, root } = this.#head;
    if (head.size < size || (head.size === size && Buffer.compare(head.root, root) !== 0)) {
      throw new Fault(
        "log-broken",
        `the log is not the continuation of what it was a moment ago; ${WHEN_BROKEN}`,
      );
    }
    return head;
  }

  #commit(): void {
    try {
      commitLog(this.#database, this.#directory, this.#inode);
    } catch (error) {
      if (error instanceof Fault) this.#unusable = error;
      throw error;
    }
  }

  #rollBack(): void {
    try {
      if (this.#database.inTransaction) this.#database.exec("ROLLBACK");
    } catch (cause) {
      this.#unusable ??= new Fault("log-not-durable", "a transaction could not be rolled back", { cause });
    }
  }
}
