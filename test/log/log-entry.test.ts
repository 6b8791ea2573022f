import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { configuredFields } from "../../src/log/configured.ts";
import {
  ENTRY_KINDS,
  encodeLogEntry,
  isEntryTime,
  type LogEntry,
  MAX_ENTRY_BYTES,
  parseLogEntry,
} from "../../src/log/log-entry.ts";

const base = { seq: 7, time: "2026-11-23T12:00:00.000Z" };
const signature = {
  client: "repos",
  rule: "repos-db",
  type: "db",
  name: "core.db.tar.gz",
  size: 12345,
  sha256: "1".repeat(64),
  sha512: "2".repeat(128),
  key: "0123456789ABCDEF0123456789ABCDEF01234567",
  signature: "iQEzBAAWCgAd",
  private: "3".repeat(64),
} as const;

/** One entry of each kind, with every member that it can have. */
const FULL: Readonly<Record<LogEntry["kind"], LogEntry>> = {
  signed: {
    ...base,
    ...signature,
    kind: "signed",
    expires: "2026-12-07T12:00:00.000Z",
    facts: { packages: 270, volume_id: "ARCH_202611", bootable: true },
  },
  reissued: { ...base, ...signature, kind: "reissued", of: 3 },
  refused: {
    ...base,
    kind: "refused",
    client: "repos",
    rule: "repos-db",
    type: "files",
    name: "core.files.tar.gz",
    size: 0,
    sha256: "1".repeat(64),
    sha512: "2".repeat(128),
    private: "3".repeat(64),
    code: "trailing-data",
    reason: 'expected nothing after the end, got "x\\x1b[31m"',
  },
  "refused-summary": {
    ...base,
    kind: "refused-summary",
    client: "repos",
    code: "busy",
    count: 12,
    from: "2026-11-23T11:00:00.000Z",
    to: "2026-11-23T11:59:59.999Z",
  },
  configured: { ...base, kind: "configured", rules: "4".repeat(64), summary: ["one rule", ""] },
  "clock-accepted": { ...base, kind: "clock-accepted", previous: "2027-11-23T12:00:00.000Z" },
  restored: {
    ...base,
    kind: "restored",
    witness: "log.example.org/repo",
    cosigned: "2026-11-23T11:59:59.000Z",
    size: 7,
    root: "1Hwatl9IcCGd6NlE0HiAH0LX0Q2B9CypwpNALDzuMRk=",
    replaced: 9,
    discarded: 2,
  },
  started: {
    ...base,
    kind: "started",
    origin: "signer.example.org/repo",
    verifier: "signer.example.org/repo+00000000+AAAA",
  },
};

const OPTIONAL: Readonly<Record<LogEntry["kind"], readonly string[]>> = {
  signed: ["name", "private", "expires"],
  reissued: ["name", "private"],
  refused: ["rule", "type", "name", "size", "sha256", "sha512", "private"],
  "refused-summary": ["client"],
  configured: [],
  "clock-accepted": [],
  restored: ["replaced", "discarded"],
  started: [],
};

const kinds = fc.constantFrom(...ENTRY_KINDS);
const parse = (value: unknown) => parseLogEntry(JSON.stringify(sorted(value)));

/** Members in order, so that nothing but the change under test is wrong with a line. */
function sorted(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => [key, sorted(member)]),
  );
}

test.each(ENTRY_KINDS)("an entry of kind %s comes back from its line", (kind) => {
  const line = encodeLogEntry(FULL[kind]);
  expect(parseLogEntry(line)).toEqual(FULL[kind]);
  expect(line).toBe(JSON.stringify(sorted(FULL[kind])));
});

test("the line of an entry is fixed to the byte", () => {
  expect(encodeLogEntry(FULL["refused-summary"])).toBe(
    '{"client":"repos","code":"busy","count":12,"from":"2026-11-23T11:00:00.000Z","kind":"refused-summary","seq":7,"time":"2026-11-23T12:00:00.000Z","to":"2026-11-23T11:59:59.999Z"}',
  );
});

test.each(ENTRY_KINDS)("each member of kind %s that is not optional must be there", (kind) => {
  for (const key of Object.keys(FULL[kind])) {
    const { [key]: _left, ...rest } = FULL[kind] as unknown as Record<string, unknown>;
    const entry = parse(rest);
    if (OPTIONAL[kind].includes(key)) expect(entry, key).toEqual(rest);
    else expect(entry, key).toBeUndefined();
  }
});

