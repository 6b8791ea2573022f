import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { matchesName, parseNamePattern } from "../../src/policy/name-pattern.ts";

function matches(pattern: string, name: string): boolean {
  const parsed = parseNamePattern(pattern);
  if (parsed === undefined) throw new Error(`not a pattern: ${pattern}`);
  return matchesName(parsed, name);
}

describe("matchesName", () => {
  it.each([
    ["core.db.tar.gz", "core.db.tar.gz"],
    ["*", ""],
    ["*", "anything"],
    ["*-testing.db.tar.gz", "core-testing.db.tar.gz"],
    ["*-testing.db.tar.gz", "-testing.db.tar.gz"],
    ["core*", "core"],
    ["a*b*c", "abc"],
    ["a*b*c", "aXbXbXc"],
    ["a**c", "ac"],
    ["*a*a*", "aa"],
  ])("%s fits %j", (pattern, name) => {
    expect(matches(pattern, name)).toBe(true);
  });

  it.each([
    ["core.db.tar.gz", "core.db.tar.gz.sig"],
    ["core.db.tar.gz", "xcore.db.tar.gz"],
    ["core.db.tar.gz", "coreXdb.tar.gz"],
    ["core.db.tar.gz", ""],
    ["*-testing.db.tar.gz", "core.db.tar.gz"],
    ["ab*ba", "aba"],
    ["a*b*c", "acb"],
    ["a*bc*c", "abc"],
    ["*a*a*", "a"],
    ["a*", "A"],
  ])("%s does not fit %j", (pattern, name) => {
    expect(matches(pattern, name)).toBe(false);
  });

  it("agrees with a regular expression made of the same pattern", () => {
    const pattern = fc.stringMatching(/^[ab*][ab*.]{0,8}$/);
    fc.assert(
      fc.property(pattern, fc.stringMatching(/^[ab.]{0,10}$/), (text, name) => {
        const expression = new RegExp(`^${text.replaceAll(".", "\\.").replaceAll("*", ".*")}$`);
        expect(matches(text, name)).toBe(expression.test(name));
      }),
      { numRuns: 500 },
    );
  });
});

describe("parseNamePattern", () => {
  it.each(["", "a b", "a/b", "a?", "[ab]", "-x", ".x", "a\n", "é", "a".repeat(256)])(
    "does not read %j",
    (text) => {
      expect(parseNamePattern(text)).toBeUndefined();
    },
  );
});
