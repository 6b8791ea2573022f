import { expect, test } from "vitest";
import { progressLine, showProgress } from "../../../src/cli/log/progress.ts";

test("says how far it is, how fast, and how long it takes", () => {
  expect(progressLine(120_000, 1_000_000, 8000)).toBe("120000 of 1000000 entries, 15000 a second, 59 s left");
  expect(progressLine(10_000, 10_000_000, 1000)).toBe(
    "10000 of 10000000 entries, 10000 a second, 17 min left",
  );
  expect(progressLine(10_000, 100_000_000, 1000)).toMatch(/10000 a second, 2 h 47 min left$/);
  expect(progressLine(0, 5, 0)).toBe("0 of 5 entries");
});

test("says what is still to do when all entries were read", () => {
  expect(progressLine(5, 5, 1000, "checking the database file")).toBe(
    "5 of 5 entries; checking the database file",
  );
});

test("writes over one line, which is empty at the end", () => {
  let now = 0;
  const written: string[] = [];
  const onProgress = showProgress(
    (text) => written.push(text),
    () => now,
  );
  now = 1000;
  onProgress(10, 20);
  now = 2000;
  onProgress(20, 20, "the rest");
  onProgress(20, 20);
  expect(written).toEqual([
    "\r10 of 20 entries, 10 a second, 1 s left\u001b[K",
    "\r20 of 20 entries; the rest\u001b[K",
    "\r\u001b[K",
  ]);
});

test("has a new pace for a second pass", () => {
  let now = 0;
  const written: string[] = [];
  const onProgress = showProgress(
    (text) => written.push(text),
    () => now,
  );
  now = 100_000;
  onProgress(20, 20);
  onProgress(0, 20);
  now = 101_000;
  onProgress(10, 20);
  expect(written.at(-1)).toContain("10 a second");
});