test("an unknown member is refused, and an unknown kind", () => {
  for (const kind of ENTRY_KINDS) {
    expect(parse({ ...FULL[kind], extra: 1 })).toBeUndefined();
    expect(parse({ ...FULL[kind], __proto__x: 1 })).toBeUndefined();
    expect(parse({ ...FULL[kind], constructor: 1 })).toBeUndefined();
  }
  for (const kind of ["", "Signed", "constructor", "__proto__", 1, null])
    expect(parse({ ...FULL.started, kind })).toBeUndefined();
});

test("what is no object is no entry", () => {
  for (const line of ["1", '"signed"', "true", "[]", "null", "{}", ""])
    expect(parseLogEntry(line)).toBeUndefined();
});

describe("a member is refused", () => {
  test.each([
    ["seq", [-1, 1.5, "7", 2 ** 53]],
    [
      "time",
      [
        "2026-11-23T12:00:00Z",
        "2026-11-23 12:00:00.000Z",
        "2026-11-23T12:00:00.000+00:00",
        "2026-02-30T12:00:00.000Z",
        "2026-11-23T24:00:00.000Z",
        "+012026-11-23T12:00:00.000Z",
        0,
        "",
      ],
    ],
    ["client", ["", 7, "x".repeat(256)]],
    ["rule", ["", 7, "x".repeat(256)]],
    ["type", ["", "DB", "package", 7]],
    ["name", ["", ".db", "-x", "a/b", "a b", "a\n", "x".repeat(256), "é", 7]],
    ["size", [-1, 0.5, "1", 2 ** 53]],
    ["sha256", ["1".repeat(63), "1".repeat(65), "G".repeat(64), "A".repeat(64), `${"1".repeat(64)}\n`, 7]],
    ["sha512", ["1".repeat(127), "1".repeat(129), "A".repeat(128), 7]],
    ["key", ["0".repeat(39), "0".repeat(41), "a".repeat(40), 7]],
    ["signature", ["", "AAA", "AAAAA", "AA=A", "AAA_", "A".repeat(8196), "====", 7]],
    ["private", ["3".repeat(63), "", 7]],
    ["expires", ["2026-12-07", 7]],
    [
      "facts",
      [
        [],
        "x",
        { A: 1 },
        { "1a": 1 },
        { a: 1.5 },
        { a: [] },
        { a: {} },
        { a: "x".repeat(1025) },
        { ["a".repeat(65)]: 1 },
        Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`f${i}`, i])),
      ],
    ],
  ])("%s", (key, bad) => {
    for (const value of bad)
      expect(parse({ ...FULL.signed, [key]: value }), JSON.stringify(value)).toBeUndefined();
  });

  test.each([
    ["reissued", "of", [-1, "3", 0.5]],
    ["refused", "code", ["", "no-such-code", "constructor", 7]],
    ["refused", "reason", ["", 7, "x".repeat(1025)]],
    ["refused-summary", "count", [-1, "1"]],
    ["refused-summary", "from", ["now"]],
    ["refused-summary", "to", ["now"]],
    ["configured", "rules", ["4".repeat(63), 7]],
    ["configured", "summary", ["one rule", [7], {}]],
    ["clock-accepted", "previous", ["", "2027-11-23"]],
    ["restored", "witness", ["", 7]],
    ["restored", "cosigned", ["now", 7]],
    ["restored", "size", [-1, "7"]],
    ["restored", "root", ["", "AAAA", "1Hwatl9IcCGd6NlE0HiAH0LX0Q2B9CypwpNALDzuMRl=", 7]],
    ["restored", "replaced", [-1, "7"]],
    ["restored", "discarded", [-1, 0.5]],
    ["started", "origin", ["", 7]],
    ["started", "verifier", ["", 7, "x".repeat(513)]],
  ] as const)("of kind %s: %s", (kind, key, bad) => {
    for (const value of bad)
      expect(parse({ ...FULL[kind], [key]: value }), JSON.stringify(value)).toBeUndefined();
  });

  test("not at the very edge of what is allowed", () => {
    for (const [key, good] of [
      ["seq", [0, Number.MAX_SAFE_INTEGER]],
      ["name", ["@", "x".repeat(255)]],
      ["client", ["x".repeat(255)]],
      ["signature", ["AAAA", "AA==", "AAA=", "A".repeat(8192)]],
      [
        "facts",
        [
          {},
          { a: "x".repeat(1024) },
          { ["a".repeat(64)]: -5 },
          Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`f${i}`, i])),
        ],
      ],
    ] as const) {
      for (const value of good)
        expect(parse({ ...FULL.signed, [key]: value }), `${key} ${JSON.stringify(value)}`).toBeDefined();
    }
  });
});

