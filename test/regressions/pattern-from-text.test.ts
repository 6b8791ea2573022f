import { expect, test } from "vitest";
import { matchesName, parseNamePattern } from "../../src/policy/name-pattern.ts";

// A regular expression built from a configured or a stranger's name: characters that mean something, or endless time.

function matches(pattern: string, name: string): boolean {
  const parsed = parseNamePattern(pattern);
  if (parsed === undefined) throw new Error(pattern);
  return matchesName(parsed, name);
}

test("a dot in a pattern is a dot, and a plus a plus", () => {
  expect(matches("core.db", "core.db")).toBe(true);
  expect(matches("core.db", "coreXdb")).toBe(false);
  expect(matches("gtk+.db", "gtk+.db")).toBe(true);
  expect(matches("gtk+.db", "gtkk.db")).toBe(false);
});

test("a pattern of many stars says no to a long name that almost fits, without trying every split", () => {
  const pattern = `${"*a".repeat(100)}*b`;
  let calls = 0;
  const name = Object.assign(new String("a".repeat(255)), {
    indexOf: (...args: [string, number?]) => {
      calls++;
      return String.prototype.indexOf.apply(name, args);
    },
  });
  expect(matches(pattern, name as unknown as string)).toBe(false);
  expect(matches(`${"*a".repeat(100)}*`, name as unknown as string)).toBe(true);
  expect(calls).toBeLessThanOrEqual(2 * 101);
});
