import { createHash, createPublicKey, type KeyObject, sign, verify } from "node:crypto";

/** C2SP signed notes (https://c2sp.org/signed-note) with Ed25519 keys: text, a blank line, signature lines. */

/** What a note's key signs with: the byte that key ID and encoded key begin with (signed-note, "Signature types"). */
export const SIGNATURE_TYPE = {
  /** Ed25519 over the text. */
  ed25519: 0x01,
  /** Ed25519 over a cosignature's message (tlog-cosignature). */
  cosignature: 0x04,
} as const;

type SignatureType = keyof typeof SIGNATURE_TYPE;

/** An Ed25519 public key of a note, with the name and the ID by which signature lines call it. */
export interface NoteKey<Type extends SignatureType> {
  readonly type: Type;
  /** Non-empty, without spaces, control characters and `+`. */
  readonly name: string;
  /** First four bytes of SHA-256(name ‖ 0x0A ‖ type ‖ key), big-endian. */
  readonly id: number;
  readonly publicKey: KeyObject;
}

/** The key of a log: its name is the log's origin. */
export type VerifierKey = NoteKey<"ed25519">;

/** A key pair that signs notes. */
export interface NoteSigner {
  readonly verifier: VerifierKey;
  readonly privateKey: KeyObject;
}

export interface NoteSignature {
  readonly name: string;
  readonly id: number;
  /** What follows the key ID; its length and meaning depend on the key. */
  readonly bytes: Uint8Array;
}

/** A note that parses. Nothing in it is to be believed until {@link isSignedBy} says so. */
export interface SignedNote {
  /** Ends in a newline. */
  readonly text: string;
  /** At least one. */
  readonly signatures: readonly NoteSignature[];
}

const KEY_BYTES = 32; // RFC 8032 §5.1.5
const SIGNATURE_BYTES = 64; // RFC 8032 §5.1.6
const ID_BYTES = 4;
/** Longest note that is read, in characters; sixteen signatures of 5 kB fit (signed-note, "Format"). */
const MAX_NOTE_LENGTH = 256 * 1024;
const MAX_SIGNATURES = 64;

/** Whether `name` can name a note's key: at most 255 characters, no space, control character or `+`. */
export function isKeyName(name: string): boolean {
  return /^[^\s+\u0000-\u0020\u007f-\u009f]{1,255}$/u.test(name) && name.isWellFormed();
}

/** The key of this name, from a key object. Throws where it is not Ed25519 or the name cannot name a key. */
export function verifierKey(name: string, publicKey: KeyObject): VerifierKey {
  return noteKey("ed25519", name, publicKey);
}

/** {@link verifierKey} for any type of signature. */
export function noteKey<Type extends SignatureType>(
  type: Type,
  name: string,
  publicKey: KeyObject,
): NoteKey<Type> {
  if (!isKeyName(name)) throw new TypeError("a note's key name is without spaces and plus signs");
  const hash = createHash("sha256")
    .update(`${name}\n`)
    .update(Uint8Array.of(SIGNATURE_TYPE[type]))
    .update(rawKey(publicKey));
  return { type, name, id: hash.digest().readUInt32BE(0), publicKey };
}

function rawKey(publicKey: KeyObject): Uint8Array {
  const { crv, x } = publicKey.export({ format: "jwk" });
  if (crv !== "Ed25519" || x === undefined) throw new TypeError("a note's key is an Ed25519 key");
  return Buffer.from(x, "base64url");
}

/** `NAME+ID+BASE64`, as C2SP tools take it: the ID in hex, the base64 of the signature type's byte and the key. */
export function encodeVerifierKey(key: NoteKey<SignatureType>): string {
  const encoded = Buffer.concat([Uint8Array.of(SIGNATURE_TYPE[key.type]), rawKey(key.publicKey)]);
  return `${key.name}+${key.id.toString(16).padStart(2 * ID_BYTES, "0")}+${encoded.toString("base64")}`;
}

