import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { signCheckpoint } from "../../../src/log/checkpoint.ts";
import {
  encodeTlogProof,
  isTlogProof,
  MAX_PROOF_BYTES,
  parseTlogProof,
  type TlogProof,
} from "../../../src/log/proof/tlog-proof.ts";
import { isRefusal } from "../../../src/outcome.ts";
import { newLogSigner } from "./fixture.ts";

const CHECKPOINT = signCheckpoint({ size: 9, root: Buffer.alloc(32, 1) }, newLogSigner());
const HASHES = [1, 2, 3].map((octet) => Buffer.alloc(32, octet));
const LINES = HASHES.map((hash) => hash.toString("base64"));
const HEADER = "c2sp.org/tlog-proof@v1";
const GOOD = `${HEADER}\nextra eA==\nindex 5\n${LINES.join("\n")}\n\n${CHECKPOINT}`;

/** What was wrong, or `read`. */
function reading(text: string): string {
  const parsed = parseTlogProof(text);
  if (!isRefusal(parsed)) return "read";
  expect(parsed.code).toBe("bad-proof");
  expect(parsed.reason).toMatch(/^the file is no tlog-proof: [\x20-\x7e]+ expected$/);
  return parsed.reason.slice("the file is no tlog-proof: ".length, -" expected".length);
}

test("a proof is what the specification shows", () => {
  const proof: TlogProof = {
    extra: Buffer.from("x"),
    index: 5,
    path: HASHES,
    checkpoint: CHECKPOINT,
  };
  expect(encodeTlogProof(proof)).toBe(GOOD);
  expect(parseTlogProof(GOOD)).toEqual(proof);
  expect(isTlogProof(GOOD)).toBe(true);
  expect(isTlogProof(CHECKPOINT)).toBe(false);
});

test("extra data and path may be missing", () => {
  const text = `${HEADER}\nindex 0\n\n${CHECKPOINT}`;
  expect(parseTlogProof(text)).toEqual({ extra: undefined, index: 0, path: [], checkpoint: CHECKPOINT });
});

test("any proof comes back from its text", () => {
  const bytes = (minLength: number, maxLength: number) =>
    fc.uint8Array({ minLength, maxLength }).map((octets) => Buffer.from(octets));
  fc.assert(
    fc.property(
      fc.option(bytes(0, 100), { nil: undefined }),
      fc.maxSafeNat(),
      fc.array(bytes(32, 32), { maxLength: 63 }),
      (extra, index, path) => {
        const proof = { extra, index, path, checkpoint: CHECKPOINT };
        const text = encodeTlogProof(proof);
        expect(parseTlogProof(text)).toEqual(proof);
      },
    ),
    { numRuns: 100 },
  );
});

test("whatever is read is written the same: one proof has one text", () => {
  const piece = fc.constantFrom(
    "\n",
    " ",
    "extra ",
    "index ",
    "0",
    "5",
    "=",
    "eA==",
    "\r",
    "\0",
    LINES[0] ?? "",
  );
  fc.assert(
    fc.property(fc.nat(GOOD.length), fc.nat(3), piece, (at, cut, inserted) => {
      const bent = GOOD.slice(0, at) + inserted + GOOD.slice(at + cut);
      const parsed = parseTlogProof(bent);
      if (!isRefusal(parsed)) expect(encodeTlogProof(parsed)).toBe(bent);
    }),
    { numRuns: 1000 },
  );
});

test("a proof that ends early is refused, wherever", () => {
  for (let length = 0; length < GOOD.length; length++)
    expect(reading(GOOD.slice(0, length))).not.toBe("read");
});

