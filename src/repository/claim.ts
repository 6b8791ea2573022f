import { lstatSync, renameSync } from "node:fs";
import { errorCode } from "./repository-fault.ts";

/** Locks here are hard links to claims: files whose names say which process made them. */

/** What tells a lock from a copy of it; undefined where there is nothing. */
export function inodeOf(path: string): bigint | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}

/**
 * Makes the claim of a process that is gone this process's own, by a rename, which only one can do.
 * @param dead claims of the same lock
 * @returns whether one was still there
 */
export function takeOver(dead: readonly string[], claim: string): boolean {
  return dead.some((each) => {
    try {
      renameSync(each, claim);
      return true;
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw error;
      return false;
    }
  });
}
