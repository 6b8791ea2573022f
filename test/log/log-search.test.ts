import { describe, expect, test } from "vitest";
import type { Ledger } from "../../src/log/ledger.ts";
import { LogReader } from "../../src/log/log-reader.ts";
import type { LogFilter } from "../../src/log/log-search.ts";
import { at, DAY, freshLedger, HOUR, refused, sign } from "./fixture.ts";

function found(directory: string, filter: LogFilter, newest?: number): readonly number[] {
  const reader = LogReader.open(directory);
  try {
    return [...reader.search(filter, newest)].map((line) => JSON.parse(line).seq);
  } finally {
    reader.close();
  }
}

async function many(ledger: Ledger): Promise<void> {
  await sign(ledger, at(HOUR), { name: "core.db" }); // 1
  await sign(ledger, at(2 * HOUR), { name: "extra.db", client: "other" }); // 2
  await ledger.recordRefusal(at(2 * HOUR), refused({ name: "core.db", type: "db" })); // 3
  await sign(ledger, at(3 * HOUR), { name: null, type: "iso" }); // 4
  await sign(ledger, at(4 * HOUR), { name: "core.files", type: "files" }); // 5
}

test("without a filter all entries are found, oldest first", async () => {
  const { ledger, directory } = freshLedger();
  await many(ledger);
  expect(found(directory, {})).toEqual([0, 1, 2, 3, 4, 5]);
});

test("with a number, the newest so many, oldest first all the same", async () => {
  const { ledger, directory } = freshLedger();
  await many(ledger);
  expect(found(directory, {}, 2)).toEqual([4, 5]);
  expect(found(directory, { kind: "signed" }, 3)).toEqual([2, 4, 5]);
  expect(found(directory, {}, 100)).toEqual([0, 1, 2, 3, 4, 5]);
});

describe("a filter", () => {
  test("looks at kind, client, type and name, all of them together", async () => {
    const { ledger, directory } = freshLedger();
    await many(ledger);
    expect(found(directory, { kind: "refused" })).toEqual([3]);
    expect(found(directory, { client: "other" })).toEqual([2]);
    expect(found(directory, { type: "db" })).toEqual([1, 2, 3]);
    expect(found(directory, { name: "core.db" })).toEqual([1, 3]);
    expect(found(directory, { name: "core.db", kind: "signed" })).toEqual([1]);
  });

  test("knows one wildcard in names, *", async () => {
    const { ledger, directory } = freshLedger();
    await many(ledger);
    expect(found(directory, { name: "core.*" })).toEqual([1, 3, 5]);
    expect(found(directory, { name: "*.db" })).toEqual([1, 2, 3]);
    expect(found(directory, { name: "*" })).toEqual([1, 2, 3, 5]);
    for (const name of ["core?db", "core.d[a-c]", "CORE.DB", "core.d", "core", "", "%", "core_db"]) {
      expect(found(directory, { name }), name).toEqual([]);
    }
  });

  test("takes times from the first to before the last", async () => {
    const { ledger, directory } = freshLedger();
    await many(ledger);
    expect(found(directory, { since: at(2 * HOUR) })).toEqual([2, 3, 4, 5]);
    expect(found(directory, { since: at(2 * HOUR + 1) })).toEqual([4, 5]);
    expect(found(directory, { until: at(2 * HOUR) })).toEqual([0, 1]);
    expect(found(directory, { until: at(2 * HOUR + 1) })).toEqual([0, 1, 2, 3]);
    expect(found(directory, { since: at(2 * HOUR), until: at(3 * HOUR) })).toEqual([2, 3]);
    expect(found(directory, { since: at(2 * HOUR), until: at(3 * HOUR) }, 1)).toEqual([3]);
    expect(found(directory, { since: at(9 * HOUR) })).toEqual([]);
    expect(found(directory, { since: at(3 * HOUR), until: at(2 * HOUR) })).toEqual([]);
  });

  test("finds times on both sides of an accepted clock", async () => {
    const { ledger, directory } = freshLedger();
    await many(ledger);
    await sign(ledger, at(365 * DAY)); // 6
    await ledger.acceptClock(at(DAY)); // 7
    await sign(ledger, at(DAY)); // 8
    await sign(ledger, at(2 * DAY)); // 9
    expect(found(directory, { since: at(DAY) })).toEqual([6, 7, 8, 9]);
    expect(found(directory, { since: at(DAY) }, 2)).toEqual([8, 9]);
    expect(found(directory, { until: at(2 * DAY) })).toEqual([0, 1, 2, 3, 4, 5, 7, 8]);
    expect(found(directory, { until: at(2 * DAY) }, 3)).toEqual([5, 7, 8]);
    expect(found(directory, { since: at(3 * DAY) })).toEqual([6]);
  });
});

test("a digest is found by its beginning, in signatures and refusals, newest last", async () => {
  const { ledger, directory } = freshLedger();
  const { entry } = await sign(ledger, at(1), { content: "a" });
  await sign(ledger, at(2), { content: "b" });
  await ledger.recordRefusal(at(3), refused({ sha256: entry.sha256, sha512: entry.sha512 }));
  const reader = LogReader.open(directory);
  const seqs = (digest: string) => reader.byDigest(digest).map((line) => JSON.parse(line).seq);
  for (const digest of [
    entry.sha256,
    entry.sha512,
    entry.sha256.slice(0, 8),
    entry.sha512.slice(0, 8),
    entry.sha256.slice(0, 16),
    entry.sha256.slice(0, 17),
  ]) {
    expect(seqs(digest), digest).toEqual([1, 3]);
  }
  expect(seqs(`${entry.sha256.slice(0, 16)}${"0".repeat(48)}`)).toEqual([]);
  expect(seqs("0".repeat(64))).toEqual([]);
  expect(seqs(`${entry.sha256}0`)).toEqual([]);
  reader.close();
});

test("a reader sees the log as it was when it was opened", async () => {
  const { ledger, directory } = freshLedger();
  await sign(ledger, at(1));
  const reader = LogReader.open(directory);
  await sign(ledger, at(2));
  expect(reader.size).toBe(2);
  expect([...reader.search({})]).toHaveLength(2);
  expect(reader.line(2)).toBeUndefined();
  reader.close();
});
