import { chownSync, closeSync, mkdirSync, openSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../../outcome.ts";
import { Database } from "../database.ts";

/** File of the state directory whose lock says that somebody restores; it stays. */
const RESTORE_LOCK_FILE = "restore.lock";

/**
 * Makes the state directory where it is missing, and sees to it that one restores at a time: until the connection is closed, or
 * its process has ended. Faults `busy`, `log-not-durable`.
 */
export function lockRestore(directory: string): Database {
  const path = join(directory, RESTORE_LOCK_FILE);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    closeSync(openSync(path, "a", 0o600));
    giveToOwner(path, directory);
  } catch (cause) {
    throw new Fault("log-not-durable", `${directory} cannot be written`, { cause });
  }
  const lock = new Database(path, { readOnly: false, busyTimeoutMs: 0 });
  try {
    lock.exec("BEGIN EXCLUSIVE");
    return lock;
  } catch (error) {
    lock.close();
    if (error instanceof Fault && error.code === "busy")
      throw new Fault("busy", "the log is being restored by another process", { cause: error });
    throw error;
  }
}

/** Root may restore: then a file, or a folder with all that is in it, goes to the account whose directory it is. */
export function giveToOwner(path: string, directory: string): void {
  const { uid, gid } = statSync(directory);
  if (process.geteuid?.() !== 0 || uid === 0) return;
  const inside = statSync(path).isDirectory() ? readdirSync(path, { recursive: true, encoding: "utf8" }) : [];
  for (const each of [path, ...inside.map((name) => join(path, name))]) chownSync(each, uid, gid);
}
