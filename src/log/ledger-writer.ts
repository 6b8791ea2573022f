import { setTimeout as delay, setImmediate as turn } from "node:timers/promises";
import { Fault } from "../outcome.ts";
import { signCheckpoint, type TreeHead } from "./checkpoint.ts";
import type { Database } from "./database.ts";
import { refuseHalted, WHEN_BROKEN } from "./halt.ts";
import { startTransaction, type TransactionHandle } from "./ledger-transaction.ts";
import { commitLog } from "./log-file.ts";
import { type LogHead, readHead } from "./log-head.ts";
import type { NoteSigner } from "./signed-note.ts";

/** How many works share a commit at most: the first of them waits for the last. */
export const MAX_WORKS_PER_COMMIT = 64;

/** Between two attempts to get the lock that another process has, in ms. */
const RETRY_MS = 20;

/** A log as it was opened. */
export interface LogAtStart {
  readonly directory: string;
  /** Of the file that the database is, as `logInode` says right after it was opened: no other takes commits. */
  readonly inode: number;
  readonly signer: NoteSigner;
  readonly head: TreeHead;
  /** How long to ask again for the lock after the database itself has given it up, in ms. */
  readonly patienceMs: number;
}

/** A work that waits for its turn. */
interface Work {
  /** Resolves to what tells the caller, once what was done is durable. */
  readonly run: (log: OpenLog) => Promise<() => void>;
  readonly reject: (reason: unknown) => void;
}

/**
 * All that one process writes to a ledger: works run strictly one after another, in the order of their arrival. Those that
 * arrive while others run share the next transaction with its one checkpoint and one commit, each in a savepoint of its own,
 * so that the time of a commit does not bound how many sign. Nobody waits for company longer than one turn of the event loop.
 */
export class LedgerWriter {
  readonly #database: Database;
  readonly #directory: string;
  readonly #inode: number;
  readonly #signer: NoteSigner;
  readonly #patienceMs: number;
  readonly #waiting: Work[] = [];
  /** The works of the transaction that is open. */
  #group: readonly Work[] = [];
  #isRunning = false;
  #unusable: Fault | undefined;
  readonly #lost = Promise.withResolvers<Fault>();
  /** The head when this process last looked. */
  #head: TreeHead;

  /** @param database is the writer's from here on, and closed with it; nobody else may write through it */
  constructor(database: Database, { directory, inode, signer, head, patienceMs }: LogAtStart) {
    this.#database = database;
    this.#directory = directory;
    this.#inode = inode;
    this.#signer = signer;
    this.#head = head;
    this.#patienceMs = patienceMs;
  }

  /** Resolves when the writer is of no further use, unless that is because it was closed. */
  get lost(): Promise<Fault> {
    return this.#lost.promise;
  }

  /**
   * Runs a work that may append to the log, at the time that `timeOf` makes of the last entry's. Resolves when what it did is
   * durable; where `work` rejects, nothing of it is in the log. `work` MUST end, and MUST NOT wait for another work of this
   * writer, which waits for it. Faults: `busy`, `log-broken`, `log-not-durable`: then the writer is of no further use.
   */
  async transact<T>(
    timeOf: (last: Date) => Date,
    work: (handle: TransactionHandle) => T | Promise<T>,
  ): Promise<T> {
    return await this.#enqueue((log) => log.transact(timeOf, work));
  }

  /** Runs a work that writes beside the log only, and may do so where the log is halted or broken. Faults: `busy`, `log-not-durable`. */
  async writeBeside(work: (database: Database) => void): Promise<void> {
    await this.#enqueue(() => work(this.#database));
  }

