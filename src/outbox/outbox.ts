import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parseInboxName } from "../exchange/answer.ts";
import { type AnnouncedFile, encodeNotification, MAX_REQUESTS } from "../exchange/notification.ts";
import { syncDirectory } from "../log/durable-file.ts";
import { Fault } from "../outcome.ts";
import { errorCode } from "../repository/repository-fault.ts";
import { readBounded, remove, replaceFile } from "./folder-files.ts";
import { signNotification } from "./notification-key.ts";
import type { OutboxCopy } from "./outbox-copy.ts";
import { OutboxLock } from "./outbox-lock.ts";
import { readState, writeState } from "./outbox-state.ts";
import { isAbandoned, neededUntil, parseOwnedName } from "./owner.ts";
import { NOTIFICATION, type PullFolder } from "./pull-folder.ts";
import {
  encodeRecord,
  MAX_RECORD_BYTES,
  parseRecord,
  parseRecordName,
  type RequestRecord,
  recordName,
} from "./request-record.ts";

/** The lock is held for milliseconds; a system that swaps may take seconds. */
const LOCK_WAIT_MS = 30_000;

/** What is asked for, once it is in the outbox. */
export type Asked = Omit<AnnouncedFile, "seq" | "size" | "sha256"> & { readonly copy: OutboxCopy };

/**
 * What a repository server announces: the files, who waits for them, and the signed notification that is built of that. Several
 * processes, of several accounts, use it at once.
 *
 * The order of changes: what is announced is there before it is announced, and the notification no longer names what is then removed.
 * So a process that is killed anywhere leaves nothing but what the next one clears up: its requests are nobody's any more.
 */
export class Outbox {
  readonly folder: PullFolder;
  readonly #keyFile: string;
  readonly #now: () => number;

  /** @param keyFile of the key that signs notifications */
  constructor(folder: PullFolder, keyFile: string, now: () => number = Date.now) {
    this.folder = folder;
    this.#keyFile = keyFile;
    this.#now = now;
  }

  /** Clears up what killed processes have left. */
  async clearUp(signal?: AbortSignal): Promise<void> {
    await this.#locked(signal, async () => await this.#rebuild([], new Set()));
  }

