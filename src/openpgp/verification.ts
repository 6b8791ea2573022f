import { constants, publicDecrypt, verify } from "node:crypto";
import type { MessageHash } from "../keys/signing-key.ts";
import { digestInfo } from "./digest-info.ts";
import type { KeyMaterial } from "./key-packet.ts";
import { ecdsaStreams } from "./message-hash.ts";
import { leftPadded } from "./octets.ts";
import { encodeHashSuffix, type Signature } from "./signature.ts";

/**
 * Whether `key`, a public key, made `signature` over the bytes that `message` saw: same fingerprint and algorithm, same
 * digest, and the numbers agree. Bounded memory whatever the artefact's size. `message` MUST have been started for this
 * key; an ECDSA check uses its streams up. Says nothing about the key's own validity, or the signature's expiry.
 */
export function signatureVerifies(key: KeyMaterial, message: MessageHash, signature: Signature): boolean {
  if (signature.issuerFingerprint !== key.fingerprint) return false;
  if (signature.algorithm !== key.signatureAlgorithm) return false;
  const suffix = encodeHashSuffix(signature.hashedPart);
  const digest = message.sha512().update(suffix).digest();
  if (!digest.subarray(0, 2).equals(signature.digestPrefix)) return false;
  switch (key.algorithm) {
    case "ed25519":
      return verifyEd25519(key, digest, signature);
    case "rsa":
      return verifyRsa(key, digest, signature);
    case "ecdsa-p256":
      return verifyEcdsa(key, 32, message, suffix, signature);
    case "ecdsa-p384":
      return verifyEcdsa(key, 48, message, suffix, signature);
  }
}

/** The digest is the message (RFC 9580 §5.2.3.1.3). */
function verifyEd25519(key: KeyMaterial, digest: Uint8Array, signature: Signature): boolean {
  const native = fixedLength(signature, 32);
  return native !== undefined && verify(undefined, digest, key.keyObject, native);
}

/** Compares the whole encoded message, padding included (RFC 8017 §8.2.2): nothing in it is left to interpretation. */
function verifyRsa(key: KeyMaterial, digest: Uint8Array, signature: Signature): boolean {
  const length = Math.ceil((key.keyObject.asymmetricKeyDetails?.modulusLength ?? 0) / 8);
  const number = fixedLength(signature, length);
  if (number === undefined) return false;
  const info = digestInfo(digest);
  const padding = Buffer.alloc(length - info.length - 3, 0xff);
  const expected = Buffer.concat([Uint8Array.of(0, 1), padding, Uint8Array.of(0), info]); // RFC 8017 §9.2
  try {
    return publicDecrypt({ key: key.keyObject, padding: constants.RSA_NO_PADDING }, number).equals(expected);
  } catch {
    return false; // a number not below the modulus
  }
}

function verifyEcdsa(
  key: KeyMaterial,
  octets: number,
  message: MessageHash,
  suffix: Uint8Array,
  signature: Signature,
): boolean {
  const numbers = fixedLength(signature, octets);
  const stream = ecdsaStreams(message).verify;
  if (numbers === undefined) return false;
  return stream.update(suffix).verify({ key: key.keyObject, dsaEncoding: "ieee-p1363" }, numbers);
}

/** The signature's numbers one after the other, each of that many octets; undefined where one is longer. */
function fixedLength(signature: Signature, octets: number): Buffer | undefined {
  const padded = signature.numbers.map((number) => leftPadded(number, octets));
  return padded.every((number) => number !== undefined) ? Buffer.concat(padded) : undefined;
}
