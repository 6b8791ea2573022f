import { existsSync } from "node:fs";
import { join } from "node:path";
import { Fault, type Refusal, refusal } from "../../outcome.ts";
import { type Acknowledgement, openAcknowledgement, storeAcknowledgement } from "../acknowledgements.ts";
import { type Checkpoint, encodeCheckpoint, openCheckpoint, type TreeHead } from "../checkpoint.ts";
import { Contradiction } from "../contradiction.ts";
import { cosign, type Witness, type WitnessKey } from "../cosignature.ts";
import type { Database } from "../database.ts";
import { writeNewFile } from "../durable-file.ts";
import { commitLog, LOG_FILE, logInode, openLogDatabase } from "../log-file.ts";
import { createLogFolder, writeLogDatabase } from "../log-folder.ts";
import { nodeReader, readHead } from "../log-head.ts";
import { LOG_KEY_FILE } from "../log-key.ts";
import { type StoredEntry, storedEntries } from "../log-source.ts";
import { EMPTY_ROOT, treeRoot } from "../merkle.ts";
import { encodeVerifierKey, parseSignedNote, type VerifierKey } from "../signed-note.ts";
import { type Evidence, keepEvidence, type Statement } from "./evidence.ts";
import { LOG_PUBLIC_FILE, readLogPublic } from "./log-public.ts";
import { parseStored, rootWith, StoredAppend, type WholeEntry } from "./stored-append.ts";
import { readWitness, WITNESS_KEY_FILE, WITNESS_PUBLIC_FILE, writeNewWitnessKey } from "./witness-key.ts";

/** What a copy is before the first append. */
const EMPTY: TreeHead = { size: 0, root: EMPTY_ROOT };

const FILES = [LOG_PUBLIC_FILE, WITNESS_KEY_FILE, WITNESS_PUBLIC_FILE, LOG_FILE];

/** What was sent contradicts what the copy holds, under the log's own signature. Nothing of it was stored but the evidence. */
export interface Conflict {
  readonly kind: "conflict";
  /** One line. */
  readonly reason: string;
  /** The copy's newest checkpoint, cosigned; undefined while it is empty. */
  readonly note: string | undefined;
}

/** Entries `from` to `to` (exclusive), and the log's checkpoint of size `to`. Controlled by: the sender. */
export interface Append {
  readonly from: number;
  readonly to: number;
  readonly note: string;
  readonly entries: readonly StoredEntry[];
}

/** How much a copy has, and what it cosigned last: of all of it. */
export interface CopyHead extends TreeHead {
  /** Undefined while the copy is empty. */
  readonly acknowledgement: Acknowledgement | undefined;
}

/**
 * The copy of one log on a log host, and the witness that vouches for it. It only grows, by what continues it under the log's
 * signature; it cosigns a head when all of it is durable, and never one that is smaller or another than one before.
 *
 * It keeps its promise against whoever writes to it, not against whoever writes to its disk: a copy whose tables disagree,
 * whose end is cut off, or that shrinks while it is open is `log-broken`. One that is as a whole put back to what it was
 * yesterday looks like yesterday's; that is noticed by the signing host, which keeps what was acknowledged to it.
 */
export class LogCopy {
  readonly verifier: VerifierKey;
  readonly #witness: Witness;
  readonly #directory: string;
  readonly #database: Database;
  readonly #inode: number;
  /** What this process has seen: the copy must always continue it. */
  #seen: TreeHead = EMPTY;
  #unusable: Fault | undefined;

  private constructor(directory: string, database: Database) {
    this.#directory = directory;
    this.#database = database;
    this.#inode = logInode(directory);
    this.verifier = readLogPublic(directory);
    this.#witness = readWitness(directory);
    this.newest();
  }

