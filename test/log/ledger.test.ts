import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../../src/log/checkpoint.ts";
import { Ledger } from "../../src/log/ledger.ts";
import { isRefusal, refusal } from "../../src/outcome.ts";
import {
  at,
  entriesOf,
  faultCode,
  freshDirectory,
  freshLedger,
  linesOf,
  ORIGIN,
  refused,
  reopen,
  START,
  sign,
  tamper,
  verdict,
} from "./fixture.ts";
import { signatureRecord } from "./signature-record.ts";

function sizeOf(ledger: Ledger): number | undefined {
  return openCheckpoint(ledger.checkpoint(), ledger.verifier)?.size;
}

describe("a new ledger", () => {
  test("begins with an entry of its origin and key, and a checkpoint of size one", () => {
    const { ledger, directory } = freshLedger();
    expect(sizeOf(ledger)).toBe(1);
    expect(linesOf(directory)).toEqual([
      expect.stringMatching(
        /^\{"kind":"started","origin":"signer.example.org\/repo","seq":0,"time":"2026-11-23T12:00:00.000Z","verifier":"signer.example.org\/repo\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+"\}$/,
      ),
    ]);
    expect(verdict(directory)).toBe("sound");
  });

  test("is readable by its owner only", async () => {
    const { ledger, directory } = freshLedger();
    await sign(ledger, at(1));
    expect((statSync(directory).mode & 0o777).toString(8)).toBe("700");
    for (const file of ["log.db", "log.key", "log.db-wal", "log.db-shm"]) {
      expect((statSync(join(directory, file)).mode & 0o777).toString(8), file).toBe("600");
    }
  });

  test("takes a directory that is there, and closes it to others", () => {
    const directory = freshDirectory();
    chmodSync(directory, 0o755);
    Ledger.create(directory, { origin: ORIGIN, now: START }).close();
    expect((statSync(directory).mode & 0o777).toString(8)).toBe("700");
    expect(readdirSync(directory).sort()).toEqual(["log.db", "log.key"]);
  });

  test("is not made where a log is", async () => {
    const { directory } = freshLedger();
    const before = linesOf(directory);
    expect(await faultCode(() => Ledger.create(directory, { origin: ORIGIN, now: START }))).toBe(
      "bad-configuration",
    );
    expect(linesOf(directory)).toEqual(before);
  });

  test("is not made where a log key is and its log is gone", async () => {
    const { ledger, directory } = freshLedger();
    ledger.close();
    rmSync(join(directory, "log.db"));
    expect(await faultCode(() => Ledger.create(directory, { origin: ORIGIN, now: START }))).toBe(
      "log-broken",
    );
    expect(existsSync(join(directory, "log.db"))).toBe(false);
  });

  test("is not made where a log is and its key is gone", async () => {
    const { directory } = freshLedger();
    rmSync(join(directory, "log.key"));
    expect(await faultCode(() => Ledger.create(directory, { origin: ORIGIN, now: START }))).toBe(
      "log-broken",
    );
    expect(existsSync(join(directory, "log.key"))).toBe(false);
  });

  test("is made beside what an interrupted one left behind", () => {
    const directory = freshDirectory();
    mkdirSync(join(directory, "new-abcdef"));
    writeFileSync(join(directory, "new-abcdef", "log.db"), "half a log");
    Ledger.create(directory, { origin: ORIGIN, now: START }).close();
    expect(readdirSync(directory).sort()).toEqual(["log.db", "log.key", "new-abcdef"]);
    expect(verdict(directory)).toBe("sound");
  });

  test("is not made where its directory cannot be", async () => {
    const file = join(freshDirectory(), "file");
    writeFileSync(file, "");
    for (const directory of [file, join(file, "state")]) {
      expect(await faultCode(() => Ledger.create(directory, { origin: ORIGIN, now: START }))).toBe(
        "log-not-durable",
      );
    }
  });

  test("is not made for an origin that cannot name a key: that is a mistake of the program, and leaves nothing", () => {
    const directory = freshDirectory();
    expect(() => Ledger.create(directory, { origin: "two words", now: START })).toThrow(TypeError);
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe("opening", () => {
  test("never makes a log: an empty directory, a missing one, one with a key only", async () => {
    const directory = freshDirectory();
    expect(await faultCode(() => Ledger.open(directory))).toBe("no-state");
    expect(readdirSync(directory)).toEqual([]);
    expect(await faultCode(() => Ledger.open(join(directory, "missing")))).toBe("no-state");
    const made = freshLedger();
    made.ledger.close();
    rmSync(join(made.directory, "log.db"));
    expect(await faultCode(() => Ledger.open(made.directory))).toBe("no-state");
    expect(() => Ledger.open(made.directory)).toThrow("not mounted");
    expect(() => Ledger.open(directory)).toThrow("holds no log: signer init makes one");
    expect(await faultCode(() => Ledger.open(join(made.directory, "log.key", "state")))).toBe("no-state");
    expect(readdirSync(made.directory)).toEqual(["log.key"]);
  });

  test("wants the log key, and the one that the log began with", async () => {
    const { ledger, directory } = freshLedger();
    ledger.close();
    const other = freshLedger();
    renameSync(join(other.directory, "log.key"), join(directory, "log.key"));
    expect(await faultCode(() => Ledger.open(directory))).toBe("log-broken");
    writeFileSync(join(directory, "log.key"), "not a key");
    expect(await faultCode(() => Ledger.open(directory))).toBe("log-broken");
    rmSync(join(directory, "log.key"));
    expect(await faultCode(() => Ledger.open(directory))).toBe("no-state");
  });

  test("refuses a log of another origin", async () => {
    const { directory } = freshLedger();
    expect(await faultCode(() => Ledger.open(directory, { origin: "other.example.org" }))).toBe(
      "bad-configuration",
    );
  });

  test("refuses a file that is no log of this version", async () => {
    const { ledger, directory } = freshLedger();
    ledger.close();
    tamper(directory, "PRAGMA user_version = 1");
    expect(await faultCode(() => Ledger.open(directory))).toBe("log-broken");
    tamper(directory, "PRAGMA user_version = 2; PRAGMA application_id = 7");
    expect(await faultCode(() => Ledger.open(directory))).toBe("log-broken");
    writeFileSync(
      join(directory, "log.db"),
      "this is not a database at all, though it is long enough".repeat(100),
    );
    expect(await faultCode(() => Ledger.open(directory))).toBe("log-broken");
    writeFileSync(join(directory, "log.db"), "");
    expect(await faultCode(() => Ledger.open(directory))).toBe("log-broken");
  });

  test.each([
    [
      "the last entry is changed",
      "UPDATE entries SET line = replace(line, 'core.db', 'evil.db') WHERE seq = 2",
    ],
    ["the last entry is removed", "DELETE FROM entries WHERE seq = 2"],
    [
      "an entry is added",
      `INSERT INTO entries SELECT 3, replace(line, '"seq":2', '"seq":3') FROM entries WHERE seq = 2`,
    ],
    ["the last line is no entry", "UPDATE entries SET line = '{}' WHERE seq = 2"],
    ["all entries are removed", "DELETE FROM entries"],
    [
      "the first entry is changed",
      "UPDATE entries SET line = replace(line, 'example', 'exempel') WHERE seq = 0",
    ],
    ["a node of the right edge is changed", "UPDATE nodes SET hash = zeroblob(32) WHERE position = 2"],
    ["a node of the right edge is missing", "DELETE FROM nodes WHERE position = 2"],
    ["the last leaf is changed", "UPDATE nodes SET hash = zeroblob(32) WHERE position = 3"],
    ["a node is added", "INSERT INTO nodes VALUES (4, zeroblob(32))"],
    ["the last node is removed", "DELETE FROM nodes WHERE position = 3"],
    ["the checkpoint is missing", "DELETE FROM head"],
    ["the checkpoint is garbage", "UPDATE head SET checkpoint = 'garbage'"],
    [
      "the checkpoint's signature is garbage",
      "UPDATE head SET checkpoint = substr(checkpoint, 1, length(checkpoint) - 9) || 'AAAAAAA=' || char(10)",
    ],
    ["a table is missing", "DROP TABLE nodes"],
  ])("finds that %s", async (_what, sql) => {
    const { ledger, directory } = freshLedger();
    await sign(ledger, at(1));
    await sign(ledger, at(2));
    ledger.close();
    tamper(directory, sql.startsWith("DROP") ? "SELECT 1" : sql);
    if (sql.startsWith("DROP")) {
      const raw = new DatabaseSync(join(directory, "log.db"));
      raw.exec(sql);
      raw.close();
    }
    expect(await faultCode(() => Ledger.open(directory))).toBe("log-broken");
  });
});

describe("a transaction", () => {
  test("commits when its work resolves, entries, tree and checkpoint together", async () => {
    const { ledger, directory } = freshLedger();
    const before = ledger.checkpoint();
    const value = await ledger.transact(at(1), (tx) => {
      tx.append({ kind: "configured", rules: "a".repeat(64), summary: [] });
      return tx.append({ kind: "configured", rules: "b".repeat(64), summary: [] }).seq;
    });
    expect(value).toBe(2);
    expect(ledger.checkpoint()).not.toBe(before);
    expect(sizeOf(ledger)).toBe(3);
    expect(verdict(directory)).toBe("sound");
  });

  test("leaves nothing behind when its work rejects, and passes the reason on", async () => {
    const { ledger, directory } = freshLedger();
    const before = [linesOf(directory), ledger.checkpoint()];
    const reason = new Error("the key is gone");
    const work = ledger.transact(at(1), async (tx) => {
      tx.append({ kind: "configured", rules: "a".repeat(64), summary: [] });
      tx.refuse(refused());
      await Promise.resolve();
      throw reason;
    });
    await expect(work).rejects.toBe(reason);
    expect([linesOf(directory), ledger.checkpoint()]).toEqual(before);
    expect((await sign(ledger, at(2))).entry.seq).toBe(1);
    expect(verdict(directory)).toBe("sound");
  });

  test("shows the tree before the next entry, and grows with each", async () => {
    const { ledger } = freshLedger();
    const first = openCheckpoint(ledger.checkpoint(), ledger.verifier);
    await ledger.transact(at(1), (tx) => {
      expect({ size: tx.size, root: Buffer.from(tx.root) }).toEqual({ size: first?.size, root: first?.root });
      tx.append({ kind: "configured", rules: "a".repeat(64), summary: [] });
      expect(tx.size).toBe(2);
      expect(Buffer.from(tx.root)).not.toEqual(first?.root);
    });
    const second = openCheckpoint(ledger.checkpoint(), ledger.verifier);
    await ledger.transact(at(2), (tx) => expect(Buffer.from(tx.root)).toEqual(second?.root));
  });

  test("is over when it is over", async () => {
    const { ledger, directory } = freshLedger();
    const kept = await ledger.transact(at(1), (tx) => tx);
    expect(() => kept.append({ kind: "configured", rules: "a".repeat(64), summary: [] })).toThrow();
    expect(() => kept.refuse(refused())).toThrow();
    expect(entriesOf(directory)).toHaveLength(1);
  });

  test("waits for others no longer than the timeout: busy", async () => {
    const { ledger, directory } = freshLedger();
    const other = reopen(directory, 20);
    await ledger.transact(at(1), async () => {
      expect(await faultCode(() => other.transact(at(1), () => undefined))).toBe("busy");
    });
    await sign(other, at(2));
  });

  test("sees what others committed since", async () => {
    const { ledger, directory } = freshLedger();
    const other = reopen(directory);
    for (let i = 0; i < 4; i++)
      expect((await sign(i % 2 === 0 ? ledger : other, at(i))).entry.seq).toBe(i + 1);
    expect(verdict(directory)).toBe("sound");
  });

  test("does not start on a log that is shorter than a moment ago, sound as it may be", async () => {
    const { ledger, directory } = freshLedger();
    const old = ledger.checkpoint();
    await sign(ledger, at(1));
    tamper(
      directory,
      `DELETE FROM entries WHERE seq = 1; DELETE FROM nodes WHERE position > 0; UPDATE head SET checkpoint = '${old}'`,
    );
    expect(verdict(directory)).toBe("sound");
    expect(await faultCode(() => sign(ledger, at(2)))).toBe("log-broken");
  });

  test("does not start on another log of the same length", async () => {
    const [one, other] = [freshLedger(), freshLedger()];
    await sign(one.ledger, at(1));
    await sign(other.ledger, at(1));
    other.ledger.close();
    tamper(
      one.directory,
      `ATTACH '${join(other.directory, "log.db")}' AS other;
       UPDATE entries SET line = (SELECT line FROM other.entries AS o WHERE o.seq = entries.seq);
       UPDATE nodes SET hash = (SELECT hash FROM other.nodes AS o WHERE o.position = nodes.position);
       UPDATE head SET checkpoint = (SELECT checkpoint FROM other.head)`,
    );
    expect(verdict(one.directory)).toBe("sound");
    expect(await faultCode(() => sign(one.ledger, at(2)))).toBe("log-broken");
  });

  test("whose entry is malformed is a mistake of the program and leaves nothing", async () => {
    const { ledger, directory } = freshLedger();
    const work = ledger.transact(at(1), (tx) =>
      tx.append({ kind: "configured", rules: "not hex", summary: [] }),
    );
    await expect(work).rejects.toThrow(TypeError);
    const long = ledger.transact(at(1), (tx) =>
      tx.append({ kind: "configured", rules: "a".repeat(64), summary: ["x".repeat(16 * 1024)] }),
    );
    await expect(long).rejects.toThrow(TypeError);
    expect(entriesOf(directory)).toHaveLength(1);
  });

  test("cannot commit to a log whose file was removed or replaced meanwhile, and the ledger is unusable from then on", async () => {
    for (const replace of [false, true]) {
      const { ledger, directory } = freshLedger();
      const code = await faultCode(() =>
        ledger.sign(at(1), async (tx) => {
          renameSync(join(directory, "log.db"), join(directory, "elsewhere"));
          if (replace) writeFileSync(join(directory, "log.db"), "");
          return signatureRecord(tx);
        }),
      );
      expect(code).toBe("log-not-durable");
      expect(await faultCode(() => sign(ledger, at(2)))).toBe("log-not-durable");
    }
  });

  test("is refused on a closed ledger", async () => {
    const { ledger } = freshLedger();
    ledger.close();
    ledger.close();
    expect(await faultCode(() => sign(ledger, at(1)))).toBe("no-state");
  });
});

describe("a receipt", () => {
  test("carries the signature of the entry, which is in the log by then", async () => {
    const { ledger, directory } = freshLedger();
    const receipt = await sign(ledger, at(1234));
    expect(receipt.entry).toEqual(entriesOf(directory)[1]);
    expect(Buffer.from(receipt.signature).toString("base64")).toBe(receipt.entry.signature);
    expect(receipt.entry.time).toBe("2026-11-23T12:00:01.234Z");
  });

  test("is not to be had for a refusal, which commits what came before it", async () => {
    const { ledger, directory } = freshLedger();
    const outcome = await ledger.sign(at(1), async (tx) => {
      tx.append({ kind: "configured", rules: "a".repeat(64), summary: ["one rule"] });
      return refusal("over-limit", "600 per day");
    });
    expect(isRefusal(outcome) && outcome.code).toBe("over-limit");
    expect(entriesOf(directory).map(({ kind }) => kind)).toEqual(["started", "configured"]);
  });

  test("is not to be had where signing fails: the place in the log stays free", async () => {
    const { ledger, directory } = freshLedger();
    await expect(ledger.sign(at(1), () => Promise.reject(new Error("no key")))).rejects.toThrow("no key");
    expect((await sign(ledger, at(2))).entry.seq).toBe(1);
    expect(verdict(directory)).toBe("sound");
  });
});
