import { hash } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setImmediate } from "node:timers/promises";
import type { Fingerprint } from "../../src/keys/signing-key.ts";
import { signCheckpoint, type TreeHead } from "../../src/log/checkpoint.ts";
import { GrowingTree } from "../../src/log/growing-tree.ts";
import { Ledger } from "../../src/log/ledger.ts";
import { parseLogEntry } from "../../src/log/log-entry.ts";
import { LOG_FILE } from "../../src/log/log-file.ts";
import { readLogKey } from "../../src/log/log-key.ts";
import { encodeLogNotations } from "../../src/log/notations.ts";
import { encodeSignature } from "../../src/openpgp/signature.ts";

/**
 * Builds logs of any length, faster than the product could: no lock, no sync, no transaction for each entry, triggers and
 * the largest indexes made when all is in. What comes out is a log as the product writes it: its own key, tree, checkpoint and schema.
 */

export const ORIGIN = "signer.example.org/repo";
export const DAY_MS = 86_400_000;
/** Entries of the last day, in a log of whatever length. */
export const ENTRIES_OF_LAST_DAY = 9;

export interface WantedLog {
  /** Number of entries, at least 10. */
  readonly size: number;
  /** Time of the last entry. */
  readonly end: Date;
  /**
   * Signatures that say of themselves and of the log what they have to, so that `verify` finds nothing wrong; their numbers
   * no key made. Left out: eighty bytes of nothing, three times as fast.
   */
  readonly verifiable?: boolean;
}

/** Time between two entries: 10^7 of them are ten years. */
const STEP_MS = 31_000;
/** A line in so many goes through the product's parser. */
const CHECK_EVERY = 100_003;

/** Makes the state directory, which MUST NOT exist, with a log of so many entries. */
export async function generateLog(
  directory: string,
  { size, end, verifiable = false }: WantedLog,
): Promise<void> {
  const lastDay = size - ENTRIES_OF_LAST_DAY;
  const timeOf = (seq: number) =>
    new Date(
      end.getTime() - (seq < lastDay ? 2 * DAY_MS + (lastDay - seq) * STEP_MS : (size - 1 - seq) * 60_000),
    );
  Ledger.create(directory, { origin: ORIGIN, now: timeOf(0) }).close();
  const database = new DatabaseSync(join(directory, LOG_FILE));
  try {
    database.exec(
      "PRAGMA journal_mode = DELETE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -1000000; PRAGMA threads = 2",
    );
    // An index of digests is quicker sorted than filled at random; the others grow at few places.
    const later = database
      .prepare("SELECT type, name, sql FROM sqlite_schema WHERE type = 'trigger' OR name LIKE 'by_sha%'")
      .all();
    database.exec("BEGIN");
    for (const { type, name } of later) database.exec(`DROP ${type} ${name}`);
    const head = await fill(database, size, (seq, tree) => {
      const time = timeOf(seq).toISOString();
      const line = entryLine(seq, time, verifiable ? claimingSignature(seq, time, tree) : NO_SIGNATURE);
      if (seq % CHECK_EVERY === 0 && parseLogEntry(line) === undefined)
        throw new Error(`entry ${seq} is none: ${line}`);
      return line;
    });
    database
      .prepare("UPDATE head SET checkpoint = ?")
      .run(signCheckpoint(head, readLogKey(directory, ORIGIN)));
    for (const { sql } of later) database.exec(String(sql));
    database.exec("COMMIT; PRAGMA journal_mode = WAL");
  } finally {
    database.close();
  }
}

/** Appends entries to a log of one until it has `size`; its new head. */
async function fill(
  database: DatabaseSync,
  size: number,
  lineOf: (seq: number, tree: GrowingTree) => string,
): Promise<TreeHead> {
  const tree = new GrowingTree();
  const first = database.prepare("SELECT line FROM entries WHERE seq = 0").get()?.["line"];
  let position = tree.append(Buffer.from(String(first))).length;
  const insertEntry = database.prepare("INSERT INTO entries (seq, line) VALUES (?, ?)");
  const insertNode = database.prepare("INSERT INTO nodes (position, hash) VALUES (?, ?)");
  for (let seq = 1; seq < size; seq++) {
    // Whoever presses ^C is heard.
    if (seq % 10_000 === 0) await setImmediate();
    const line = lineOf(seq, tree);
    insertEntry.run(seq, line);
    for (const node of tree.append(Buffer.from(line))) insertNode.run(position++, node);
  }
  return { size, root: tree.root() };
}

export const RULE = "repos-db";
export const KEY = "0123456789ABCDEF0123456789ABCDEF01234567";
export const NO_SIGNATURE = Buffer.alloc(81).toString("base64");
const NAMES = [
  "core",
  "extra",
  "multilib",
  "core-testing",
  "extra-testing",
  "gnome-unstable",
  "kde-unstable",
];
const nameOf = (seq: number) => `${NAMES[seq % NAMES.length]}.db.tar.gz`;

/** Canonical JSON by hand: nineteen signatures, then a refusal. */
function entryLine(seq: number, time: string, signature: string): string {
  const name = nameOf(seq);
  const sha512 = hash("sha512", String(seq));
  const sha256 = sha512.slice(64);
  if (seq % 20 === 0) {
    return `{"client":"repos","code":"not-recognised","kind":"refused","name":"${name}","reason":"expected a database","rule":"${RULE}","seq":${seq},"sha256":"${sha256}","size":4096,"time":"${time}","type":"db"}`;
  }
  return `{"client":"repos","facts":{"packages":270},"key":"${KEY}","kind":"signed","name":"${name}","rule":"${RULE}","seq":${seq},"sha256":"${sha256}","sha512":"${sha512}","signature":"${signature}","size":123456,"time":"${time}","type":"db"}`;
}

const NUMBER = Buffer.alloc(32, 1);

function claimingSignature(seq: number, time: string, tree: GrowingTree): string {
  const createdAt = new Date(Math.floor(Date.parse(time) / 1000) * 1000);
  const notations = encodeLogNotations({
    domain: "signer.example.org",
    type: "db",
    name: nameOf(seq),
    tree: { size: tree.size, root: tree.root() },
  });
  const claims = {
    algorithm: "eddsa-legacy",
    issuerFingerprint: KEY as Fingerprint,
    createdAt,
    expiresAfterSeconds: undefined,
    notations,
  } as const;
  return Buffer.from(encodeSignature(claims, NUMBER, [NUMBER, NUMBER])).toString("base64");
}
