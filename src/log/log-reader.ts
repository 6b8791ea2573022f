import { existsSync } from "node:fs";
import { join } from "node:path";
import { LOG_PUBLIC_FILE, readLogPublic } from "./copy/log-public.ts";
import type { Database } from "./database.ts";
import { type LogEntry, parseLogEntry } from "./log-entry.ts";
import { openLogDatabase } from "./log-file.ts";
import { nodeReader, readCheckpoint, readVerifier } from "./log-head.ts";
import { LOG_KEY_FILE, readLogKey } from "./log-key.ts";
import { type LogFilter, searchLog } from "./log-search.ts";
import { treeRoot } from "./merkle.ts";
import { type PrivateRecord, parsePrivateRecord } from "./private-record.ts";
import type { VerifierKey } from "./signed-note.ts";

/** How many entries {@link LogReader.byDigest} returns at most. */
const MAX_MATCHES = 100;

/**
 * A log as people and auditors read it: one snapshot, as of when it was opened, whoever goes on writing. It needs write
 * access to the directory all the same (SQLite's `-shm`), never changes the log, and believes nothing: lines come as they
 * are stored.
 */
export class LogReader {
  readonly #database: Database;
  readonly #directory: string;
  /** Number of entries. */
  readonly size: number;

  private constructor(directory: string, database: Database) {
    this.#directory = directory;
    this.#database = database;
    database.exec("BEGIN");
    this.size = Number(database.get("SELECT max(seq) AS last FROM entries")?.["last"] ?? -1) + 1;
  }

  /** Opens the log of a state directory. Faults: `no-state` where there is none, `log-broken` where it is not one. */
  static open(directory: string): LogReader {
    const database = openLogDatabase(directory, { readOnly: true });
    try {
      return new LogReader(directory, database);
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** The database itself, for verification. */
  get database(): Database {
    return this.#database;
  }

  /** Whether this is the copy on a log host, rather than the log of a signing host. */
  get isCopy(): boolean {
    return existsSync(join(this.#directory, LOG_PUBLIC_FILE));
  }

  /** The key that the log says it began with; nobody vouches for it but the log. */
  statedVerifier(): VerifierKey {
    return readVerifier(this.#database);
  }

  /**
   * The log's key as the folder holds it beside the log: in a copy on a log host the one that it was made for, in a state
   * directory the public half of the log key, under the name that the log states; undefined in a mere copy of the file.
   */
  heldVerifier(): VerifierKey | undefined {
    if (this.isCopy) return readLogPublic(this.#directory);
    if (!existsSync(join(this.#directory, LOG_KEY_FILE))) return undefined;
    return readLogKey(this.#directory, this.statedVerifier().name).verifier;
  }

  /** The newest signed checkpoint: a C2SP note. */
  checkpoint(): string {
    return readCheckpoint(this.#database);
  }

  /** Root of the tree of the first `size` entries, at most {@link LogReader.size}, from stored nodes. */
  rootAt(size: number): Uint8Array {
    return treeRoot(size, nodeReader(this.#database));
  }

  /** The stored line of an entry; undefined beyond the log's end. */
  line(seq: number): string | undefined {
    const line = this.#database.get("SELECT line FROM entries WHERE seq = ?", seq)?.["line"];
    return line === undefined ? undefined : String(line);
  }

  /** The entry; undefined beyond the log's end, and where the line is none. */
  entry(seq: number): LogEntry | undefined {
    return parseLogEntry(this.line(seq) ?? "");
  }

  /** Lines that a filter lets through, oldest first; with `newest` only so many of the newest. */
  search(filter: LogFilter, newest?: number): Generator<string, void, undefined> {
    return searchLog(this.#database, filter, newest);
  }

  /** Lines of up to 100 entries, the newest, about a digest that begins with 8 or more lower-case hex digits; oldest first. */
  byDigest(prefix: string): readonly string[] {
    const kept = prefix.slice(0, 16);
    const found = new Map<number, string>();
    for (const column of ["sha256", "sha512"] as const) {
      const rows = this.#database.iterate(
        `SELECT seq, line FROM entries
         WHERE ${column}_start BETWEEN ?1 AND ?2 AND substr(line ->> '$.${column}', 1, length(?3)) = ?3
         ORDER BY seq DESC LIMIT ${MAX_MATCHES}`,
        kept,
        `${kept}g`,
        prefix,
      );
      for (const row of rows) found.set(Number(row["seq"]), String(row["line"]));
    }
    return [...found]
      .sort(([a], [b]) => a - b)
      .slice(-MAX_MATCHES)
      .map(([, line]) => line);
  }

  /** What is about people beside an entry; undefined where there is nothing, or nothing that parses. */
  privateRecord(seq: number): PrivateRecord | undefined {
    const record = this.#database.get("SELECT record FROM private_records WHERE seq = ?", seq)?.["record"];
    return record === undefined ? undefined : parsePrivateRecord(String(record));
  }

  close(): void {
    this.#database.close();
  }
}