  /**
   * Announces files. What is announced MUST be withdrawn.
   * @param timeoutMs how long it will be waited for
   * @returns the requests, in the order of `asked`
   * @throws Fault `busy` where too many wait already; `bad-configuration` where the notification cannot be signed
   */
  async announce(
    asked: readonly Asked[],
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<readonly AnnouncedFile[]> {
    return await this.#locked(signal, async () => {
      let { seq } = readState(this.folder, this.#now());
      const files = asked.map(({ copy: { sha256, size }, ...file }): AnnouncedFile => {
        seq += 1;
        return { ...file, sha256, size, seq };
      });
      try {
        for (const { copy } of asked) copy.place();
        const expiresMs = this.#now() + timeoutMs;
        await this.#rebuild(
          files.map((file) => ({ file, expiresMs })),
          new Set(),
        );
      } catch (error) {
        this.#forget(files);
        throw error;
      }
      return files;
    });
  }

  /** Takes requests of this process back, and with them their files, answers and what was being uploaded. */
  async withdraw(files: readonly AnnouncedFile[]): Promise<void> {
    const withdrawn = new Set(files.map(({ seq }) => recordName(seq)));
    await this.#locked(undefined, async () => await this.#rebuild([], withdrawn));
  }

  async #locked<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const lock = await OutboxLock.acquire(this.folder.requests, LOCK_WAIT_MS, signal);
    try {
      return await work();
    } finally {
      lock.release();
    }
  }

  /** New requests in, withdrawn and abandoned ones out: records, notification, then what nobody needs any more. */
  async #rebuild(added: readonly RequestRecord[], withdrawn: ReadonlySet<string>): Promise<void> {
    const { requests, modes } = this.folder;
    const { needed, removable } = this.#records(withdrawn);
    if (needed.length + added.length > MAX_REQUESTS)
      throw new Fault("busy", `${needed.length} files wait for signatures: expected at most ${MAX_REQUESTS}`);
    const all = [...needed, ...added.map(({ file }) => file)];
    if (added.length > 0 || removable.length > 0) {
      const last = readState(this.folder, this.#now());
      const seq = Math.max(last.seq, ...added.map(({ file }) => file.seq)) + 1;
      const stamp = this.#nextStamp(last.stamp);
      writeState(this.folder, { seq, stamp }); // first: what is given out below is never given out again
      for (const record of added)
        replaceFile(join(requests, recordName(record.file.seq)), encodeRecord(record), {
          mode: modes.requests,
          isDurable: false, // it is of no use after a power failure: whoever waits is gone
        });
      await this.#notify(all, seq, stamp);
    }
    for (const name of removable) remove(join(requests, name));
    this.#sweep(all);
  }

  /** Every request that somebody waits for, in the order of their numbers; and the records that can go. */
  #records(withdrawn: ReadonlySet<string>): {
    readonly needed: readonly AnnouncedFile[];
    readonly removable: readonly string[];
  } {
    const { requests } = this.folder;
    const needed: AnnouncedFile[] = [];
    const removable: string[] = [];
    for (const name of readdirSync(requests)) {
      const named = parseRecordName(name);
      if (named === undefined) continue;
      const content = readBounded(join(requests, name), MAX_RECORD_BYTES);
      const record = Buffer.isBuffer(content) ? parseRecord(content) : undefined;
      const expiresMs = record?.expiresMs ?? 0;
      if (withdrawn.has(name) || isAbandoned(named.owner, expiresMs, this.#now())) removable.push(name);
      else if (record?.file.seq === named.seq) needed.push(record.file);
    }
    return { needed: needed.toSorted((one, other) => one.seq - other.seq), removable };
  }

  /** Time of last change of the next notification: a web server's ETag is made of that and the size, and of whole seconds. */
  #nextStamp(last: number): number {
    const path = join(this.folder.outbox, NOTIFICATION);
    const there = lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    return Math.max(Math.floor(this.#now() / 1000), last + 1, Math.floor(there / 1000) + 1);
  }

  async #notify(files: readonly AnnouncedFile[], seq: number, stamp: number): Promise<void> {
    const { outbox, modes } = this.folder;
    const line = encodeNotification({ seq, time: new Date(this.#now()), requests: files });
    const signature = await signNotification(this.#keyFile, line);
    syncDirectory(outbox);
    const attributes = { mode: modes.outbox, stamp, isDurable: true };
    replaceFile(join(outbox, NOTIFICATION), `${line}${signature}`, attributes);
    syncDirectory(outbox);
  }

  /** Removes what belongs to none of these requests, and what killed processes have left. */
  #sweep(needed: readonly AnnouncedFile[]): void {
    const { outbox, inbox, requests } = this.folder;
    const digests = new Set(needed.map(({ sha256 }) => sha256));
    for (const name of readdirSync(outbox)) {
      const isNeeded = /^[0-9a-f]{64}$/.test(name) ? digests.has(name) : !this.#isLeftOver(outbox, name);
      if (!isNeeded) remove(join(outbox, name));
    }
    for (const name of readdirSync(requests))
      if (this.#isLeftOver(requests, name)) remove(join(requests, name));
    const numbers = new Map(needed.map(({ seq, sha256 }) => [seq, sha256]));
    for (const name of readdirSync(inbox)) {
      const answer = parseInboxName(name);
      if (answer !== undefined && numbers.get(answer.seq) !== answer.sha256) removeOf(inbox, name);
    }
  }

  /** Whether it is the copy, claim or temporary file of a process that is gone. */
  #isLeftOver(folder: string, name: string): boolean {
    const owned = parseOwnedName(name);
    if (owned === undefined || parseRecordName(name) !== undefined) return false;
    const changedMs = lstatSync(join(folder, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;
    return isAbandoned(owned.owner, neededUntil(changedMs), this.#now());
  }

  /** Takes back what could not be announced; the notification does not name it. */
  #forget(files: readonly AnnouncedFile[]): void {
    for (const { seq } of files) remove(join(this.folder.requests, recordName(seq)));
    this.#sweep(this.#records(new Set()).needed);
  }
}

/** What the web server's account has put there need not be a file that we can remove. */
function removeOf(folder: string, name: string): void {
  try {
    remove(join(folder, name));
  } catch (error) {
    const code = errorCode(error);
    if (code !== "EISDIR" && code !== "EPERM") throw error;
  }
}
