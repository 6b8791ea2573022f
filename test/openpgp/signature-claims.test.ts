import { expect, test } from "vitest";
import type { Fingerprint } from "../../src/keys/signing-key.ts";
import { encodeSignature, type SignatureClaims } from "../../src/openpgp/signature.ts";
import { contradictions } from "../../src/openpgp/signature-claims.ts";

const CLAIMS: SignatureClaims = {
  algorithm: "rsa",
  createdAt: new Date("2026-11-23T19:26:00Z"),
  issuerFingerprint: "0123456789ABCDEF0123456789ABCDEF01234567" as Fingerprint,
  expiresAfterSeconds: 3600,
  notations: [
    ["index@example.org", "12"],
    ["type@example.org", "db"],
  ],
};
const BYTES = encodeSignature(CLAIMS, Uint8Array.of(1, 2), [Uint8Array.of(1, 2, 3)]);

test("a signature does not contradict what it says, nor any part of it", () => {
  expect(contradictions(BYTES, CLAIMS)).toEqual([]);
  expect(contradictions(BYTES, {})).toEqual([]);
  expect(contradictions(BYTES, { createdAt: new Date("2026-11-23T19:26:00.999Z") })).toEqual([]);
});

test("each claim that differs is named", () => {
  const { notations } = CLAIMS;
  expect(contradictions(BYTES, { issuerFingerprint: "F".repeat(40) })).toEqual([
    "it was made by another key",
  ]);
  expect(contradictions(BYTES, { createdAt: new Date("2026-11-23T19:26:01Z") })).toEqual([
    "it was made at another time",
  ]);
  expect(contradictions(BYTES, { expiresAfterSeconds: undefined })).toEqual(["it expires at another time"]);
  expect(contradictions(BYTES, { expiresAfterSeconds: 3601 })).toEqual(["it expires at another time"]);
  for (const others of [
    notations.slice(1),
    notations.toReversed(),
    [],
    [...notations, ["a@example.org", ""] as const],
  ]) {
    expect(contradictions(BYTES, { notations: others })).toEqual(["its notations differ"]);
  }
  expect(contradictions(BYTES, { issuerFingerprint: "F".repeat(40), notations: [] })).toHaveLength(2);
});

test("what is no signature of this program contradicts everything", () => {
  expect(contradictions(BYTES.subarray(1), {})).toHaveLength(1);
});
