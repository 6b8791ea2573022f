import type { KeyAlgorithm } from "../keys/signing-key.ts";
import { encodeMpi, leftPadded, type OctetReader } from "./octets.ts";
import { MalformedPacket } from "./packet-problem.ts";
import type { SignatureAlgorithm } from "./signature.ts";

/** The numbers of a key as OpenPGP keeps them (RFC 9580 §5.5.5), turned into a JSON Web Key (RFC 7518 §6, RFC 8037 §2). */

/** Algorithm and public numbers of a key that can sign here. */
export interface PublicParameters {
  readonly algorithm: KeyAlgorithm;
  readonly signatureAlgorithm: SignatureAlgorithm;
  readonly jwk: Readonly<Record<string, string>>;
}

const ALGORITHM = { rsa: 1, ecdsa: 19, eddsaLegacy: 22 } as const; // §9.1
const MIN_RSA_BITS = 2048;
const MAX_BITS = 16_384;
const UNCOMPRESSED_POINT = 0x04; // §11.2.1
const PREFIXED_NATIVE_POINT = 0x40; // §11.2.2

/** Curves by the hex of their object identifier (§9.2). */
const CURVES = {
  "2a8648ce3d030107": { algorithm: "ecdsa-p256", name: "P-256", octets: 32 },
  "2b81040022": { algorithm: "ecdsa-p384", name: "P-384", octets: 48 },
} as const;
const ED25519_LEGACY = "2b06010401da470f01"; // §9.2
const ED25519_OCTETS = 32; // RFC 8032 §5.1.5

/**
 * The algorithm and its public numbers (§5.5.2.2). Undefined where nothing can be signed with them here: another
 * algorithm, another curve, RSA below 2048 bits. Throws {@link MalformedPacket} for numbers that make no key.
 */
export function readPublicParameters(reader: OctetReader): PublicParameters | undefined {
  const algorithm = reader.uint8();
  if (algorithm === ALGORITHM.rsa) return readRsa(reader);
  if (algorithm === ALGORITHM.ecdsa) return readEcdsa(reader);
  if (algorithm === ALGORITHM.eddsaLegacy) return readEd25519(reader);
  return undefined;
}

/** §5.5.5.1 */
function readRsa(reader: OctetReader): PublicParameters | undefined {
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
function readEcdsa(reader: OctetReader): PublicParameters | undefined {
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
function readEd25519(reader: OctetReader): PublicParameters | undefined {
  const oid = reader.take(reader.uint8()).toString("hex");
  const point = reader.mpi(MAX_BITS);
  if (oid !== ED25519_LEGACY) return undefined;
  if (point.length !== 1 + ED25519_OCTETS || point[0] !== PREFIXED_NATIVE_POINT) throw badMaterial();
  const x = base64url(point.subarray(1));
  return { algorithm: "ed25519", signatureAlgorithm: "eddsa-legacy", jwk: { kty: "OKP", crv: "Ed25519", x } };
}

/** The secret numbers of an algorithm, as further JSON Web Key parameters. Throws {@link MalformedPacket}. */
export function readSecretParameters(
  reader: OctetReader,
  algorithm: KeyAlgorithm,
): Readonly<Record<string, string>> {
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
    const hex = (integer(d) % modulus).toString(16).padStart(2 * prime.length, "0");
    return base64url(Buffer.from(hex, "hex"));
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

function badMaterial(): MalformedPacket {
  return new MalformedPacket("bad-key-material", "the numbers in the packet do not make a key");
}

function base64url(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength).toString("base64url");
}
