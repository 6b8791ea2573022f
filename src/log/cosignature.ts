import { type KeyObject, sign, verify } from "node:crypto";
import { encodeSignatureLine, type NoteKey, parseSignedNote, type SignedNote } from "./signed-note.ts";

/**
 * C2SP cosignatures (https://c2sp.org/tlog-cosignature), Ed25519: a witness says that at a time this was the largest
 * head of the log that it had seen, consistent with all before.
 */

/** The key of a witness. */
export type WitnessKey = NoteKey<"cosignature">;

/** A key pair that cosigns. */
export interface Witness {
  readonly key: WitnessKey;
  readonly privateKey: KeyObject;
}

const TIMESTAMP_BYTES = 8;
const SIGNATURE_BYTES = 64; // RFC 8032 §5.1.6

/**
 * The checkpoint with one more signature line, the witness's. Whoever calls MUST have made the head durable, and it MUST be
 * the largest of its log. Throws a TypeError where `note` is no signed note.
 */
export function cosign(note: string, witness: Witness, now: Date): string {
  const parsed = parseSignedNote(note);
  if (parsed === undefined) throw new TypeError("only a signed note can be cosigned");
  const seconds = Math.floor(now.getTime() / 1000);
  const timestamp = Buffer.alloc(TIMESTAMP_BYTES);
  timestamp.writeBigUInt64BE(BigInt(seconds));
  const signature = sign(null, message(parsed.text, BigInt(seconds)), witness.privateKey);
  const { name, id } = witness.key;
  return `${note}${encodeSignatureLine({ name, id, bytes: Buffer.concat([timestamp, signature]) })}`;
}

/**
 * When the witness cosigned `note`; undefined where it did not, or where any line in its name does not verify.
 * Controlled by: anyone. Of several, the newest counts.
 */
export function cosignedAt(note: SignedNote, key: WitnessKey): Date | undefined {
  const own = note.signatures.filter(({ name, id }) => name === key.name && id === key.id);
  const times = own.map(({ bytes }) => verifiedTime(note.text, Buffer.from(bytes), key));
  if (times.length === 0 || times.includes(undefined)) return undefined;
  return new Date(Math.max(...times.map((time) => time ?? 0)));
}

/** In ms; undefined where the signature is not the witness's, or its time is beyond what a Date holds. */
function verifiedTime(text: string, bytes: Buffer, key: WitnessKey): number | undefined {
  if (bytes.length !== TIMESTAMP_BYTES + SIGNATURE_BYTES) return undefined;
  const seconds = bytes.readBigUInt64BE(0);
  if (seconds > MAX_SECONDS) return undefined;
  const verified = verify(null, message(text, seconds), key.publicKey, bytes.subarray(TIMESTAMP_BYTES));
  return verified ? Number(seconds) * 1000 : undefined;
}

/** The end of the year 9999; tlog-cosignature allows up to 2^63-1. */
const MAX_SECONDS = 253_402_300_799n;

function message(text: string, seconds: bigint): Buffer {
  return Buffer.from(`cosignature/v1\ntime ${seconds}\n${text}`); // tlog-cosignature, "Ed25519 signed message"
}
