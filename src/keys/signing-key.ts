import type { Hash, Sign, Verify } from "node:crypto";

/** Upper-case hex of a v4 OpenPGP fingerprint, 40 characters (RFC 9580 §5.5.4.2). */
export type Fingerprint = string & { readonly Fingerprint: unique symbol };

export type KeyAlgorithm = "ed25519" | "rsa" | "ecdsa-p256" | "ecdsa-p384";

/** Why a key must not sign now. */
export interface KeyProblem {
  readonly kind: "key-problem";
  readonly problem: "expired" | "revoked" | "not-yet-valid" | "not-for-signing";
  /** One line for people, lower case. */
  readonly reason: string;
}

/**
 * The bytes of an artefact as a signature sees them: SHA-512 always, and for keys that cannot sign a finished digest
 * (ECDSA through node:crypto) the same bytes beside it.
 */
export interface MessageHash {
  update(chunk: Uint8Array): void;
  /** A copy of the running SHA-512: finishing it leaves the original untouched. */
  sha512(): Hash;
  /** What runs beside the hash; undefined where none of the keys named at the start needs it. */
  readonly ecdsa: EcdsaStreams | undefined;
}

/**
 * ECDSA with SHA-512 under way, fed with the same bytes as the hash; which key finishes them is open. Each can be
 * finished once: one signature, one verification.
 */
export interface EcdsaStreams {
  readonly sign: Sign;
  readonly verify: Verify;
}

/** What a signature says besides the bytes. */
export interface SignatureTerms {
  /** Creation time, whole seconds are used (RFC 9580 §5.2.3.11). */
  readonly createdAt: Date;
  /** Seconds after creation at which the signature expires, 1 to 2^32-1; undefined: never (§5.2.3.18). */
  readonly expiresAfterSeconds: number | undefined;
  /** Non-critical, human-readable notations, in this order (§5.2.3.24). Names are `name@domain`. */
  readonly notations: readonly (readonly [name: string, value: string])[];
}

/** What is known about a key that the configuration names, without its secret. */
export interface KeyFacts {
  /** Its name in the configuration: `repo` of `[keys.repo]`. */
  readonly name: string;
  /** The certificate's primary key. */
  readonly primaryFingerprint: Fingerprint;
  /** The key that signs: the primary or a signing subkey. */
  readonly fingerprint: Fingerprint;
  readonly algorithm: KeyAlgorithm;
  /** What the key's maker typed: any text, to be shown only escaped. */
  readonly userId: string;
  /** Creation of the key that signs. */
  readonly createdAt: Date;
  /** When the signing key or its primary stops being valid, whichever is first; undefined: never. */
  readonly expiresAt: Date | undefined;
  /** ASCII-armored certificate (public). */
  readonly armoredPublicKey: string;
  /** Why it must not sign at `now`; undefined where it may. */
  problemAt(now: Date): KeyProblem | undefined;
}

/**
 * A key that the configuration names. Implementations MUST verify each signature with the public key, recomputed from
 * the finished packet, before they return it, and MUST throw `Fault("signing-failed")` where that fails; they MUST
 * throw `Fault("key-unusable")` where `problemAt(terms.createdAt)` says that the key must not sign.
 */
export interface SigningKey extends KeyFacts {
  /** Signs the bytes that `message` saw; `message` MUST have been started for this key. One v4 signature packet. */
  sign(message: MessageHash, terms: SignatureTerms): Promise<Uint8Array>;
}
