import { createPrivateKey, createPublicKey, hash, type KeyObject } from "node:crypto";
import type { Fingerprint, KeyAlgorithm } from "../keys/signing-key.ts";
import { encodeMpi, leftPadded, OctetReader, uint16 } from "./octets.ts";
import { PACKET, type Packet, readPackets } from "./packet.ts";
import { MalformedPacket, orProblem, type PacketProblem } from "./packet-problem.ts";
import type { SignatureAlgorithm } from "./signature.ts";

/**
 * Reads single keys out of a transferable key (RFC 9580 §10.1, §10.2), as far as one signature needs it: no user IDs,
 * no self-signatures. Whether the key may sign is somebody else's finding; here only its fingerprint counts.
 */

/** Half a key pair, ready for node:crypto. */
export interface KeyMaterial {
  readonly kind: "key-material";
  readonly fingerprint: Fingerprint;
  readonly algorithm: KeyAlgorithm;
  readonly signatureAlgorithm: SignatureAlgorithm;
  readonly keyObject: KeyObject;
}

const VERSION = 4; // §5.5.2.2
const ALGORITHM = { rsa: 1, ecdsa: 19, eddsaLegacy: 22 } as const; // §9.1
const MIN_RSA_BITS = 2048;
const MAX_BITS = 16_384;
const SHA1_FINGERPRINT_MARK = 0x99; // §5.5.4.2
const UNCOMPRESSED_POINT = 0x04; // §11.2.1
const PREFIXED_NATIVE_POINT = 0x40; // §11.2.2

/** Curves by the hex of their object identifier (§9.2). */
const CURVES = {
  "2a8648ce3d030107": { algorithm: "ecdsa-p256", name: "P-256", octets: 32 },
  "2b81040022": { algorithm: "ecdsa-p384", name: "P-384", octets: 48 },
} as const;
const ED25519_LEGACY = "2b06010401da470f01"; // §9.2
const ED25519_OCTETS = 32; // RFC 8032 §5.1.5

/** Parameters of a public key in the terms of a JSON Web Key (RFC 7518 §6, RFC 8037 §2), and what its packet says. */
interface PublicPart {
  readonly fingerprint: Fingerprint;
  readonly algorithm: KeyAlgorithm;
  readonly signatureAlgorithm: SignatureAlgorithm;
  readonly jwk: Readonly<Record<string, string>>;
}

/** The fingerprint of a version 4 key, from its public part: version octet to last public number (§5.5.4.2). */
export function fingerprintOf(publicPart: Uint8Array): Fingerprint {
  const bytes = Buffer.concat([Uint8Array.of(SHA1_FINGERPRINT_MARK), uint16(publicPart.length), publicPart]);
  return hash("sha1", bytes, "hex").toUpperCase() as Fingerprint;
}

/**
 * The public key with this fingerprint, primary or subkey, out of a binary certificate. RSA below 2048 bits and what
 * GnuPG 2.2 does not read are no keys here. Never throws.
 */
export function readPublicKey(certificate: Uint8Array, fingerprint: string): KeyMaterial | PacketProblem {
  return orProblem(() => {
    for (const body of bodies(readPackets(certificate), PACKET.publicKey, PACKET.publicSubkey)) {
      const reader = new OctetReader(body);
      const part = readPublicPart(reader);
      if (part?.fingerprint !== fingerprint) continue;
      reader.expectEnd();
      return material(
        part,
        keyObject(() => createPublicKey({ key: part.jwk, format: "jwk" })),
      );
    }
    throw missing(fingerprint);
  });
}

/**
 * The secret key with this fingerprint, primary or subkey, out of a binary secret key that no passphrase protects.
 * `encrypted` where one does, `no-secret` where the file has a stub in its place (a primary key taken offline, a key
 * on a smartcard). Never throws.
 */
export function readSecretKey(secretKey: Uint8Array, fingerprint: string): KeyMaterial | PacketProblem {
  return orProblem(() => {
    for (const body of bodies(readPackets(secretKey), PACKET.secretKey, PACKET.secretSubkey)) {
      const found = secretKeyFromBody(body, fingerprint);
      if (found !== undefined) return found;
    }
    throw missing(fingerprint);
  });
}

function bodies(packets: readonly Packet[], ...types: readonly number[]): readonly Buffer[] {
  return packets.filter(({ type }) => types.includes(type)).map(({ body }) => body);
}

function missing(fingerprint: string): MalformedPacket {
  return new MalformedPacket(
    "unexpected-packet",
    `the key ${fingerprint} expected, of version 4 and ed25519 (22), rsa from ${MIN_RSA_BITS} bits, or ecdsa with p-256 or p-384`,
  );
}

/** Version to last public number; undefined for what can sign nothing here, whose length cannot be known either. */
function readPublicPart(reader: OctetReader): PublicPart | undefined {
  const start = reader.position;
  if (reader.uint8() !== VERSION) return undefined;
  reader.take(4); // creation time: the examination of the certificate knows what it means
  const parameters = readPublicParameters(reader);
  return parameters && { fingerprint: fingerprintOf(reader.since(start)), ...parameters };
}

function readPublicParameters(reader: OctetReader): Omit<PublicPart, "fingerprint"> | undefined {
  const algorithm = reader.uint8();
  if (algorithm === ALGORITHM.rsa) return readRsa(reader);
  if (algorithm === ALGORITHM.ecdsa) return readEcdsa(reader);
  if (algorithm === ALGORITHM.eddsaLegacy) return readEd25519(reader);
  return undefined;
}

