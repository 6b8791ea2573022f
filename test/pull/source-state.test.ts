import { expect, test } from "vitest";
import { encodeSourceState, NEW_SOURCE, parseSourceState, withRefused } from "../../src/pull/source-state.ts";

const SHA256 = "ab".repeat(32);

test("what is remembered is read as it was written", () => {
  for (const state of [
    NEW_SOURCE,
    { newest: { seq: 1, sha256: SHA256, settled: false }, refused: [SHA256] },
    { newest: { seq: Number.MAX_SAFE_INTEGER, sha256: SHA256, settled: true }, refused: [] },
  ])
    expect(parseSourceState(encodeSourceState(state))).toEqual(state);
});

test("of refused documents the newest are remembered", () => {
  let state = NEW_SOURCE;
  const digests = Array.from({ length: 70 }, (_, index) => index.toString(16).padStart(64, "0"));
  for (const digest of digests) state = withRefused(state, digest);
  expect(state.refused).toEqual(digests.slice(-64));
  expect(parseSourceState(encodeSourceState(state))).toEqual(state);
});

const newest = `"newest":{"seq":1,"settled":true,"sha256":"${SHA256}"}`;
test.each([
  ["nothing", ""],
  ["another version", `{${newest},"refused":[],"version":2}\n`],
  ["no newline", `{${newest},"refused":[],"version":1}`],
  ["more behind it", `{${newest},"refused":[],"version":1}\n\n`],
  ["no list of refused ones", `{${newest},"version":1}\n`],
  ["an unknown member", `{"a":1,${newest},"refused":[],"version":1}\n`],
  [
    "a number below one",
    `{"newest":{"seq":0,"settled":true,"sha256":"${SHA256}"},"refused":[],"version":1}\n`,
  ],
  [
    "a number that is text",
    `{"newest":{"seq":"1","settled":true,"sha256":"${SHA256}"},"refused":[],"version":1}\n`,
  ],
  ["no digest", '{"newest":{"seq":1,"settled":true},"refused":[],"version":1}\n'],
  ["a digest of other letters", `{${newest.replaceAll("ab", "AB")},"refused":[],"version":1}\n`],
  ["settled or not, in words", `{${newest.replace("true", '"yes"')},"refused":[],"version":1}\n`],
  ["no notification, in words", '{"newest":null,"refused":[],"version":1}\n'],
  ["a refused one that is no digest", '{"refused":["x"],"version":1}\n'],
  ["too many refused ones", `{"refused":[${Array(65).fill(`"${SHA256}"`).join(",")}],"version":1}\n`],
])("it is not read from %s", (_, text) => {
  expect(parseSourceState(text)).toBeUndefined();
});
