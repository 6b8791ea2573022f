import { createPrivateKey, createPublicKey, hash, type KeyObject } from "node:crypto";
import type { Fingerprint, KeyAlgorithm } from "../keys/signing-key.ts";
import { type PublicParameters, readPublicParameters, readSecretParameters } from "./key-parameters.ts";
import { OctetReader, uint16 } from "./octets.ts";
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
const SHA1_FINGERPRINT_MARK = 0x99; // §5.5.4.2

interface PublicPart extends PublicParameters {
  readonly fingerprint: Fingerprint;
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
    `the key ${fingerprint} is none that signs here: version 4 expected, with ed25519 (22), rsa from 2048 bits, or ecdsa with p-256 or p-384`,
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

/** The body of a secret-key packet (§5.5.3); undefined where it is that of another key. */
function secretKeyFromBody(body: Buffer, fingerprint: string): KeyMaterial | undefined {
  const reader = new OctetReader(body);
  const part = readPublicPart(reader);
  if (part?.fingerprint !== fingerprint) return undefined;
  expectPlain(reader, fingerprint);
  const start = reader.position;
  const jwk = { ...part.jwk, ...readSecretParameters(reader, part.algorithm) };
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
  const [, specifier] = reader.take(2);
  if (usage >= 254 && specifier === 101) {
    throw new MalformedPacket("no-secret", `the secret of ${fingerprint} expected in the file`);
  }
  throw new MalformedPacket("encrypted", "a passphrase protects the secret key");
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
