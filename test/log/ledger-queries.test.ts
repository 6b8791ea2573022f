import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { configuredFields } from "../../src/log/configured.ts";
import type { Ledger } from "../../src/log/ledger.ts";
import { QUERIES } from "../../src/log/ledger-queries.ts";
import { SCHEMA } from "../../src/log/ledger-schema.ts";
import type { SignedEntry } from "../../src/log/log-entry.ts";
import { at, DAY, freshLedger, HOUR, refused, START, sign } from "./fixture.ts";
import { KEY } from "./signature-record.ts";

const since = (times: readonly Date[]) => times.map((time) => time.getTime() - START.getTime());

async function reissue(ledger: Ledger, now: Date, entry: SignedEntry): Promise<void> {
  const { client, rule, type, name, size, sha256, sha512, key, signature } = entry;
  await ledger.sign(now, async () => ({
    kind: "signature-record",
    fields: {
      kind: "reissued",
      of: entry.seq,
      client,
      rule,
      type,
      size,
      sha256,
      sha512,
      key,
      signature,
      ...(name === undefined ? {} : { name }),
    },
  }));
}

describe("the latest times of a rule", () => {
  test("are those of its signatures, newest first, no more than asked for", async () => {
    const { ledger } = freshLedger();
    for (const ms of [1, 2, 3]) await sign(ledger, at(ms));
    await sign(ledger, at(4), { rule: "other" });
    await ledger.recordRefusal(at(5), refused({ rule: "repos-db" }));
    expect(since(ledger.queries.latestTimes("repos-db", 10))).toEqual([3, 2, 1]);
    expect(since(ledger.queries.latestTimes("repos-db", 2))).toEqual([3, 2]);
    expect(since(ledger.queries.latestTimes("repos-db", 0))).toEqual([]);
    expect(since(ledger.queries.latestTimes("unheard-of", 10))).toEqual([]);
  });

  test("are those of one name, or of requests without one", async () => {
    const { ledger } = freshLedger();
    await sign(ledger, at(1), { name: "core.db" });
    await sign(ledger, at(2), { name: null });
    await sign(ledger, at(3), { name: "extra.db" });
    await sign(ledger, at(4), { name: null, rule: "other" });
    expect(since(ledger.queries.latestTimes("repos-db", 9, "core.db"))).toEqual([1]);
    expect(since(ledger.queries.latestTimes("repos-db", 9, null))).toEqual([2]);
    expect(since(ledger.queries.latestTimes("repos-db", 9))).toEqual([3, 2, 1]);
  });

  test("do not count what was delivered again", async () => {
    const { ledger } = freshLedger();
    const { entry } = await sign(ledger, at(1));
    await reissue(ledger, at(2), entry as SignedEntry);
    expect(since(ledger.queries.latestTimes("repos-db", 9))).toEqual([1]);
  });

  test("include what this very transaction has appended", async () => {
    const { ledger } = freshLedger();
    await sign(ledger, at(1));
    await ledger.transact(at(2), async (tx) => {
      expect(since(tx.latestTimes("repos-db", 9))).toEqual([1]);
    });
  });

  test("of a clock that ran a year ahead count as of its acceptance: neither lost nor in the way for a year", async () => {
    const { ledger } = freshLedger();
    await sign(ledger, at(HOUR));
    await sign(ledger, at(365 * DAY));
    await ledger.acceptClock(at(DAY));
    await sign(ledger, at(2 * DAY));
    expect(since(ledger.queries.latestTimes("repos-db", 9))).toEqual([2 * DAY, DAY, HOUR]);
    expect(since(ledger.queries.latestTimes("repos-db", 9, "core.db.tar.gz"))).toEqual([2 * DAY, DAY, HOUR]);
  });

  test("are capped by the earliest of several later acceptances", async () => {
    const { ledger } = freshLedger();
    await sign(ledger, at(400 * DAY));
    await ledger.acceptClock(at(300 * DAY));
    await sign(ledger, at(301 * DAY));
    await ledger.acceptClock(at(10 * DAY));
    await sign(ledger, at(20 * DAY));
    await sign(ledger, at(350 * DAY));
    await ledger.acceptClock(at(30 * DAY));
    expect(since(ledger.queries.latestTimes("repos-db", 9))).toEqual([
      30 * DAY,
      20 * DAY,
      10 * DAY,
      10 * DAY,
    ]);
  });
});

describe("the rules in force", () => {
  test("are those of the newest configured entry", async () => {
    const { ledger } = freshLedger();
    expect(ledger.queries.rulesInForce()).toBeUndefined();
    const [one, two] = [configuredFields(["one"]), configuredFields(["two"])];
    await ledger.transact(at(1), (tx) => tx.append(one));
    expect(ledger.queries.rulesInForce()).toBe(one.rules);
    await ledger.transact(at(2), (tx) => tx.append(two));
    await sign(ledger, at(3));
    expect(ledger.queries.rulesInForce()).toBe(two.rules);
  });
});

