import { HASH_BYTES } from "./merkle.ts";
import {
  decodeBase64,
  isSignedBy,
  type NoteSigner,
  parseSignedNote,
  signNote,
  type VerifierKey,
} from "./signed-note.ts";

/** C2SP checkpoints (https://c2sp.org/tlog-checkpoint): the head of a log as the text of a signed note. */

/** What the first `size` entries of a log are. */
export interface TreeHead {
  readonly size: number;
  /** RFC 6962 root, 32 bytes. */
  readonly root: Uint8Array;
}

export interface Checkpoint extends TreeHead {
  /** The log's identity; the name of the key that signs. */
  readonly origin: string;
}

/** The note's text: origin, size, root; each a line. Extension lines are never written. */
export function encodeCheckpoint(checkpoint: Checkpoint): string {
  return `${checkpoint.origin}\n${checkpoint.size}\n${Buffer.from(checkpoint.root).toString("base64")}\n`;
}

/** Reads a note's text. Extension lines are passed over; everything else malformed, or past 2^53, is undefined. */
export function parseCheckpoint(text: string): Checkpoint | undefined {
  if (!text.endsWith("\n")) return undefined;
  const lines = text.slice(0, -1).split("\n");
  const [origin, digits, base64] = lines;
  if (origin === undefined || digits === undefined || base64 === undefined || lines.includes(""))
    return undefined;
  if (!/^(0|[1-9][0-9]{0,15})$/.test(digits)) return undefined;
  const size = Number(digits);
  const root = decodeBase64(base64);
  if (!Number.isSafeInteger(size) || root?.length !== HASH_BYTES) return undefined;
  return { origin, size, root };
}

/** The head signed with the log's key, whose name is the origin: a whole note. */
export function signCheckpoint(head: TreeHead, signer: NoteSigner): string {
  return signNote(
    encodeCheckpoint({ origin: signer.verifier.name, size: head.size, root: head.root }),
    signer,
  );
}

/**
 * The checkpoint in `note`, where the log of `key` signed it and it is of that log; undefined otherwise.
 * Controlled by: anyone. Other signatures (witnesses) are ignored.
 */
export function openCheckpoint(note: string, key: VerifierKey): Checkpoint | undefined {
  const signed = parseSignedNote(note);
  if (signed === undefined || !isSignedBy(signed, key)) return undefined;
  const checkpoint = parseCheckpoint(signed.text);
  return checkpoint?.origin === key.name ? checkpoint : undefined;
}
