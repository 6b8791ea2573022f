import { constants, privateEncrypt, sign } from "node:crypto";
import type { MessageHash, SignatureTerms } from "../keys/signing-key.ts";
import { Fault } from "../outcome.ts";
import { digestInfo } from "./digest-info.ts";
import type { KeyMaterial } from "./key-packet.ts";
import { ecdsaStreams } from "./message-hash.ts";
import { isPacketProblem } from "./packet-problem.ts";
import { encodeHashedPart, encodeHashSuffix, encodeSignature, parseSignature } from "./signature.ts";
import { signatureVerifies } from "./verification.ts";

/** Both halves of a key, each read from a packet of its own: the public one from the certificate. */
export interface KeyPair {
  readonly secretKey: KeyMaterial;
  readonly publicKey: KeyMaterial;
}

/**
 * One signature packet over the bytes that `message` saw, verified before it is returned: the finished packet is parsed
 * again and checked with the public key. Where that fails, by damaged key material, memory or processor, Fault
 * `signing-failed` is thrown and the packet dropped: a wrong RSA or Ed25519 signature can give the secret key away.
 * `message` MUST have been started for this key; an ECDSA signature uses its streams up. Throws RangeError for terms
 * that do not fit the format.
 */
export function signAndVerify(key: KeyPair, message: MessageHash, terms: SignatureTerms): Uint8Array {
  const { fingerprint, signatureAlgorithm } = key.secretKey;
  const claims = { ...terms, algorithm: signatureAlgorithm, issuerFingerprint: fingerprint };
  const suffix = encodeHashSuffix(encodeHashedPart(claims));
  const digest = message.sha512().update(suffix).digest();
  const packet = encodeSignature(claims, digest, signNumbers(key.secretKey, message, suffix, digest));
  const signature = parseSignature(packet);
  if (isPacketProblem(signature) || !signatureVerifies(key.publicKey, message, signature)) {
    throw new Fault("signing-failed", "the new signature did not verify with the public key");
  }
  return packet;
}

/** What the algorithm makes of the digest: one number for RSA, R and S for the others. */
function signNumbers(
  key: KeyMaterial,
  message: MessageHash,
  suffix: Uint8Array,
  digest: Uint8Array,
): readonly Uint8Array[] {
  try {
    switch (key.algorithm) {
      case "ed25519":
        return halves(sign(undefined, digest, key.keyObject)); // RFC 9580 §5.2.3.1.3
      case "rsa":
        // sign() would hash the digest once more: this pads (RFC 8017 §9.2) and exponentiates what it is given
        return [
          privateEncrypt({ key: key.keyObject, padding: constants.RSA_PKCS1_PADDING }, digestInfo(digest)),
        ];
      case "ecdsa-p256":
      case "ecdsa-p384":
        return halves(
          ecdsaStreams(message).sign.update(suffix).sign({ key: key.keyObject, dsaEncoding: "ieee-p1363" }),
        );
    }
  } catch (cause) {
    throw new Fault("signing-failed", "the key could not sign", { cause });
  }
}

function halves(octets: Uint8Array): readonly [Uint8Array, Uint8Array] {
  const middle = octets.length / 2;
  return [octets.subarray(0, middle), octets.subarray(middle)];
}
