import { cpSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type Comparison, compareLog, entriesInTree, lastSize } from "../../src/log/compare.ts";
import { LogReader } from "../../src/log/log-reader.ts";
import { type HeldCopy, openCopyDirectory } from "../../src/log/restore/held-copy.ts";
import { at, DAY, freshDirectory, tamper } from "./fixture.ts";
import { copyOf, filledState, signMore } from "./restore/fixture.ts";

/** Compares two folders; `change` may lie in the copy's name. */
async function compare(
  log: string,
  copy: string,
  change: (copy: HeldCopy) => HeldCopy = (same) => same,
): Promise<Comparison> {
  const reader = LogReader.open(log);
  const held = openCopyDirectory(copy, []);
  try {
    return await compareLog(reader, entriesInTree(reader), change(held));
  } finally {
    held.close();
    reader.close();
  }
}

/** Two logs of one key that are the same for seven entries, and then have so many more each. */
async function forked(more: number, others: number): Promise<{ log: string; copy: string }> {
  const log = await filledState();
  const copy = join(freshDirectory(), "copy");
  cpSync(log, copy, { recursive: true });
  await signMore(log, more);
  await signMore(copy, others, at(DAY));
  return { log, copy };
}

test("a log and a copy of all of it are equal", async () => {
  const log = await filledState();
  expect(await compare(log, copyOf(log))).toEqual({
    kind: "equal",
    logSize: 7,
    copySize: 7,
    common: 7,
    difference: undefined,
  });
});

test("the shorter one is named, and is the beginning of the other", async () => {
  const log = await filledState();
  const copy = copyOf(log);
  await signMore(log, 2);
  expect(await compare(log, copy)).toMatchObject({ kind: "copy-behind", logSize: 9, copySize: 7, common: 7 });
  expect(await compare(copy, log)).toMatchObject({ kind: "log-behind", logSize: 7, copySize: 9, common: 7 });
});

test("of logs that part, the first entry that differs is found, with both lines and the members", async () => {
  for (const [more, others] of [
    [1, 1],
    [5, 1],
    [1, 6],
  ] as const) {
    const { log, copy } = await forked(more, others);
    const found = await compare(log, copy);
    expect(found).toMatchObject({ kind: "contradiction", common: 7 });
    expect(found.difference).toMatchObject({ seq: 7, members: ["sha256", "sha512", "signature", "time"] });
    expect(found.difference?.log).toContain('"seq":7');
    expect(found.difference?.copy).toContain('"seq":7');
    expect(found.difference?.copy).not.toBe(found.difference?.log);
  }
});

test("an entry changed beneath its tree is found, also where the trees are the same", async () => {
  const log = await filledState();
  const copy = copyOf(log);
  tamper(log, `UPDATE entries SET line = replace(line, 'monthly-iso', 'montbly-iso') WHERE seq = 4`);
  expect(await compare(log, copy)).toMatchObject({
    kind: "contradiction",
    common: 4,
    difference: { seq: 4, members: ["rule"] },
  });
});

test("an entry taken out of the middle is found", async () => {
  const log = await filledState();
  const copy = copyOf(log);
  tamper(log, "DELETE FROM entries WHERE seq = 3");
  const { kind, difference } = await compare(log, copy);
  expect(kind).toBe("contradiction");
  expect(difference).toMatchObject({ seq: 3, log: undefined, members: [] });
});

test("an entry moved to another number is found", async () => {
  const log = await filledState();
  const copy = copyOf(log);
  tamper(log, "UPDATE entries SET seq = 40 WHERE seq = 6");
  const { kind, difference } = await compare(log, copy);
  expect(kind).toBe("contradiction");
  expect(difference).toMatchObject({ seq: 6, log: undefined });
});

test("a copy whose tree is not that of its entries is no equal, though the lines are", async () => {
  const log = await filledState();
  const copy = copyOf(log);
  const lie = (held: HeldCopy): HeldCopy => ({
    ...held,
    rootOf: async (size) => (size > 5 ? new Uint8Array(32) : await held.rootOf(size)),
  });
  const { kind, common, difference } = await compare(log, copy, lie);
  expect({ kind, common }).toEqual({ kind: "contradiction", common: 5 });
  expect(difference?.members).toEqual([]);
  expect(difference?.copy).toBe(difference?.log);
});

test("a line that is no JSON object has no members, and breaks nothing", async () => {
  const { log, copy } = await forked(1, 1);
  for (const line of ["", "null", "[1]", "{", "\u001b[31m"]) {
    const lie = (held: HeldCopy): HeldCopy => ({
      ...held,
      async *entries(from, to) {
        for await (const entry of held.entries(from, to)) yield { ...entry, line };
      },
    });
    expect((await compare(log, copy, lie)).difference).toMatchObject({ copy: line, members: [] });
  }
});

test("however long logs are and wherever they part, the last common size is found in log2(n) + 2 questions", async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(1_000_000), fc.nat(1_000_000), async (a, b) => {
      const [parted, limit] = a < b ? [a, b] : [b, a];
      let questions = 0;
      const found = await lastSize(limit, async (size) => {
        questions++;
        return size <= parted;
      });
      expect(found).toBe(parted);
      expect(questions).toBeLessThanOrEqual(Math.log2(limit + 1) + 2);
    }),
  );
});
