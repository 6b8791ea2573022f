import { DatabaseSync } from "node:sqlite";
import { EXIT, quoted } from "../outcome.ts";
import { type Acknowledgement, openAcknowledgement } from "./acknowledgements.ts";
import { Contradiction } from "./contradiction.ts";
import type { WitnessKey } from "./cosignature.ts";
import type { Database, Row } from "./database.ts";
import { SCHEMA } from "./ledger-schema.ts";
import { isEntryTime } from "./log-entry.ts";
import { nodeReader } from "./log-head.ts";
import { treeRoot } from "./merkle.ts";
import { packageListDigest, parsePackageList } from "./package-list.ts";
import type { ExpectedLists } from "./package-shelf.ts";
import { encodeVerifierKey, parseNoteKey, type VerifierKey } from "./signed-note.ts";

/**
 * Holds the package lists against those that the entries name; returns how many there are.
 * @param copied of entries below this number a list may be empty: it was replaced before it could be copied
 */
export function checkPackageLists(database: Database, expected: ExpectedLists, copied: number): number {
  let count = 0;
  let missing = 0;
  for (const { client, type, name, seq, sha256 } of expected.lists()) {
    const row = database.get(
      "SELECT seq, list FROM package_lists WHERE client = ? AND type = ? AND name = ? AND sha256 = ?",
      client,
      type,
      name,
      sha256,
    );
    const list = String(row?.["list"]);
    if (row?.["seq"] !== seq) throw new Contradiction(seq, "the entry's package list is missing");
    if (list === "" && seq < copied && packageListDigest(list) !== sha256) {
      missing++;
      continue;
    }
    if (packageListDigest(list) !== sha256 || parsePackageList(list) === undefined) {
      throw new Contradiction(seq, "the entry's package list was changed");
    }
    count++;
  }
  if (database.get("SELECT count(*) AS n FROM package_lists")?.["n"] !== count + missing) {
    throw new Contradiction(undefined, "there are package lists that no entry names");
  }
  return count;
}

/** Counters of refusals without entries: nothing commits to them until they are summed up, so only nonsense is found. */
export function checkRefusals(database: Database): void {
  for (const row of database.iterate("SELECT * FROM refusals")) {
    if (!isCounter(row))
      throw new Contradiction(undefined, "a counter of refusals is not one that this program keeps");
  }
}

function isCounter({ code, since, logged, further, first, last }: Row): boolean {
  const withEntries = Number(logged) >= 1 && Number(logged) <= 10;
  const known = typeof code === "string" && Object.hasOwn(EXIT, code) && isEntryTime(since);
  if (further === 0) return known && withEntries && first === null && last === null;
  const ordered =
    isEntryTime(first) &&
    isEntryTime(last) &&
    String(since) <= String(first) &&
    String(first) <= String(last);
  return known && logged === 10 && Number(further) > 0 && ordered;
}

/** What of a log its acknowledgements are held against. */
export interface AcknowledgedLog {
  readonly database: Database;
  /** Number of entries; all nodes of their tree have been verified. */
  readonly size: number;
  readonly verifier: VerifierKey;
  /** Whose acknowledgements are wanted. */
  readonly witnesses: readonly WitnessKey[];
}

/** Every head that a witness cosigned is one of this log; returns those of `witnesses` that are there, in their order. */
export function checkAcknowledgements(log: AcknowledgedLog): readonly Acknowledgement[] {
  const found = new Map<string, Acknowledgement>();
  const wanted = new Set(log.witnesses.map(encodeVerifierKey));
  for (const row of log.database.iterate("SELECT witness, size, note FROM acknowledgements")) {
    const acknowledgement = acknowledgementOf(row, log);
    if (wanted.has(String(row["witness"]))) found.set(String(row["witness"]), acknowledgement);
  }
  return log.witnesses
    .map((witness) => found.get(encodeVerifierKey(witness)))
    .filter((acknowledgement) => acknowledgement !== undefined);
}

function acknowledgementOf(row: Row, { database, size, verifier }: AcknowledgedLog): Acknowledgement {
  const key = String(row["witness"]);
  const witness = parseNoteKey("cosignature", key);
  const found = witness && openAcknowledgement(String(row["note"]), verifier, witness);
  if (found === undefined || found.checkpoint.size !== row["size"]) {
    throw new Contradiction(undefined, `the acknowledgement of ${quoted(key, 255)} is not one of a witness`);
  }
  const { checkpoint } = found;
  const name = quoted(found.witness.name, 255);
  if (checkpoint.size > size) {
    throw new Contradiction(
      undefined,
      `the log has ${size} entries and the witness ${name} cosigned ${checkpoint.size}: its end was removed`,
    );
  }
  if (Buffer.compare(treeRoot(checkpoint.size, nodeReader(database)), checkpoint.root) !== 0) {
    throw new Contradiction(
      undefined,
      `the first ${checkpoint.size} entries are not the ones that the witness ${name} cosigned`,
    );
  }
  return found;
}

/** How far collectors are: never further than the log. */
export function checkForwarded(database: Database, size: number): void {
  for (const { collector, size: sent } of database.iterate("SELECT collector, size FROM forwarded")) {
    if (collector !== "" && Number(sent) >= 0 && Number(sent) <= size) continue;
    throw new Contradiction(
      undefined,
      `the log has ${size} entries and says that ${sent} were sent to ${quoted(String(collector))}`,
    );
  }
}

/** The file itself: schema, triggers, indexes as this program makes them, and SQLite's own check of its pages. */
export function checkFile(database: Database): void {
  const select = "SELECT type, name, sql FROM sqlite_schema ORDER BY name";
  const found = new Map(database.all(select).map((row) => [String(row["name"]), JSON.stringify(row)]));
  const sound = new DatabaseSync(":memory:");
  try {
    sound.exec(SCHEMA);
    for (const row of sound.prepare(select).all()) {
      const name = String(row["name"]);
      if (found.get(name) !== JSON.stringify(row))
        throw new Contradiction(undefined, `the database's ${name} is missing or was changed`);
      found.delete(name);
    }
  } finally {
    sound.close();
  }
  const [extra] = found.keys();
  if (extra !== undefined)
    throw new Contradiction(undefined, `the database has something of its own: ${quoted(extra)}`);
  const result = database.get("PRAGMA integrity_check(1)")?.["integrity_check"];
  if (result !== "ok")
    throw new Contradiction(undefined, `sqlite finds the database damaged: ${quoted(String(result), 200)}`);
}
