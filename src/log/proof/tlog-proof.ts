import { type Refusal, refusal } from "../../outcome.ts";
import { parseCheckpoint } from "../checkpoint.ts";
import { HASH_BYTES } from "../merkle.ts";
import type { Proof } from "../merkle-proof.ts";
import { decodeBase64, parseSignedNote } from "../signed-note.ts";

/** C2SP's file of an inclusion proof (https://c2sp.org/tlog-proof): extra data, index, path, checkpoint. */

/** A proof that parses. Nothing in it is to be believed until it has been verified. */
export interface TlogProof {
  /** What the application put there; authenticated by nothing in the format. */
  readonly extra: Uint8Array | undefined;
  /** Zero-based number of the entry. */
  readonly index: number;
  /** From the leaf's sibling up. */
  readonly path: Proof;
  /** The checkpoint with its signatures, well-formed and verbatim. */
  readonly checkpoint: string;
}

const HEADER = "c2sp.org/tlog-proof@v1"; // tlog-proof, "Format"
/** Longest path that is read: that of a tree of 2^63 leaves. */
const MAX_PATH = 63;
/** Longest file, in bytes: the longest note, and some 64 KiB for all before it. */
export const MAX_PROOF_BYTES = 320 * 1024;

/** Whether a text means to be such a file. */
export function isTlogProof(text: string): boolean {
  return text.startsWith(`${HEADER}\n`);
}

/** Writes a proof; `checkpoint` MUST be a signed checkpoint. */
export function encodeTlogProof({ extra, index, path, checkpoint }: TlogProof): string {
  const lines = [
    HEADER,
    ...(extra === undefined ? [] : [`extra ${base64(extra)}`]),
    `index ${index}`,
    ...path.map(base64),
  ];
  return `${lines.join("\n")}\n\n${checkpoint}`;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

/**
 * Reads exactly what {@link encodeTlogProof} writes: each line in its place, once, in its one spelling. Controlled by: whoever
 * made the file. Malformed, an index past 2^53 or a path of more than 63 hashes: `bad-proof`, which says what was expected.
 */
export function parseTlogProof(text: string): TlogProof | Refusal {
  if (text.length > MAX_PROOF_BYTES) return bad(`at most ${MAX_PROOF_BYTES} bytes`);
  if (!isTlogProof(text)) return bad(`the first line ${HEADER}`);
  const end = text.indexOf("\n\n");
  if (end < 0) return bad("an empty line before the checkpoint");
  const lines = text.slice(HEADER.length + 1, Math.max(end, HEADER.length + 1)).split("\n");
  const first = lines[0] ?? "";
  const extra = first.startsWith("extra ") ? decodeBase64(lines.shift()?.slice("extra ".length) ?? "") : null;
  if (extra === undefined) return bad("base64 after extra");
  const [, digits] = /^index (0|[1-9][0-9]{0,15})$/.exec(lines.shift() ?? "") ?? [];
  const index = Number(digits);
  if (!Number.isSafeInteger(index)) return bad("a line with the index of the entry");
  if (lines.length > MAX_PATH) return bad(`a path of at most ${MAX_PATH} hashes`);
  const path = lines.map(decodeBase64).filter((hash) => hash?.length === HASH_BYTES) as readonly Buffer[];
  if (path.length !== lines.length) return bad("a hash in base64 on each line after the index");
  const checkpoint = text.slice(end + 2);
  if (parseCheckpoint(parseSignedNote(checkpoint)?.text ?? "") === undefined)
    return bad("a signed checkpoint after the empty line");
  return { extra: extra ?? undefined, index, path, checkpoint };
}

function bad(expected: string): Refusal {
  return refusal("bad-proof", `the file is no tlog-proof: ${expected} expected`);
}
