import { Fault } from "../outcome.ts";
import type { Acknowledgement } from "./acknowledgements.ts";
import { type Checkpoint, openCheckpoint } from "./checkpoint.ts";
import { Contradiction } from "./contradiction.ts";
import type { WitnessKey } from "./cosignature.ts";
import type { Database, Row } from "./database.ts";
import { GrowingTree } from "./growing-tree.ts";
import { type LogEntry, parseLogEntry } from "./log-entry.ts";
import { readCheckpoint } from "./log-head.ts";
import type { LogReader } from "./log-reader.ts";
import { ExpectedLists } from "./package-shelf.ts";
import type { VerifierKey } from "./signed-note.ts";
import { checkEntry } from "./verify-entry.ts";
import {
  checkAcknowledgements,
  checkFile,
  checkForwarded,
  checkPackageLists,
  checkRefusals,
} from "./verify-tables.ts";

/** What a log is held against. */
export interface VerifyOptions {
  /** The log's public key, from elsewhere than the log where that can be. */
  readonly verifier: VerifierKey;
  /** A checkpoint kept elsewhere, its signature verified: the log must continue it. */
  readonly checkpoint?: Checkpoint;
  /** Witnesses whose newest cosigned heads are wanted; whatever is kept beside the log is verified anyway. */
  readonly witnesses?: readonly WitnessKey[];
  /** Told now and then how many of how many entries are done, and when all are, what comes last. */
  readonly onProgress?: (done: number, size: number, last?: string) => void;
}

/** Everything agrees. */
export interface SoundLog {
  readonly kind: "sound";
  readonly size: number;
  readonly root: Uint8Array;
  /** Time of the last entry. */
  readonly lastTime: string;
  readonly signatures: number;
  readonly privateRecords: number;
  readonly packageLists: number;
  /** The newest head that each of the given witnesses cosigned, where there is one, in their order. */
  readonly acknowledgements: readonly Acknowledgement[];
}

/** Something contradicts the rest: the first that was found. */
export interface BrokenLog {
  readonly kind: "broken";
  /** The entry it is about; undefined where it is about none. */
  readonly seq: number | undefined;
  /** One line, lower case, printable ASCII. */
  readonly what: string;
}

/**
 * Verifies a whole log, in one pass and flat memory: each entry's form, place and time; its private record, its
 * signature's claims, what it refers to; every node of the tree; the newest checkpoint and the one held elsewhere; the
 * tables beside the log, the schema with its triggers, SQLite's own integrity check. Controlled by: whoever could write
 * the file. Never throws for what it finds.
 */
export function verifyLog(reader: LogReader, options: VerifyOptions): SoundLog | BrokenLog {
  try {
    return verify(reader, options);
  } catch (error) {
    if (error instanceof Contradiction) return { kind: "broken", seq: error.seq, what: error.message };
    if (error instanceof Fault && error.code === "log-broken")
      return { kind: "broken", seq: undefined, what: describe(error) };
    throw error;
  }
}

function describe(fault: Fault): string {
  const cause = fault.cause instanceof Error ? `: ${fault.cause.message.replace(/[^\x20-\x7e]/g, "?")}` : "";
  return `${fault.message}${cause}`;
}

