import type { Fingerprint, SignatureTerms } from "../keys/signing-key.ts";
import { encodeMpi, OctetReader, uint16, uint32 } from "./octets.ts";
import { encodeLength, encodePacket, PACKET, readLength, readPacket } from "./packet.ts";
import { MalformedPacket, orProblem, type PacketProblem } from "./packet-problem.ts";

/** The one kind of signature made here: version 4, over binary data (RFC 9580 §5.2.3), SHA-512. */

/** Public-key algorithm of a signature; `eddsa-legacy` is Ed25519 with the deprecated identifier that GnuPG 2.2 reads. */
export type SignatureAlgorithm = "rsa" | "ecdsa" | "eddsa-legacy";

/** What a signature says, all of it signed. */
export interface SignatureClaims extends SignatureTerms {
  readonly algorithm: SignatureAlgorithm;
  /** The key that signs, primary or subkey (§5.2.3.35). */
  readonly issuerFingerprint: Fingerprint;
}

/** A parsed signature. Nothing in it is to be believed until it has been verified against the bytes it is for. */
export interface Signature extends SignatureClaims {
  readonly kind: "signature";
  /** First two octets of the digest, to tell a wrong file early. */
  readonly digestPrefix: Uint8Array;
  /** RSA: one number; the others: R and S. Big-endian octets without leading zeros. */
  readonly numbers: readonly Uint8Array[];
  /** From the version octet to the end of the hashed subpackets: what is hashed after the data. */
  readonly hashedPart: Uint8Array;
}

const VERSION = 4; // §5.2.3
const BINARY = 0x00; // §5.2.1.1
const SHA512 = 10; // §9.5
const TRAILER_MARK = 0xff; // §5.2.4

const SUBPACKET = {
  creation: 2,
  expiration: 3,
  issuerKeyId: 16,
  notation: 20,
  issuerFingerprint: 33,
} as const; // §5.2.3.7
/** Set in a subpacket's type: who does not know it must not accept the signature (§5.2.3.7). */
const CRITICAL = 0x80;
const HUMAN_READABLE = 0x80000000; // §5.2.3.24

const ALGORITHMS: Readonly<
  Record<SignatureAlgorithm, { readonly id: number; readonly numbers: number; readonly maxBits: number }>
> = {
  rsa: { id: 1, numbers: 1, maxBits: 16_384 }, // §9.1, §5.2.3.1.1
  ecdsa: { id: 19, numbers: 2, maxBits: 384 }, // §9.1, §5.2.3.1.2; P-384 at most
  "eddsa-legacy": { id: 22, numbers: 2, maxBits: 256 }, // §9.1, §5.2.3.1.3
};

const MAX_TIME = 0xffff_ffff; // seconds, §3.5
const FINGERPRINT = /^[0-9A-F]{40}$/;
const NOTATION_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}@[A-Za-z0-9][A-Za-z0-9.-]{0,252}$/;
/** Printable ASCII: the same in every character set, and harmless on a terminal. */
const NOTATION_VALUE = /^[\x20-\x7e]{0,4096}$/;

/**
 * The hashed part of a signature: version, type, algorithms, then creation time, issuer fingerprint, expiration where
 * there is one, and the notations in their order. Throws RangeError where the claims do not fit: time before 1970 or
 * after 2106 (also that of expiring, which GnuPG keeps in 32 bits), a notation whose name is not `name@domain` or comes
 * twice, a value beyond 4,096 characters of printable ASCII, 64 KiB of all of it.
 */
