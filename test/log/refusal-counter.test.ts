import { describe, expect, test } from "vitest";
import type { Ledger } from "../../src/log/ledger.ts";
import type { LogEntry } from "../../src/log/log-entry.ts";
import { LogReader } from "../../src/log/log-reader.ts";
import type { Code } from "../../src/outcome.ts";
import { at, entriesOf, freshLedger, HOUR, linesOf, MINUTE, refused, sign, verdict } from "./fixture.ts";

async function refuse(
  ledger: Ledger,
  ms: number,
  client = "repos",
  code: Code = "truncated",
): Promise<LogEntry | undefined> {
  return await ledger.recordRefusal(at(ms), refused({ client, code }));
}

const summaries = (directory: string) =>
  entriesOf(directory).filter(({ kind }) => kind === "refused-summary");

function waiting(directory: string): number {
  const reader = LogReader.open(directory);
  try {
    return Number(reader.database.get("SELECT count(*) AS n FROM refusals")?.["n"]);
  } finally {
    reader.close();
  }
}

test("the first ten refusals of an hour are entries, further ones are not", async () => {
  const { ledger, directory } = freshLedger();
  const seqs: unknown[] = [];
  for (let i = 1; i <= 13; i++) seqs.push((await refuse(ledger, i))?.seq);
  expect(seqs).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, undefined, undefined, undefined]);
  expect(verdict(directory)).toBe("sound");
});

test("where the clock was set back within the hour, the summary still spans all that it sums up, and the log is sound", async () => {
  const { ledger, directory } = freshLedger();
  for (let i = 0; i <= 10; i++) await refuse(ledger, 2 * MINUTE); // the last one has no entry
  await refuse(ledger, 4 * MINUTE);
  await ledger.acceptClock(at(2 * MINUTE));
  await refuse(ledger, 3 * MINUTE);
  expect(verdict(directory)).toBe("sound");
  await sign(ledger, at(2 * HOUR));
  expect(summaries(directory)).toMatchObject([
    { count: 3, from: at(2 * MINUTE).toISOString(), to: at(4 * MINUTE).toISOString() },
  ]);
  expect(verdict(directory)).toBe("sound");
});

test("the next transaction after the hour begins with one summary of those without an entry", async () => {
  const { ledger, directory } = freshLedger();
  for (let i = 1; i <= 13; i++) await refuse(ledger, i * MINUTE);
  await sign(ledger, at(HOUR + MINUTE - 1));
  expect(summaries(directory)).toEqual([]);
  await sign(ledger, at(HOUR + MINUTE));
  expect(entriesOf(directory).slice(-2)).toMatchObject([
    {
      kind: "refused-summary",
      client: "repos",
      code: "truncated",
      count: 3,
      from: at(11 * MINUTE).toISOString(),
      to: at(13 * MINUTE).toISOString(),
    },
    { kind: "signed" },
  ]);
  await sign(ledger, at(HOUR + MINUTE));
  expect(summaries(directory)).toHaveLength(1);
  expect(verdict(directory)).toBe("sound");
});

test("after the hour the next ten are entries again, and ten alone leave no summary", async () => {
  const { ledger, directory } = freshLedger();
  for (let i = 0; i < 10; i++) await refuse(ledger, i);
  for (let i = 0; i < 10; i++) expect(await refuse(ledger, HOUR + i)).toBeDefined();
  expect(await refuse(ledger, HOUR + 10)).toBeUndefined();
  expect(summaries(directory)).toEqual([]);
  expect(entriesOf(directory).filter(({ kind }) => kind === "refused")).toHaveLength(20);
});

test("each client and code has its own ten", async () => {
  const { ledger } = freshLedger();
  for (let i = 0; i < 11; i++) await refuse(ledger, i);
  expect(await refuse(ledger, 20, "releng")).toBeDefined();
  expect(await refuse(ledger, 20, "repos", "empty-input")).toBeDefined();
  expect(await refuse(ledger, 20)).toBeUndefined();
});

test("several summaries come in one transaction", async () => {
  const { ledger, directory } = freshLedger();
  for (const code of ["truncated", "empty-input"] as const) {
    for (let i = 0; i < 12; i++) await refuse(ledger, i, "repos", code);
  }
  await ledger.transact(at(HOUR + 12), () => undefined);
  expect(summaries(directory)).toMatchObject([
    { code: "empty-input", count: 2, time: at(HOUR + 12).toISOString() },
    { code: "truncated", count: 2 },
  ]);
  expect(verdict(directory)).toBe("sound");
});

test("counters survive a transaction that is rolled back, and summaries come with the next", async () => {
  const { ledger, directory } = freshLedger();
  for (let i = 0; i < 12; i++) await refuse(ledger, i);
  await expect(ledger.transact(at(2 * HOUR), () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(summaries(directory)).toEqual([]);
  await sign(ledger, at(2 * HOUR));
  expect(summaries(directory)).toMatchObject([{ count: 2 }]);
});

describe("space is bounded", () => {
  test("unknown clients are counted together, whatever they call themselves", async () => {
    const { ledger, directory } = freshLedger();
    for (let i = 0; i < 25; i++) await refuse(ledger, i, `client-${i}`, "unknown-client");
    expect(waiting(directory)).toBe(1);
    expect(entriesOf(directory)).toHaveLength(11);
    await sign(ledger, at(2 * HOUR));
    const [summary] = summaries(directory);
    expect(summary).toMatchObject({ code: "unknown-client", count: 15 });
    expect(summary).not.toHaveProperty("client");
  });

  test("no more than a thousand counters wait: further clients share one for each code", async () => {
    const { ledger, directory } = freshLedger();
    await ledger.transact(at(1), (tx) => {
      for (let i = 0; i < 1030; i++) tx.refuse(refused({ client: `client-${i}` }));
    });
    expect(waiting(directory)).toBe(1001);
    expect(linesOf(directory)).toHaveLength(1 + 1000 + 10);
    expect(await refuse(ledger, 2, "client-7", "not-recognised")).toBeDefined();
  });

  test("an hour later they are gone", async () => {
    const { ledger, directory } = freshLedger();
    for (let i = 0; i < 5; i++) await refuse(ledger, i, `client-${i}`);
    await sign(ledger, at(HOUR + 5));
    expect(waiting(directory)).toBe(0);
  });
});