  /**
   * Makes the folder (0700) of an empty copy, with a witness key of its own, whole or not at all. Fault `bad-configuration`
   * where a copy, a log, or a part of one is there already; a TypeError where the witness's name is none.
   * @param verifier the log's key, as `signer-log key` prints it on the signing host
   */
  static create(
    directory: string,
    { verifier, witnessName }: { readonly verifier: VerifierKey; readonly witnessName: string },
  ): LogCopy {
    createLogFolder(directory, {
      files: FILES,
      refuseExisting: () => refuseExisting(directory),
      write: (apart) => {
        writeNewFile(join(apart, LOG_PUBLIC_FILE), `${encodeVerifierKey(verifier)}\n`);
        writeNewWitnessKey(apart, witnessName);
        writeLogDatabase(join(apart, LOG_FILE), () => undefined);
      },
    });
    return LogCopy.open(directory);
  }

  /** Opens a copy; never makes one. Faults: `no-state` where there is none, `log-broken` where it contradicts itself. */
  static open(directory: string, options: { readonly busyTimeoutMs?: number } = {}): LogCopy {
    if (!existsSync(join(directory, LOG_PUBLIC_FILE)))
      throw new Fault("no-state", `${directory} holds no copy of a log: signer-log init makes one`);
    const database = openLogDatabase(directory, options);
    try {
      return new LogCopy(directory, database);
    } catch (error) {
      database.close();
      throw error;
    }
  }

  /** The key that cosigns. */
  get witness(): WitnessKey {
    return this.#witness.key;
  }

  /** The copy's head as of now. Fault `log-broken` where the copy contradicts itself, or what it was before. */
  newest(): CopyHead {
    return this.#transact("BEGIN", () => this.#readHead());
  }

