import { DatabaseSync, type SQLInputValue, type SQLOutputValue, type StatementSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { Fault } from "../outcome.ts";
import { WHEN_BROKEN } from "./halt.ts";

/** One row, its columns by name. */
export type Row = Readonly<Record<string, SQLOutputValue>>;

/** What reading takes. */
export type Reads = Pick<Database, "get" | "all" | "iterate">;

/**
 * A connection to the ledger's SQLite file that speaks Faults: `busy` for a lock that others hold too long,
 * `log-not-durable` where the file cannot be read or written, `log-broken` where it is no sound database. Statements
 * are prepared at their first use, since most processes use few of them.
 */
export class Database {
  readonly #connection: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /** Opens an existing file; it never creates one. `busyTimeoutMs` is how long each lock is waited for. */
  constructor(path: string, options: { readonly readOnly: boolean; readonly busyTimeoutMs: number }) {
    const url = pathToFileURL(path);
    url.search = options.readOnly ? "?mode=ro" : "?mode=rw";
    this.#connection = guard(() => {
      const { readOnly, busyTimeoutMs } = options;
      return new DatabaseSync(url, { readOnly, timeout: busyTimeoutMs });
    });
    // recursive_triggers: REPLACE passes DELETE triggers by otherwise. FULL: a commit waits for the disk.
    this.exec("PRAGMA synchronous = FULL; PRAGMA recursive_triggers = ON; PRAGMA trusted_schema = OFF");
  }

  exec(sql: string): void {
    guard(() => this.#connection.exec(sql));
  }

  get(sql: string, ...values: readonly SQLInputValue[]): Row | undefined {
    return guard(() => this.#statement(sql).get(...values));
  }

  all(sql: string, ...values: readonly SQLInputValue[]): readonly Row[] {
    return guard(() => this.#statement(sql).all(...values));
  }

  run(sql: string, ...values: readonly SQLInputValue[]): void {
    guard(() => this.#statement(sql).run(...values));
  }

  /** Rows one at a time, in flat memory. The statement is prepared anew: a kept one could be stepped twice at once. */
  *iterate(sql: string, ...values: readonly SQLInputValue[]): Generator<Row, void, undefined> {
    const rows = guard(() => this.#connection.prepare(sql).iterate(...values));
    try {
      for (;;) {
        const next = guard(() => rows.next());
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      // A loop left early: a statement that stays open would hold its snapshot of the log.
      rows.return?.();
    }
  }

  get inTransaction(): boolean {
    return this.#connection.isTransaction;
  }

  close(): void {
    this.#statements.clear();
    if (this.#connection.isOpen) guard(() => this.#connection.close());
  }

  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#connection.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}

// Primary result codes, https://www.sqlite.org/rescode.html
const BUSY = new Set([5, 6]); // BUSY, LOCKED
const NOT_DURABLE = new Set([3, 8, 10, 13, 14, 22]); // PERM, READONLY, IOERR, FULL, CANTOPEN, NOLFS
const BROKEN = new Set([1, 11, 17, 26]); // ERROR (a table is missing), CORRUPT, SCHEMA, NOTADB

function guard<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw faultOf(error);
  }
}

/** SQLite's error as the Fault that it is; anything else as it came: a constraint that fails is a bug of ours. */
function faultOf(error: unknown): unknown {
  if (!(error instanceof Error) || !("errcode" in error) || typeof error.errcode !== "number") return error;
  const code = error.errcode & 0xff;
  if (BUSY.has(code)) return new Fault("busy", "others hold the log; try again", { cause: error });
  if (NOT_DURABLE.has(code))
    return new Fault("log-not-durable", "the log's files cannot be read and written", { cause: error });
  if (BROKEN.has(code))
    return new Fault("log-broken", `the log is no sound database of this program; ${WHEN_BROKEN}`, {
      cause: error,
    });
  return error;
}
