import { linkSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Fault, quoted } from "../outcome.ts";
import { inodeOf, takeOver } from "../repository/claim.ts";
import { isGone } from "../repository/lock-holder.ts";
import { errorCode } from "../repository/repository-fault.ts";
import { remove } from "./folder-files.ts";
import { freshName, parseOwnedName, thisProcess } from "./owner.ts";

const LOCK = "lock";
const LABEL = "claim";
/** Between two looks; of eight that wait each has to have its turn. */
const PAUSE_MS = 15;

/**
 * The lock of an outbox, held for the milliseconds in which requests and notification change, never while an answer is waited for.
 * It works as repo-add's does here (RepositoryLock): a hard link to a claim, whose name says which process made it; the claim of a
 * killed process is renamed by the one that takes the lock over.
 */
export class OutboxLock {
  readonly #lock: string;
  readonly #claim: string;

  private constructor(lock: string, claim: string) {
    this.#lock = lock;
    this.#claim = claim;
  }

  /**
   * Takes the lock, waiting for others.
   * @param requests the folder that it is in
   * @throws Fault `busy` after `waitMs`; the signal's reason
   */
  static async acquire(requests: string, waitMs: number, signal?: AbortSignal): Promise<OutboxLock> {
    const deadline = performance.now() + waitMs;
    for (;;) {
      signal?.throwIfAborted();
      const taken = OutboxLock.#attempt(requests);
      if (taken !== undefined) return taken;
      if (performance.now() > deadline) throw held(join(requests, LOCK), waitMs);
      await sleep(PAUSE_MS * (0.5 + Math.random()), undefined, { signal });
    }
  }

  static #attempt(requests: string): OutboxLock | undefined {
    const lock = join(requests, LOCK);
    if (inodeOf(lock) !== undefined && deadClaims(requests).length === 0) return undefined;
    const name = freshName(LABEL);
    const claim = join(requests, name);
    try {
      writeFileSync(claim, `${name}\n`, { flag: "wx", mode: 0o640 });
      linkSync(claim, lock);
      return new OutboxLock(lock, claim);
    } catch (error) {
      if (errorCode(error) === "EEXIST" && takeOver(deadClaims(requests), claim))
        return new OutboxLock(lock, claim);
      remove(claim);
      if (errorCode(error) !== "EEXIST") throw error;
      return undefined;
    }
  }

  /** Gives it back, unless somebody has removed it by hand. */
  release(): void {
    if (inodeOf(this.#lock) === inodeOf(this.#claim)) remove(this.#lock);
    remove(this.#claim);
  }
}

/** The claim that the lock is a link to, where its process is gone. */
function deadClaims(requests: string): readonly string[] {
  const inode = inodeOf(join(requests, LOCK));
  if (inode === undefined) return [];
  return readdirSync(requests)
    .filter((name) => isDeadClaim(name) && inodeOf(join(requests, name)) === inode)
    .map((name) => join(requests, name));
}

function isDeadClaim(name: string): boolean {
  const owned = parseOwnedName(name);
  return owned?.label.startsWith(`${LABEL}.`) === true && isGone(owned.owner, thisProcess());
}

function held(lock: string, waitMs: number): Fault {
  let holder = "another process";
  try {
    const owned = parseOwnedName(readFileSync(lock, "latin1").trim());
    if (owned !== undefined) holder = `process ${owned.owner.pid}`;
  } catch {
    // It is free at this moment, or not readable for us.
  }
  return new Fault(
    "busy",
    `expected ${quoted(lock, 300)} to be free within ${waitMs / 1000} s, ${holder} holds it`,
  );
}
