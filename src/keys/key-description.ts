import type { Fingerprint, KeyAlgorithm, KeyProblem } from "./signing-key.ts";

/**
 * The public facts of a key file: what an examination of its self-signatures found, in a form that can be kept. Pure:
 * every question about validity takes the time it is asked for.
 */
export interface KeyDescription {
  readonly kind: "key-description";
  readonly primaryFingerprint: Fingerprint;
  /** Of the primary user ID: what its maker typed, any text. */
  readonly userId: string;
  /** ASCII-armored certificate (public), revocations included. */
  readonly armoredPublicKey: string;
  /** The keys of the certificate that may sign and whose secret is in the file, newest first, the primary last. */
  readonly candidates: readonly [Candidate, ...Candidate[]];
}

/** A key of the certificate, its own limits and the primary's already taken together. */
export interface Candidate {
  readonly fingerprint: Fingerprint;
  readonly algorithm: KeyAlgorithm;
  /** Seconds since 1970, as all times here. */
  readonly createdAt: number;
  /** Creation of the key, its primary and the self-signatures that bind them, whichever is last. */
  readonly validFrom: number;
  /** End of the key or of its primary, whichever is first; undefined: never. */
  readonly validUntil: number | undefined;
  /** The key or its primary is revoked, for whatever reason and from whatever date. */
  readonly revoked: boolean;
  /** False for the primary of a certificate in which nothing may sign. */
  readonly forSigning: boolean;
  /** Whether a passphrase protects the secret. */
  readonly encrypted: boolean;
}

/** The newest key that may sign at `now`; where none may, the newest of all, whose problem is then to be told. */
export function chooseCandidate(description: KeyDescription, now: Date): Candidate {
  const { candidates } = description;
  return candidates.find((candidate) => problemOf(candidate, now) === undefined) ?? candidates[0];
}

/** Why a key must not sign at `now`; undefined where it may. */
export function problemOf(candidate: Candidate, now: Date): KeyProblem | undefined {
  const seconds = Math.floor(now.getTime() / 1000);
  if (!candidate.forSigning)
    return problem("not-for-signing", "the certificate holds no key made for signing");
  if (candidate.revoked) return problem("revoked", "the key or its primary key is revoked");
  if (!(seconds >= candidate.validFrom))
    return problem("not-yet-valid", `the key is valid from ${day(candidate.validFrom)}`);
  if (candidate.validUntil !== undefined && seconds >= candidate.validUntil) {
    return problem("expired", `the key expired at ${day(candidate.validUntil)}`);
  }
  return undefined;
}

function problem(kind: KeyProblem["problem"], reason: string): KeyProblem {
  return { kind: "key-problem", problem: kind, reason };
}

function day(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace(".000", "");
}