describe("a file is refused", () => {
  const [first = "", second = ""] = LINES;
  const hashes = (count: number) => GOOD.replace(LINES.join("\n"), Array(count).fill(first).join("\n"));
  const bare = `${HEADER}\nindex 5\n${first}`;
  test.each([
    ["that is empty", "", `the first line ${HEADER}`],
    ["of another version", GOOD.replace("@v1", "@v2"), `the first line ${HEADER}`],
    ["with a byte order mark", `\ufeff${GOOD}`, `the first line ${HEADER}`],
    ["with an empty line before it", `\n${GOOD}`, `the first line ${HEADER}`],
    ["with carriage returns", GOOD.replaceAll("\n", "\r\n"), `the first line ${HEADER}`],
    ["without an empty line", `${HEADER}\nindex 5\n`, "an empty line before the checkpoint"],
    ["with nothing between", `${HEADER}\n\n${CHECKPOINT}`, "a line with the index of the entry"],
    ["with base64 that is none", GOOD.replace("extra eA==", "extra e!=="), "base64 after extra"],
    ["with base64 in another spelling", GOOD.replace("extra eA==", "extra eB=="), "base64 after extra"],
    ["with base64 and a space behind it", GOOD.replace("eA==", "eA== "), "base64 after extra"],
    ["with base64url", GOOD.replace("extra eA==", "extra _-8="), "base64 after extra"],
    [
      "with two extras",
      GOOD.replace("extra eA==", "extra eA==\nextra eA=="),
      "a line with the index of the entry",
    ],
    ["with Extra in capitals", GOOD.replace("extra", "Extra"), "a line with the index of the entry"],
    [
      "with the extra after the index",
      `${bare}\nextra eA==\n\n${CHECKPOINT}`,
      "a hash in base64 on each line after the index",
    ],
    ["without an index", GOOD.replace("index 5\n", ""), "a line with the index of the entry"],
    [
      "with two indexes",
      GOOD.replace("index 5", "index 5\nindex 5"),
      "a hash in base64 on each line after the index",
    ],
    ["with an index below zero", GOOD.replace("index 5", "index -5"), "a line with the index of the entry"],
    ["with a leading zero", GOOD.replace("index 5", "index 05"), "a line with the index of the entry"],
    ["with a plus sign", GOOD.replace("index 5", "index +5"), "a line with the index of the entry"],
    ["with an exponent", GOOD.replace("index 5", "index 5e0"), "a line with the index of the entry"],
    ["with two spaces", GOOD.replace("index 5", "index  5"), "a line with the index of the entry"],
    [
      "with digits of another script",
      GOOD.replace("index 5", "index \u0665"),
      "a line with the index of the entry",
    ],
    [
      "with the index 2^53",
      GOOD.replace("index 5", "index 9007199254740992"),
      "a line with the index of the entry",
    ],
    [
      "with the index 2^64",
      GOOD.replace("index 5", "index 18446744073709551616"),
      "a line with the index of the entry",
    ],
    [
      "with a short hash",
      GOOD.replace(second, second.slice(4)),
      "a hash in base64 on each line after the index",
    ],
    [
      "with a long hash",
      GOOD.replace(second, `AAAA${second}`),
      "a hash in base64 on each line after the index",
    ],
    [
      "with a hash in hex",
      GOOD.replace(second, "02".repeat(32)),
      "a hash in base64 on each line after the index",
    ],
    [
      "with two hashes on a line",
      GOOD.replace(`${first}\n`, first),
      "a hash in base64 on each line after the index",
    ],
    ["with sixty-four hashes", hashes(64), "a path of at most 63 hashes"],
    ["with ten thousand hashes", hashes(7_000), "a path of at most 63 hashes"],
    ["with two empty lines", GOOD.replace("\n\n", "\n\n\n"), "a signed checkpoint after the empty line"],
    ["with text behind the checkpoint", `${GOOD}more\n`, "a signed checkpoint after the empty line"],
    ["with a NUL behind the checkpoint", `${GOOD}\0`, "a signed checkpoint after the empty line"],
    ["without the last newline", GOOD.slice(0, -1), "a signed checkpoint after the empty line"],
    ["without signatures", GOOD.slice(0, GOOD.indexOf("\u2014")), "a signed checkpoint after the empty line"],
    ["without a checkpoint", GOOD.slice(0, -CHECKPOINT.length), "a signed checkpoint after the empty line"],
    [
      "with a note that is no checkpoint",
      GOOD.replace("\n9\n", "\nnine\n"),
      "a signed checkpoint after the empty line",
    ],
    ["longer than any", `${GOOD}${" ".repeat(MAX_PROOF_BYTES)}`, `at most ${MAX_PROOF_BYTES} bytes`],
  ])("%s", (_why, text, what) => {
    expect(reading(text)).toBe(what);
  });

  test("but sixty-three hashes are read", () => {
    expect(reading(hashes(63))).toBe("read");
  });
});
