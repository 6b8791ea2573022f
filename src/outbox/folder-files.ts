import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  futimesSync,
  openSync,
  readSync,
  renameSync,
  statSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { errorCode } from "../repository/repository-fault.ts";
import { freshName } from "./owner.ts";

/** Files of folders that several accounts share. */

/** How a file is to be. */
export interface FileAttributes {
  readonly mode: number;
  /** Time of last change, in seconds since 1970; then the file counts as {@link UNREAD}. */
  readonly stamp?: number;
  /** Whether its content is there after a power failure; its name is when the folder is synced. */
  readonly isDurable: boolean;
}

/** Replaces a file as a whole, or makes it. `content` is ASCII. */
export function replaceFile(path: string, content: string, attributes: FileAttributes): void {
  const { mode, stamp, isDurable } = attributes;
  const temporary = join(dirname(path), freshName(`new.${basename(path).replace(/@.*/, "")}`));
  try {
    const file = openSync(temporary, "wx", 0o600);
    try {
      const bytes = Buffer.from(content, "latin1");
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
      giveToFolder(file, dirname(path));
      fchmodSync(file, mode);
      if (stamp !== undefined) futimesSync(file, UNREAD, stamp);
      if (isDurable) fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, path);
  } catch (error) {
    remove(temporary);
    throw error;
  }
}

/** What root writes in somebody's folder is that one's, as if it had written it itself: it could not read it else. */
function giveToFolder(file: number, folder: string): void {
  if (process.geteuid?.() !== 0) return;
  const { uid, gid } = statSync(folder);
  fchownSync(file, uid, gid);
}

/** As time of last access: the first reader changes it, also on a file system that is mounted with relatime. */
export const UNREAD = 0;

/**
 * A regular file of at most `maxBytes`; never through a link, and never one that somebody else is still to write, such as a pipe.
 * @returns undefined where there is none; a phrase, `it is ...`, where it is another thing
 */
export function readBounded(path: string, maxBytes: number): Buffer | string | undefined {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENOENT") return undefined;
    if (code === "ELOOP") return "it is a link";
    if (code === "ENXIO") return "it is a socket";
    throw error;
  }
  try {
    if (!fstatSync(file).isFile()) return "it is no regular file";
    const bytes = Buffer.alloc(maxBytes + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read)
      read = readSync(file, bytes, length, bytes.length - length, length);
    return length > maxBytes ? `it is larger than ${maxBytes} bytes` : bytes.subarray(0, length);
  } finally {
    closeSync(file);
  }
}

/** Removes a name that may be gone already. */
export function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
}
