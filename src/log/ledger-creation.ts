import { chmodSync, closeSync, fsyncSync, linkSync, mkdirSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../outcome.ts";
import { signCheckpoint } from "./checkpoint.ts";
import { Database } from "./database.ts";
import { APPLICATION_ID, SCHEMA, SCHEMA_VERSION } from "./ledger-schema.ts";
import { startTransaction } from "./ledger-transaction.ts";
import { BUSY_TIMEOUT_MS, LOG_FILE, stateKind } from "./log-file.ts";
import { LOG_KEY_FILE, writeNewLogKey } from "./log-key.ts";
import { EMPTY_ROOT } from "./merkle.ts";
import { encodeVerifierKey, type NoteSigner } from "./signed-note.ts";

/**
 * Makes the state directory (0700), a log key and a log (0600) of one `started` entry, and waits until all of it is durable.
 * Both files are made in a folder of their own and linked to their places when they are whole, so that what a crash
 * leaves behind is never half a log. Where a log or a log key is, it refuses: Fault `bad-configuration` for a log, `log-broken` for
 * one without the other.
 */
export function createState(directory: string, origin: string, now: Date): void {
  refuseExisting(directory);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    chmodSync(directory, 0o700);
    const apart = mkdtempSync(join(directory, "new-"));
    try {
      const signer = writeNewLogKey(join(apart, LOG_KEY_FILE), origin);
      writeNewLog(join(apart, LOG_FILE), signer, now);
      // Of several at once the one whose key is first goes on; the others fail here.
      for (const file of [LOG_KEY_FILE, LOG_FILE]) linkSync(join(apart, file), join(directory, file));
    } finally {
      rmSync(apart, { recursive: true });
    }
    syncDirectory(directory);
    syncDirectory(join(directory, ".."));
  } catch (cause) {
    if (cause instanceof Fault || cause instanceof TypeError) throw cause;
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") refuseExisting(directory);
    throw new Fault("log-not-durable", "the state directory cannot be written", { cause });
  }
}

function refuseExisting(directory: string): void {
  switch (stateKind(directory)) {
    case "nothing":
      return;
    case "log":
      throw new Fault("bad-configuration", "the state directory holds a log already");
    case "log-without-key":
      throw new Fault(
        "log-broken",
        "the state directory holds a log without its key; no new one is made beside it",
      );
    case "key-without-log":
      throw new Fault(
        "log-broken",
        "the state directory holds a log key without its log; no new one is made beside it",
      );
  }
}

function writeNewLog(path: string, signer: NoteSigner, now: Date): void {
  closeSync(openSync(path, "wx", 0o600));
  const database = new Database(path, { readOnly: false, busyTimeoutMs: BUSY_TIMEOUT_MS });
  try {
    database.exec(`PRAGMA journal_mode = WAL; BEGIN IMMEDIATE; ${SCHEMA}`);
    database.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}`);
    const { transaction } = startTransaction(database, { size: 0, root: EMPTY_ROOT }, now);
    transaction.append({
      kind: "started",
      origin: signer.verifier.name,
      verifier: encodeVerifierKey(signer.verifier),
    });
    database.run("INSERT INTO head (id, checkpoint) VALUES (0, ?)", signCheckpoint(transaction, signer));
    database.exec("COMMIT");
  } finally {
    // Closing the last connection moves everything from the WAL into the one file, durably.
    database.close();
  }
}

/** Makes names that were added to a directory durable. */
function syncDirectory(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
