import { expect, test } from "vitest";
import { boundedLines } from "../src/bounded-lines.ts";

test("within an hour so many lines are written; how many were left out is said in the next one", () => {
  const written: string[] = [];
  let now = 0;
  const say = boundedLines(
    (line) => written.push(line),
    () => now,
  );
  for (let count = 0; count < 12_000; count += 1) say(`line ${count}`);
  expect(written).toHaveLength(5001);
  expect(written.slice(-2)).toEqual([
    "line 4999",
    "5000 lines within an hour: until it is over further ones are left out",
  ]);
  now = 3_600_000;
  say("the next");
  expect(written.slice(5001)).toEqual(["7000 lines were left out", "the next"]);
  now += 3_600_000;
  say("later");
  expect(written.at(-1)).toBe("later");
  expect(written).toHaveLength(5004);
});
