import { copyFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import type { TreeHead } from "../../src/log/checkpoint.ts";
import type { Ledger } from "../../src/log/ledger.ts";
import { type Following, followLog } from "../../src/log/log-follow.ts";
import { LogReader } from "../../src/log/log-reader.ts";
import { at, faultCode, freshLedger, HOUR, refused, reopen, sign, tamper } from "./fixture.ts";

function headOf(directory: string): TreeHead {
  const reader = LogReader.open(directory);
  try {
    return { size: reader.size, root: reader.rootAt(reader.size) };
  } finally {
    reader.close();
  }
}

/** Ends a loop that goes on for ever. */
class Enough extends Error {}

/** What comes while `steps` happen, one each time that there is nothing new. */
async function follow(
  directory: string,
  steps: readonly (() => unknown)[],
  filter: Following["filter"] = {},
): Promise<readonly (readonly number[])[]> {
  const left = [...steps];
  const wait = async () => {
    const step = left.shift();
    if (step === undefined) throw new Enough();
    await step();
  };
  const batches: (readonly number[])[] = [];
  try {
    for await (const lines of followLog({ directory, seen: headOf(directory), filter, wait }))
      batches.push(lines.map((line) => JSON.parse(line).seq));
  } catch (error) {
    if (!(error instanceof Enough)) throw error;
  }
  return batches;
}

async function refuseMany(ledger: Ledger, count: number): Promise<void> {
  await ledger.transact(at(HOUR), (tx) => {
    for (let i = 0; i < count; i++) tx.append(refused());
  });
}

test("yields each entry once, in order, as the log grows", async () => {
  const { ledger, directory } = freshLedger();
  await sign(ledger, at(1));
  const two = async () => {
    await sign(ledger, at(2));
    await sign(ledger, at(3));
  };
  const nothing = () => undefined;
  expect(await follow(directory, [nothing, two, nothing, () => sign(ledger, at(4))])).toEqual([[2, 3], [4]]);
});

test("yields many at once in parts, and waits only at the end", async () => {
  const { ledger, directory } = freshLedger();
  const batches = await follow(directory, [() => refuseMany(ledger, 2100)]);
  expect(batches.map((batch) => batch.length)).toEqual([1000, 1000, 100]);
  expect(batches.flat()).toEqual(Array.from({ length: 2100 }, (_, i) => i + 1));
});

test("passes over what the filter does not let through", async () => {
  const { ledger, directory } = freshLedger();
  const steps = [
    () => sign(ledger, at(1)),
    () => sign(ledger, at(2), { client: "other" }),
    () => sign(ledger, at(3)),
  ];
  expect(await follow(directory, steps, { client: "other" })).toEqual([[2]]);
});

test("holds no snapshot while it waits, nor while what it yielded is looked at: the WAL goes into the file", async () => {
  const { ledger, directory } = freshLedger();
  await refuseMany(ledger, 1500);
  const checkpointed = () => {
    const database = new DatabaseSync(join(directory, "log.db"), { timeout: 0 });
    try {
      return database.prepare("PRAGMA wal_checkpoint(TRUNCATE)").get()?.["busy"];
    } finally {
      database.close();
    }
  };
  const seen = { size: 1, root: headOf(directory).root };
  const reader = LogReader.open(directory);
  const first = { ...seen, root: reader.rootAt(1) };
  reader.close();
  const busy: unknown[] = [];
  const wait = async () => {
    busy.push(checkpointed());
    throw new Enough();
  };
  await expect(async () => {
    for await (const _ of followLog({ directory, seen: first, filter: {}, wait })) {
      await sign(ledger, at(2 * HOUR));
      busy.push(checkpointed());
    }
  }).rejects.toThrow(Enough);
  expect(busy.length).toBeGreaterThanOrEqual(3);
  expect(new Set(busy)).toEqual(new Set([0]));
});

test("ends where the log loses its end: log-broken", async () => {
  const { ledger, directory } = freshLedger();
  await sign(ledger, at(1));
  const shrink = () => tamper(directory, "DELETE FROM entries WHERE seq = 1");
  expect(await faultCode(() => follow(directory, [shrink]))).toBe("log-broken");
});

test("ends where another log takes its place, a longer one too: log-broken", async () => {
  const { ledger, directory } = freshLedger();
  await sign(ledger, at(1));
  const other = freshLedger();
  for (let i = 1; i < 5; i++) await sign(other.ledger, at(i));
  other.ledger.close();
  ledger.close();
  const replace = () => renameSync(join(other.directory, "log.db"), join(directory, "log.db"));
  expect(await faultCode(() => follow(directory, [replace]))).toBe("log-broken");
});

test("goes on where the same log, or a later state of it, is put in another file", async () => {
  const { ledger, directory } = freshLedger();
  await sign(ledger, at(1));
  ledger.close();
  const replace = () => {
    copyFileSync(join(directory, "log.db"), join(directory, "new"));
    renameSync(join(directory, "new"), join(directory, "log.db"));
  };
  const append = () => sign(reopen(directory), at(2));
  expect(await follow(directory, [replace, append])).toEqual([[2]]);
});

test("ends where the log goes away: no-state", async () => {
  const { ledger, directory } = freshLedger();
  ledger.close();
  expect(await faultCode(() => follow(directory, [() => rmSync(directory, { recursive: true })]))).toBe(
    "no-state",
  );
});
