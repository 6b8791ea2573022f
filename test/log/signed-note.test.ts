import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  encodeVerifierKey,
  isKeyName,
  isSignedBy,
  type NoteSigner,
  parseSignedNote,
  parseVerifierKey,
  signNote,
  verifierKey,
} from "../../src/log/signed-note.ts";

// The example of the reference implementation's documentation (golang.org/x/mod/sumdb/note).
const TEXT =
  "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const SIGNATURE =
  "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";
const NOTE = `${TEXT}\n— PeterNeumann ${SIGNATURE}\n`;
const SEED = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";

function publishedSigner(): NoteSigner {
  const seed = Buffer.from(SEED, "base64").subarray(1);
  const pkcs8 = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]);
  const privateKey = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
  return { verifier: verifierKey("PeterNeumann", createPublicKey(privateKey)), privateKey };
}

function freshSigner(name = "log.example.org"): NoteSigner {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return { verifier: verifierKey(name, publicKey), privateKey };
}

function verifies(note: string, vkey = VKEY): boolean {
  const parsed = parseSignedNote(note);
  const key = parseVerifierKey(vkey);
  if (key === undefined) throw new Error("the key does not parse");
  return parsed !== undefined && isSignedBy(parsed, key);
}

test("the published note verifies with the published key", () => {
  expect(verifies(NOTE)).toBe(true);
  expect(parseSignedNote(NOTE)?.text).toBe(TEXT);
});

test("signing the published text with the published seed gives the published note", () => {
  expect(signNote(TEXT, publishedSigner())).toBe(NOTE);
  expect(encodeVerifierKey(publishedSigner().verifier)).toBe(VKEY);
});

test("the key of the Go checksum database parses and encodes to itself", () => {
  const vkey = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
  const key = parseVerifierKey(vkey);
  expect(key === undefined ? undefined : encodeVerifierKey(key)).toBe(vkey);
});

test("a changed letter of the text is found", () => {
  expect(verifies(NOTE.replace("cryptography", "cryptographY"))).toBe(false);
});

test("every character of a signature line matters", () => {
  const start = NOTE.indexOf("—");
  for (let at = start; at < NOTE.length; at++) {
    const flipped = String.fromCharCode(NOTE.charCodeAt(at) ^ 1);
    expect(verifies(NOTE.slice(0, at) + flipped + NOTE.slice(at + 1)), `character ${at}`).toBe(false);
  }
});

test("a note cut anywhere is refused", () => {
  for (let length = 0; length < NOTE.length; length++) expect(verifies(NOTE.slice(0, length))).toBe(false);
});

test("the text ends at the last blank line, so blank lines within it are signed too", () => {
  const signer = freshSigner();
  const note = signNote("first\n\n\nsecond\n", signer);
  expect(parseSignedNote(note)?.text).toBe("first\n\n\nsecond\n");
  expect(verifies(note, encodeVerifierKey(signer.verifier))).toBe(true);
});

describe("other signatures", () => {
  const other = freshSigner("witness.example.net");
  const line = (note: string) => note.slice(note.lastIndexOf("—"));

  test("of keys that are not known are ignored, before and after", () => {
    const foreign = line(signNote(TEXT, other));
    expect(verifies(NOTE + foreign)).toBe(true);
    expect(verifies(`${TEXT}\n${foreign}${line(NOTE)}`)).toBe(true);
  });

  test("alone do not make a note signed", () => {
    expect(verifies(signNote(TEXT, other))).toBe(false);
  });

  test("by another key of the same name are another key's", () => {
    expect(verifies(signNote(TEXT, freshSigner("PeterNeumann")))).toBe(false);
    expect(verifies(NOTE + line(signNote(TEXT, freshSigner("PeterNeumann"))))).toBe(true);
  });

  test("that are wrong and claim the known name and ID spoil the note", () => {
    const wrong = `— PeterNeumann ${Buffer.concat([Buffer.from("c74f20a3", "hex"), Buffer.alloc(64, 7)]).toString("base64")}\n`;
    expect(verifies(NOTE + wrong)).toBe(false);
    expect(verifies(`${TEXT}\n${wrong}${line(NOTE)}`)).toBe(false);
  });

  test("are read up to sixty-four, not more", () => {
    const foreign = line(signNote(TEXT, other));
    expect(verifies(NOTE + foreign.repeat(63))).toBe(true);
    expect(verifies(NOTE + foreign.repeat(64))).toBe(false);
  });
});