  /** Root of the copy's first `size` entries; undefined where it has fewer. */
  rootOf(size: number): Uint8Array | undefined {
    return size > this.newest().size ? undefined : treeRoot(size, nodeReader(this.#database));
  }

  /** Entries from `from` to `to` (exclusive), as far as the copy has them, with what is beside them. */
  entries(from: number, to: number): Generator<StoredEntry, void, undefined> {
    return storedEntries(this.#database, from, to);
  }

  /**
   * Appends what the copy lacks of an append, durably, and returns the copy's newest cosigned head: of `to` entries or more.
   * What it has already must be the same. A refusal (`bad-request`) is an append that is none, or that leaves a gap.
   * Faults: `busy`, `log-not-durable`, `log-broken`; then nothing of it is stored, or all of it and nobody was told.
   */
  append(append: Append, now: Date): Acknowledgement | Conflict | Refusal {
    const checkpoint = this.#openNote(append.note);
    if (checkpoint === undefined || checkpoint.size !== append.to)
      return refusal("bad-request", `expected a checkpoint of ${append.to} entries, signed by the log alone`);
    const inOrder = append.entries.every(({ seq }, index) => seq === append.from + index);
    if (append.entries.length !== append.to - append.from || !inOrder)
      return refusal("bad-request", `expected entries ${append.from} to ${append.to - 1}, in order`);
    let entries: readonly WholeEntry[];
    try {
      entries = append.entries.map(parseStored);
    } catch (error) {
      if (!(error instanceof Contradiction)) throw error;
      return refusal("bad-request", `entry ${error.seq}: ${error.message}`);
    }
    const outcome = this.#transact("BEGIN IMMEDIATE", () =>
      this.#continue({ ...append, checkpoint, entries }, now),
    );
    return "evidence" in outcome ? this.#conflict(outcome.evidence, now) : outcome;
  }

  /** Ends the use of the file. */
  close(): void {
    this.#unusable ??= new Fault("no-state", "the copy is closed");
    this.#database.close();
  }

  /** The checkpoint in a note of the form that the log writes: nothing but the log's one signature. What is cosigned is what was read. */
  #openNote(note: string): Checkpoint | undefined {
    const checkpoint = openCheckpoint(note, this.verifier);
    const parsed = parseSignedNote(note);
    if (checkpoint === undefined || parsed === undefined) return undefined;
    return parsed.signatures.length === 1 && parsed.text === encodeCheckpoint(checkpoint)
      ? checkpoint
      : undefined;
  }

  /** In a write transaction, which it commits where it appended. */
  #continue(
    { from, to, note, checkpoint, entries }: CheckedAppend,
    now: Date,
  ): Acknowledgement | Refusal | { readonly evidence: Evidence } {
    const { size, acknowledgement } = this.#readHead();
    if (from > size) return refusal("bad-request", `the copy has ${size} entries: expected the next one`);
    const held: Statement = acknowledgement === undefined ? {} : { note: acknowledgement.note };
    const read = nodeReader(this.#database);
    const lines = entries.map(({ stored }) => stored.line);
    const different = this.#firstDifferent(from, lines.slice(0, size - from));
    const differing =
      different === undefined
        ? undefined
        : {
            seq: different.seq,
            held: { ...held, line: different.line },
            sent: { note, line: different.sent },
          };

    if (to <= size && acknowledgement !== undefined) {
      if (Buffer.compare(checkpoint.root, treeRoot(to, read)) !== 0) {
        const reason = `the log signed another head of ${to} entries than the one that was copied`;
        return { evidence: { held, sent: { note }, ...differing, reason } };
      }
      // The log says what the copy says; it is the sender that says something else.
      return differing === undefined
        ? acknowledgement
        : refusal("bad-request", `entry ${differing.seq} is not the one of the checkpoint`);
    }

    if (Buffer.compare(checkpoint.root, rootWith(from, lines, read)) !== 0) {
      const reason = `the log signed a head of ${to} entries that does not continue the ${size} that were copied`;
      return { evidence: { held, sent: { note }, ...differing, reason } };
    }
    if (differing !== undefined) {
      const reason = `entry ${differing.seq} is another one in the head of ${to} entries that the log signed`;
      return { evidence: { ...differing, reason } };
    }
    const append = new StoredAppend(this.#database, size, this.verifier);
    for (const whole of entries.slice(size - from)) {
      try {
        append.append(whole);
      } catch (error) {
        if (!(error instanceof Contradiction)) throw error;
        const { seq, line } = whole.stored;
        const reason = `the log signed an entry ${seq} that contradicts it: ${error.message}`;
        return { evidence: { seq, held, sent: { note, line }, reason } };
      }
    }
    return this.#cosign(note, { size: append.size, root: append.root() }, checkpoint, acknowledgement, now);
  }

  #cosign(
    note: string,
    { size, root }: TreeHead,
    checkpoint: Checkpoint,
    last: Acknowledgement | undefined,
    now: Date,
  ): Acknowledgement {
    // The stored tree once more, as it will be read from now on: what is cosigned is what is stored.
    if (size !== checkpoint.size || Buffer.compare(root, checkpoint.root) !== 0)
      throw new Error("the copy did not store what it checked");
    this.#database.run(
      "INSERT INTO head (id, checkpoint) VALUES (0, ?) ON CONFLICT DO UPDATE SET checkpoint = excluded.checkpoint",
      note,
    );
    // A clock that was set back makes no cosignature older than the one before.
    const time = last === undefined || now > last.cosignedAt ? now : last.cosignedAt;
    const cosigned = openAcknowledgement(cosign(note, this.#witness, time), this.verifier, this.#witness.key);
    if (cosigned === undefined) throw new Error("the cosignature does not verify");
    storeAcknowledgement(this.#database, cosigned);
    this.#commit();
    this.#seen = checkpoint;
    return cosigned;
  }

  /** The first of `lines`, which are entries from `from` on, that is not the copy's. */
  #firstDifferent(
    from: number,
    lines: readonly string[],
  ): { readonly seq: number; readonly line: string; readonly sent: string } | undefined {
    for (const [index, sent] of lines.entries()) {
      const seq = from + index;
      const line = String(this.#database.get("SELECT line FROM entries WHERE seq = ?", seq)?.["line"]);
      if (line !== sent) return { seq, line, sent };
    }
    return undefined;
  }

  #conflict(evidence: Evidence, now: Date): Conflict {
    const { kept } = keepEvidence(this.#directory, evidence, now);
    const reason = kept ? evidence.reason : `${evidence.reason} (the evidence could not be kept)`;
    return { kind: "conflict", reason, note: evidence.held.note };
  }

  /** Both ends of the copy, in a transaction: entries, tree, the log's head and the own cosigned one must be of one size and root. */
  #readHead(): CopyHead {
    if (!this.#isInPlace()) throw new Fault("log-broken", "another file is in the place of the copy's");
    const { size, root } = this.#isEmpty() ? EMPTY : readHead(this.#database, this.verifier);
    const acknowledgement = this.#readAcknowledgement();
    const found: CopyHead = { size, root, acknowledgement };
    const cosigned = acknowledgement?.checkpoint ?? EMPTY;
    if (cosigned.size !== size)
      throw new Fault("log-broken", `the copy has ${size} entries and cosigned ${cosigned.size}`);
    if (Buffer.compare(cosigned.root, root) !== 0)
      throw new Fault("log-broken", `the ${size} entries of the copy are not those that it cosigned`);
    const seen = this.#seen;
    if (size < seen.size || Buffer.compare(treeRoot(seen.size, nodeReader(this.#database)), seen.root) !== 0)
      throw new Fault("log-broken", "the copy is not the continuation of what it was a moment ago");
    this.#seen = found;
    return found;
  }

  #isInPlace(): boolean {
    try {
      return logInode(this.#directory) === this.#inode;
    } catch {
      return false;
    }
  }

  /** Whether nothing was ever stored; parts of a log are no empty one. */
  #isEmpty(): boolean {
    return ["entries", "nodes", "head"].every(
      (table) => this.#database.get(`SELECT 1 FROM ${table} LIMIT 1`) === undefined,
    );
  }

  #readAcknowledgement(): Acknowledgement | undefined {
    const row = this.#database.get(
      "SELECT note FROM acknowledgements WHERE witness = ?",
      encodeVerifierKey(this.#witness.key),
    );
    if (row === undefined) return undefined;
    const found = openAcknowledgement(String(row["note"]), this.verifier, this.#witness.key);
    if (found === undefined) throw new Fault("log-broken", "the copy's own cosignature does not verify");
    return found;
  }

  /** Runs `work` in a transaction, which is rolled back unless `work` committed it. */
  #transact<T>(begin: "BEGIN" | "BEGIN IMMEDIATE", work: () => T): T {
    if (this.#unusable !== undefined) throw this.#unusable;
    try {
      this.#database.exec(begin);
      return work();
    } finally {
      this.#rollBack();
    }
  }

  #commit(): void {
    try {
      commitLog(this.#database, this.#directory, this.#inode);
    } catch (error) {
      if (error instanceof Fault) this.#unusable = error;
      throw error;
    }
  }

  #rollBack(): void {
    try {
      if (this.#database.inTransaction) this.#database.exec("ROLLBACK");
    } catch (cause) {
      this.#unusable ??= new Fault("log-not-durable", "a transaction could not be rolled back", { cause });
    }
  }
}

/** An {@link Append} whose parts are well-formed and of one length. */
interface CheckedAppend {
  readonly from: number;
  readonly to: number;
  readonly note: string;
  readonly checkpoint: Checkpoint;
  readonly entries: readonly WholeEntry[];
}

function refuseExisting(directory: string): void {
  const found = [...FILES, LOG_KEY_FILE].find((file) => existsSync(join(directory, file)));
  if (found !== undefined)
    throw new Fault("bad-configuration", `${join(directory, found)} is there already: nothing was made`);
}
