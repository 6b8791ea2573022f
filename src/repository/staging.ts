import { closeSync, constants, copyFileSync, fsyncSync, openSync, statSync } from "node:fs";
import { join } from "node:path";
import { DATABASE_KINDS, type DatabaseKind, type RepositoryPath } from "./database-path.ts";
import { errorCode } from "./repository-fault.ts";
import { makeStage } from "./work-folder.ts";

/** Copies of both databases, where repo-add may work on them. */
export interface Stage {
  readonly folder: string;
  /** Inodes of the copies: repo-add replaces what it changes. Undefined for a database that the repository lacks. */
  readonly copies: Readonly<Record<DatabaseKind, bigint | undefined>>;
}

/** Copies what is live into a folder of its own. The live files are not touched. */
export function stageDatabases(repository: RepositoryPath): Stage {
  const folder = makeStage(repository);
  const copy = (kind: DatabaseKind): bigint | undefined => {
    const path = join(folder, repository.names[kind]);
    try {
      copyFileSync(join(repository.folder, repository.names[kind]), path, constants.COPYFILE_FICLONE);
    } catch (error) {
      if (errorCode(error) === "ENOENT") return undefined;
      throw error;
    }
    return inodeOf(path);
  };
  return { folder, copies: { db: copy("db"), files: copy("files") } };
}

/** Whether repo-add has made new databases, or left the copies as they were (from 6.1 on, where nothing was to do). */
export function isRewritten(repository: RepositoryPath, { folder, copies }: Stage): boolean {
  return DATABASE_KINDS.some((kind) => inodeOf(join(folder, repository.names[kind])) !== copies[kind]);
}

/** Makes a file's content, owner, mode and time durable. */
export function syncFile(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function inodeOf(path: string): bigint | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}
