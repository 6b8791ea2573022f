import { Contradiction } from "../contradiction.ts";
import type { Database, Row } from "../database.ts";
import { type LogEntry, parseLogEntry } from "../log-entry.ts";
import { nodeReader } from "../log-head.ts";
import type { StoredEntry } from "../log-source.ts";
import { appendLeaf, hashLeaf, type NodeReader, storedNodes, treeRoot } from "../merkle.ts";
import { packageListDigest, parsePackageList } from "../package-list.ts";
import { storePackageList } from "../package-shelf.ts";
import type { VerifierKey } from "../signed-note.ts";
import { checkEntry, checkPrivateRecord } from "../verify-entry.ts";

/** Entries that another machine made, appended to a log of the same schema: to a copy, or to a log that is restored from one. */

declare const checked: unique symbol;

/** An entry that is whole: well-formed, and what is beside it is what it commits to. Only {@link parseStored} makes one. */
export interface WholeEntry {
  readonly entry: LogEntry;
  readonly stored: StoredEntry;
  readonly [checked]: true;
}

/**
 * Holds an entry against what came beside it, whatever its place in a log. Controlled by: who sends it. Throws a
 * {@link Contradiction}: no well-formed entry, of another number than `stored.seq`, a private record or a package list that
 * is not the one it commits to, or a private record that it commits to and that is missing.
 */
export function parseStored(stored: StoredEntry): WholeEntry {
  const { seq, line, packages } = stored;
  const entry = parseLogEntry(line);
  if (entry === undefined) throw new Contradiction(seq, "the line is no well-formed entry");
  if (entry.seq !== seq) throw new Contradiction(seq, `the line says that it is entry ${entry.seq}`);
  checkPrivateRecord({ entry, row: rowOf(stored) });
  if (packages !== undefined) {
    if (packageListDigest(packages) !== packagesDigest(entry) || parsePackageList(packages) === undefined)
      throw new Contradiction(seq, "the package list is not the one that the entry names");
  }
  return { entry, stored } as unknown as WholeEntry;
}

/** A log that grows by entries made elsewhere. Its database MUST be in a write transaction, the caller's, for as long. */
export class StoredAppend {
  readonly #database: Database;
  readonly #verifier: VerifierKey;
  readonly #read: NodeReader;
  #size: number;
  #previous: LogEntry | undefined;

  /**
   * @param size number of entries that the database has
   * @param verifier the log's key, known from elsewhere than the entries
   */
  constructor(database: Database, size: number, verifier: VerifierKey) {
    this.#database = database;
    this.#verifier = verifier;
    this.#read = nodeReader(database);
    this.#size = size;
    this.#previous = size === 0 ? undefined : this.entry(size - 1);
  }

  get size(): number {
    return this.#size;
  }

  /** Root of the tree so far. */
  root(): Uint8Array {
    return treeRoot(this.#size, this.#read);
  }

  /** The entry; undefined beyond the log's end. */
  entry(seq: number): LogEntry | undefined {
    return parseLogEntry(
      String(this.#database.get("SELECT line FROM entries WHERE seq = ?", seq)?.["line"] ?? ""),
    );
  }

  /**
   * Appends the next entry, its private record, and its package list or the place of it. Throws a {@link Contradiction} where it
   * contradicts the entries before it, or the log's key; then the caller rolls back.
   */
  append({ entry, stored }: WholeEntry): void {
    const seq = this.#size;
    if (entry.seq !== seq) throw new Contradiction(seq, `expected entry ${seq}, not entry ${entry.seq}`);
    checkEntry({
      entry,
      row: rowOf(stored),
      previous: this.#previous,
      tree: this,
      reader: this,
      verifier: this.#verifier,
    });
    this.#database.run("INSERT INTO entries (seq, line) VALUES (?, ?)", seq, stored.line);
    let position = storedNodes(seq);
    for (const node of appendLeaf(seq, hashLeaf(Buffer.from(stored.line)), this.#read)) {
      this.#database.run("INSERT INTO nodes (position, hash) VALUES (?, ?)", position++, node);
    }
    if (stored.private !== undefined) {
      const { salt, record } = stored.private;
      this.#database.run(
        "INSERT INTO private_records (seq, salt, record) VALUES (?, ?, ?)",
        seq,
        salt,
        record,
      );
    }
    const sha256 = packagesDigest(entry);
    // A list that was replaced before it could be sent leaves its place empty, so that the shelf's order is the host's.
    if (sha256 !== undefined)
      storePackageList(this.#database, entry, { text: stored.packages ?? "", sha256 });
    this.#size = seq + 1;
    this.#previous = entry;
  }
}

/** The root that the first `from` entries of a log have together with `lines`; nothing is stored. */
export function rootWith(from: number, lines: readonly string[], read: NodeReader): Uint8Array {
  const added = new Map<string, Uint8Array>();
  const readBoth: NodeReader = (level, index) => added.get(`${level}/${index}`) ?? read(level, index);
  let size = from;
  for (const line of lines) {
    const nodes = appendLeaf(size, hashLeaf(Buffer.from(line)), readBoth);
    for (const [level, node] of nodes.entries()) {
      added.set(`${level}/${Math.floor(size / 2 ** level)}`, node);
    }
    size++;
  }
  return treeRoot(size, readBoth);
}

function rowOf({ private: beside }: StoredEntry): Row {
  return { salt: beside === undefined ? null : new Uint8Array(beside.salt), record: beside?.record ?? null };
}

/** `packages_sha256` of a signed entry. */
function packagesDigest(entry: LogEntry): string | undefined {
  const sha256 = entry.kind === "signed" ? entry.facts["packages_sha256"] : undefined;
  return typeof sha256 === "string" ? sha256 : undefined;
}