describe("a note is refused", () => {
  const body = `— PeterNeumann ${SIGNATURE}`;
  test.each([
    ["without signature lines", `${TEXT}\n`],
    ["without text", `\n${body}\n`],
    ["without the blank line", `${TEXT}${body}\n`],
    ["without the last newline", `${TEXT}\n${body}`],
    ["with a carriage return", NOTE.replaceAll("\n", "\r\n")],
    ["with a tab", NOTE.replace(" cryptography", "\tcryptography")],
    ["with a NUL", NOTE.replace(" cryptography", "\u0000cryptography")],
    ["with a lone surrogate", NOTE.replace("cryptography", "crypto\ud800graphy")],
    ["with a hyphen for the dash", `${TEXT}\n- PeterNeumann ${SIGNATURE}\n`],
    ["with two spaces before the signature", `${TEXT}\n— PeterNeumann  ${SIGNATURE}\n`],
    ["with a space after the signature", `${TEXT}\n${body} \n`],
    ["with a nameless signature", `${TEXT}\n— ${SIGNATURE}\n`],
    ["with a plus in the name", `${TEXT}\n— Peter+Neumann ${SIGNATURE}\n`],
    ["with base64 that is not canonical", `${TEXT}\n— PeterNeumann ${SIGNATURE.replace("AM=", "AN=")}\n`],
    ["with base64 without its padding", `${TEXT}\n— PeterNeumann ${SIGNATURE.replace("=", "")}\n`],
    ["with a key ID and nothing behind it", `${TEXT}\n— PeterNeumann x08gow==\n`],
    ["with a line between the signatures", `${NOTE}nothing\n${body}\n`],
    ["longer than a note may be", `${"x".repeat(300_000)}\n${NOTE}`],
  ])("%s", (_why, note) => {
    expect(parseSignedNote(note)).toBeUndefined();
  });
});

test("a note as long as a note may be is read", () => {
  expect(verifies(signNote(`${"x".repeat(256 * 1024 - 200)}\n`, publishedSigner()))).toBe(true);
});

test("a signature of another length than Ed25519's does not verify, and does not throw", () => {
  const short = Buffer.from(SIGNATURE, "base64").subarray(0, 40).toString("base64");
  expect(verifies(`${TEXT}\n— PeterNeumann ${short}\n`)).toBe(false);
});

describe("a verifier key is refused", () => {
  const [name, id, base64] = ["PeterNeumann", "c74f20a3", "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"];
  test.each([
    ["with the ID of another name", `Peterneumann+${id}+${base64}`],
    ["with another ID", `${name}+c74f20a4+${base64}`],
    ["with an ID in capitals", `${name}+C74F20A3+${base64}`],
    ["of another algorithm", `${name}+${id}+BBpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW`],
    ["with a key too short", `${name}+${id}+${base64.slice(0, -4)}`],
    ["with a key too long", `${name}+${id}+${base64}AAAA`],
    ["without a name", `+${id}+${base64}`],
    ["with a space in the name", `Peter Neumann+${id}+${base64}`],
    ["with a newline at its end", `${VKEY}\n`],
    ["empty", ""],
  ])("%s", (_why, text) => {
    expect(parseVerifierKey(text)).toBeUndefined();
  });
});

test("a key's name holds no space of any script, no control character, no plus, and is not too long", () => {
  for (const bad of [
    "",
    " ",
    "a b",
    "a\u00a0b",
    "a\u2003b",
    "a\u3000b",
    "a\u0085b",
    "a+b",
    "a\nb",
    "a\u007fb",
    "a\ud800",
    "x".repeat(256),
  ]) {
    expect(isKeyName(bad), JSON.stringify(bad)).toBe(false);
    expect(() => freshSigner(bad)).toThrow(TypeError);
  }
  expect(isKeyName("signer.example.org/repo")).toBe(true);
  expect(isKeyName("x".repeat(255))).toBe(true);
});

test("only text of whole lines without control characters is signed", () => {
  const signer = freshSigner();
  for (const bad of ["", "no newline", "tab\there\n", "cr\r\n", "nul\0\n"])
    expect(() => signNote(bad, signer)).toThrow(TypeError);
});

test("only Ed25519 keys verify notes", () => {
  const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  expect(() => verifierKey("name", publicKey)).toThrow(TypeError);
});

test("any text of lines comes back from its note, verified", () => {
  const signer = freshSigner();
  const vkey = encodeVerifierKey(signer.verifier);
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "grapheme" }), { minLength: 1, maxLength: 6 }), (lines) => {
      const text = `${lines.map((line) => line.replace(/[\u0000-\u001f]/g, "")).join("\n")}\n`;
      const note = signNote(text, signer);
      expect(parseSignedNote(note)?.text).toBe(text);
      expect(verifies(note, vkey)).toBe(true);
    }),
    { numRuns: 100 },
  );
});
