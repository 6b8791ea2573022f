import { isPacketProblem } from "../openpgp/packet-problem.ts";
import { parseSignature } from "../openpgp/signature.ts";
import { quoted } from "../outcome.ts";
import { Contradiction } from "./contradiction.ts";
import type { Row } from "./database.ts";
import type { LogEntry, SignedEntry } from "./log-entry.ts";
import { parseLogNotations } from "./notations.ts";
import { parsePrivateRecord, privateCommitment } from "./private-record.ts";
import { encodeVerifierKey, type VerifierKey } from "./signed-note.ts";

/** An entry of a log, and what it must agree with. */
export interface EntryInPlace {
  readonly entry: LogEntry;
  /** `salt` and `record` are those of its private record, or null. */
  readonly row: Row;
  /** Undefined for the first. */
  readonly previous: LogEntry | undefined;
  /** The tree of all entries before it. */
  readonly tree: { root(): Uint8Array };
  readonly reader: { entry(seq: number): LogEntry | undefined };
  readonly verifier: VerifierKey;
}

/** Holds one entry against its place in the log; throws a {@link Contradiction}. The tree's nodes are not looked at. */
export function checkEntry(place: EntryInPlace): void {
  checkBeginning(place);
  checkTime(place);
  checkPrivateRecord(place);
  if (place.entry.kind === "signed") checkSignature(place.entry, place.tree.root());
  if (place.entry.kind === "reissued") checkReissued(place.entry, place.reader.entry(place.entry.of));
  if (place.entry.kind === "restored") checkRestored(place.entry, place.tree.root());
}

function checkBeginning({ entry, verifier }: EntryInPlace): void {
  if ((entry.kind === "started") !== (entry.seq === 0)) {
    throw new Contradiction(
      entry.seq,
      entry.seq === 0 ? "the log does not begin with a started entry" : "the log starts a second time",
    );
  }
  if (entry.kind !== "started") return;
  if (entry.origin !== verifier.name || entry.verifier !== encodeVerifierKey(verifier)) {
    throw new Contradiction(entry.seq, "the log began with another origin or key");
  }
}

function checkTime({ entry, previous }: EntryInPlace): void {
  if (previous === undefined) return;
  // Times of one form sort like their text.
  if (entry.kind === "clock-accepted") {
    if (entry.previous !== previous.time || entry.time >= previous.time) {
      throw new Contradiction(entry.seq, "the entry accepts a clock that was not behind");
    }
  } else if (entry.time < previous.time) {
    throw new Contradiction(entry.seq, "the entry's time is before that of the entry before it");
  }
}

/** Holds an entry's private record against the entry's commitment to it; throws a {@link Contradiction}. */
export function checkPrivateRecord({ entry, row }: Pick<EntryInPlace, "entry" | "row">): void {
  const commitment = "private" in entry ? entry.private : undefined;
  const { salt, record } = row;
  if (commitment === undefined) {
    if (record !== null)
      throw new Contradiction(entry.seq, "the entry has a private record that it does not mention");
    return;
  }
  if (!(salt instanceof Uint8Array) || typeof record !== "string") {
    throw new Contradiction(entry.seq, "the entry's private record is missing");
  }
  if (privateCommitment(salt, record) !== commitment || parsePrivateRecord(record) === undefined) {
    throw new Contradiction(entry.seq, "the entry's private record was changed");
  }
}

/**
 * What the signature says of itself and of the log must be what the entry and the log say; throws a {@link Contradiction}.
 * @param rootBefore root of the entries before this one
 */
export function checkSignature(entry: SignedEntry, rootBefore: Uint8Array): void {
  const signature = parseSignature(Buffer.from(entry.signature, "base64"));
  if (isPacketProblem(signature)) {
    throw new Contradiction(entry.seq, `the entry's signature is not one made here: ${signature.reason}`);
  }
  if (signature.issuerFingerprint !== entry.key) {
    throw new Contradiction(entry.seq, "the entry's signature names another key");
  }
  const { createdAt, expiresAfterSeconds } = signature;
  if (createdAt.getTime() !== wholeSeconds(entry.time)) {
    throw new Contradiction(entry.seq, "the entry's signature was made at another time");
  }
  const expires =
    expiresAfterSeconds === undefined ? undefined : createdAt.getTime() + expiresAfterSeconds * 1000;
  const stated = entry.expires === undefined ? undefined : Date.parse(entry.expires);
  if (expires !== stated) throw new Contradiction(entry.seq, "the entry's signature expires at another time");
  const notations = parseLogNotations(signature.notations);
  if (notations === undefined) {
    throw new Contradiction(entry.seq, "the entry's signature does not have the four notations of a log");
  }
  if (notations.type !== entry.type || notations.name !== entry.name) {
    throw new Contradiction(entry.seq, "the entry's signature is for another type or name");
  }
  if (notations.tree.size !== entry.seq) {
    throw new Contradiction(entry.seq, `the entry's signature says that it is entry ${notations.tree.size}`);
  }
  if (Buffer.compare(notations.tree.root, rootBefore) !== 0) {
    throw new Contradiction(
      entry.seq,
      "the entry's signature was made for another log than the entries before it",
    );
  }
}

/** OpenPGP counts whole seconds (RFC 9580 §3.5). */
function wholeSeconds(time: string): number {
  return Math.floor(Date.parse(time) / 1000) * 1000;
}

const SHARED = ["client", "name", "type", "size", "sha256", "sha512", "key", "signature"] as const;

function checkReissued(
  entry: LogEntry & { readonly kind: "reissued" },
  original: LogEntry | undefined,
): void {
  if (entry.of >= entry.seq || original?.kind !== "signed") {
    throw new Contradiction(
      entry.seq,
      `the entry reissues entry ${entry.of}, which is no signature before it`,
    );
  }
  const different = SHARED.find((member) => entry[member] !== original[member]);
  if (different !== undefined) {
    throw new Contradiction(
      entry.seq,
      `the entry reissues entry ${entry.of} with another ${quoted(different)}`,
    );
  }
}

/** What was restored must be what the log was at that place. */
function checkRestored(entry: LogEntry & { readonly kind: "restored" }, rootBefore: Uint8Array): void {
  if (entry.size === entry.seq && entry.root === Buffer.from(rootBefore).toString("base64")) return;
  throw new Contradiction(entry.seq, "the log was restored from another one than the entries before it");
}
