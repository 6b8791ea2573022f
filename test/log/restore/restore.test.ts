import {
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { halt } from "../../../src/log/halt.ts";
import { Ledger } from "../../../src/log/ledger.ts";
import { LogReader } from "../../../src/log/log-reader.ts";
import { storedEntries } from "../../../src/log/log-source.ts";
import { openCopyDirectory } from "../../../src/log/restore/held-copy.ts";
import { restoreLog } from "../../../src/log/restore/restore.ts";
import {
  at,
  DAY,
  entriesOf,
  faultCode,
  freshDirectory,
  freshLedger,
  HOUR,
  linesOf,
  MINUTE,
  ORIGIN,
  refused,
  reopen,
  sign,
  tamper,
  verdict,
} from "../fixture.ts";
import { copyOf, filledState, newWitness, restore, signMore } from "./fixture.ts";

/** Everything that is stored of entries, with what is beside them. */
function allOf(directory: string): readonly unknown[] {
  const reader = LogReader.open(directory);
  try {
    return [...storedEntries(reader.database, 0, reader.size)];
  } finally {
    reader.close();
  }
}

/** A new host: its state directory holds the log key from the backup, and nothing else. */
function newHost(old: string): string {
  const directory = freshDirectory();
  copyFileSync(join(old, "log.key"), join(directory, "log.key"));
  return directory;
}

/** Files of a state directory with their bytes, without what SQLite and the lock leave around. */
function filesOf(directory: string): ReadonlyMap<string, string> {
  const names = readdirSync(directory).filter((name) => !/-(shm|wal)$|^restore\.lock$/.test(name));
  return new Map(names.map((name) => [name, readFileSync(join(directory, name), "base64")]));
}

test("a lost log is rebuilt on a new host: entries, records, package lists, and an entry that says so", async () => {
  const old = await filledState();
  const copy = copyOf(old);
  const host = newHost(old);
  const done = await restore(host, copy);
  expect(done).toMatchObject({
    kind: "restored",
    replaced: { kind: "missing" },
    discarded: 0,
    withKey: false,
  });
  expect(verdict(host)).toBe("sound");
  expect(allOf(host).slice(0, 7)).toEqual(allOf(old));
  expect(entriesOf(host).slice(7)).toEqual([
    {
      kind: "restored",
      seq: 7,
      time: at(DAY).toISOString(),
      witness: "log.example.org/repo",
      cosigned: at(6 * MINUTE).toISOString(),
      size: 7,
      root: Buffer.from(rootOf(old, 7)).toString("base64"),
    },
  ]);
});

function rootOf(directory: string, size: number): Uint8Array {
  const reader = LogReader.open(directory);
  try {
    return reader.rootAt(size);
  } finally {
    reader.close();
  }
}

test("what a limit counts is the same after as before; counters of refusals start empty", async () => {
  const old = await filledState();
  const host = newHost(old);
  await restore(host, copyOf(old));
  const [before, after] = [reopen(old), reopen(host)];
  for (const rule of ["repos-db", "monthly-iso"]) {
    expect(after.queries.latestTimes(rule, 10)).toEqual(before.queries.latestTimes(rule, 10));
    expect(after.queries.latestTimes(rule, 10).length).toBeGreaterThan(0);
  }
  for (let i = 0; i < 12; i++) await after.recordRefusal(at(DAY), refused());
  expect(entriesOf(host).filter(({ kind }) => kind === "refused")).toHaveLength(2 + 10);
});

test("a package list that was replaced before it could be copied is missing, and the log is sound all the same", async () => {
  const old = await filledState();
  const copy = copyOf(old);
  tamper(copy, "UPDATE package_lists SET list = '' WHERE seq = 2");
  const host = newHost(old);
  expect(await restore(host, copy)).toMatchObject({ log: { verified: { packageLists: 1 } } });
  expect(verdict(host)).toBe("sound");
});

test("the restored log goes on: it signs, and its copy can grow by what comes", async () => {
  const old = await filledState();
  const host = newHost(old);
  await restore(host, copyOf(old));
  const ledger = reopen(host);
  await sign(ledger, at(DAY + HOUR));
  expect(ledger.acknowledgements()).toHaveLength(1);
  expect(verdict(host)).toBe("sound");
});

test("a backup of the log key is put in place where there is none; without one nothing is done", async () => {
  const old = await filledState();
  const copy = copyOf(old);
  const host = freshDirectory();
  expect(await faultCode(() => restore(host, copy))).toBe("no-state");
  expect(await restore(host, copy, { logKeyFile: join(old, "log.key") })).toMatchObject({ withKey: true });
  expect(verdict(host, { verifier: reopen(host).verifier })).toBe("sound");
});

test("another log key beside the log makes way for the given one, and is kept", async () => {
  const old = await filledState();
  const { directory: other, ledger } = freshLedger();
  ledger.close();
  const host = newHost(other);
  const done = await restore(host, copyOf(old), { logKeyFile: join(old, "log.key") });
  const aside = typeof done === "string" ? "" : done.aside;
  expect(readFileSync(join(aside, "log.key"))).toEqual(readFileSync(join(other, "log.key")));
  expect(verdict(host, { verifier: reopen(host).verifier })).toBe("sound");
});

test.each([
  ["is of a log with another key", { key: "other" }],
  ["was cosigned by nobody", { witness: "none" }],
  ["was cosigned by a witness that is not trusted", { witness: "other" }],
  ["has entries after its newest cosigned head", { sql: "", grow: true }],
  ["has an entry changed", { sql: "UPDATE entries SET line = replace(line, 'monthly', 'montbly')" }],
  [
    "has two entries changed places",
    {
      sql: "UPDATE entries SET line = (SELECT line FROM entries e WHERE e.seq = 11 - entries.seq) WHERE seq IN (5, 6)",
    },
  ],
  ["lacks an entry", { sql: "DELETE FROM entries WHERE seq = 3" }],
  [
    "has a private record changed",
    { sql: "UPDATE private_records SET record = replace(record, 'alice', 'carol')" },
  ],
  ["lacks a private record", { sql: "DELETE FROM private_records WHERE seq = 2" }],
  ["has a package list changed", { sql: "UPDATE package_lists SET list = replace(list, 'acl', 'bcl')" }],
])("a copy that %s is not restored, and nothing is touched", async (_what, change) => {
  const old = await filledState();
  const copy = copyOf(old, "witness" in change && change.witness === "other" ? newWitness() : undefined);
  const { directory: other } = freshLedger();
  const host = newHost("key" in change ? other : old);
  writeFileSync(join(host, "log.db"), "what is left of the log");
  if ("witness" in change && change.witness === "none") tamper(copy, "DELETE FROM acknowledgements");
  if ("grow" in change) {
    copyFileSync(join(old, "log.key"), join(copy, "log.key"));
    await signMore(copy, 1);
  }
  if ("sql" in change && change.sql !== "") tamper(copy, change.sql);
  const before = filesOf(host);
  expect(await faultCode(() => restore(host, copy))).toBe("log-broken");
  expect(filesOf(host)).toEqual(before);
});

test("a log that is sound and lacks nothing stays", async () => {
  const host = await filledState();
  const copy = copyOf(host);
  expect(await restore(host, copy)).toBe(
    "bad-request: nothing to restore: the log is sound and the same as the copy",
  );
  halt(host, "somebody said so", at(HOUR));
  expect(await restore(host, copy)).toMatch(
    /signing was stopped at 2026-11-23T13:00:00.000Z somebody said so$/,
  );
  expect(linesOf(host)).toHaveLength(7);
});

test("entries that the copy lacks are lost only where their exact number is given, and the log says so", async () => {
  const host = await filledState();
  const copy = copyOf(host);
  await signMore(host, 2);
  expect(await restore(host, copy)).toMatch(
    /^bad-request: nothing to restore: .* ahead of the copy by 2 entries/,
  );
  for (const discard of [1, 3])
    expect(await restore(host, copy, { discard })).toMatch(/^bad-request: .* lacks 2 entries/);
  expect(linesOf(host)).toHaveLength(9);
  expect(await restore(host, copy, { discard: 2 })).toMatchObject({ kind: "restored", discarded: 2 });
  expect(entriesOf(host).at(-1)).toMatchObject({ kind: "restored", seq: 7, replaced: 9, discarded: 2 });
});

test("a number of entries to lose where none would be lost is a misunderstanding", async () => {
  const host = await filledState();
  const yesterday = join(freshDirectory(), "state");
  cpSync(host, yesterday, { recursive: true });
  await signMore(host, 1);
  expect(await restore(yesterday, copyOf(host), { discard: 1 })).toMatch(/leave out --discard/);
});

test("a log set back to yesterday's gets today's entries from the copy; the halt mark goes aside with it", async () => {
  const host = await filledState();
  const yesterday = join(freshDirectory(), "state");
  cpSync(host, yesterday, { recursive: true });
  await signMore(host, 3);
  const copy = copyOf(host);
  halt(yesterday, "the log was rolled back", at(HOUR));
  const done = await restore(yesterday, copy);
  expect(done).toMatchObject({ kind: "restored", replaced: { kind: "sound", size: 7 }, discarded: 0 });
  expect(linesOf(yesterday).slice(0, 10)).toEqual(linesOf(host));
  expect(entriesOf(yesterday).at(-1)).toMatchObject({ kind: "restored", size: 10, replaced: 7 });
  const aside = typeof done === "string" ? "" : done.aside;
  expect(readFileSync(join(aside, "halted"), "utf8")).toContain("rolled back");
  expect(linesOf(aside)).toHaveLength(7);
  await sign(reopen(yesterday), at(2 * DAY));
  expect(verdict(yesterday)).toBe("sound");
});

test("a log that parted from the copy is replaced where its own entries since are given up", async () => {
  const host = await filledState();
  const other = join(freshDirectory(), "state");
  cpSync(host, other, { recursive: true });
  await signMore(host, 1);
  await signMore(other, 4, at(HOUR));
  const copy = copyOf(host);
  expect(await restore(other, copy)).toMatch(
    /lacks 4 entries that the log has, .* --discard-unacknowledged 4/,
  );
  await restore(other, copy, { discard: 4 });
  expect(linesOf(other).slice(0, 8)).toEqual(linesOf(host));
});

test.each([
  ["an entry changed", "UPDATE entries SET line = replace(line, 'monthly', 'montbly')"],
  ["a tree changed", "UPDATE nodes SET hash = zeroblob(32) WHERE position = 3"],
  ["its end removed", "DELETE FROM entries WHERE seq > 4"],
  ["a table of its own", "CREATE TABLE extra (a)"],
  ["no entries", "DELETE FROM entries; DELETE FROM nodes"],
])("a broken log, with %s, is replaced without asking for more", async (_what, sql) => {
  const host = await filledState();
  const copy = copyOf(host);
  const lines = linesOf(host);
  tamper(host, sql);
  expect(await restore(host, copy)).toMatchObject({ replaced: { kind: "broken" }, discarded: 0 });
  expect(verdict(host)).toBe("sound");
  expect(linesOf(host).slice(0, 7)).toEqual(lines);
});

test("a broken log that is longer than the copy is replaced only where its last entries are given up", async () => {
  const host = await filledState();
  const copy = copyOf(host);
  await signMore(host, 2);
  tamper(host, "UPDATE entries SET line = replace(line, 'monthly', 'montbly')");
  expect(await restore(host, copy)).toMatch(/lacks 2 entries/);
  expect(await restore(host, copy, { discard: 2 })).toMatchObject({ discarded: 2 });
});

test.each([
  ["is no database", "what is left of the log"],
  ["is empty", ""],
])("a file in the log's place that %s goes aside", async (_what, bytes) => {
  const old = await filledState();
  const host = newHost(old);
  writeFileSync(join(host, "log.db"), bytes);
  const done = await restore(host, copyOf(old));
  expect(done).toMatchObject({ kind: "restored", replaced: { kind: "unreadable" } });
  expect(readFileSync(join(typeof done === "string" ? "" : done.aside, "log.db"), "utf8")).toBe(bytes);
  expect(verdict(host)).toBe("sound");
});

test("what is in the WAL of the replaced log goes aside with it, and never into the new one", async () => {
  const host = await filledState();
  const copy = copyOf(host);
  const open = Ledger.open(host);
  for (let i = 0; i < 3; i++) await sign(open, at(HOUR));
  const done = await restore(host, copy, { discard: 3 });
  const aside = typeof done === "string" ? "" : done.aside;
  expect(existsSync(join(aside, "log.db-wal"))).toBe(true);
  expect(await faultCode(() => sign(open, at(2 * DAY)))).toMatch(/^log-(not-durable|broken)$/);
  open.close();
  expect(linesOf(aside)).toHaveLength(10);
  expect(linesOf(host)).toHaveLength(8);
  expect(verdict(host)).toBe("sound");
});

test("nothing is restored beneath a transaction that is under way", async () => {
  const host = await filledState();
  const copy = copyOf(host);
  await signMore(host, 1);
  const raw = new DatabaseSync(join(host, "log.db"));
  raw.exec("BEGIN IMMEDIATE");
  const options = { discard: 1, busyTimeoutMs: 50 };
  expect(await faultCode(() => restore(host, copy, options))).toBe("busy");
  raw.close();
  expect(await restore(host, copy, options)).toMatchObject({ kind: "restored" });
});

test("one restore at a time; a lock that its process did not live to give back holds nobody up", async () => {
  const old = await filledState();
  const copy = copyOf(old);
  const host = newHost(old);
  const raw = new DatabaseSync(join(host, "restore.lock"));
  raw.exec("BEGIN EXCLUSIVE");
  expect(await faultCode(() => restore(host, copy))).toBe("busy");
  raw.close();
  expect(await restore(host, copy)).toMatchObject({ kind: "restored" });
});

test("a clock behind the log holds up no restore, and the log's times still never run backwards", async () => {
  const old = await filledState();
  const host = newHost(old);
  await restore(host, copyOf(old), { now: at(-DAY) });
  expect(entriesOf(host).at(-1)?.time).toBe(entriesOf(old).at(-1)?.time);
  expect(verdict(host)).toBe("sound");
  expect(await faultCode(() => sign(reopen(host), at(-DAY)))).toBe("clock-behind");
});

test("another origin than the copy's is refused", async () => {
  const old = await filledState();
  const host = newHost(old);
  const copy = copyOf(old);
  const openCopy = () => openCopyDirectory(copy, []);
  expect(
    await faultCode(() =>
      restoreLog({ directory: host, origin: "other.example.org/x", openCopy, now: at(DAY) }),
    ),
  ).toBe("log-broken");
});

test("how far syslog collectors are is kept, no further than the restored end", async () => {
  const host = await filledState();
  const copy = copyOf(host);
  await signMore(host, 2);
  tamper(host, "INSERT INTO forwarded VALUES ('near', 5), ('far', 9)");
  await restore(host, copy, { discard: 2 });
  const reader = LogReader.open(host);
  expect(
    reader.database.all("SELECT collector, size FROM forwarded ORDER BY size").map((row) => ({ ...row })),
  ).toEqual([
    { collector: "near", size: 5 },
    { collector: "far", size: 7 },
  ]);
  reader.close();
});

test("a restored entry is in its place where it names the log before it, and nowhere else", async () => {
  const { ledger, directory } = freshLedger();
  const fields = {
    kind: "restored",
    witness: "log.example.org/repo",
    cosigned: at(0).toISOString(),
    size: 1,
    root: Buffer.from(rootOf(directory, 1)).toString("base64"),
  } as const;
  await ledger.transact(at(1), (tx) => tx.append(fields));
  expect(verdict(directory)).toBe("sound");
  const broken = "the log was restored from another one than the entries before it";
  await ledger.transact(at(2), (tx) => tx.append(fields));
  expect(verdict(directory)).toBe(`2: ${broken}`);
  const { ledger: third, directory: wrongSize } = freshLedger();
  const root = Buffer.from(rootOf(wrongSize, 1)).toString("base64");
  await third.transact(at(1), (tx) => tx.append({ ...fields, root, size: 2 }));
  expect(verdict(wrongSize)).toBe(`1: ${broken}`);
  const { ledger: other, directory: second } = freshLedger();
  await other.transact(at(1), (tx) => tx.append({ ...fields, root: Buffer.alloc(32).toString("base64") }));
  expect(verdict(second)).toBe(`1: ${broken}`);
});

test("what root restores belongs to the account whose state directory it is", async (context) => {
  if (process.geteuid?.() !== 0) return context.skip("only root may give files away");
  const host = await filledState();
  const yesterday = join(freshDirectory(), "state");
  cpSync(host, yesterday, { recursive: true });
  await signMore(host, 1);
  for (const path of ["", "log.db", "log.key"]) chownSync(join(yesterday, path), 1234, 1234);
  halt(yesterday, "the log was rolled back", at(HOUR));
  expect(statSync(join(yesterday, "halted")).uid).toBe(1234);
  await restore(yesterday, copyOf(host));
  const all = readdirSync(yesterday, { recursive: true, encoding: "utf8" });
  const others = all.filter(
    (path) => !/-(wal|shm)$/.test(path) && statSync(join(yesterday, path)).uid !== 1234,
  );
  expect(others).toEqual([]);
});

test("nothing is left of a restore but the log, its key, the lock and what went aside", async () => {
  const old = await filledState();
  const host = newHost(old);
  await restore(host, copyOf(old));
  expect(readdirSync(host).map((name) => name.replace(/replaced-.*/, "replaced"))).toEqual(
    expect.arrayContaining(["log.db", "log.key", "replaced", "restore.lock"]),
  );
  expect(readdirSync(host)).toHaveLength(4);
  rmSync(join(host, "restore.lock"));
  expect(Ledger.open(host, { origin: ORIGIN }).close()).toBeUndefined();
});
