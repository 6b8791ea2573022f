import type { SignatureTerms } from "../keys/signing-key.ts";
import { isPacketProblem } from "./packet-problem.ts";
import { parseSignature } from "./signature.ts";

/** What a signature must say to be the one that a log entry is about; parts left out are not compared. */
export interface ExpectedClaims {
  readonly issuerFingerprint?: string;
  readonly createdAt?: Date;
  /** Given but undefined: it must not expire. */
  readonly expiresAfterSeconds?: number | undefined;
  /** Given: exactly these, in this order. */
  readonly notations?: SignatureTerms["notations"];
}

/**
 * What contradicts `expected` in the signature packet `bytes`, one lower-case phrase for each; empty where it says just
 * that. No proof that it was made over some artefact: a version 4 signature hashes the data and its own hashed part as
 * one, so that verifying takes the data, not their digest.
 */
export function contradictions(bytes: Uint8Array, expected: ExpectedClaims): readonly string[] {
  const signature = parseSignature(bytes);
  if (isPacketProblem(signature)) return [`it is no signature made here: ${signature.reason}`];
  const wrong: string[] = [];
  if (
    expected.issuerFingerprint !== undefined &&
    expected.issuerFingerprint !== signature.issuerFingerprint
  ) {
    wrong.push("it was made by another key");
  }
  if (
    expected.createdAt !== undefined &&
    wholeSeconds(expected.createdAt) !== wholeSeconds(signature.createdAt)
  ) {
    wrong.push("it was made at another time");
  }
  if ("expiresAfterSeconds" in expected && expected.expiresAfterSeconds !== signature.expiresAfterSeconds) {
    wrong.push("it expires at another time");
  }
  if (
    expected.notations !== undefined &&
    JSON.stringify(expected.notations) !== JSON.stringify(signature.notations)
  ) {
    wrong.push("its notations differ");
  }
  return wrong;
}

function wholeSeconds(time: Date): number {
  return Math.floor(time.getTime() / 1000);
}
