import { generateKeyPairSync, type KeyObject } from "node:crypto";
import type { Fingerprint, KeyAlgorithm } from "../../src/keys/signing-key.ts";
import type { KeyMaterial } from "../../src/openpgp/key-packet.ts";
import type { SignatureAlgorithm } from "../../src/openpgp/signature.ts";
import type { KeyPair } from "../../src/openpgp/signing.ts";

export const FINGERPRINT = "0123456789ABCDEF0123456789ABCDEF01234567" as Fingerprint;

const KINDS: Readonly<
  Record<
    KeyAlgorithm,
    readonly [SignatureAlgorithm, () => { readonly privateKey: KeyObject; readonly publicKey: KeyObject }]
  >
> = {
  ed25519: ["eddsa-legacy", () => generateKeyPairSync("ed25519")],
  rsa: ["rsa", () => generateKeyPairSync("rsa", { modulusLength: 2048 })],
  "ecdsa-p256": ["ecdsa", () => generateKeyPairSync("ec", { namedCurve: "P-256" })],
  "ecdsa-p384": ["ecdsa", () => generateKeyPairSync("ec", { namedCurve: "P-384" })],
};

/** A new key pair without any certificate around it. */
export function newKeyPair(algorithm: KeyAlgorithm, fingerprint = FINGERPRINT): KeyPair {
  const [signatureAlgorithm, generate] = KINDS[algorithm];
  const { privateKey, publicKey } = generate();
  const common = { kind: "key-material", fingerprint, algorithm, signatureAlgorithm } as const;
  const material = (keyObject: KeyObject): KeyMaterial => ({ ...common, keyObject });
  return { secretKey: material(privateKey), publicKey: material(publicKey) };
}