  /**
   * Ends the use of the database. Works that run or wait reject, as all later ones do, with Fault `no-state`; a transaction
   * that is open is rolled back, whatever its work still does.
   */
  close(): void {
    this.#unusable ??= new Fault("no-state", "the ledger is closed");
    for (const { reject } of [...this.#group, ...this.#waiting.splice(0)]) reject(this.#unusable);
    this.#database.close();
  }

  async #enqueue<T>(work: (log: OpenLog) => T | Promise<T>): Promise<T> {
    this.#refuseUnusable();
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const run = async (log: OpenLog) => {
      const result = await work(log);
      return () => resolve(result);
    };
    this.#waiting.push({ run, reject });
    if (!this.#isRunning) void this.#runAll();
    return await promise;
  }

  /** Never rejects: what goes wrong is for the callers. */
  async #runAll(): Promise<void> {
    this.#isRunning = true;
    while (this.#waiting.length > 0) {
      // A commit holds up the whole process. Whoever came meanwhile is let in now, or each would be a group of one.
      await turn();
      await this.#runGroup(this.#waiting.splice(0, MAX_WORKS_PER_COMMIT));
    }
    this.#isRunning = false;
  }

  /** One transaction, for works that are all known by now: with newcomers it might never end. */
  async #runGroup(group: readonly Work[]): Promise<void> {
    this.#group = group;
    try {
      await this.#begin();
      const log = new OpenLog(this.#database, () => this.#look());
      const endings: (() => void)[] = [];
      for (const work of group) endings.push(await this.#run(work, log, group.length === 1));
      this.#commit(log);
      for (const end of endings) end();
    } catch (error) {
      this.#rollBack();
      for (const { reject } of group) reject(error);
    } finally {
      this.#group = [];
    }
  }

  /** Takes the lock. While another process has it, this one goes on with what needs no lock. */
  async #begin(): Promise<void> {
    for (const end = performance.now() + this.#patienceMs; ; await delay(RETRY_MS)) {
      this.#refuseUnusable();
      try {
        this.#database.exec("BEGIN IMMEDIATE");
        return;
      } catch (error) {
        if (!(error instanceof Fault && error.code === "busy") || performance.now() >= end) throw error;
      }
    }
  }

  /** One work; what it did is undone where it fails. Resolves to what tells its caller, and rejects where the transaction is over. */
  async #run(work: Work, log: OpenLog, isAlone: boolean): Promise<() => void> {
    if (!isAlone) this.#database.exec("SAVEPOINT work");
    let end: () => void;
    try {
      end = await work.run(log);
    } catch (error) {
      // Not even asked is a database that was closed meanwhile: it throws.
      if (isAlone || !this.#database.inTransaction) throw error;
      this.#database.exec("ROLLBACK TO work");
      end = () => work.reject(error);
    }
    // A full disk, say, makes SQLite roll back all of it by itself: what follows would be outside of any transaction.
    if (!this.#database.inTransaction) {
      throw new Fault("log-not-durable", "the database gave a transaction up");
    }
    if (!isAlone) this.#database.exec("RELEASE work");
    return end;
  }

  /** The head that a transaction starts from. A log that is not the continuation of what this process saw is broken. */
  #look(): LogHead {
    // Asked again: a request may have taken an hour since the log was opened.
    refuseHalted(this.#directory);
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

  #commit({ head, grew }: OpenLog): void {
    if (head !== undefined && grew) {
      this.#database.run("UPDATE head SET checkpoint = ?", signCheckpoint(head, this.#signer));
    }
    try {
      commitLog(this.#database, this.#directory, this.#inode);
    } catch (error) {
      if (error instanceof Fault) this.#lose(error);
      throw error;
    }
    if (head !== undefined) this.#head = head;
  }

  #rollBack(): void {
    try {
      if (this.#database.inTransaction) this.#database.exec("ROLLBACK");
    } catch (cause) {
      this.#lose(new Fault("log-not-durable", "a transaction could not be rolled back", { cause }));
    }
  }

  #lose(fault: Fault): void {
    if (this.#unusable !== undefined) return;
    this.#unusable = fault;
    this.#lost.resolve(fault);
  }

  #refuseUnusable(): void {
    if (this.#unusable !== undefined) throw this.#unusable;
  }
}

/** The log in an open transaction, as one work after another finds it. */
class OpenLog {
  readonly #database: Database;
  readonly #look: () => LogHead;
  #head: LogHead | undefined;
  #grew = false;

  /** @param look examines the head that the transaction starts from; only for works that may append, and once */
  constructor(database: Database, look: () => LogHead) {
    this.#database = database;
    this.#look = look;
  }

  /** The head that works have brought it to; undefined where none asked. */
  get head(): LogHead | undefined {
    return this.#head;
  }

  get grew(): boolean {
    return this.#grew;
  }

  async transact<T>(
    timeOf: (last: Date) => Date,
    work: (handle: TransactionHandle) => T | Promise<T>,
  ): Promise<T> {
    this.#head ??= this.#look();
    const handle = startTransaction(this.#database, this.#head, timeOf(this.#head.lastTime));
    const { transaction, grew } = handle;
    let result: T;
    try {
      result = await work(handle);
    } finally {
      handle.end();
    }
    if (grew()) {
      const { size, root, time } = transaction;
      this.#head = { size, root, lastTime: time };
      this.#grew = true;
    }
    return result;
  }
}