/** §5.5.5.1 */
function readRsa(reader: OctetReader): Omit<PublicPart, "fingerprint"> | undefined {
  const n = reader.mpi(MAX_BITS);
  const e = reader.mpi(MAX_BITS);
  if (Buffer.from(encodeMpi(n)).readUInt16BE() < MIN_RSA_BITS) return undefined;
  return {
    algorithm: "rsa",
    signatureAlgorithm: "rsa",
    jwk: { kty: "RSA", n: base64url(n), e: base64url(e) },
  };
}

/** §5.5.5.4 */
function readEcdsa(reader: OctetReader): Omit<PublicPart, "fingerprint"> | undefined {
  const oid = reader.take(reader.uint8()).toString("hex");
  const point = reader.mpi(MAX_BITS);
  const curve = Object.hasOwn(CURVES, oid) ? CURVES[oid as keyof typeof CURVES] : undefined;
  if (curve === undefined) return undefined;
  if (point.length !== 1 + 2 * curve.octets || point[0] !== UNCOMPRESSED_POINT) throw badMaterial();
  const x = base64url(point.subarray(1, 1 + curve.octets));
  const y = base64url(point.subarray(1 + curve.octets));
  return {
    algorithm: curve.algorithm,
    signatureAlgorithm: "ecdsa",
    jwk: { kty: "EC", crv: curve.name, x, y },
  };
}

/** §5.5.5.5 */
function readEd25519(reader: OctetReader): Omit<PublicPart, "fingerprint"> | undefined {
  const oid = reader.take(reader.uint8()).toString("hex");
  const point = reader.mpi(MAX_BITS);
  if (oid !== ED25519_LEGACY) return undefined;
  if (point.length !== 1 + ED25519_OCTETS || point[0] !== PREFIXED_NATIVE_POINT) throw badMaterial();
  const x = base64url(point.subarray(1));
  return { algorithm: "ed25519", signatureAlgorithm: "eddsa-legacy", jwk: { kty: "OKP", crv: "Ed25519", x } };
}

/** The body of a secret-key packet (§5.5.3); undefined where it is that of another key. */
function secretKeyFromBody(body: Buffer, fingerprint: string): KeyMaterial | undefined {
  const reader = new OctetReader(body);
  const part = readPublicPart(reader);
  if (part?.fingerprint !== fingerprint) return undefined;
  expectPlain(reader, fingerprint);
  const start = reader.position;
  const jwk = { ...part.jwk, ...readSecretNumbers(reader, part.algorithm) };
  const sum = reader.since(start).reduce((total, octet) => (total + octet) & 0xffff, 0);
  if (reader.uint16() !== sum)
    throw new MalformedPacket("bad-key-material", "the secret key's checksum differs");
  reader.expectEnd();
  return material(
    part,
    keyObject(() => createPrivateKey({ key: jwk, format: "jwk" })),
  );
}

/** S2K usage 0 is plain (§3.7.2.1); 254 with specifier 101 and `GNU` is a stub (GnuPG, doc/DETAILS, "GNU extensions to the S2K algorithm"). */
function expectPlain(reader: OctetReader, fingerprint: string): void {
  const usage = reader.uint8();
  if (usage === 0) return;
  const [, specifier] = reader.take(Math.min(2, reader.remaining));
  if (usage >= 254 && specifier === 101) {
    throw new MalformedPacket("no-secret", `the secret of ${fingerprint} expected in the file`);
  }
  throw new MalformedPacket("encrypted", "a passphrase protects the secret key");
}

/** The secret numbers (§5.5.5), as JSON Web Key parameters. */
function readSecretNumbers(reader: OctetReader, algorithm: KeyAlgorithm): Readonly<Record<string, string>> {
  if (algorithm === "rsa") return readRsaSecret(reader);
  const octets = algorithm === "ecdsa-p384" ? 48 : 32;
  const d = leftPadded(reader.mpi(MAX_BITS), octets);
  if (d === undefined) throw badMaterial();
  return { d: base64url(d) };
}

/**
 * OpenPGP keeps d, p, q and u = 1/p mod q; a JSON Web Key's qi is 1/q mod p (RFC 7518 §6.3.2). With the primes
 * exchanged u is qi, and only the two exponents have to be computed.
 */
function readRsaSecret(reader: OctetReader): Readonly<Record<string, string>> {
  const [d, p, q, u] = [
    reader.mpi(MAX_BITS),
    reader.mpi(MAX_BITS),
    reader.mpi(MAX_BITS),
    reader.mpi(MAX_BITS),
  ];
  const exponent = (prime: Buffer) => {
    const modulus = integer(prime) - 1n;
    if (modulus < 1n) throw badMaterial();
    const hex = (integer(d) % modulus).toString(16);
    return base64url(Buffer.from(hex.padStart(hex.length + (hex.length % 2), "0"), "hex"));
  };
  return {
    d: base64url(d),
    p: base64url(q),
    q: base64url(p),
    dp: exponent(q),
    dq: exponent(p),
    qi: base64url(u),
  };
}

function integer(octets: Buffer): bigint {
  return octets.length === 0 ? 0n : BigInt(`0x${octets.toString("hex")}`);
}

function material(part: PublicPart, key: KeyObject): KeyMaterial {
  const { fingerprint, algorithm, signatureAlgorithm } = part;
  return { kind: "key-material", fingerprint, algorithm, signatureAlgorithm, keyObject: key };
}

function keyObject(make: () => KeyObject): KeyObject {
  try {
    return make();
  } catch (cause) {
    throw new MalformedPacket("bad-key-material", "the numbers in the packet do not make a key", { cause });
  }
}

function badMaterial(): MalformedPacket {
  return new MalformedPacket("bad-key-material", "the numbers in the packet do not make a key");
}

function base64url(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength).toString("base64url");
}