test("a line is at most 16 KiB", () => {
  const entry = (length: number) => ({ ...FULL.configured, summary: ["x".repeat(length)] }) as LogEntry;
  const overhead = encodeLogEntry(entry(0)).length;
  const longest = entry(MAX_ENTRY_BYTES - overhead);
  expect(encodeLogEntry(longest)).toHaveLength(16384);
  expect(parseLogEntry(encodeLogEntry(longest))).toEqual(longest);
  const longer = entry(MAX_ENTRY_BYTES - overhead + 1);
  expect(() => encodeLogEntry(longer)).toThrow(TypeError);
  expect(parseLogEntry(JSON.stringify(sorted(longer)))).toBeUndefined();
});

test("what could not be read again is never written", () => {
  expect(() => encodeLogEntry({ ...FULL.signed, sha256: "short" } as LogEntry)).toThrow(TypeError);
  expect(() => encodeLogEntry({ ...FULL.signed, extra: 1 } as unknown as LogEntry)).toThrow(TypeError);
  expect(() => encodeLogEntry({ kind: "signed" } as unknown as LogEntry)).toThrow(TypeError);
});

test("a line with anything in it changed is another entry or none, and never the same", () => {
  fc.assert(
    fc.property(kinds, fc.nat(), fc.integer({ min: 0, max: 127 }), (kind, at, code) => {
      const line = encodeLogEntry(FULL[kind]);
      const position = at % line.length;
      const changed = line.slice(0, position) + String.fromCharCode(code) + line.slice(position + 1);
      const entry = parseLogEntry(changed);
      if (changed !== line) expect(entry).not.toEqual(FULL[kind]);
      if (entry !== undefined) expect(encodeLogEntry(entry)).toBe(changed);
    }),
    { numRuns: 2000 },
  );
});

test("a line cut anywhere, or with one character more, is no entry", () => {
  for (const kind of ENTRY_KINDS) {
    const line = encodeLogEntry(FULL[kind]);
    for (let length = 0; length < line.length; length++)
      expect(parseLogEntry(line.slice(0, length))).toBeUndefined();
    for (const more of [" ", "\n", "\0", "}", "{}"]) expect(parseLogEntry(line + more)).toBeUndefined();
  }
});

test("whatever a stranger got into an entry, its line is printable ASCII", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", minLength: 1, maxLength: 40 }), (text) => {
      const entry = { ...FULL.refused, client: text, reason: text } as LogEntry;
      const line = encodeLogEntry(entry);
      expect(line).toMatch(/^[\x20-\x7e]+$/);
      expect(parseLogEntry(line)).toEqual(entry);
    }),
  );
});

test("a time is one that its own text stands for", () => {
  expect(isEntryTime("2026-11-23T12:00:00.000Z")).toBe(true);
  expect(isEntryTime("0000-01-01T00:00:00.000Z")).toBe(true);
  expect(isEntryTime("2026-11-23T12:00:60.000Z")).toBe(false);
  expect(isEntryTime(new Date())).toBe(false);
});

describe("the entry of a configuration", () => {
  test("has the digest of all lines, each with its newline", () => {
    expect(configuredFields(["one", "two"])).toEqual({
      kind: "configured",
      rules: "c3f9c8c283a2b1f2f1896f27a01cbe3cddc0c9d93f752e4639035a0f5b36f6e8",
      summary: ["one", "two"],
    });
    expect(configuredFields(["one", "two"]).rules).not.toBe(configuredFields(["one two"]).rules);
  });

  test("fits an entry, however many and however long the rules are", () => {
    const rules = Array.from({ length: 5000 }, (_, i) => `rule ${i}: ${"é".repeat(i)}`);
    const fields = configuredFields(rules);
    expect(encodeLogEntry({ ...fields, ...base }).length).toBeLessThan(MAX_ENTRY_BYTES);
    expect(fields.summary.at(-1)).toBe(`... and ${5000 - fields.summary.length + 1} more`);
    expect(fields.summary[0]).toBe("rule 0: ");
    const long = configuredFields(["x".repeat(5000), "y"]);
    expect(long.summary).toEqual([`${"x".repeat(2048)}...`, "y"]);
    expect(long.rules).not.toBe(configuredFields([`${"x".repeat(2048)}...`, "y"]).rules);
    expect(configuredFields(["x".repeat(2048)]).summary).toEqual(["x".repeat(2048)]);
    expect(configuredFields([]).summary).toEqual([]);
  });
});
