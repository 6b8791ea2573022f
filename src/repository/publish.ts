import { createHash } from "node:crypto";
import {
  closeSync,
  copyFileSync,
  linkSync,
  openSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { syncDirectory } from "../log/durable-file.ts";
import type { RepositoryPath } from "./database-path.ts";
import { endPublication, type Publication, type PublishedPair } from "./publication.ts";
import { errorCode } from "./repository-fault.ts";
import { removeStages, workFolderOf } from "./work-folder.ts";

/** How a publication ended. */
export interface Published {
  /** Names of databases that somebody else had changed meanwhile, and that were left as they are. */
  readonly leftAlone: readonly string[];
  /** Package files that could not be deleted, with the reason's errno: `/srv/a.pkg: EACCES`. Nobody else will try again. */
  readonly notDeleted: readonly string[];
}

/**
 * Publishes what the journal says: the same for one that was begun a moment ago and for one whose process was killed,
 * however far it was. Only the holder of the lock may call it.
 *
 * The databases and signatures change places in four renames, one right behind the other; a database whose signature was not
 * reached is the only state in which a reader finds two that do not belong together.
 */
export function publish(repository: RepositoryPath, publication: Publication): Published {
  const stage = join(workFolderOf(repository), publication.stage);
  const { folder, names } = repository;
  const publishable = publication.pairs.filter((pair) => isPublishable(repository, stage, pair));
  const live = (pair: PublishedPair): string => join(folder, names[pair.kind]);
  const staged = (pair: PublishedPair): string => join(stage, names[pair.kind]);

  for (const pair of publishable.filter((pair) => digestOf(staged(pair)) !== undefined))
    keepOld(stage, live(pair));
  for (const pair of publishable) {
    renameIfThere(staged(pair), live(pair));
    renameIfThere(`${staged(pair)}.sig`, `${live(pair)}.sig`);
  }
  for (const { kind } of publishable) {
    const link = join(folder, repository.links[kind]);
    pointTo(stage, link, names[kind]);
    pointTo(stage, `${link}.sig`, `${names[kind]}.sig`);
  }
  syncDirectory(folder);

  const leftAlone = publication.pairs.filter((pair) => !publishable.includes(pair));
  const notDeleted = leftAlone.length > 0 ? [] : deleteFiles(publication.removals);
  endPublication(repository);
  removeStages(repository);
  return { leftAlone: leftAlone.map(({ kind }) => names[kind]), notDeleted };
}

/** What cannot be deleted must not keep a publication from its end. */
function deleteFiles(paths: readonly string[]): readonly string[] {
  return paths.flatMap((path) => {
    try {
      unlinkSync(path);
      return [];
    } catch (error) {
      return errorCode(error) === "ENOENT" ? [] : `${path}: ${errorCode(error)}`;
    }
  });
}

/**
 * Not where the live database is neither the one before nor the new one (somebody removed the lock and ran repo-add), or a
 * staged file is not what it was.
 */
function isPublishable(repository: RepositoryPath, stage: string, pair: PublishedPair): boolean {
  const name = repository.names[pair.kind];
  const database = digestOf(join(stage, name));
  const signature = digestOf(join(stage, `${name}.sig`));
  if (signature !== undefined && signature !== pair.signature) return false;
  const live = digestOf(join(repository.folder, name));
  if (database === undefined) return live === pair.database.after;
  return database === pair.database.after && signature !== undefined && live === pair.database.before;
}

/** Keeps the pair as `NAME.old` and `NAME.old.sig`, as repo-add does: a signature of another database never stays beside it. */
function keepOld(stage: string, live: string): void {
  if (!keepAs(stage, live, `${live}.old`)) return;
  if (!keepAs(stage, `${live}.sig`, `${live}.old.sig`)) rmSync(`${live}.old.sig`, { force: true });
}

/** A hard link, or a copy where the file system has none; false where there is nothing to keep. */
function keepAs(stage: string, live: string, old: string): boolean {
  const next = join(stage, "old");
  rmSync(next, { force: true });
  try {
    linkSync(live, next);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return false;
    copyFileSync(live, next);
  }
  renameSync(next, old);
  return true;
}

/** Makes `link` a symbolic link to `target` in the same folder; one that is right is not touched. */
function pointTo(stage: string, link: string, target: string): void {
  try {
    if (readlinkSync(link) === target) return;
  } catch (error) {
    // EINVAL: a file of its own, which would go on serving the state before.
    if (errorCode(error) !== "ENOENT" && errorCode(error) !== "EINVAL") throw error;
  }
  const next = join(stage, "link");
  rmSync(next, { force: true });
  try {
    symlinkSync(target, next);
  } catch (error) {
    // A file system without symbolic links: repo-add makes a second name of the file, too.
    if (errorCode(error) !== "EPERM" && errorCode(error) !== "ENOTSUP") throw error;
    linkSync(join(dirname(link), target), next);
  }
  renameSync(next, link);
}

function renameIfThere(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
}

/** Bytes read at a time. */
const PIECE_BYTES = 1024 * 1024;

/** SHA-256 of a file, lower-case hex; undefined where there is none. */
export function digestOf(path: string): string | undefined {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
  try {
    const hash = createHash("sha256");
    const piece = Buffer.alloc(PIECE_BYTES);
    for (let bytes = readSync(file, piece); bytes > 0; bytes = readSync(file, piece))
      hash.update(piece.subarray(0, bytes));
    return hash.digest("hex");
  } finally {
    closeSync(file);
  }
}
