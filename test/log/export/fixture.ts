import { readdirSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect } from "vitest";
import { openAcknowledgement } from "../../../src/log/acknowledgements.ts";
import { configuredFields } from "../../../src/log/configured.ts";
import { cosign, type Witness } from "../../../src/log/cosignature.ts";
import { exportedHead } from "../../../src/log/export/exported-head.ts";
import { exportTiles, readPublished } from "../../../src/log/export/tiles-export.ts";
import type { Ledger } from "../../../src/log/ledger.ts";
import { LogReader } from "../../../src/log/log-reader.ts";
import { encodeVerifierKey } from "../../../src/log/signed-note.ts";
import { isRefusal } from "../../../src/outcome.ts";
import { at } from "../fixture.ts";

/** Appends entries until the log has `size`. */
export async function growTo(ledger: Ledger, size: number): Promise<void> {
  await ledger.transact(at(1), (tx) => {
    while (tx.size < size) tx.append(configuredFields([`rules ${tx.size}`]));
  });
}

export interface ExportOptions {
  readonly cosigned?: boolean;
}

/** Exports a log's tiles: `BEFORE to SIZE, N files`, the refusal's code or the Fault's. */
export function exportTo(
  directory: string,
  folder: string,
  { cosigned = false }: ExportOptions = {},
): string {
  const published = readPublished(folder);
  const reader = LogReader.open(directory);
  try {
    const verifier = reader.statedVerifier();
    const head = exportedHead(reader, verifier, { cosigned });
    if (isRefusal(head)) return head.code;
    const done = exportTiles(reader, head, folder, { verifier, published });
    return isRefusal(done) ? done.code : `${done.before} to ${done.size}, ${done.files} files`;
  } catch (error) {
    if (error instanceof Error && error.name === "Fault")
      return `${(error as unknown as { code: string }).code}`;
    throw error;
  } finally {
    reader.close();
  }
}

/** The log's key, as `signer-log key` prints it. */
export function keyOf(directory: string): string {
  const reader = LogReader.open(directory);
  try {
    return encodeVerifierKey(reader.statedVerifier());
  } finally {
    reader.close();
  }
}

/** The log's newest head, cosigned by a witness and kept beside the log as after its answer. */
export function acknowledge(directory: string, witness: Witness): void {
  const reader = LogReader.open(directory);
  const note = cosign(reader.checkpoint(), witness, at(60_000));
  const acknowledged = openAcknowledgement(note, reader.statedVerifier(), witness.key);
  reader.close();
  expect(acknowledged).toBeDefined();
  const database = new DatabaseSync(join(directory, "log.db"));
  database
    .prepare("INSERT OR REPLACE INTO acknowledgements (witness, size, note) VALUES (?, ?, ?)")
    .run(encodeVerifierKey(witness.key), acknowledged?.checkpoint.size ?? 0, note);
  database.close();
}

/** Paths of all files below a folder, with their inode and modification time. */
export function filesBelow(folder: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const { ino, mtimeMs } = statSync(path);
    found.set(relative(folder, path), `${ino} ${mtimeMs}`);
  }
  return found;
}
