import { isRefusal, type Refusal } from "../outcome.ts";
import type { DatabaseFacts, Recogniser } from "./artefact.ts";
import { expandGzip, expandNothing, expandZstd } from "./compression.ts";
import type { Expander, ExpansionLimits, PieceSink } from "./expansion.ts";
import { type DatabaseType, PackageDatabase } from "./pacman-db.ts";
import { ArchiveReader } from "./ustar.ts";

/** The compressions that are read. */
export type Compression = DatabaseFacts["compression"];

/** What is known of a database before it is read. */
export interface DatabaseExpectation {
  readonly compression: Compression;
  /** The kinds that are not refused as soon as they show. */
  readonly wanted: ReadonlySet<DatabaseType>;
  /** What an empty database is, which shows no kind: the one that its name says. */
  readonly named: DatabaseType | undefined;
}

/** Starts recognising a package database. Controlled by: the client, every byte; `limits` by the administrator. */
export function startDatabase(expectation: DatabaseExpectation, limits: ExpansionLimits): Recogniser {
  return new DatabaseRecogniser(expectation, limits);
}

const EXPANDERS: Readonly<Record<Compression, (sink: PieceSink, limits: ExpansionLimits) => Expander>> = {
  none: expandNothing,
  gzip: expandGzip,
  zstd: expandZstd,
};

/** Compressed bytes ─▶ Expander ─▶ ArchiveReader ─▶ PackageDatabase. */
class DatabaseRecogniser implements Recogniser {
  readonly #expectation: DatabaseExpectation;
  readonly #expander: Expander;
  readonly #archive: ArchiveReader;
  readonly #database: PackageDatabase;

  constructor(expectation: DatabaseExpectation, limits: ExpansionLimits) {
    this.#expectation = expectation;
    this.#database = new PackageDatabase(expectation.wanted);
    this.#archive = new ArchiveReader(this.#database);
    this.#expander = EXPANDERS[expectation.compression]((piece) => this.#archive.push(piece), limits);
  }

  async push(chunk: Uint8Array): Promise<Refusal | undefined> {
    return this.#expander.push(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
  }

  async finish(): Promise<DatabaseFacts | Refusal> {
    const refused = (await this.#expander.finish()) ?? this.#archive.finish();
    if (refused !== undefined) return refused;
    const content = this.#database.finish();
    if (isRefusal(content)) return content;
    return {
      kind: "database",
      type: content.type ?? this.#expectation.named ?? "unknown",
      compression: this.#expectation.compression,
      packages: content.packages,
      newestBuildDate: content.newestBuildDate,
      expandedBytes: this.#archive.bytes,
    };
  }

  close(): void {
    this.#expander.close();
  }
}
