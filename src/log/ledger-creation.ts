import { join } from "node:path";
import { Fault } from "../outcome.ts";
import { signCheckpoint } from "./checkpoint.ts";
import { startTransaction } from "./ledger-transaction.ts";
import { LOG_FILE, stateKind } from "./log-file.ts";
import { createLogFolder, writeLogDatabase } from "./log-folder.ts";
import { LOG_KEY_FILE, writeNewLogKey } from "./log-key.ts";
import { EMPTY_ROOT } from "./merkle.ts";
import { encodeVerifierKey, type NoteSigner } from "./signed-note.ts";

/**
 * Makes the state directory (0700), a log key and a log (0600) of one `started` entry, whole or not at all, and waits until
 * all of it is durable. Where a log or a log key is, it refuses: Fault `bad-configuration` for a log, `log-broken` for
 * one without the other.
 */
export function createState(directory: string, origin: string, now: Date): void {
  createLogFolder(directory, {
    files: [LOG_KEY_FILE, LOG_FILE],
    refuseExisting: () => refuseExisting(directory),
    write: (apart) =>
      writeNewLog(join(apart, LOG_FILE), writeNewLogKey(join(apart, LOG_KEY_FILE), origin), now),
  });
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
        "the state directory holds a log without its key: no new one is made beside it, restore log.key from the backup",
      );
    case "key-without-log":
      throw new Fault(
        "log-broken",
        "the state directory holds a log key without its log: no new one is made beside it, signer-log restore puts it back from a copy",
      );
  }
}

function writeNewLog(path: string, signer: NoteSigner, now: Date): void {
  writeLogDatabase(path, (database) => {
    const { transaction } = startTransaction(database, { size: 0, root: EMPTY_ROOT }, now);
    transaction.append({
      kind: "started",
      origin: signer.verifier.name,
      verifier: encodeVerifierKey(signer.verifier),
    });
    database.run("INSERT INTO head (id, checkpoint) VALUES (0, ?)", signCheckpoint(transaction, signer));
  });
}