export function encodeHashedPart(claims: SignatureClaims): Uint8Array {
  const createdAt = seconds(claims.createdAt);
  const subpackets = [
    subpacket(SUBPACKET.creation | CRITICAL, uint32(createdAt)),
    subpacket(SUBPACKET.issuerFingerprint, Buffer.concat([Uint8Array.of(VERSION), fingerprint(claims)])),
  ];
  if (claims.expiresAfterSeconds !== undefined) {
    if (claims.expiresAfterSeconds < 1)
      throw new RangeError("a signature expires one second after its creation or later");
    wholeSeconds(createdAt + claims.expiresAfterSeconds);
    subpackets.push(subpacket(SUBPACKET.expiration | CRITICAL, uint32(claims.expiresAfterSeconds)));
  }
  const names = new Set(claims.notations.map(([name]) => name));
  if (names.size !== claims.notations.length) throw new RangeError("each notation has a name of its own");
  for (const [name, value] of claims.notations) subpackets.push(notation(name, value));
  const area = Buffer.concat(subpackets);
  const fixed = Uint8Array.of(VERSION, BINARY, ALGORITHMS[claims.algorithm].id, SHA512);
  return Buffer.concat([fixed, uint16(area.length), area]);
}

/** What is hashed after the data: the hashed part and the trailer that says how long it is (§5.2.4). */
export function encodeHashSuffix(hashedPart: Uint8Array): Uint8Array {
  return Buffer.concat([hashedPart, Uint8Array.of(VERSION, TRAILER_MARK), uint32(hashedPart.length)]);
}

/**
 * The whole packet: `claims`, the first two octets of the digest (longer input is cut), and what the algorithm made of
 * it, big-endian. Throws RangeError where claims or numbers do not fit the format.
 */
export function encodeSignature(
  claims: SignatureClaims,
  digest: Uint8Array,
  numbers: readonly Uint8Array[],
): Uint8Array {
  const algorithm = ALGORITHMS[claims.algorithm];
  if (
    numbers.length !== algorithm.numbers ||
    numbers.some((octets) => octets.every((octet) => octet === 0))
  ) {
    throw new RangeError(`${algorithm.numbers} numbers greater than zero make this signature`);
  }
  const keyId = fingerprint(claims).subarray(-8); // §5.5.4.2
  const unhashed = subpacket(SUBPACKET.issuerKeyId, keyId);
  return encodePacket(
    PACKET.signature,
    Buffer.concat([
      encodeHashedPart(claims),
      uint16(unhashed.length),
      unhashed,
      digest.subarray(0, 2),
      ...numbers.map(encodeMpi),
    ]),
  );
}

/**
 * Reads exactly what {@link encodeSignature} writes, in either packet header format (§4.2): each subpacket in its
 * place, nothing unknown, nothing twice, nothing behind the end. Controlled by: whoever holds the `.sig`. Never throws.
 */
export function parseSignature(bytes: Uint8Array): Signature | PacketProblem {
  return orProblem(() => {
    const reader = new OctetReader(bytes);
    const packet = readPacket(reader);
    reader.expectEnd();
    if (packet.type !== PACKET.signature)
      throw new MalformedPacket("unexpected-packet", "a signature packet expected");
    const signature = parseBody(packet.body);
    expectCanonical(signature, packet.body);
    return signature;
  });
}

function parseBody(body: Buffer): Signature {
  const reader = new OctetReader(body);
  expectOctet(reader.uint8(), VERSION, "unsupported-version", "a version 4 signature");
  expectOctet(reader.uint8(), BINARY, "unsupported-type", "a signature over a binary document");
  const algorithm = algorithmOf(reader.uint8());
  expectOctet(reader.uint8(), SHA512, "unsupported-hash", "a signature over sha-512");
  const terms = parseHashedArea(reader.take(reader.uint16()));
  const hashedPart = reader.since(0);
  reader.take(reader.uint16()); // the unhashed area repeats the fingerprint's end: expectCanonical looks at it
  const digestPrefix = reader.take(2);
  const { numbers: count, maxBits } = ALGORITHMS[algorithm];
  const numbers = Array.from({ length: count }, () => reader.mpi(maxBits));
  reader.expectEnd();
  return { kind: "signature", algorithm, ...terms, digestPrefix, numbers, hashedPart };
}

