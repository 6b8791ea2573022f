import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { dearmor } from "../../src/openpgp/armor.ts";

const PACKETS = Buffer.from("c20355aa00c20355aa01c20355aa02", "hex");
const BASE64 = PACKETS.toString("base64");
const BEGIN = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END = "-----END PGP PUBLIC KEY BLOCK-----";

function decode(...lines: readonly string[]) {
  return dearmor(Buffer.from(lines.join("\n")), "PUBLIC KEY BLOCK");
}

describe("the same packets come out of", () => {
  test.each<[string, string[]]>([
    ["armor with a checksum", [BEGIN, "", BASE64, "=njUN", END, ""]],
    ["armor without one", [BEGIN, "", BASE64, END]],
    ["armor whose checksum is wrong, which nobody may judge by", [BEGIN, "", BASE64, "=Az09", END]],
    ["armor with headers", [BEGIN, "Comment: made by hand", "Version: 1", "", BASE64, END]],
    ["armor in short lines", [BEGIN, "", BASE64.slice(0, 5), BASE64.slice(5), "=njUN", END]],
    [
      "armor with carriage returns and blanks at the ends",
      [`${BEGIN}  \r`, "\r", `${BASE64} \r`, `${END}\r`, ""],
    ],
    ["armor with white space around it", ["", "", BEGIN, "", BASE64, END, "", "  "]],
  ])("%s", (_name, lines) => {
    expect(decode(...lines)).toEqual({ kind: "dearmored", bytes: PACKETS });
  });

  test("no armor at all", () => {
    expect(dearmor(PACKETS, "PUBLIC KEY BLOCK")).toEqual({ kind: "dearmored", bytes: PACKETS });
  });
});

test("the bytes are a copy, so that a secret can be wiped in both places", () => {
  const input = Buffer.from(PACKETS);
  const result = dearmor(input, "PRIVATE KEY BLOCK");
  input.fill(0);
  expect(result).toMatchObject({ bytes: PACKETS });
});

describe("refused as bad armor:", () => {
  test.each<[string, string[]]>([
    ["nothing", []],
    ["text", ["a letter"]],
    ["text before it", ["a letter", BEGIN, "", BASE64, END]],
    ["text behind it", [BEGIN, "", BASE64, END, "a letter"]],
    [
      "another kind of block",
      [BEGIN.replace("PUBLIC", "PRIVATE"), "", BASE64, END.replace("PUBLIC", "PRIVATE")],
    ],
    ["a begin line of another kind", [BEGIN.replace("PUBLIC", "PRIVATE"), "", BASE64, END]],
    ["an end line of another kind", [BEGIN, "", BASE64, END.replace("PUBLIC", "PRIVATE")]],
    ["no end line", [BEGIN, "", BASE64]],
    ["no empty line", [BEGIN, BASE64, END]],
    ["headers that are none", [BEGIN, "not a header", "", BASE64, END]],
    ["two blocks", [BEGIN, "", BASE64, END, BEGIN, "", BASE64, END]],
    ["what is not base64", [BEGIN, "", `${BASE64.slice(0, -1)}!`, END]],
    ["base64 cut short", [BEGIN, "", BASE64.slice(0, -1), END]],
    ["base64 filled up with nothing in it", [BEGIN, "", `${BASE64}A===`, END]],
    ["base64 filled up in the middle", [BEGIN, "", "wg==", BASE64, END]],
    ["no content", [BEGIN, "", "=njUN", END]],
  ])("%s", (_name, lines) => {
    expect(decode(...lines)).toMatchObject({ problem: "bad-armor" });
  });
});

test("any bytes in armor come out again, and armor cut anywhere is refused", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), (bytes) => {
      const lines =
        Buffer.from(bytes)
          .toString("base64")
          .match(/.{1,64}/g) ?? [];
      const armor = [BEGIN, "", ...lines, END].join("\n");
      expect(dearmor(Buffer.from(armor), "PUBLIC KEY BLOCK")).toEqual({
        kind: "dearmored",
        bytes: Buffer.from(bytes),
      });
      const cut = armor.slice(0, (bytes[0] ?? 0) % armor.length);
      expect(dearmor(Buffer.from(cut), "PUBLIC KEY BLOCK")).toMatchObject({ problem: "bad-armor" });
    }),
  );
});
