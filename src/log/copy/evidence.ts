import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { encodeCanonicalJson } from "../canonical-json.ts";
import { syncDirectory, writeNewFile } from "../durable-file.ts";

/** Folder of a copy in which conflicts are kept, for people. */
export const CONFLICTS_FOLDER = "conflicts";
/** Files in it at most: who floods it with contradictions has made the point. */
export const MAX_CONFLICTS = 100;

/** How many conflicts are kept in a folder of a log; 0 where it is no copy. */
export function countEvidence(directory: string): number {
  try {
    return evidenceFiles(directory).length;
  } catch {
    return 0;
  }
}

function evidenceFiles(directory: string): readonly string[] {
  return readdirSync(join(directory, CONFLICTS_FOLDER)).filter((file) => file.endsWith(".json"));
}

/** What one side of a conflict says. */
export interface Statement {
  /** A checkpoint that the log's key signed; left out where the copy was empty. */
  readonly note?: string;
  /** The first line that differs, or that contradicts the log before it. */
  readonly line?: string;
}

/** Two statements of one log that cannot both be true, or one that contradicts itself. */
export interface Evidence {
  /** One line: what contradicts what. */
  readonly reason: string;
  /** The entry that it is about, where it is known. */
  readonly seq?: number;
  /** What the copy holds. */
  readonly held: Statement;
  readonly sent: Statement;
}

/**
 * Keeps evidence in a file of its own, durably. The same checkpoint is kept as evidence once, and at most
 * {@link MAX_CONFLICTS} files; `kept` is false beyond that, and where the disk refuses.
 */
export function keepEvidence(directory: string, evidence: Evidence, now: Date): { readonly kept: boolean } {
  const folder = join(directory, CONFLICTS_FOLDER);
  const digest = createHash("sha256")
    .update(evidence.sent.note ?? "")
    .digest("hex");
  const ending = `-${digest.slice(0, 16)}.json`;
  const name = `${now.toISOString().replaceAll(/[-:]|\.\d+/g, "")}${ending}`;
  const temporary = join(folder, `${process.pid}.new`);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const files = evidenceFiles(directory);
    if (files.some((file) => file.endsWith(ending))) return { kept: true };
    if (files.length >= MAX_CONFLICTS) return { kept: false };
    rmSync(temporary, { force: true });
    const { held, sent, ...rest } = evidence;
    const value = { time: now.toISOString(), ...rest, held: { ...held }, sent: { ...sent } };
    writeNewFile(temporary, `${encodeCanonicalJson(value)}\n`);
    renameSync(temporary, join(folder, name));
    syncDirectory(folder);
    syncDirectory(directory);
    return { kept: true };
  } catch {
    rmSync(temporary, { force: true });
    return { kept: false };
  }
}
