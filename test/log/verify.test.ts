import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Fingerprint } from "../../src/keys/signing-key.ts";
import { type Checkpoint, openCheckpoint, signCheckpoint } from "../../src/log/checkpoint.ts";
import { configuredFields } from "../../src/log/configured.ts";
import { GrowingTree } from "../../src/log/growing-tree.ts";
import { Ledger } from "../../src/log/ledger.ts";
import {
  type EntryFields,
  encodeLogEntry,
  type LogEntry,
  type SignedEntry,
} from "../../src/log/log-entry.ts";
import { readLogKey } from "../../src/log/log-key.ts";
import { LogReader } from "../../src/log/log-reader.ts";
import { packageList } from "../../src/log/package-list.ts";
import { verifyLog } from "../../src/log/verify.ts";
import { isPacketProblem } from "../../src/openpgp/packet-problem.ts";
import { encodeSignature, parseSignature, type SignatureClaims } from "../../src/openpgp/signature.ts";
import {
  at,
  DAY,
  entriesOf,
  faultCode,
  freshDirectory,
  freshLedger,
  HOUR,
  ORIGIN,
  refused,
  reopen,
  START,
  sign,
  tamper,
  verdict,
} from "./fixture.ts";

const packages = (version: string) => packageList([{ name: "acl", version, sha256: "a".repeat(64) }]);

function reissue(entry: SignedEntry, changes: object = {}): EntryFields {
  const { client, rule, type, name, size, sha256, sha512, key, signature } = entry;
  return {
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
    ...changes,
  };
}

let original = "";
beforeAll(async () => {
  original = mkdtempSync(join(tmpdir(), "signer-log-test-"));
  await fill(original);
});
afterAll(() => rmSync(original, { recursive: true, force: true }));

/** A copy of a log with an entry of each kind and something in each table; each has the same key. */
async function fullLog(): Promise<{ ledger: Ledger; directory: string }> {
  const directory = join(freshDirectory(), "state");
  cpSync(original, directory, { recursive: true });
  return { ledger: reopen(directory), directory };
}

async function fill(directory: string): Promise<void> {
  const ledger = Ledger.create(directory, { origin: ORIGIN, now: START });
  await ledger.transact(at(1), (tx) => tx.append(configuredFields(["one rule"]))); // 1
  const { entry } = await sign(ledger, at(2), {
    extra: { packages: packages("1"), private: { for: "alice", address: "192.0.2.10" } },
  }); // 2
  await sign(ledger, at(3), { name: null, type: "iso", expiresAfterSeconds: 14 * 86_400 }); // 3
  await ledger.transact(at(4), (tx) => tx.append(reissue(entry as SignedEntry))); // 4
  for (let i = 0; i < 12; i++)
    await ledger.recordRefusal(at(10 + i), refused(), { private: { address: "192.0.2.66" } }); // 5 to 14
  await sign(ledger, at(2 * HOUR), { extra: { packages: packages("2") } }); // 15 refused-summary, 16
  await sign(ledger, at(365 * DAY)); // 17
  await ledger.acceptClock(at(DAY)); // 18
  await sign(ledger, at(DAY), { name: "extra.db.tar.gz", extra: { packages: packages("2") } }); // 19
  for (let i = 0; i < 11; i++) await ledger.recordRefusal(at(DAY + i), refused({ code: "truncated" })); // 20 to 29
  ledger.close();
}

function headOf(ledger: Ledger): Checkpoint {
  const checkpoint = openCheckpoint(ledger.checkpoint(), ledger.verifier);
  if (checkpoint === undefined) throw new Error("the checkpoint does not open");
  return checkpoint;
}

test("a log with something of everything is sound, and verification says what it saw", async () => {
  const { ledger, directory } = await fullLog();
  const reader = LogReader.open(directory);
  const progress: unknown[] = [];
  const result = verifyLog(reader, {
    verifier: ledger.verifier,
    onProgress: (...args) => progress.push(args),
  });
  reader.close();
  const { size, root } = headOf(ledger);
  expect(result).toEqual({
    kind: "sound",
    size,
    root,
    lastTime: at(DAY + 9).toISOString(),
    signatures: 5,
    privateRecords: 11,
    packageLists: 2,
    acknowledgements: [],
  });
  expect(new Set(entriesOf(directory).map(({ kind }) => kind)).size).toBe(7);
});

