import { generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  encodeCheckpoint,
  openCheckpoint,
  parseCheckpoint,
  signCheckpoint,
} from "../../src/log/checkpoint.ts";
import { signNote, verifierKey } from "../../src/log/signed-note.ts";

const ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
const TEXT = `example.com/behind-the-sofa\n20852163\n${ROOT}\n`;

function freshSigner(name = "signer.example.org/repo") {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return { verifier: verifierKey(name, publicKey), privateKey };
}

test("the specification's example reads as origin, size and root", () => {
  const checkpoint = parseCheckpoint(TEXT);
  expect(checkpoint).toEqual({
    origin: "example.com/behind-the-sofa",
    size: 20852163,
    root: Buffer.from(ROOT, "base64"),
  });
  expect(checkpoint && encodeCheckpoint(checkpoint)).toBe(TEXT);
});

test("extension lines are passed over", () => {
  expect(parseCheckpoint(`${TEXT}extension\nanother\n`)?.size).toBe(20852163);
});

describe("a checkpoint's text is refused", () => {
  test.each([
    ["of two lines", "origin\n1\n"],
    ["without its last newline", TEXT.slice(0, -1)],
    ["with an extension line that does not end", `${TEXT}extension`],
    ["with an empty origin", `\n1\n${ROOT}\n`],
    ["with an empty extension line", `${TEXT}\n`],
    ["with a leading zero", `o\n01\n${ROOT}\n`],
    ["with a sign", `o\n+1\n${ROOT}\n`],
    ["with a negative size", `o\n-1\n${ROOT}\n`],
    ["with a size in hex", `o\n0x1\n${ROOT}\n`],
    ["with an exponent", `o\n1e3\n${ROOT}\n`],
    ["with a space before the size", `o\n 1\n${ROOT}\n`],
    ["with a size of 2^53", `o\n9007199254740992\n${ROOT}\n`],
    ["with a size of a hundred digits", `o\n${"9".repeat(100)}\n${ROOT}\n`],
    ["with a root too short", `o\n1\n${ROOT.slice(0, 40)}\n`],
    ["with a root too long", `o\n1\n${ROOT.slice(0, 43)}AAAAA==\n`],
    ["with base64 that is not canonical", `o\n1\n${ROOT.replace("2I=", "2J=")}\n`],
    ["with base64 for URLs", `o\n1\n${ROOT.replaceAll("/", "_")}\n`],
  ])("%s", (_why, text) => {
    expect(parseCheckpoint(text)).toBeUndefined();
  });

  test("with a size of 2^53-1 it is not", () => {
    expect(parseCheckpoint(`o\n9007199254740991\n${ROOT}\n`)?.size).toBe(Number.MAX_SAFE_INTEGER);
    expect(parseCheckpoint(`o\n0\n${ROOT}\n`)?.size).toBe(0);
  });
});

test("what was signed opens with the log's key and no other", () => {
  const signer = freshSigner();
  const head = { size: 7, root: Buffer.from(ROOT, "base64") };
  const note = signCheckpoint(head, signer);
  expect(openCheckpoint(note, signer.verifier)).toEqual({ origin: "signer.example.org/repo", ...head });
  expect(openCheckpoint(note, freshSigner().verifier)).toBeUndefined();
});

test("a note by the log's key about another origin is not a checkpoint of this log", () => {
  const signer = freshSigner();
  expect(openCheckpoint(signNote(TEXT, signer), signer.verifier)).toBeUndefined();
});

test("a note by the log's key that is no checkpoint does not open", () => {
  const signer = freshSigner();
  expect(openCheckpoint(signNote("signer.example.org/repo\n", signer), signer.verifier)).toBeUndefined();
});

test("any head comes back from its note, and with any one bit changed it does not", () => {
  const signer = freshSigner();
  const heads = fc.record({
    size: fc.maxSafeNat(),
    root: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes)),
  });
  fc.assert(
    fc.property(heads, fc.nat(), fc.integer({ min: 0, max: 7 }), (head, at, bit) => {
      const note = signCheckpoint(head, signer);
      expect(openCheckpoint(note, signer.verifier)).toEqual({ origin: signer.verifier.name, ...head });
      const bytes = Buffer.from(note);
      bytes[at % bytes.length] = (bytes[at % bytes.length] ?? 0) ^ (1 << bit);
      expect(openCheckpoint(bytes.toString(), signer.verifier)).toBeUndefined();
    }),
    { numRuns: 300 },
  );
});
