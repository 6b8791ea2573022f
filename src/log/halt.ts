import {
  closeSync,
  existsSync,
  fchownSync,
  fsyncSync,
  openSync,
  readFileSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { Fault } from "../outcome.ts";

/**
 * The mark that stops a host from signing: a file in the state directory that says why. It is set where somebody else's
 * evidence shows that the log is not what it was, and taken away by an administrator alone.
 */
export const HALT_FILE = "halted";

/** A folder of this name says that a log is being put in place of another (`signer-log restore`). */
export const REPLACING_DIRECTORY = "replacing";

/** How a message ends that a client may see: what an administrator does next. */
export const WHEN_BROKEN = 'see "When the log is broken" in signer-log(1)';

/** Longest mark that is read, in characters. */
const MAX_LENGTH = 2048;

/** Stops signing, durably. A mark that is there stays: the first reason counts. Fault `log-not-durable` where it cannot be written. */
export function halt(directory: string, reason: string, now: Date): void {
  try {
    const file = openSync(join(directory, HALT_FILE), "wx", 0o600);
    try {
      // Root may have looked; the account that signs must be able to read why it does not.
      if (process.geteuid?.() === 0) fchownSync(file, statSync(directory).uid, statSync(directory).gid);
      writeSync(file, `${now.toISOString()} ${reason}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    const folder = openSync(directory, "r");
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") return;
    throw new Fault("log-not-durable", "the mark that stops signing cannot be written", { cause });
  }
}

/** When and why signing was stopped, one line; undefined where it was not. */
export function haltReason(directory: string): string | undefined {
  try {
    return readFileSync(join(directory, HALT_FILE), "utf8")
      .slice(0, MAX_LENGTH)
      .trimEnd()
      .replace(/[^\x20-\x7e]/g, "?");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new Fault("log-not-durable", "the state directory cannot be read", { cause: error });
  }
}

/** Throws Fault `log-broken` where signing was stopped, or another log is being put in place. */
export function refuseHalted(directory: string): void {
  if (existsSync(join(directory, REPLACING_DIRECTORY))) {
    throw new Fault(
      "log-broken",
      "the log is being restored: where that ended half done, signer-log restore completes it",
    );
  }
  const reason = haltReason(directory);
  if (reason === undefined) return;
  throw new Fault("log-broken", `signing was stopped at ${reason}; ${WHEN_BROKEN}`);
}