/** Subpackets in any order and number: {@link expectCanonical} looks at that. */
function parseHashedArea(area: Uint8Array): SignatureTerms & { readonly issuerFingerprint: Fingerprint } {
  const reader = new OctetReader(area);
  let createdAt: Date | undefined;
  let issuerFingerprint: Fingerprint | undefined;
  let expiresAfterSeconds: number | undefined;
  const notations: (readonly [name: string, value: string])[] = [];
  while (reader.remaining > 0) {
    const content = new OctetReader(reader.take(readLength(reader)));
    const type = content.uint8();
    if (type === (SUBPACKET.creation | CRITICAL)) createdAt = new Date(content.uint32() * 1000);
    else if (type === SUBPACKET.issuerFingerprint) issuerFingerprint = parseFingerprint(content);
    else if (type === (SUBPACKET.expiration | CRITICAL)) expiresAfterSeconds = content.uint32();
    else if (type === SUBPACKET.notation) notations.push(parseNotation(content));
    else
      throw new MalformedPacket("not-canonical", "no subpackets expected but those that this program writes");
  }
  if (createdAt === undefined || issuerFingerprint === undefined) {
    throw new MalformedPacket("not-canonical", "creation time and issuer fingerprint expected");
  }
  return { createdAt, issuerFingerprint, expiresAfterSeconds, notations };
}

function parseFingerprint(content: OctetReader): Fingerprint {
  expectOctet(content.uint8(), VERSION, "unsupported-version", "the fingerprint of a version 4 key");
  return content.take(20).toString("hex").toUpperCase() as Fingerprint;
}

function parseNotation(content: OctetReader): readonly [name: string, value: string] {
  content.take(4); // flags
  const nameLength = content.uint16();
  const valueLength = content.uint16();
  return [content.take(nameLength).toString("latin1"), content.take(valueLength).toString("latin1")];
}

function algorithmOf(id: number): SignatureAlgorithm {
  const found = Object.entries(ALGORITHMS).find(([, algorithm]) => algorithm.id === id);
  if (found === undefined)
    throw new MalformedPacket("unsupported-algorithm", "rsa, ecdsa or eddsa (22) expected");
  return found[0] as SignatureAlgorithm;
}

function expectOctet(octet: number, expected: number, problem: PacketProblem["problem"], what: string): void {
  if (octet !== expected) throw new MalformedPacket(problem, `${what} expected`);
}

/** One signature has one encoding: what was read must come out the same when it is written. */
function expectCanonical(signature: Signature, body: Uint8Array): void {
  let written: Uint8Array;
  try {
    written = encodeSignature(signature, signature.digestPrefix, signature.numbers);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new MalformedPacket("not-canonical", cause.message, { cause });
  }
  if (!readPacket(new OctetReader(written)).body.equals(body)) {
    throw new MalformedPacket("not-canonical", "a signature in the form that this program writes expected");
  }
}

function subpacket(type: number, content: Uint8Array): Uint8Array {
  return Buffer.concat([encodeLength(1 + content.length), Uint8Array.of(type), content]);
}

function notation(name: string, value: string): Uint8Array {
  if (!NOTATION_NAME.test(name)) throw new RangeError("a notation's name is name@domain");
  if (!NOTATION_VALUE.test(value))
    throw new RangeError("a notation's value is up to 4096 characters of printable ascii");
  return subpacket(
    SUBPACKET.notation,
    Buffer.concat([
      uint32(HUMAN_READABLE),
      uint16(name.length),
      uint16(value.length),
      Buffer.from(name + value, "latin1"),
    ]),
  );
}

function fingerprint(claims: SignatureClaims): Buffer {
  if (!FINGERPRINT.test(claims.issuerFingerprint))
    throw new RangeError("a fingerprint is 40 upper-case hex digits");
  return Buffer.from(claims.issuerFingerprint, "hex");
}

function seconds(time: Date): number {
  return wholeSeconds(Math.floor(time.getTime() / 1000));
}

function wholeSeconds(value: number): number {
  if (!Number.isInteger(value) || value < 0 || value > MAX_TIME) {
    throw new RangeError("times are whole seconds from 1970 to 2106");
  }
  return value;
}
