import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeDuration, encodeSize, parseDuration, parseSize } from "../../src/policy/quantity.ts";

describe("sizes and durations", () => {
  it.each([
    ["1 B", 1],
    ["64 MiB", 67_108_864],
    ["8 GiB", 8_589_934_592],
    ["3 KiB", 3072],
  ])("reads the size %s", (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
    expect(encodeSize(bytes)).toBe(text);
  });

  it.each([
    ["30 s", 30_000, "30 seconds"],
    ["10 min", 600_000, "10 minutes"],
    ["1 hour", 3_600_000, "1 hour"],
    ["24 h", 86_400_000, "1 day"],
    ["14 days", 1_209_600_000, "2 weeks"],
    ["15 days", 1_296_000_000, "15 days"],
  ])("reads the duration %s", (text, ms, encoded) => {
    expect(parseDuration(text)).toBe(ms);
    expect(encodeDuration(ms)).toBe(encoded);
  });

  it.each([
    "",
    "64",
    "64MiB",
    "64 MB",
    "64 mib",
    "0 MiB",
    "-1 MiB",
    "1.5 MiB",
    "1000000 B",
    " 1 B",
    "1 B ",
    "1 valueOf",
    "1e3 B",
  ])("does not read %j as a size", (text) => {
    expect(parseSize(text)).toBeUndefined();
  });

  it.each(["1 month", "1 year", "24h", "0 s", "1 toString", "1 ms"])(
    "does not read %j as a duration",
    (text) => {
      expect(parseDuration(text)).toBeUndefined();
    },
  );

  it("loses nothing of a size or of a duration in whole seconds", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 999_999 }), (n) => {
        expect(parseSize(encodeSize(n))).toBe(n);
        expect(parseDuration(encodeDuration(n * 1000))).toBe(n * 1000);
      }),
    );
  });
});
