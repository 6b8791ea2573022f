import { describe, expect, test } from "vitest";
import { parseMoment } from "../../../src/cli/log/moment.ts";

const NOW = new Date("2026-11-23T19:26:05.123Z");
const parsed = (text: string) => parseMoment(text, NOW)?.toISOString();

describe("a moment", () => {
  test.each([
    ["2026-11-23T12:00:00Z", "2026-11-23T12:00:00.000Z"],
    ["2026-11-23T12:00:00.5Z", "2026-11-23T12:00:00.500Z"],
    ["2026-11-23T12:00:00+02:00", "2026-11-23T10:00:00.000Z"],
    ["2026-11-23", "2026-11-23T00:00:00.000Z"],
    ["2024-02-29", "2024-02-29T00:00:00.000Z"],
    ["now", "2026-11-23T19:26:05.123Z"],
    ["today", "2026-11-23T00:00:00.000Z"],
    ["yesterday", "2026-11-22T00:00:00.000Z"],
    ["30m", "2026-11-23T18:56:05.123Z"],
    ["36h", "2026-11-22T07:26:05.123Z"],
    ["2d", "2026-11-21T19:26:05.123Z"],
    ["1w", "2026-11-16T19:26:05.123Z"],
  ])("%s", (text, expected) => {
    expect(parsed(text)).toBe(expected);
  });

  test("is nothing else", () => {
    for (const text of [
      "",
      "tomorrow",
      "2d ",
      "-2d",
      "2 d",
      "2y",
      "1234567d",
      "2026",
      "2026-13-01",
      "2026-02-30",
      "2026-11-23T12:00",
      "2026-11-23T12:00:00",
      "2026-11-23 12:00:00Z",
      "2026-11-23T25:00:00Z",
      "2026-02-30T12:00:00Z",
      "2026-11-23T12:00:00+0200",
      "1e3",
      "Nov 23 2026",
    ]) {
      expect(parsed(text), text).toBeUndefined();
    }
  });
});
