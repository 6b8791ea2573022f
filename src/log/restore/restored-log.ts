import { join } from "node:path";
import { Fault } from "../../outcome.ts";
import type { Acknowledgement } from "../acknowledgements.ts";
import { storeAcknowledgement } from "../acknowledgements.ts";
import { signCheckpoint } from "../checkpoint.ts";
import { Contradiction } from "../contradiction.ts";
import { parseStored, StoredAppend } from "../copy/stored-append.ts";
import { Database } from "../database.ts";
import { startTransaction } from "../ledger-transaction.ts";
import type { LogEntry, RestoredFields } from "../log-entry.ts";
import { BUSY_TIMEOUT_MS, LOG_FILE } from "../log-file.ts";
import { writeLogDatabase } from "../log-folder.ts";
import { nodeReader } from "../log-head.ts";
import { LogReader } from "../log-reader.ts";
import { treeRoot } from "../merkle.ts";
import type { NoteSigner } from "../signed-note.ts";
import { type SoundLog, type VerifyOptions, verifyLog } from "../verify.ts";
import type { HeldCopy } from "./held-copy.ts";
import type { Forwarded } from "./replaced-log.ts";

/** What a log is restored from and with. */
export interface Restoration {
  readonly copy: HeldCopy;
  /** The head that the copy must have, exactly. */
  readonly acknowledgement: Acknowledgement;
  /** The log's own key. */
  readonly signer: NoteSigner;
  readonly now: Date;
  readonly replaced: Pick<RestoredFields, "replaced" | "discarded">;
  /** How far syslog collectors are; beyond the restored end it counts as that. */
  readonly sent: Forwarded;
  readonly onProgress?: VerifyOptions["onProgress"] | undefined;
}

export interface RestoredLog {
  /** The one that says so, the newest. */
  readonly entry: LogEntry;
  readonly verified: SoundLog;
}

/** Entries that are committed together. */
const ENTRIES_PER_COMMIT = 2000;

/**
 * Makes a whole log of a copy's entries in an empty folder, with an entry at its end that says so, and verifies it. Faults
 * `log-broken` where the copy is not the one that was cosigned or not sound, and those of the copy.
 */
export async function writeRestoredLog(folder: string, restoration: Restoration): Promise<RestoredLog> {
  const { acknowledgement, signer, onProgress } = restoration;
  const path = join(folder, LOG_FILE);
  writeLogDatabase(path, () => undefined);
  const database = new Database(path, { readOnly: false, busyTimeoutMs: BUSY_TIMEOUT_MS });
  let entry: LogEntry;
  try {
    await copyEntries(database, restoration);
    entry = finishLog(database, restoration);
    // Only the one file goes to its place; closing would keep it to itself that the disk is full.
    const moved = database.get("PRAGMA wal_checkpoint(TRUNCATE)");
    if (moved?.["busy"] !== 0) throw new Fault("log-not-durable", "the new log could not be made durable");
  } catch (error) {
    if (error instanceof Contradiction) throw notSound(restoration.copy, error.seq, error.message);
    throw error;
  } finally {
    database.close();
  }
  const reader = LogReader.open(folder);
  try {
    const verified = verifyLog(reader, {
      verifier: signer.verifier,
      checkpoint: acknowledgement.checkpoint,
      witnesses: [acknowledgement.witness],
      ...(onProgress === undefined ? {} : { onProgress }),
    });
    onProgress?.(reader.size, reader.size);
    if (verified.kind === "broken") throw notSound(restoration.copy, verified.seq, verified.what);
    return { entry, verified };
  } finally {
    reader.close();
  }
}

async function copyEntries(database: Database, restoration: Restoration): Promise<void> {
  const { copy, acknowledgement, signer, onProgress } = restoration;
  const { size } = acknowledgement.checkpoint;
  database.exec("BEGIN IMMEDIATE");
  const append = new StoredAppend(database, 0, signer.verifier);
  for await (const stored of copy.entries(0, size)) {
    append.append(parseStored(stored));
    if (append.size % ENTRIES_PER_COMMIT !== 0) continue;
    database.exec("COMMIT; BEGIN IMMEDIATE");
    onProgress?.(append.size, size);
  }
  if (append.size !== size) throw new Contradiction(append.size, "the entry is missing");
  database.exec("COMMIT");
  onProgress?.(size, size);
}

/** Head, acknowledgement, collectors, and the entry that says where all before it came from. */
function finishLog(database: Database, restoration: Restoration): LogEntry {
  const { acknowledgement, signer, now, replaced, sent } = restoration;
  const { checkpoint, witness, cosignedAt } = acknowledgement;
  database.exec("BEGIN IMMEDIATE");
  const append = new StoredAppend(database, checkpoint.size, signer.verifier);
  const root = treeRoot(checkpoint.size, nodeReader(database));
  if (Buffer.compare(root, checkpoint.root) !== 0) {
    throw new Contradiction(undefined, `its entries are not the ones that ${witness.name} cosigned`);
  }
  storeAcknowledgement(database, acknowledgement);
  for (const [collector, size] of sent) {
    const known = Math.min(size, checkpoint.size);
    database.run("INSERT INTO forwarded (collector, size) VALUES (?, ?)", collector, known);
  }
  const last = append.entry(checkpoint.size - 1);
  // A clock behind the log stops no restore: `signer clock accept` needs a log to speak to.
  const time = new Date(Math.max(now.getTime(), Date.parse(last?.time ?? "")));
  const { transaction } = startTransaction(database, { size: checkpoint.size, root }, time);
  const entry = transaction.append({
    kind: "restored",
    witness: witness.name,
    cosigned: cosignedAt.toISOString(),
    size: checkpoint.size,
    root: Buffer.from(root).toString("base64"),
    ...replaced,
  });
  database.run("INSERT INTO head (id, checkpoint) VALUES (0, ?)", signCheckpoint(transaction, signer));
  database.exec("COMMIT");
  return entry;
}

function notSound(copy: HeldCopy, seq: number | undefined, what: string): Fault {
  const where = seq === undefined ? "" : `entry ${seq}: `;
  return new Fault("log-broken", `nothing is restored: ${copy.what} is not sound: ${where}${what}`);
}
