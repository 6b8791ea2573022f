import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../outcome.ts";
import { Database } from "./database.ts";
import { WHEN_BROKEN } from "./halt.ts";
import { APPLICATION_ID, SCHEMA_VERSION } from "./ledger-schema.ts";
import { LOG_KEY_FILE } from "./log-key.ts";

/** Name of the database in the state directory. */
export const LOG_FILE = "log.db";

/** How long to wait for another process's transaction, in ms. */
export const BUSY_TIMEOUT_MS = 5_000;

/** What a state directory holds. */
export type StateKind = "nothing" | "log" | "log-without-key" | "key-without-log";

/** Looks at a state directory; what is not there or may not be looked into holds nothing. */
export function stateKind(directory: string): StateKind {
  const log = existsSync(join(directory, LOG_FILE));
  const key = existsSync(join(directory, LOG_KEY_FILE));
  if (log) return key ? "log" : "log-without-key";
  return key ? "key-without-log" : "nothing";
}

/**
 * Opens the log of a state directory, which it never creates: an unmounted disk must not look like an empty log. Missing:
 * Fault `no-state`; not a log of this version: `log-broken`.
 */
export function openLogDatabase(
  directory: string,
  options: { readonly readOnly?: boolean; readonly busyTimeoutMs?: number } = {},
): Database {
  const { readOnly = false, busyTimeoutMs = BUSY_TIMEOUT_MS } = options;
  const path = join(directory, LOG_FILE);
  let database: Database;
  try {
    database = new Database(path, { readOnly, busyTimeoutMs });
  } catch (error) {
    if (error instanceof Fault && error.code === "log-not-durable" && isMissing(path))
      throw missing(directory, error);
    throw error;
  }
  try {
    checkVersion(database);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Whether there is no such file; one that may not be looked at is there. */
function isMissing(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) === undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ENOTDIR";
  }
}

function missing(directory: string, cause: Fault): Fault {
  return stateKind(directory) === "key-without-log"
    ? new Fault(
        "no-state",
        "the state directory holds a log key and no log: its disk is not mounted, or it was removed and signer-log restore puts it back from a copy",
        { cause },
      )
    : new Fault("no-state", `${directory} holds no log: signer init makes one`, { cause });
}

function checkVersion(database: Database): void {
  const application = database.get("PRAGMA application_id")?.["application_id"];
  if (application !== APPLICATION_ID)
    throw new Fault("log-broken", `the log's file is not one of this program; ${WHEN_BROKEN}`);
  const version = database.get("PRAGMA user_version")?.["user_version"];
  if (version !== SCHEMA_VERSION) {
    throw new Fault(
      "log-broken",
      `the log is of version ${version}, this program reads version ${SCHEMA_VERSION}; ${WHEN_BROKEN}`,
    );
  }
}

/** The file that is the log now, to be told from another one in its place. */
export function logInode(directory: string): number {
  return statSync(join(directory, LOG_FILE)).ino;
}

/**
 * Makes the open transaction durable, in the file that still is the log: a deleted file takes commits as well. Fault
 * `log-not-durable`; the connection is then of no further use.
 */
export function commitLog(database: Database, directory: string, inode: number): void {
  try {
    if (logInode(directory) !== inode) throw new Error("another file is in the log's place");
    database.exec("COMMIT");
  } catch (cause) {
    throw new Fault("log-not-durable", "the log could not be made durable", { cause });
  }
}
