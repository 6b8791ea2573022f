import { linkSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { Fault } from "../outcome.ts";
import { failed } from "./pull-fault.ts";
import { encodeSourceState, NEW_SOURCE, parseSourceState, type SourceState } from "./source-state.ts";
import { isSpoolOf } from "./spool.ts";

const GROUP_AND_OTHERS = 0o077;
const EXTENSION = ".db";

/**
 * What is remembered of one source, durable: `NAME.db` in the folder of `[pull]`, an SQLite database of one row, which one process at a
 * time has. (Behind Node's permission model a process of ours may not call fsync(2); SQLite does.)
 *
 * Faults: `busy` where another process has it; `pull-state-failed` where it cannot be read or written, or is not what was written.
 */
export class SourceMemory {
  /** Of the state folder. */
  readonly folder: string;
  readonly #path: string;
  readonly #database: DatabaseSync;
  #state: SourceState;

  private constructor(folder: string, path: string, database: DatabaseSync, state: SourceState) {
    this.folder = folder;
    this.#path = path;
    this.#database = database;
    this.#state = state;
  }

  /** Opens that of a source, a new one where there is none. What cannot be read is never taken for a new one. */
  static open(folder: string, source: string): SourceMemory {
    const path = join(folder, `${source}${EXTENSION}`);
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) create(path);
    else if (found.size === 0) throw notOurs(path); // to SQLite a new database
    let database: DatabaseSync | undefined;
    try {
      database = openDatabase(path);
      const row = database.prepare("SELECT state FROM source").get();
      const state = parseSourceState(String(row?.["state"]));
      if (state !== undefined) return new SourceMemory(folder, path, database, state);
    } catch (error) {
      database?.close();
      throw faultOf(error, path);
    }
    database.close();
    throw notOurs(path);
  }

  get state(): SourceState {
    return this.#state;
  }

  /** Remembers it; on return it is durable. */
  remember(state: SourceState): void {
    try {
      this.#database.prepare("UPDATE source SET state = ?").run(encodeSourceState(state));
    } catch (error) {
      throw faultOf(error, this.#path);
    }
    this.#state = state;
  }

  close(): void {
    if (this.#database.isOpen) this.#database.close();
  }
}

/**
 * Looks at the folder of `[pull]`, and removes unfinished downloads of sources that are not among these. It is never made: an unmounted
 * disk must not look like servers that were never asked.
 * @throws Fault `no-state` where it is not there, `pull-state-failed` where it is not this account's alone
 */
export function openStateFolder(path: string, sources: readonly string[]): void {
  const found = statSync(path, { throwIfNoEntry: false });
  const self = process.geteuid?.();
  if (found === undefined)
    throw new Fault("no-state", `${path} is missing: make it, mode 0700, for the account of signer pull`);
  if (found.isDirectory() && found.uid !== self)
    throw new Fault(
      "pull-state-failed",
      `${path} belongs to account ${found.uid}, and this is account ${self}: the one that owns it fetches`,
    );
  if (!found.isDirectory() || (found.mode & GROUP_AND_OTHERS) !== 0)
    throw new Fault("pull-state-failed", `${path} has to be a folder of mode 0700, this account's alone`);
  try {
    for (const name of readdirSync(path))
      if (isSpoolOf(name, undefined) && !sources.some((source) => isSpoolOf(name, source)))
        rmSync(join(path, name), { force: true });
  } catch (cause) {
    throw failed(`${path} cannot be cleared`, cause);
  }
}

/** Makes it whole, then gives it its name; where another process was first, its own is the one. */
function create(path: string): void {
  const unfinished = `${path}.${process.pid}.new`;
  try {
    rmSync(unfinished, { force: true });
    const database = new DatabaseSync(unfinished);
    try {
      database.exec("CREATE TABLE source (state TEXT NOT NULL) STRICT");
      database.prepare("INSERT INTO source VALUES (?)").run(encodeSourceState(NEW_SOURCE));
    } finally {
      database.close();
    }
    linkSync(unfinished, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw faultOf(error, path);
  } finally {
    rmSync(unfinished, { force: true });
  }
}

/** EXCLUSIVE: the lock is kept, and gone with the process. EXTRA: a commit waits for the disk, names in the folder included. */
function openDatabase(path: string): DatabaseSync {
  const url = pathToFileURL(path);
  url.search = "?mode=rw";
  const database = new DatabaseSync(url, { timeout: 0 });
  try {
    database.exec(
      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = EXTRA; PRAGMA trusted_schema = OFF; BEGIN EXCLUSIVE; COMMIT",
    );
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

// Primary result codes, https://www.sqlite.org/rescode.html
const BUSY = 5;
const NOT_OURS = new Set([1, 11, 26]); // ERROR (a table is missing), CORRUPT, NOTADB

function faultOf(error: unknown, path: string): unknown {
  const { errcode } = error as { readonly errcode?: unknown };
  if (typeof errcode !== "number") return failed(`${path} cannot be used`, error);
  const code = errcode & 0xff;
  if (code === BUSY) return new Fault("busy", `another signer pull works with ${path}`, { cause: error });
  if (NOT_OURS.has(code)) return notOurs(path, error);
  return new Fault("pull-state-failed", `${path} cannot be read and written: ${(error as Error).message}`, {
    cause: error,
  });
}

function notOurs(path: string, cause?: unknown): Fault {
  return new Fault(
    "pull-state-failed",
    `${path} is not what signer pull wrote: restore it, or move it away, after which the server's next notification is taken for new, be it an old one`,
    { cause },
  );
}
