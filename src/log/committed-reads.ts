import { Fault } from "../outcome.ts";
import type { Database, Reads, Row } from "./database.ts";

/**
 * Reads what is committed of a log that this process also writes. A question asked while a transaction is open must not see
 * what may yet be undone: it goes to a connection of its own. That is opened when it is first needed, so that a process
 * of one request never pays for it.
 */
export class CommittedReads implements Reads {
  readonly #writing: Database;
  readonly #open: () => Database;
  #reading: Database | undefined;
  #isClosed = false;

  /**
   * @param writing the connection that writes; not closed with this
   * @param open opens the connection of its own; throws Faults
   */
  constructor(writing: Database, open: () => Database) {
    this.#writing = writing;
    this.#open = open;
  }

  get(...query: Parameters<Reads["get"]>): Row | undefined {
    return this.#connection().get(...query);
  }

  all(...query: Parameters<Reads["all"]>): readonly Row[] {
    return this.#connection().all(...query);
  }

  /** MUST be read to its end, or left, before anything else happens: a transaction may begin on the same connection. */
  iterate(...query: Parameters<Reads["iterate"]>): Generator<Row, void, undefined> {
    return this.#connection().iterate(...query);
  }

  close(): void {
    this.#isClosed = true;
    this.#reading?.close();
  }

  #connection(): Database {
    if (this.#isClosed) throw new Fault("no-state", "the ledger is closed");
    if (!this.#writing.inTransaction) return this.#writing;
    this.#reading ??= this.#open();
    return this.#reading;
  }
}