describe("a change to the file is found:", () => {
  const swap = (from: string, to: string) => `UPDATE entries SET line = replace(line, '${from}', '${to}')`;
  test.each([
    // entries
    ["a word in an entry", swap("one rule", "two rule"), "1: the entry is not the one in the tree"],
    [
      "a digit in a size",
      "UPDATE entries SET line = replace(line, '\"size\":16', '\"size\":17') WHERE seq = 2",
      "2: the entry is not the one in the tree",
    ],
    [
      "a digest",
      "UPDATE entries SET line = json_set(line, '$.sha256', substr(hex(zeroblob(32)), 1)) WHERE seq = 2",
      "2: the entry is not the one in the tree",
    ],
    [
      "white space in an entry",
      "UPDATE entries SET line = replace(line, ',', ', ') WHERE seq = 1",
      "1: the line is no well-formed entry",
    ],
    [
      "an unknown member",
      `${swap('"kind":"configured"', '"foo":1,"kind":"configured"')}`,
      "1: the line is no well-formed entry",
    ],
    [
      "two entries changed places",
      "UPDATE entries SET line = (SELECT line FROM entries e WHERE e.seq = 21 - entries.seq) WHERE seq IN (10, 11)",
      "10: the line says that it is entry 11",
    ],
    [
      "an entry in the middle is gone",
      "DELETE FROM entries WHERE seq = 7",
      "7: the entry is missing; the next one is 8",
    ],
    [
      "the first entry is gone",
      "DELETE FROM entries WHERE seq = 0",
      "0: the entry is missing; the next one is 1",
    ],
    [
      "the last entry is gone",
      "DELETE FROM entries WHERE seq = 29",
      "-: the tree has nodes beyond the log's end",
    ],
    [
      "the last entry and its nodes are gone",
      "DELETE FROM entries WHERE seq = 29; DELETE FROM nodes WHERE position >= 54",
      "-: the log has 29 entries and its newest checkpoint is of 30",
    ],
    ["all entries are gone", "DELETE FROM entries; DELETE FROM nodes", "-: the log has no entries"],
    [
      "an entry is added",
      "INSERT INTO entries SELECT 30, replace(line, '\"seq\":29', '\"seq\":30') FROM entries WHERE seq = 29; INSERT INTO private_records SELECT 30, salt, record FROM private_records WHERE seq = 29",
      "30: the tree lacks a node",
    ],
    [
      "a seq is moved",
      "UPDATE entries SET seq = 40 WHERE seq = 29",
      "29: the entry is missing; the next one is 40",
    ],
    // nodes
    [
      "a leaf of the tree",
      "UPDATE nodes SET hash = zeroblob(32) WHERE position = 0",
      "0: the entry is not the one in the tree",
    ],
    [
      "an interior node",
      "UPDATE nodes SET hash = zeroblob(32) WHERE position = 6",
      "3: the entry is not the one in the tree",
    ],
    [
      "the highest node",
      "UPDATE nodes SET hash = zeroblob(32) WHERE position = 30",
      "15: the entry is not the one in the tree",
    ],
    ["a node is gone", "DELETE FROM nodes WHERE position = 12", "7: the entry is not the one in the tree"],
    [
      "the last node is gone",
      "DELETE FROM nodes WHERE position = (SELECT max(position) FROM nodes)",
      "29: the tree lacks a node",
    ],
    [
      "a node is added",
      "INSERT INTO nodes VALUES (1000, zeroblob(32))",
      "-: the tree has nodes beyond the log's end",
    ],
    [
      "a node is added before all",
      "INSERT INTO nodes VALUES (-1, zeroblob(32))",
      "0: the entry is not the one in the tree",
    ],
    // head
    [
      "the newest checkpoint's size",
      "UPDATE head SET checkpoint = replace(checkpoint, char(10) || '30' || char(10), char(10) || '29' || char(10))",
      "-: the newest checkpoint is not signed by the log's key",
    ],
    ["the newest checkpoint is gone", "DELETE FROM head", "-: the log does not have one newest checkpoint"],
    // private records
    [
      "a private record",
      "UPDATE private_records SET record = replace(record, 'alice', 'carol')",
      "2: the entry's private record was changed",
    ],
    [
      "a salt",
      "UPDATE private_records SET salt = zeroblob(16) WHERE seq = 14",
      "14: the entry's private record was changed",
    ],
    [
      "a private record is gone",
      "DELETE FROM private_records WHERE seq = 14",
      "14: the entry's private record is missing",
    ],
    [
      "a private record too many",
      "INSERT INTO private_records VALUES (3, zeroblob(16), '{}')",
      "3: the entry has a private record that it does not mention",
    ],
    [
      "a private record of no entry",
      "INSERT INTO private_records VALUES (99, zeroblob(16), '{}')",
      "-: there are private records without an entry",
    ],
    [
      "a private record of another entry",
      "UPDATE private_records SET seq = 99 WHERE seq = 14",
      "14: the entry's private record is missing",
    ],
    // package lists
    [
      "a package list",
      "UPDATE package_lists SET list = replace(list, 'acl', 'bcl') WHERE seq = 16",
      "16: the entry's package list was changed",
    ],
    [
      "a package list's digest",
      "UPDATE package_lists SET sha256 = substr(hex(zeroblob(32)), 1) WHERE seq = 16",
      "16: the entry's package list is missing",
    ],
    [
      "list and digest of packages",
      "UPDATE package_lists SET list = '', sha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' WHERE seq = 16",
      "16: the entry's package list is missing",
    ],
    [
      "a package list's entry",
      "UPDATE package_lists SET seq = 2 WHERE seq = 16",
      "16: the entry's package list is missing",
    ],
    [
      "a package list's client",
      "UPDATE package_lists SET client = 'x' WHERE seq = 16",
      "16: the entry's package list is missing",
    ],
    [
      "a package list's type",
      "UPDATE package_lists SET type = 'files' WHERE seq = 16",
      "16: the entry's package list is missing",
    ],
    [
      "a package list's name",
      "UPDATE package_lists SET name = 'x' WHERE seq = 19",
      "19: the entry's package list is missing",
    ],
    [
      "a package list is gone",
      "DELETE FROM package_lists WHERE seq = 19",
      "19: the entry's package list is missing",
    ],
    [
      "a package list too many",
      "INSERT INTO package_lists VALUES ('x', 'db', '', 3, 'x', '')",
      "-: there are package lists that no entry names",
    ],
    // counters
    ["a counter's code", "UPDATE refusals SET code = 'x'", "-: a counter of refusals"],
    ["a counter's beginning", "UPDATE refusals SET since = 'x'", "-: a counter of refusals"],
    ["a counter's number of entries", "UPDATE refusals SET logged = 9", "-: a counter of refusals"],
    [
      "a counter of no entries",
      "UPDATE refusals SET logged = 0, further = 0, first = NULL, last = NULL",
      "-: a counter of refusals",
    ],
    ["a counter set back to nothing", "UPDATE refusals SET further = 0", "-: a counter of refusals"],
    ["a counter below nothing", "UPDATE refusals SET further = -1", "-: a counter of refusals"],
    [
      "a counter's first time",
      "UPDATE refusals SET first = '2020-01-01T00:00:00.000Z'",
      "-: a counter of refusals",
    ],
    ["a counter's last time", "UPDATE refusals SET last = NULL", "-: a counter of refusals"],
    ["a counter that ends before it begins", "UPDATE refusals SET last = since", "-: a counter of refusals"],
    // the file
    ["a table too many", "CREATE TABLE extra (a)", '-: the database has something of its own: "extra"'],
    [
      "a trigger too many",
      "CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM refusals; END",
      '-: the database has something of its own: "t"',
    ],
    [
      "an index is gone",
      "DROP INDEX signed_by_rule",
      "-: the database's signed_by_rule is missing or was changed",
    ],
    [
      "an index is another",
      "DROP INDEX signed_by_rule; CREATE INDEX signed_by_rule ON entries (rule) WHERE kind = 'refused'",
      "-: the database's signed_by_rule is missing or was changed",
    ],
  ])("%s", async (_what, sql, expected) => {
    const { ledger, directory } = await fullLog();
    const verifier = ledger.verifier;
    ledger.close();
    tamper(directory, sql);
    expect(verdict(directory, { verifier }).slice(0, expected.length)).toBe(expected);
  });

  test("a trigger is gone", async () => {
    const { ledger, directory } = await fullLog();
    ledger.close();
    const raw = new DatabaseSync(join(directory, "log.db"));
    raw.exec("DROP TRIGGER entries_update");
    raw.close();
    expect(verdict(directory)).toBe("-: the database's entries_update is missing or was changed");
  });

  test("an index that looks right lacks an entry, so that a limit would not count it", async () => {
    const { ledger, directory } = await fullLog();
    ledger.close();
    const raw = new DatabaseSync(join(directory, "log.db"), { defensive: false });
    const sql = String(
      raw.prepare("SELECT sql FROM sqlite_schema WHERE name = 'signed_by_rule'").get()?.["sql"],
    );
    raw.exec(
      "DROP INDEX signed_by_rule; CREATE INDEX signed_by_rule ON entries (rule) WHERE kind = 'signed' AND seq <> 2",
    );
    raw.exec("PRAGMA writable_schema = ON");
    raw.prepare("UPDATE sqlite_schema SET sql = ? WHERE name = 'signed_by_rule'").run(sql);
    raw.close();
    expect(verdict(directory)).toMatch(/^-: sqlite finds the database damaged: ".*signed_by_rule/);
  });

  test("any page of the file is overwritten", async () => {
    const { ledger, directory } = await fullLog();
    ledger.close();
    const whole = readFileSync(join(directory, "log.db"));
    expect(whole.length / 4096).toBeGreaterThan(15);
    for (let page = 0; page < whole.length / 4096; page++) {
      writeFileSync(
        join(directory, "log.db"),
        Buffer.from(whole).fill(0x5a, page * 4096, page * 4096 + 2048),
      );
      const found = await faultCode(() => expect(verdict(directory), `page ${page}`).not.toBe("sound"));
      expect(["no fault", "log-broken"], `page ${page}`).toContain(found);
    }
  });

  test("the whole log is another one, well made and signed by another key", async () => {
    const { ledger } = await fullLog();
    const other = { directory: join(freshDirectory(), "state") };
    await fill(other.directory);
    expect(verdict(other.directory)).toBe("sound");
    expect(verdict(other.directory, { verifier: ledger.verifier })).toBe(
      "0: the log began with another origin or key",
    );
  });
});

describe("a checkpoint kept elsewhere", () => {
  test("is continued by the log that it was made of, at every size", async () => {
    const { ledger, directory } = freshLedger();
    const kept: Checkpoint[] = [headOf(ledger)];
    for (let i = 1; i < 9; i++) {
      await sign(ledger, at(i));
      kept.push(headOf(ledger));
    }
    for (const checkpoint of kept) expect(verdict(directory, { checkpoint })).toBe("sound");
  });

  test("shows that the log's end was removed, also where all that is left agrees", async () => {
    const { ledger, directory } = await fullLog();
    const yesterday = join(freshDirectory(), "state");
    cpSync(directory, yesterday, { recursive: true });
    await sign(ledger, at(2 * DAY));
    const checkpoint = headOf(ledger);
    expect(verdict(yesterday)).toBe("sound");
    expect(verdict(yesterday, { checkpoint })).toBe(
      "-: the log has 30 entries and the given checkpoint is of 32: its end was removed",
    );
  });

  test("shows that the log went another way since", async () => {
    const { ledger, directory } = await fullLog();
    const fork = join(freshDirectory(), "state");
    cpSync(directory, fork, { recursive: true });
    await sign(ledger, at(2 * DAY));
    const forked = reopen(fork);
    await sign(forked, at(2 * DAY));
    await sign(forked, at(3 * DAY));
    expect(verdict(fork)).toBe("sound");
    expect(verdict(fork, { checkpoint: headOf(ledger) })).toBe(
      "-: the first 32 entries are not the ones that the given checkpoint was made of",
    );
  });
});

/**
 * Replaces entries as somebody could who has the log's key as well: the tree and the checkpoint are made anew, so that only
 * what the entries say of each other is left to contradict. `change` gets each entry and returns what stands in its place.
 */
async function forge(source: string, change: (entry: LogEntry) => LogEntry): Promise<string> {
  const entries = entriesOf(source).map(change);
  const directory = join(freshDirectory(), "state");
  cpSync(source, directory, { recursive: true });
  const signer = readLogKey(directory, ORIGIN);
  const tree = new GrowingTree();
  const nodes: Uint8Array[] = [];
  for (const entry of entries) nodes.push(...tree.append(Buffer.from(encodeLogEntry(entry))));
  const quote = (text: string) => `'${text.replaceAll("'", "''")}'`;
  tamper(
    directory,
    [
      ...entries.map(
        (entry) => `UPDATE entries SET line = ${quote(encodeLogEntry(entry))} WHERE seq = ${entry.seq}`,
      ),
      ...nodes.map(
        (node, i) => `UPDATE nodes SET hash = x'${Buffer.from(node).toString("hex")}' WHERE position = ${i}`,
      ),
      `UPDATE head SET checkpoint = ${quote(signCheckpoint({ size: tree.size, root: tree.root() }, signer))}`,
    ].join(";"),
  );
  return directory;
}

describe("even with the log's key, entries that contradict each other are found:", () => {
  const KEY2 = "F".repeat(40);
  const resign = (entry: SignedEntry, claims: Partial<SignatureClaims>): SignedEntry => {
    const signature = parseSignature(Buffer.from(entry.signature, "base64"));
    if (isPacketProblem(signature)) throw new Error("the fixture's signature does not parse");
    const packet = encodeSignature({ ...signature, ...claims }, signature.digestPrefix, signature.numbers);
    return { ...entry, signature: Buffer.from(packet).toString("base64") };
  };
  const notation = (entry: SignedEntry, key: string, value: string | undefined): SignedEntry => {
    const signature = parseSignature(Buffer.from(entry.signature, "base64"));
    if (isPacketProblem(signature)) throw new Error("the fixture's signature does not parse");
    const notations = signature.notations.flatMap(([name, old]) => {
      if (!name.startsWith(key)) return [[name, old] as const];
      return value === undefined ? [] : [[name, value] as const];
    });
    return resign(entry, { notations });
  };
  const signed = (change: (entry: SignedEntry) => LogEntry) => (entry: LogEntry) =>
    change(entry as SignedEntry);

  test.each<[string, number, (entry: LogEntry) => LogEntry, string]>([
    [
      "a signature that is none",
      3,
      signed((e) => ({ ...e, signature: "AAAA" })),
      "the entry's signature is not one made here",
    ],
    [
      "a signature by another key",
      3,
      signed((e) => resign(e, { issuerFingerprint: KEY2 as Fingerprint })),
      "the entry's signature names another key",
    ],
    [
      "a key that did not sign",
      3,
      signed((e) => ({ ...e, key: KEY2 })),
      "the entry's signature names another key",
    ],
    [
      "a signature of another second",
      3,
      signed((e) => resign(e, { createdAt: at(1000) })),
      "the entry's signature was made at another time",
    ],
    [
      "a signature that expires later",
      3,
      signed((e) => resign(e, { expiresAfterSeconds: 1 })),
      "the entry's signature expires at another time",
    ],
    [
      "a signature that never expires",
      3,
      signed((e) => resign(e, { expiresAfterSeconds: undefined })),
      "the entry's signature expires at another time",
    ],
    [
      "an entry that never expires",
      3,
      signed(({ expires: _expires, ...e }) => e),
      "the entry's signature expires at another time",
    ],
    [
      "a signature without notations",
      3,
      signed((e) => resign(e, { notations: [] })),
      "the entry's signature does not have the four notations",
    ],
    [
      "a signature of another type",
      3,
      signed((e) => notation(e, "type@", "db")),
      "the entry's signature is for another type or name",
    ],
    [
      "an entry of another type",
      3,
      signed((e) => ({ ...e, type: "db" })),
      "the entry's signature is for another type or name",
    ],
    [
      "a signature of another name",
      19,
      signed((e) => notation(e, "name@", "core.db.tar.gz")),
      "the entry's signature is for another type or name",
    ],
    [
      "a signature without a name",
      19,
      signed((e) => notation(e, "name@", undefined)),
      "the entry's signature is for another type or name",
    ],
    [
      "an entry with a name that the signature lacks",
      3,
      signed((e) => ({ ...e, name: "x.iso" })),
      "the entry's signature is for another type or name",
    ],
    [
      "a signature of another place",
      3,
      signed((e) =>
        notation(notation(e, "index@", "2"), "tree@", `2 ${Buffer.alloc(32).toString("base64")}`),
      ),
      "the entry's signature says that it is entry 2",
    ],
    [
      "a signature made for another log",
      3,
      signed((e) => notation(e, "tree@", `3 ${Buffer.alloc(32).toString("base64")}`)),
      "the entry's signature was made for another log",
    ],
    [
      "a reissue of what is no signature",
      4,
      (e) => ({ ...e, of: 1 }) as LogEntry,
      "the entry reissues entry 1, which is no signature before it",
    ],
    [
      "a reissue of what comes later",
      4,
      (e) => ({ ...e, of: 16 }) as LogEntry,
      "the entry reissues entry 16, which is no signature before it",
    ],
    [
      "a reissue of nothing",
      4,
      (e) => ({ ...e, of: 99 }) as LogEntry,
      "the entry reissues entry 99, which is no signature before it",
    ],
    [
      "a reissue of another signature",
      4,
      (e) => ({ ...e, signature: "AAAA" }) as LogEntry,
      'the entry reissues entry 2 with another "signature"',
    ],
    [
      "a reissue to another client",
      4,
      (e) => ({ ...e, client: "releng" }) as LogEntry,
      'the entry reissues entry 2 with another "client"',
    ],
    [
      "a reissue of another digest",
      4,
      (e) => ({ ...e, sha512: "0".repeat(128) }) as LogEntry,
      'the entry reissues entry 2 with another "sha512"',
    ],
    [
      "a reissue under another name",
      4,
      (e) => ({ ...e, name: "x" }) as LogEntry,
      'the entry reissues entry 2 with another "name"',
    ],
    [
      "a time that runs backwards",
      17,
      (e) => ({ ...e, time: at(HOUR).toISOString() }),
      "the entry's time is before that of the entry before it",
    ],
    [
      "an accepted clock that names another time",
      18,
      (e) => ({ ...e, previous: at(2 * HOUR).toISOString() }) as LogEntry,
      "the entry accepts a clock that was not behind",
    ],
    [
      "an accepted clock that was not behind",
      18,
      (e) => ({ ...e, time: at(365 * DAY).toISOString() }),
      "the entry accepts a clock that was not behind",
    ],
    [
      "a log that starts twice",
      1,
      (e) => ({ seq: 1, time: e.time, kind: "started", origin: ORIGIN, verifier: "x" }),
      "the log starts a second time",
    ],
    [
      "a log that does not start",
      0,
      (e) => ({ seq: 0, time: e.time, ...configuredFields([]) }),
      "the log does not begin with a started entry",
    ],
    [
      "a log that starts with another key",
      0,
      (e) => ({ ...e, verifier: "x" }) as LogEntry,
      "the log began with another origin or key",
    ],
    [
      "a log that starts with another origin",
      0,
      (e) => ({ ...e, origin: "x" }) as LogEntry,
      "the log began with another origin or key",
    ],
    [
      "a commitment to another record",
      2,
      signed((e) => ({ ...e, private: "0".repeat(64) })),
      "the entry's private record was changed",
    ],
    [
      "a commitment that is gone",
      2,
      signed(({ private: _private, ...e }) => e),
      "the entry has a private record that it does not mention",
    ],
  ])("%s", async (_what, seq, change, expected) => {
    const { ledger, directory } = await fullLog();
    const forged = await forge(directory, (entry) => (entry.seq === seq ? change(entry) : entry));
    expect(verdict(forged, { verifier: ledger.verifier }).slice(0, `${seq}: ${expected}`.length)).toBe(
      `${seq}: ${expected}`,
    );
  });
});
