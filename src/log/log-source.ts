import { type Checkpoint, signCheckpoint } from "./checkpoint.ts";
import type { Database } from "./database.ts";
import { openLogDatabase } from "./log-file.ts";
import { nodeReader, readHead } from "./log-head.ts";
import { treeRoot } from "./merkle.ts";
import type { NoteSigner } from "./signed-note.ts";

/** An entry with what is beside it, as it goes to a copy. */
export interface StoredEntry {
  readonly seq: number;
  readonly line: string;
  readonly private: { readonly salt: Uint8Array; readonly record: string } | undefined;
  /**
   * The text of the package list, where it is the newest of its client, type and name since this entry; undefined for an
   * empty one, which its digest alone says.
   */
  readonly packages: string | undefined;
}

/** A log as of one moment, for who sends it on. */
export class LogSource {
  readonly size: number;
  readonly #database: Database;
  readonly #signer: NoteSigner;

  /** Opens the log of a state directory; Faults as {@link openLogDatabase}. */
  constructor(directory: string, signer: NoteSigner) {
    this.#signer = signer;
    this.#database = openLogDatabase(directory, { readOnly: true });
    try {
      this.#database.exec("BEGIN");
      this.size = readHead(this.#database, signer.verifier).size;
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /** Root of the first `size` entries, at most {@link LogSource.size}. */
  rootAt(size: number): Uint8Array {
    return treeRoot(size, nodeReader(this.#database));
  }

  /** Whether `head` is a head of this log. One that is larger than the log is none. */
  isHead({ size, root }: Pick<Checkpoint, "size" | "root">): boolean {
    return size <= this.size && Buffer.compare(this.rootAt(size), root) === 0;
  }

  /** The signed checkpoint of the first `size` entries. */
  checkpointAt(size: number): string {
    return signCheckpoint({ size, root: this.rootAt(size) }, this.#signer);
  }

  /** Entries from `from` to `to` (exclusive), one at a time. */
  entries(from: number, to: number): Generator<StoredEntry, void, undefined> {
    return storedEntries(this.#database, from, to);
  }

  close(): void {
    this.#database.close();
  }
}

/** Entries from `from` to `to` (exclusive) with what is beside them, one at a time. */
export function* storedEntries(
  database: Database,
  from: number,
  to: number,
): Generator<StoredEntry, void, undefined> {
  const rows = database.iterate(
    `SELECT entries.seq, line, salt, record, list FROM entries
     LEFT JOIN private_records ON private_records.seq = entries.seq
     LEFT JOIN package_lists ON package_lists.seq = entries.seq
     WHERE entries.seq >= ? AND entries.seq < ? ORDER BY entries.seq`,
    from,
    to,
  );
  for (const { seq, line, salt, record, list } of rows) {
    yield {
      seq: Number(seq),
      line: String(line),
      private: salt instanceof Uint8Array ? { salt, record: String(record) } : undefined,
      packages: typeof list === "string" && list !== "" ? list : undefined,
    };
  }
}
