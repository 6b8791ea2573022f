import { existsSync, linkSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { syncDirectory } from "../durable-file.ts";
import { HALT_FILE, REPLACING_DIRECTORY } from "../halt.ts";
import { LOG_FILE } from "../log-file.ts";
import { LOG_KEY_FILE } from "../log-key.ts";

/**
 * A log in place of another, so that a crash at any moment leaves the old one, the new one, or a folder that
 * {@link REPLACING_DIRECTORY} marks: there nothing is signed, and the same command completes what was begun.
 */

/** Folder in which a new log is made; what a crash leaves of it is worth nothing. */
export const RESTORING_DIRECTORY = "restoring";
/** Inside either folder: the new log and, where one was given, its key. */
const NEW = "new";
/** What SQLite keeps beside a database. The database goes first: without it, nothing is committed to the others. */
const OLD_FILES = [LOG_FILE, `${LOG_FILE}-wal`, `${LOG_FILE}-shm`] as const;

/** Where the new files are to be made. The folder is new. */
export function newFilesDirectory(directory: string): string {
  const folder = join(directory, RESTORING_DIRECTORY, NEW);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return folder;
}

/** Whether a replacement was begun and not completed. */
export function isReplacing(directory: string): boolean {
  return existsSync(join(directory, REPLACING_DIRECTORY));
}

/**
 * Begins: the new files are whole and durable, and from here on the only way is forward. The caller MUST hold the old log's
 * write lock until {@link completeReplacement} has ended.
 */
export function beginReplacement(directory: string): void {
  syncDirectory(join(directory, RESTORING_DIRECTORY, NEW));
  syncDirectory(join(directory, RESTORING_DIRECTORY));
  renameSync(join(directory, RESTORING_DIRECTORY), join(directory, REPLACING_DIRECTORY));
  syncDirectory(directory);
}

/**
 * Puts the new files in place and the old ones, the halt mark among them, aside; may be begun anew after a crash at any step.
 * Yields after each step, when it is durable.
 * @param aside name of the folder of the state directory that the old files go to; it MUST NOT exist
 */
export function* completeReplacement(directory: string, aside: string): Generator<string, void, undefined> {
  const old = join(directory, REPLACING_DIRECTORY);
  const fresh = join(old, NEW);
  const settle = () => {
    for (const folder of [fresh, old, directory]) if (existsSync(folder)) syncDirectory(folder);
  };
  // There is a log key at any moment: where one is, no new log is made.
  if (existsSync(join(fresh, LOG_KEY_FILE))) {
    keep(join(directory, LOG_KEY_FILE), join(old, LOG_KEY_FILE));
    renameSync(join(fresh, LOG_KEY_FILE), join(directory, LOG_KEY_FILE));
    settle();
    yield "key in place";
  }
  if (existsSync(join(fresh, LOG_FILE))) {
    for (const file of OLD_FILES) {
      if (!move(join(directory, file), join(old, file))) continue;
      settle();
      yield `${file} aside`;
    }
    renameSync(join(fresh, LOG_FILE), join(directory, LOG_FILE));
    settle();
    yield "log in place";
  }
  if (move(join(directory, HALT_FILE), join(old, HALT_FILE))) {
    settle();
    yield "mark aside";
  }
  rmSync(fresh, { recursive: true, force: true });
  renameSync(old, join(directory, aside));
  syncDirectory(directory);
}

/** Moves a file that may be missing; whether it was there. */
function move(from: string, to: string): boolean {
  if (!existsSync(from)) return false;
  renameSync(from, to);
  return true;
}

/** Gives a file that may be missing a second name, where that is not taken. */
function keep(from: string, to: string): void {
  if (existsSync(from) && !existsSync(to)) linkSync(from, to);
}
