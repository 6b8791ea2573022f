import { describe, expect, test } from "vitest";
import {
  type Candidate,
  chooseCandidate,
  type KeyDescription,
  problemOf,
} from "../../src/keys/key-description.ts";
import type { Fingerprint } from "../../src/keys/signing-key.ts";

const GOOD: Candidate = {
  fingerprint: "A".repeat(40) as Fingerprint,
  algorithm: "ed25519",
  createdAt: 1000,
  validFrom: 2000,
  validUntil: 3000,
  revoked: false,
  forSigning: true,
  encrypted: false,
};

function at(seconds: number): Date {
  return new Date(seconds * 1000);
}

function description(...candidates: [Candidate, ...Candidate[]]): KeyDescription {
  const { fingerprint } = GOOD;
  return {
    kind: "key-description",
    primaryFingerprint: fingerprint,
    userId: "",
    armoredPublicKey: "",
    candidates,
  };
}

describe("a key may sign", () => {
  test("from the second it is valid to the last before it expires", () => {
    const problems = [1999, 2000, 2999, 3000].map((seconds) => problemOf(GOOD, at(seconds))?.problem);
    expect(problems).toEqual(["not-yet-valid", undefined, undefined, "expired"]);
    expect(problemOf(GOOD, new Date(2999_999))).toBeUndefined();
    expect(problemOf(GOOD, new Date(1999_999))?.problem).toBe("not-yet-valid");
  });

  test("for ever where it does not expire", () => {
    expect(problemOf({ ...GOOD, validUntil: undefined }, at(2 ** 40))).toBeUndefined();
  });

  test("at no time where it is revoked or not made for it", () => {
    expect(problemOf({ ...GOOD, revoked: true }, at(2500))?.problem).toBe("revoked");
    expect(problemOf({ ...GOOD, forSigning: false }, at(2500))?.problem).toBe("not-for-signing");
  });

  test("at no time that is none", () => {
    expect(problemOf(GOOD, new Date(Number.NaN))?.problem).toBe("not-yet-valid");
  });
});

test("the reason says when", () => {
  expect(problemOf(GOOD, at(0))?.reason).toBe("the key is valid from 1970-01-01T00:33:20Z");
  expect(problemOf(GOOD, at(4000))?.reason).toBe("the key expired at 1970-01-01T00:50:00Z");
});

test("the first candidate that may sign is chosen, and the first of all where none may", () => {
  const future = { ...GOOD, validFrom: 2800 };
  const revoked = { ...GOOD, revoked: true };
  const all = description(future, revoked, GOOD);
  expect(chooseCandidate(all, at(2500))).toBe(GOOD);
  expect(chooseCandidate(all, at(2900))).toBe(future);
  expect(chooseCandidate(all, at(5000))).toBe(future);
});
