import { existsSync, lstatSync, readFileSync, renameSync, rmSync } from "node:fs";
import { basename, isAbsolute, join } from "node:path";
import * as v from "valibot";
import { syncDirectory, writeNewFile } from "../log/durable-file.ts";
import { Fault } from "../outcome.ts";
import { DATABASE_KINDS, type RepositoryPath } from "./database-path.ts";
import { errorCode } from "./repository-fault.ts";
import { isStageName, workFolderOf } from "./work-folder.ts";

/**
 * What is to be published, durable before the first live file changes: whoever has the lock next can complete it. Digests are
 * SHA-256, lower-case hex; `before` is left out for a database
 * that was not there.
 */
export interface Publication {
  readonly version: 1;
  /** Name of the folder, in the work folder, that holds the new files under their own names. */
  readonly stage: string;
  /** In the order of publication. */
  readonly pairs: readonly PublishedPair[];
  /** Absolute paths of package files to delete at last. */
  readonly removals: readonly string[];
}

/** A database and its signature, `NAME.sig`. */
export interface PublishedPair {
  readonly kind: (typeof DATABASE_KINDS)[number];
  readonly database: { readonly before?: string | undefined; readonly after: string };
  readonly signature: string;
}

const Digest = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));
const Pair = v.strictObject({
  kind: v.picklist(DATABASE_KINDS),
  database: v.strictObject({ before: v.optional(Digest), after: Digest }),
  signature: Digest,
});
const Schema = v.strictObject({
  version: v.literal(1),
  stage: v.pipe(v.string(), v.check(isStageName)),
  pairs: v.pipe(
    v.array(Pair),
    v.minLength(1),
    v.maxLength(2),
    v.check((pairs) => new Set(pairs.map(({ kind }) => kind)).size === pairs.length),
  ),
  removals: v.array(
    v.pipe(
      v.string(),
      v.check((path) => isAbsolute(path) && !/\0/.test(path)),
    ),
  ),
});

const journalOf = (repository: RepositoryPath): string => join(workFolderOf(repository), "publication.json");

/** Makes the publication durable: from here on it is completed, never undone. Its staged files MUST be durable before. */
export function beginPublication(repository: RepositoryPath, publication: Publication): void {
  const journal = journalOf(repository);
  rmSync(`${journal}.new`, { force: true });
  try {
    writeNewFile(`${journal}.new`, `${JSON.stringify(publication)}\n`);
  } catch (error) {
    rmSync(`${journal}.new`, { force: true });
    throw error;
  }
  renameSync(`${journal}.new`, journal);
  syncDirectory(workFolderOf(repository));
}

/**
 * The publication that was begun and not completed; undefined where there is none. A fault where it cannot be read. Controlled
 * by: whoever may write the repository. So one that another user wrote names no files to delete: they would be deleted with
 * this user's rights.
 */
export function readPublication(repository: RepositoryPath): Publication | undefined {
  const journal = journalOf(repository);
  let text: string;
  let isOurs: boolean;
  try {
    isOurs = lstatSync(journal).uid === process.geteuid?.();
    text = readFileSync(journal, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), Schema), text);
  if (parsed.success) return isOurs ? parsed.output : { ...parsed.output, removals: [] };
  throw new Fault(
    "repository-failed",
    `expected a publication of this program in ${basename(workFolderOf(repository))}`,
  );
}

/** Whether there is a publication that is not complete. */
export function isPublicationBegun(repository: RepositoryPath): boolean {
  return existsSync(journalOf(repository));
}

/** The publication is complete, or was undone. */
export function endPublication(repository: RepositoryPath): void {
  rmSync(`${journalOf(repository)}.new`, { force: true });
  rmSync(journalOf(repository), { force: true });
}
