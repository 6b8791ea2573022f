import { openCheckpoint, type TreeHead } from "../checkpoint.ts";
import { Contradiction } from "../contradiction.ts";
import { cosignedAt, type WitnessKey } from "../cosignature.ts";
import { GrowingTree } from "../growing-tree.ts";
import { type LogEntry, parseLogEntry, type SignedEntry } from "../log-entry.ts";
import { encodeVerifierKey, parseSignedNote, type VerifierKey } from "../signed-note.ts";
import { checkSignature } from "../verify-entry.ts";
import type { AuditedLog } from "./audited-log.ts";

/** What of a log is wanted. */
export interface WantedOfLog {
  readonly verifier: VerifierKey;
  readonly witnesses: readonly WitnessKey[];
  /** Entries to return, and sizes of which to return the root. */
  readonly numbers: ReadonlySet<number>;
  /** The newest signatures before this time are wanted; undefined: of all. */
  readonly until?: Date | undefined;
  /** Told now and then how many of how many entries are done. */
  readonly onProgress?: ((done: number, size: number) => void) | undefined;
}

/** A log that agrees with itself, its checkpoint and its witnesses. */
export interface ReadLog {
  readonly kind: "read-log";
  readonly size: number;
  /** Entries of the wanted numbers, as far as the log goes. */
  readonly entries: ReadonlyMap<number, LogEntry>;
  /** Roots of the first so many entries, of the wanted numbers as far as the log goes. */
  readonly roots: ReadonlyMap<number, Uint8Array>;
  /** The newest `signed` entry of each client, type and name; those without a name are left out. By {@link stateOf}. */
  readonly newest: ReadonlyMap<string, NewestState>;
  /** Number of `signed` entries without a name. */
  readonly nameless: number;
  /** Of each witness that cosigned a head of this log, the largest; in the order in which they are wanted. */
  readonly cosigned: readonly CosignedHead[];
}

export type NewestState = Pick<SignedEntry, "seq" | "time" | "client" | "type" | "sha512"> & {
  readonly name: string;
};

export interface CosignedHead {
  readonly witness: WitnessKey;
  readonly head: TreeHead;
  readonly at: Date;
}

/** What is one name of one client: signatures of it follow one another. */
export function stateOf({ client, type, name }: Pick<SignedEntry, "client" | "type" | "name">): string {
  return JSON.stringify([client, type, name]);
}

/**
 * Reads a whole log once: each line's form, number and time, what each signature says of itself and of the log before it, and
 * the root of it all, which must be that of the checkpoint, which the log's key must have signed. Memory grows with what is
 * wanted and with the number of names. Throws a {@link Contradiction} for the first thing that is wrong.
 */
export function readLog(log: AuditedLog, wanted: WantedOfLog): ReadLog {
  const { verifier, numbers, until, onProgress } = wanted;
  const head = openCheckpoint(log.checkpoint, verifier);
  if (head === undefined)
    throw new Contradiction(
      undefined,
      `its checkpoint is not signed by the key ${encodeVerifierKey(verifier)}`,
    );
  const cosigned = wanted.witnesses.flatMap((witness) => largestCosigned(log, verifier, witness) ?? []);
  const heldAt = new Map<number, CosignedHead[]>();
  for (const one of cosigned) heldAt.set(one.head.size, [...(heldAt.get(one.head.size) ?? []), one]);

  const tree = new GrowingTree();
  const entries = new Map<number, LogEntry>();
  const roots = new Map<number, Uint8Array>();
  const newest = new Map<string, NewestState>();
  let nameless = 0;
  let previous: LogEntry | undefined;
  const atSize = () => {
    if (numbers.has(tree.size)) roots.set(tree.size, tree.root());
    for (const one of heldAt.get(tree.size) ?? []) checkCosigned(one, tree);
  };
  atSize();
  for (const line of log.lines(head.size)) {
    const entry = parseLogEntry(line);
    if (entry?.seq !== tree.size) throw new Contradiction(tree.size, "the line is not that entry");
    checkPlace(entry, previous, verifier);
    if (entry.kind === "signed") {
      checkSignature(entry, tree.root());
      if (entry.name === undefined) nameless++;
      else if (until === undefined || Date.parse(entry.time) < until.getTime())
        newest.set(stateOf(entry), newestState(entry, entry.name));
    }
    if (numbers.has(entry.seq)) entries.set(entry.seq, entry);
    tree.append(Buffer.from(line));
    atSize();
    previous = entry;
    if (tree.size % 10_000 === 0) onProgress?.(tree.size, head.size);
  }
  if (tree.size !== head.size)
    throw new Contradiction(undefined, `it has ${tree.size} entries and its checkpoint is of ${head.size}`);
  if (Buffer.compare(tree.root(), head.root) !== 0)
    throw new Contradiction(undefined, "its entries are not the ones that its checkpoint was made of");
  const beyond = cosigned.find((one) => one.head.size > head.size);
  if (beyond !== undefined)
    throw new Contradiction(
      undefined,
      `${beyond.witness.name} cosigned ${beyond.head.size} entries and it has ${head.size}: its end was removed`,
    );
  onProgress?.(head.size, head.size);
  return { kind: "read-log", size: head.size, entries, roots, newest, nameless, cosigned };
}

function newestState({ seq, time, client, type, sha512 }: SignedEntry, name: string): NewestState {
  return { seq, time, client, type, name, sha512 };
}

function checkPlace(entry: LogEntry, previous: LogEntry | undefined, verifier: VerifierKey): void {
  if ((entry.kind === "started") !== (previous === undefined))
    throw new Contradiction(entry.seq, "a log begins with a started entry, and once");
  if (entry.kind === "started" && entry.verifier !== encodeVerifierKey(verifier))
    throw new Contradiction(entry.seq, "the log began with another key");
  if (previous !== undefined && entry.kind !== "clock-accepted" && entry.time < previous.time)
    throw new Contradiction(entry.seq, "the entry's time is before that of the entry before it");
}

/** The largest head that the witness cosigned, where the log signed it. */
function largestCosigned(
  log: AuditedLog,
  verifier: VerifierKey,
  witness: WitnessKey,
): CosignedHead | undefined {
  return log.cosigned
    .flatMap((text) => {
      const head = openCheckpoint(text, verifier);
      const note = parseSignedNote(text);
      const at = note && cosignedAt(note, witness);
      return head === undefined || at === undefined ? [] : [{ witness, head, at }];
    })
    .toSorted((a, b) => a.head.size - b.head.size)
    .at(-1);
}

function checkCosigned({ witness, head }: CosignedHead, tree: GrowingTree): void {
  if (Buffer.compare(tree.root(), head.root) === 0) return;
  throw new Contradiction(
    undefined,
    `its first ${head.size} entries are not the ones that ${witness.name} cosigned`,
  );
}
