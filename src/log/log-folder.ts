import { chmodSync, closeSync, linkSync, mkdirSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../outcome.ts";
import { Database } from "./database.ts";
import { syncDirectory } from "./durable-file.ts";
import { APPLICATION_ID, SCHEMA, SCHEMA_VERSION } from "./ledger-schema.ts";
import { BUSY_TIMEOUT_MS } from "./log-file.ts";

/** Folders that hold a log, made whole or not at all: a host's state directory, and a copy of a log. */

export interface NewLogFolder {
  /** The files, in the order in which they come to their places. */
  readonly files: readonly string[];
  /** Throws a Fault where something is that a new log must not be made beside. */
  readonly refuseExisting: () => void;
  /** Makes all files in the folder `apart`, each durably. */
  readonly write: (apart: string) => void;
}

/**
 * Makes a directory (0700) with these files, and waits until all of it is durable. The files are made in a folder of their own
 * and linked to their places when they are whole, so that what a crash leaves behind is never half a file. Fault
 * `log-not-durable` where it cannot be written; Faults of `refuseExisting` and TypeErrors of `write` pass through.
 */
export function createLogFolder(directory: string, { files, refuseExisting, write }: NewLogFolder): void {
  refuseExisting();
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    chmodSync(directory, 0o700);
    const apart = mkdtempSync(join(directory, "new-"));
    try {
      write(apart);
      // Of several at once the one whose first file is first goes on; the others fail here.
      for (const file of files) linkSync(join(apart, file), join(directory, file));
    } finally {
      rmSync(apart, { recursive: true });
    }
    syncDirectory(directory);
    syncDirectory(join(directory, ".."));
  } catch (cause) {
    if (cause instanceof Fault || cause instanceof TypeError) throw cause;
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") refuseExisting();
    throw new Fault("log-not-durable", `${directory} cannot be written${reason(cause)}`, { cause });
  }
}

function reason(cause: unknown): string {
  const { code } = cause as NodeJS.ErrnoException;
  return code === undefined ? "" : ` (${code})`;
}

/** Makes a database (0600) of the ledger's schema, durably; `fill` runs in the transaction that makes it. */
export function writeLogDatabase(path: string, fill: (database: Database) => void): void {
  closeSync(openSync(path, "wx", 0o600));
  const database = new Database(path, { readOnly: false, busyTimeoutMs: BUSY_TIMEOUT_MS });
  try {
    database.exec(`PRAGMA journal_mode = WAL; BEGIN IMMEDIATE; ${SCHEMA}`);
    database.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}`);
    fill(database);
    database.exec("COMMIT");
  } finally {
    // Closing the last connection moves everything from the WAL into the one file, durably.
    database.close();
  }
}
