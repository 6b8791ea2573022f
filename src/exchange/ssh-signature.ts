import { createPublicKey, hash, verify } from "node:crypto";

/**
 * Signatures as `ssh-keygen -Y sign` makes them (OpenSSH, PROTOCOL.sshsig), by Ed25519 keys (RFC 8709): enough to know that a
 * notification is the repository server's own.
 */

/** Of the signatures of notifications: what the same key has signed for another purpose is none. */
export const NOTIFICATION_NAMESPACE = "notification@signer";

/** PROTOCOL.sshsig, "Blob format". */
const MAGIC = "SSHSIG";
const VERSION = 1;
const KEY_TYPE = "ssh-ed25519";
const BEGIN = "-----BEGIN SSH SIGNATURE-----";
const END = "-----END SSH SIGNATURE-----";
/** A signature by an Ed25519 key has less than 300 characters of base64. */
const MAX_ARMOR_CHARACTERS = 1024;
/** DER of a SubjectPublicKeyInfo of an Ed25519 key but for its 32 octets (RFC 8410 §4). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/** Text as the blob of an Ed25519 public key (RFC 8709 §4). */
export function isEd25519Blob(blob: Uint8Array): boolean {
  return ed25519Octets(Buffer.from(blob)) !== undefined;
}

/**
 * Why `armored` is not a signature of `message` by this very key in this namespace, one phrase; undefined where it is. SHA-256 and
 * SHA-512 are the digests that the protocol has.
 * @param armored what `ssh-keygen -Y sign` wrote, and nothing else. Controlled by: whoever answers in the server's place
 * @param publicKey blob of an Ed25519 key (RFC 8709 §4); any other makes every signature bad
 */
export function sshSignatureObjection(
  armored: string,
  message: Uint8Array,
  { publicKey, namespace }: { readonly publicKey: Uint8Array; readonly namespace: string },
): string | undefined {
  const parsed = parse(armored);
  if (parsed === undefined) return "it is not signed";
  if (Buffer.compare(parsed.publicKey, publicKey) !== 0) return "another key has signed it";
  if (parsed.namespace !== namespace) return "it is signed for another purpose";
  const key = ed25519Octets(parsed.publicKey);
  if (key === undefined) return "it is not signed by an Ed25519 key";
  const { hashAlgorithm } = parsed;
  if (hashAlgorithm !== "sha256" && hashAlgorithm !== "sha512")
    return "its digest is neither SHA-256 nor SHA-512";
  const digest = hash(hashAlgorithm, message, "buffer");
  const signed = Buffer.concat([
    Buffer.from(MAGIC),
    ...[namespace, "", hashAlgorithm].map((text) => encodeString(Buffer.from(text, "latin1"))),
    encodeString(digest),
  ]);
  const spki = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, key]), format: "der", type: "spki" });
  return verify(null, signed, spki, parsed.signature) ? undefined : "its signature is not of these bytes";
}

/** Blob of the Ed25519 key that a signature says it is by; undefined where it is by another kind of key, or no signature. */
export function signingKeyOf(armored: string): Uint8Array | undefined {
  const parsed = parse(armored);
  return parsed !== undefined && isEd25519Blob(parsed.publicKey) ? parsed.publicKey : undefined;
}

interface SshSignature {
  readonly publicKey: Buffer;
  readonly namespace: string;
  readonly hashAlgorithm: string;
  /** Of the Ed25519 key: 64 octets. */
  readonly signature: Buffer;
}

function parse(armored: string): SshSignature | undefined {
  if (
    armored.length > MAX_ARMOR_CHARACTERS ||
    !armored.startsWith(`${BEGIN}\n`) ||
    !armored.endsWith(`\n${END}\n`)
  )
    return undefined;
  const base64 = armored.slice(BEGIN.length, -END.length - 1).replaceAll("\n", "");
  const blob = Buffer.from(base64, "base64");
  if (blob.toString("base64") !== base64) return undefined;
  if (blob.subarray(0, MAGIC.length).toString("latin1") !== MAGIC || blob.length < 10) return undefined;
  if (blob.readUInt32BE(MAGIC.length) !== VERSION) return undefined;
  const fields = readStrings(blob.subarray(MAGIC.length + 4));
  const [publicKey, namespace, reserved, hashAlgorithm, signature] = fields ?? [];
  if (fields?.length !== 5 || publicKey === undefined || namespace === undefined) return undefined;
  if (reserved?.length !== 0 || hashAlgorithm === undefined || signature === undefined) return undefined;
  const [type, octets, ...more] = readStrings(signature) ?? [];
  if (type?.toString("latin1") !== KEY_TYPE || octets?.length !== 64 || more.length > 0) return undefined;
  return {
    publicKey,
    namespace: namespace.toString("latin1"),
    hashAlgorithm: hashAlgorithm.toString("latin1"),
    signature: octets,
  };
}

/** The key's 32 octets. */
function ed25519Octets(blob: Buffer): Buffer | undefined {
  const [type, octets, ...more] = readStrings(blob) ?? [];
  const isKey = type?.toString("latin1") === KEY_TYPE && octets?.length === 32 && more.length === 0;
  return isKey ? octets : undefined;
}

/** All of it as strings of RFC 4251 §5; undefined where it is cut. */
function readStrings(bytes: Buffer): Buffer[] | undefined {
  const strings: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < 4) return undefined;
    const end = at + 4 + bytes.readUInt32BE(at);
    if (end > bytes.length) return undefined;
    strings.push(bytes.subarray(at + 4, end));
    at = end;
  }
  return strings;
}

function encodeString(bytes: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.byteLength);
  return Buffer.concat([length, bytes]);
}
