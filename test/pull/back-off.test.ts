import { expect, test } from "vitest";
import { BackOff, jittered } from "../../src/pull/back-off.ts";

test("waits grow twofold up to the longest, and begin anew once something went well", () => {
  const backOff = new BackOff(10_000, { random: () => 0.5 });
  expect([1, 2, 3, 4, 5, 6].map(() => backOff.next())).toEqual([1000, 2000, 4000, 8000, 10_000, 10_000]);
  for (let count = 0; count < 2000; count += 1) backOff.next();
  expect(backOff.next()).toBe(10_000);
  backOff.reset();
  expect(backOff.next()).toBe(1000);
});

test("each wait varies by a fifth to either side", () => {
  expect(jittered(1000, 0)).toBe(800);
  expect(jittered(1000, 0.5)).toBe(1000);
  expect(jittered(1000, 0.999_999)).toBeCloseTo(1200, 2);
  expect(new BackOff(10_000, { firstMs: 100, random: () => 0 }).next()).toBe(80);
  expect(new BackOff(50, { random: () => 0.5 }).next()).toBe(50);
});