/** Reads {@link encodeVerifierKey}'s form; undefined where it is another, or the ID is not that of name and key. */
export function parseVerifierKey(text: string): VerifierKey | undefined {
  return parseNoteKey("ed25519", text);
}

/** {@link parseVerifierKey} for a key of this type; undefined for one of another. */
export function parseNoteKey<Type extends SignatureType>(
  type: Type,
  text: string,
): NoteKey<Type> | undefined {
  const [, name, id, base64] = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text) ?? [];
  if (name === undefined || id === undefined || base64 === undefined || !isKeyName(name)) return undefined;
  const encoded = decodeBase64(base64);
  if (encoded?.length !== 1 + KEY_BYTES || encoded[0] !== SIGNATURE_TYPE[type]) return undefined;
  const jwk = { kty: "OKP", crv: "Ed25519", x: encoded.subarray(1).toString("base64url") };
  const key = noteKey(type, name, createPublicKey({ key: jwk, format: "jwk" }));
  return key.id === Number.parseInt(id, 16) ? key : undefined;
}

/** Reads a note: whole, with at least one signature line. Controlled by: whoever wrote it. Malformed: undefined. */
export function parseSignedNote(note: string): SignedNote | undefined {
  if (note.length > MAX_NOTE_LENGTH || !note.isWellFormed() || /[\u0000-\u0009\u000b-\u001f]/.test(note))
    return undefined;
  const blank = note.lastIndexOf("\n\n");
  if (blank < 0 || !note.endsWith("\n")) return undefined;
  const lines = note.slice(blank + 2, -1).split("\n");
  if (lines.length > MAX_SIGNATURES) return undefined;
  const signatures = lines.map(parseSignatureLine);
  return signatures.every((signature) => signature !== undefined)
    ? { text: note.slice(0, blank + 1), signatures }
    : undefined;
}

function parseSignatureLine(line: string): NoteSignature | undefined {
  const [, name, base64] = /^\u2014 ([^ ]+) ([A-Za-z0-9+/=]+)$/.exec(line) ?? [];
  if (name === undefined || base64 === undefined || !isKeyName(name)) return undefined;
  const bytes = decodeBase64(base64);
  if (bytes === undefined || bytes.length <= ID_BYTES) return undefined;
  return { name, id: bytes.readUInt32BE(0), bytes: bytes.subarray(ID_BYTES) };
}

/** Base64 of RFC 4648 §4 in its one canonical spelling; undefined otherwise. */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, "base64");
  return bytes.toString("base64") === text ? bytes : undefined;
}

/**
 * Whether `note` carries a signature by `key` over its text, and no wrong one in its name; signatures of other keys are
 * ignored (signed-note, "Signatures").
 */
export function isSignedBy(note: SignedNote, key: VerifierKey): boolean {
  const own = note.signatures.filter((signature) => signature.name === key.name && signature.id === key.id);
  const text = Buffer.from(note.text);
  return (
    own.length > 0 &&
    own.every(({ bytes }) => bytes.length === SIGNATURE_BYTES && verify(null, text, key.publicKey, bytes))
  );
}

/** Signs a text, which MUST end in a newline and hold no other control character. One signature line. */
export function signNote(text: string, signer: NoteSigner): string {
  if (!/^[^\u0000-\u0009\u000b-\u001f]*\n$/.test(text))
    throw new TypeError("a note's text is lines, each with its newline");
  const signature = sign(null, Buffer.from(text), signer.privateKey);
  return `${text}\n${encodeSignatureLine({ ...signer.verifier, bytes: signature })}`;
}

/** A signature's line, with its newline. */
export function encodeSignatureLine({ name, id, bytes }: NoteSignature): string {
  const keyId = Buffer.alloc(ID_BYTES);
  keyId.writeUInt32BE(id);
  return `\u2014 ${name} ${Buffer.concat([keyId, bytes]).toString("base64")}\n`;
}