function verify(reader: LogReader, options: VerifyOptions): SoundLog {
  const { verifier, checkpoint, witnesses = [], onProgress } = options;
  const { database, size } = reader;
  const tree = new GrowingTree();
  const lists = new ExpectedLists();
  const nodes = database.iterate("SELECT position, hash FROM nodes ORDER BY position");
  const rows = database.iterate(
    `SELECT entries.seq, line, salt, record FROM entries
     LEFT JOIN private_records ON private_records.seq = entries.seq ORDER BY entries.seq`,
  );
  let previous: LogEntry | undefined;
  let signatures = 0;
  let privateRecords = 0;
  // Entries below this number came from another machine, which may have replaced a package list before it sent it.
  let copied = reader.isCopy ? size : 0;
  try {
    if (checkpoint !== undefined) checkContinued(checkpoint, tree);
    for (const row of rows) {
      const entry = entryOf(row, tree.size);
      checkEntry({ entry, row, previous, tree, reader, verifier });
      for (const node of tree.append(Buffer.from(String(row["line"])))) checkNode(nodes, node, entry.seq);
      if (checkpoint !== undefined) checkContinued(checkpoint, tree);
      lists.add(entry);
      if (entry.kind === "signed") signatures++;
      if ("private" in entry) privateRecords++;
      if (entry.kind === "restored") copied = Math.max(copied, entry.seq);
      previous = entry;
      if (tree.size % 10_000 === 0) onProgress?.(tree.size, size);
    }
    if (previous === undefined) throw new Contradiction(undefined, "the log has no entries");
    if (nodes.next().done !== true)
      throw new Contradiction(undefined, "the tree has nodes beyond the log's end");
  } finally {
    rows.return();
    nodes.return();
  }
  if (checkpoint !== undefined && checkpoint.size > tree.size) {
    throw new Contradiction(
      undefined,
      `the log has ${tree.size} entries and the given checkpoint is of ${checkpoint.size}: its end was removed`,
    );
  }
  onProgress?.(tree.size, size, "checking the database file");
  checkNewestCheckpoint(database, verifier, tree);
  if (count(database, "private_records") !== privateRecords) {
    throw new Contradiction(undefined, "there are private records without an entry");
  }
  const packageLists = checkPackageLists(database, lists, copied);
  checkRefusals(database);
  const acknowledgements = checkAcknowledgements({ database, size: tree.size, verifier, witnesses });
  checkForwarded(database, tree.size);
  checkFile(database);
  return {
    kind: "sound",
    size: tree.size,
    root: tree.root(),
    lastTime: previous.time,
    signatures,
    privateRecords,
    packageLists,
    acknowledgements,
  };
}

/** The row's entry, which must be number `expected`. */
function entryOf(row: Row, expected: number): LogEntry {
  const seq = Number(row["seq"]);
  if (seq !== expected) throw new Contradiction(expected, `the entry is missing; the next one is ${seq}`);
  const entry = parseLogEntry(String(row["line"]));
  if (entry === undefined) throw new Contradiction(expected, "the line is no well-formed entry");
  if (entry.seq !== expected)
    throw new Contradiction(expected, `the line says that it is entry ${entry.seq}`);
  return entry;
}

function checkNode(nodes: Iterator<Row>, node: Uint8Array, seq: number): void {
  const { value } = nodes.next() as { value: Row | undefined };
  const hash = value?.["hash"];
  if (!(hash instanceof Uint8Array))
    throw new Contradiction(seq, "the tree lacks a node that the entry completes");
  if (Buffer.compare(hash, node) !== 0) {
    throw new Contradiction(seq, "the entry is not the one in the tree: it, or a node above it, was changed");
  }
}

function checkContinued(checkpoint: Checkpoint, tree: GrowingTree): void {
  if (checkpoint.size !== tree.size || Buffer.compare(checkpoint.root, tree.root()) === 0) return;
  throw new Contradiction(
    undefined,
    `the first ${tree.size} entries are not the ones that the given checkpoint was made of`,
  );
}

function checkNewestCheckpoint(database: Database, verifier: VerifierKey, tree: GrowingTree): void {
  if (count(database, "head") !== 1)
    throw new Contradiction(undefined, "the log does not have one newest checkpoint");
  const newest = openCheckpoint(readCheckpoint(database), verifier);
  if (newest === undefined) {
    throw new Contradiction(undefined, "the newest checkpoint is not signed by the log's key");
  }
  if (newest.size !== tree.size) {
    throw new Contradiction(
      undefined,
      `the log has ${tree.size} entries and its newest checkpoint is of ${newest.size}`,
    );
  }
  if (Buffer.compare(newest.root, tree.root()) !== 0) {
    throw new Contradiction(undefined, "the entries are not the ones that the newest checkpoint was made of");
  }
}

function count(database: Database, table: "head" | "private_records"): number {
  return Number(database.get(`SELECT count(*) AS n FROM ${table}`)?.["n"]);
}
