import { linkSync, readdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { inodeOf, takeOver } from "./claim.ts";
import type { RepositoryPath } from "./database-path.ts";
import { currentHolder, encodeLockHolder, isGone, type LockHolder, parseLockHolder } from "./lock-holder.ts";
import { errorCode } from "./repository-fault.ts";
import { makeWorkFolder, removeWorkFolder, workFolderOf } from "./work-folder.ts";

/** Between two looks at a lock that is waited for. */
const POLL_MS = 100;

/** Another process has the lock. */
export interface LockHeld {
  readonly kind: "held";
  readonly lockFile: string;
  /** What the lock file says, a process id with repo-add: anybody's text. Empty where it cannot be read. */
  readonly holder: string;
}

/**
 * repo-add's own lock, `core.db.tar.gz.lck`, which keeps repo-add and a second one of us out.
 *
 * The lock is a hard link to a claim in the work folder, whose name says which process made it. So it appears with its
 * content, at once; and one that was left by a killed process of ours is told from everybody else's by its inode. Such a
 * lock is taken over by renaming the claim, which only one can do. A lock of repo-add itself is never touched.
 */
export class RepositoryLock {
  readonly repository: RepositoryPath;
  /** Whether a killed process of ours had it before. */
  readonly takenOver: boolean;
  readonly #claim: string;

  private constructor(repository: RepositoryPath, claim: string, takenOver: boolean) {
    this.repository = repository;
    this.takenOver = takenOver;
    this.#claim = claim;
  }

  /**
   * Takes the lock. With `wait`, waits for as long as another process has it, or until `signal`.
   * @param onWait called once before the first wait
   */
  static async acquire(
    repository: RepositoryPath,
    wait: boolean,
    signal?: AbortSignal,
    onWait: (held: LockHeld) => void = () => undefined,
  ): Promise<RepositoryLock | LockHeld> {
    for (let attempt = 0; ; attempt++) {
      const taken = RepositoryLock.#attempt(repository);
      if (taken instanceof RepositoryLock || !wait) return taken;
      if (attempt === 0) onWait(taken);
      await sleep(POLL_MS, undefined, { signal });
    }
  }

  static #attempt(repository: RepositoryPath): RepositoryLock | LockHeld {
    const lockFile = lockFileOf(repository);
    const here = currentHolder();
    const held: LockHeld = { kind: "held", lockFile, holder: textOf(lockFile) };
    // Nothing is written while somebody else has it: others may watch the folder.
    if (inodeOf(lockFile) !== undefined && deadClaims(repository, here).length === 0) return held;
    const claim = join(workFolderOf(repository), encodeLockHolder(here));
    makeClaim(repository, claim);
    try {
      linkSync(claim, lockFile);
      return new RepositoryLock(repository, claim, false);
    } catch (error) {
      if (errorCode(error) === "EEXIST" && takeOver(deadClaims(repository, here), claim)) {
        writeFileSync(lockFile, `${process.pid}\n`);
        return new RepositoryLock(repository, claim, true);
      }
      unlinkSync(claim);
      removeWorkFolder(repository);
      if (errorCode(error) !== "EEXIST") throw error;
      return held;
    }
  }

  /** Claims of processes that were killed before they had the lock, or after they had released it. */
  removeDeadClaims(): void {
    const here = currentHolder();
    const folder = workFolderOf(this.repository);
    for (const name of readdirSync(folder)) {
      const holder = parseLockHolder(name);
      if (holder !== undefined && isGone(holder, here)) remove(join(folder, name));
    }
  }

  /** Gives the lock back, unless somebody has removed it by hand; then the work folder goes too, if nothing is left in it. */
  release(): void {
    const lockFile = lockFileOf(this.repository);
    if (inodeOf(lockFile) === inodeOf(this.#claim)) remove(lockFile);
    remove(this.#claim);
    removeWorkFolder(this.repository);
  }
}

/** The lock of repo-add: the database's path and `.lck`. */
export function lockFileOf({ folder, names }: RepositoryPath): string {
  return join(folder, `${names.db}.lck`);
}

/** Another process may remove the empty work folder between making it and writing into it. */
function makeClaim(repository: RepositoryPath, claim: string): void {
  for (;;) {
    makeWorkFolder(repository);
    try {
      writeFileSync(claim, `${process.pid}\n`, { mode: 0o644 });
      return;
    } catch (error) {
      if (errorCode(error) === "ENOENT") continue;
      remove(claim);
      removeWorkFolder(repository);
      throw error;
    }
  }
}

/** The claim that the lock is a link to, where its process is gone; none for a lock of somebody else. */
function deadClaims(repository: RepositoryPath, here: LockHolder): readonly string[] {
  const inode = inodeOf(lockFileOf(repository));
  const folder = workFolderOf(repository);
  if (inode === undefined) return [];
  return namesIn(folder)
    .filter((name) => {
      const holder = parseLockHolder(name);
      return holder !== undefined && inodeOf(join(folder, name)) === inode && isGone(holder, here);
    })
    .map((name) => join(folder, name));
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return [];
    throw error;
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "latin1").slice(0, 64).trim();
  } catch {
    return "";
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
  }
}
