import { chmodSync, lstatSync, mkdirSync, readdirSync, rmdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { Fault, quoted } from "../outcome.ts";
import type { RepositoryPath } from "./database-path.ts";
import { errorCode } from "./repository-fault.ts";

/**
 * The work folder, `.signer.core.db-tar.gz` beside the databases and so on their file system: claims on the lock, staged copies,
 * the journal of a publication. There only while somebody works. Without `.tar` in its name: repo-add, which works in it, takes
 * the first one in a path for the suffix.
 */
export function workFolderOf({ folder, names }: RepositoryPath): string {
  return join(folder, `.signer.${names.db.replaceAll(".tar", "-tar")}`);
}

/** Staged copies are in a folder of each run: what a killed run's repo-add still writes is in nobody's way. */
const STAGE = /^stage-[A-Za-z0-9-]{1,128}$/;

/** Whether it is the name of a folder with staged copies: a name, never a path. */
export function isStageName(name: string): boolean {
  return STAGE.test(name);
}

/**
 * Makes the work folder where it is not there. Who may write the repository may write it: so that somebody else of the same
 * group can complete what was left.
 */
export function makeWorkFolder(repository: RepositoryPath): void {
  const folder = workFolderOf(repository);
  try {
    mkdirSync(folder);
    chmodSync(folder, statSync(repository.folder).mode & 0o7777);
  } catch (error) {
    // A second EEXIST or ENOENT: another process makes or removes it at this moment.
    if (errorCode(error) !== "EEXIST" && !isGoneMeanwhile(error, repository)) throw error;
  }
  // A link would lead what is written and removed here to somebody else's folder.
  const found = lstatSync(folder, { throwIfNoEntry: false });
  if (found !== undefined && !found.isDirectory())
    throw new Fault("repository-failed", `expected ${quoted(folder, 300)} to be a folder of this program`);
}

function isGoneMeanwhile(error: unknown, { folder }: RepositoryPath): boolean {
  return errorCode(error) === "ENOENT" && statSync(folder, { throwIfNoEntry: false }) !== undefined;
}

/** Removes the work folder where nothing is in it. */
export function removeWorkFolder(repository: RepositoryPath): void {
  try {
    rmdirSync(workFolderOf(repository));
  } catch (error) {
    const code = errorCode(error);
    if (code !== "ENOTEMPTY" && code !== "EEXIST" && code !== "ENOENT") throw error;
  }
}

/** A new folder for staged copies: its path. */
export function makeStage(repository: RepositoryPath): string {
  const stage = join(workFolderOf(repository), `stage-${process.pid}-${Date.now()}`);
  mkdirSync(stage);
  chmodSync(stage, statSync(repository.folder).mode & 0o7777);
  return stage;
}

/** Removes all staged copies. Only the lock's holder may; a repo-add that outlived its caller may put some back. */
export function removeStages(repository: RepositoryPath): void {
  const folder = workFolderOf(repository);
  for (const name of readdirSync(folder).filter(isStageName)) {
    try {
      rmSync(join(folder, name), { recursive: true, force: true, maxRetries: 2 });
    } catch (error) {
      if (errorCode(error) !== "ENOTEMPTY") throw error;
    }
  }
}