describe("the same again", () => {
  const content = "the same bytes";

  async function same(wanted: { client?: string; name?: string | null; type?: "db" | "files" } = {}) {
    const made = freshLedger();
    const { entry } = await sign(made.ledger, at(HOUR), { content, ...wanted });
    const what = { client: "repos", name: "core.db.tar.gz", type: "db", key: KEY, sha512: entry.sha512 };
    return { ...made, entry, what };
  }

  test("is the signed entry of the same client, name, type, key and digest", async () => {
    const { ledger, what, entry } = await same();
    expect(ledger.queries.findSigned(what, START)).toEqual(entry);
    for (const other of [
      { client: "releng" },
      { name: "extra.db.tar.gz" },
      { name: undefined },
      { type: "files" },
      { key: KEY.replace("0", "F") },
      { sha512: "0".repeat(128) },
      { sha512: what.sha512.slice(0, 16) + "0".repeat(112) },
    ]) {
      expect(ledger.queries.findSigned({ ...what, ...other }, START), JSON.stringify(other)).toBeUndefined();
    }
  });

  test("of a request without a name is one without a name", async () => {
    const { ledger, what, entry } = await same({ name: null });
    expect(ledger.queries.findSigned({ ...what, name: undefined }, START)).toEqual(entry);
    expect(ledger.queries.findSigned(what, START)).toBeUndefined();
  });

  test("is at or after the time asked for", async () => {
    const { ledger, what, entry } = await same();
    expect(ledger.queries.findSigned(what, at(HOUR))).toEqual(entry);
    expect(ledger.queries.findSigned(what, at(HOUR + 1))).toBeUndefined();
  });

  test("is the newest of several, and found behind others with the same bytes", async () => {
    const { ledger, what } = await same();
    const second = await sign(ledger, at(2 * HOUR), { content });
    await sign(ledger, at(3 * HOUR), { content, name: "other.db.tar.gz" });
    await ledger.recordRefusal(at(3 * HOUR), refused({ sha512: what.sha512 }));
    await reissue(ledger, at(3 * HOUR), second.entry as SignedEntry);
    expect(ledger.queries.findSigned(what, START)).toEqual(second.entry);
  });

  test("of a clock that ran ahead is as old as its acceptance", async () => {
    const { ledger } = freshLedger();
    const { entry } = await sign(ledger, at(365 * DAY), { content });
    const what = { client: "repos", name: "core.db.tar.gz", type: "db", key: KEY, sha512: entry.sha512 };
    await ledger.acceptClock(at(DAY));
    expect(ledger.queries.findSigned(what, at(DAY))).toEqual(entry);
    expect(ledger.queries.findSigned(what, at(DAY + 1))).toBeUndefined();
  });

  test("tells when the signature was delivered again, newest first, of so many", async () => {
    const { ledger, entry } = await same();
    const other = await sign(ledger, at(HOUR));
    for (const ms of [2, 3, 4]) await reissue(ledger, at(ms * HOUR), entry as SignedEntry);
    await reissue(ledger, at(4 * HOUR), other.entry as SignedEntry);
    const all = [at(4 * HOUR), at(3 * HOUR), at(2 * HOUR)];
    expect(ledger.queries.reissueTimes(entry.seq, 10)).toEqual(all);
    expect(ledger.queries.reissueTimes(entry.seq, 2)).toEqual(all.slice(0, 2));
    expect(ledger.queries.reissueTimes(99, 10)).toEqual([]);
  });
});

test("a question leaves no snapshot behind that would hide later entries or block them", async () => {
  const { ledger } = freshLedger();
  const { entry } = await sign(ledger, at(1), { content: "a" });
  const what = { client: "repos", name: "core.db.tar.gz", type: "db", key: KEY, sha512: entry.sha512 };
  for (let i = 2; i < 6; i++) {
    expect(ledger.queries.findSigned(what, START)).toBeDefined();
    await sign(ledger, at(i), { content: "a" });
    expect(ledger.queries.latestTimes("repos-db", 99)).toHaveLength(i);
  }
});

describe("rules that signed", () => {
  test("at or after a time are named once each, whatever else they signed", async () => {
    const { ledger } = freshLedger();
    expect(ledger.queries.rulesSince(START)).toEqual([]);
    await sign(ledger, at(1), { rule: "old" });
    await sign(ledger, at(2), { rule: "b" });
    await sign(ledger, at(3), { rule: "a" });
    await sign(ledger, at(HOUR), { rule: "b" });
    await ledger.recordRefusal(at(HOUR), refused({ rule: "refused-only" }));
    expect(ledger.queries.rulesSince(START)).toEqual(["a", "b", "old"]);
    expect(ledger.queries.rulesSince(at(3))).toEqual(["a", "b"]);
    expect(ledger.queries.rulesSince(at(4))).toEqual(["b"]);
    expect(ledger.queries.rulesSince(at(HOUR + 1))).toEqual([]);
  });
});

test("every question is answered from an index and never sorts or scans entries", () => {
  const database = new DatabaseSync(":memory:");
  database.exec(SCHEMA);
  const plan = (sql: string) =>
    database
      .prepare(`EXPLAIN QUERY PLAN ${sql}`)
      .all()
      .map((row) => String(row["detail"]))
      .filter((step) => step.includes("entries"));
  const { newestOfEachRule, ...others } = QUERIES;
  expect(Object.values(others).map(plan)).toEqual(
    [
      "clock_accepted (kind=?)",
      "signed_by_rule (rule=?)",
      "signed_by_rule_and_name (rule=? AND name=?)",
      "configured (kind=?)",
      "by_sha512 (sha512_start=?)",
      "reissued_of (of=?)",
    ].map((index) => [`SEARCH entries USING INDEX ${index}`]),
  );
  expect(plan(newestOfEachRule)).toEqual([
    "SEARCH entries USING INDEX signed_by_rule",
    "SEARCH entries USING INDEX signed_by_rule (rule>?)",
    "SEARCH entries USING INDEX signed_by_rule (rule=?)",
  ]);
});
