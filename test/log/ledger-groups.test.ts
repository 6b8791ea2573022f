import { existsSync, readdirSync, readFileSync, readlinkSync, renameSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay, setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, onTestFinished, test } from "vitest";
import { openAcknowledgement } from "../../src/log/acknowledgements.ts";
import { cosign } from "../../src/log/cosignature.ts";
import { halt } from "../../src/log/halt.ts";
import { Ledger } from "../../src/log/ledger.ts";
import type { LedgerTransaction } from "../../src/log/ledger-transaction.ts";
import { LedgerWriter, MAX_WORKS_PER_COMMIT } from "../../src/log/ledger-writer.ts";
import { logInode, openLogDatabase } from "../../src/log/log-file.ts";
import { readHead } from "../../src/log/log-head.ts";
import { readLogKey } from "../../src/log/log-key.ts";
import { Fault, isRefusal, type Refusal, refusal } from "../../src/outcome.ts";
import {
  at,
  entriesOf,
  faultCode,
  freshLedger,
  HOUR,
  linesOf,
  ORIGIN,
  refused,
  reopen,
  sign,
  verdict,
} from "./fixture.ts";
import { newWitness } from "./restore/fixture.ts";
import { signatureRecord } from "./signature-record.ts";

/** Refusals past the tenth, before and after the clock was set back by a millisecond. */
const SET_BACK = (["sign", "sign", "clock", "sign"] as const).map((kind, index) => ({
  kind,
  ms: index === 1 ? 1 : 0,
  turns: 0,
  together: false,
}));

const CONFIGURED = { kind: "configured", rules: "a".repeat(64), summary: [] } as const;

/** Commits in the write-ahead log since it was begun: frames that end one (https://www.sqlite.org/fileformat2.html#the_write_ahead_log). */
function commitsOf(directory: string): number {
  const file = join(directory, "log.db-wal");
  if (!existsSync(file)) return 0;
  const wal = readFileSync(file);
  if (wal.length === 0) return 0;
  const frameBytes = 24 + wal.readUInt32BE(8);
  let commits = 0;
  for (let frame = 32; frame < wal.length; frame += frameBytes) {
    const isOfThisLog = wal.compare(wal, 16, 24, frame + 8, frame + 16) === 0;
    if (isOfThisLog && wal.readUInt32BE(frame + 4) > 0) commits++;
  }
  return commits;
}

/** What becomes of calls, in the words of a test. */
async function endsOf(calls: readonly Promise<unknown>[]): Promise<readonly string[]> {
  return (await Promise.allSettled(calls)).map((outcome) => {
    if (outcome.status === "fulfilled") return isRefusal(outcome.value) ? outcome.value.code : "done";
    return outcome.reason instanceof Fault ? outcome.reason.code : String(outcome.reason);
  });
}

function signWithin(limit: number, ledger: Ledger, ms: number) {
  return ledger.sign(at(ms), async (tx) => {
    await turn();
    const isFull = tx.latestTimes("repos-db", limit).length >= limit;
    return isFull ? refusal("over-limit", "enough") : signatureRecord(tx);
  });
}

describe("callers of one ledger at once", () => {
  test("a hundred on a limit of ten: exactly ten sign", async () => {
    const { ledger, directory } = freshLedger();
    const ends = await endsOf(Array.from({ length: 100 }, (_, i) => signWithin(10, ledger, i)));
    expect(ends).toEqual([...Array(10).fill("done"), ...Array(90).fill("over-limit")]);
    expect(entriesOf(directory)).toHaveLength(11);
    expect(verdict(directory)).toBe("sound");
  });

  test("run one after another, in the order of their calls", async () => {
    const { ledger } = freshLedger();
    const seen: string[] = [];
    const turns = [5, 0, 3, 1];
    const calls = turns.map((count, i) =>
      ledger.transact(at(1), async () => {
        seen.push(`begin ${i}`);
        for (let t = 0; t < count; t++) await turn();
        seen.push(`end ${i}`);
      }),
    );
    calls.push(ledger.recordForwarded("siem", 1).then(() => void seen.push("noted")));
    await Promise.all(calls);
    expect(seen).toEqual([...turns.flatMap((_, i) => [`begin ${i}`, `end ${i}`]), "noted"]);
  });

  test("find what those before them left, and nothing of those who failed, as if each had been alone", async () => {
    const step = fc.record({
      kind: fc.constantFrom(
        "sign",
        "refuse",
        "refusal",
        "fail-early",
        "fail-late",
        "clock",
        "malformed",
        "forward",
      ),
      ms: fc.oneof(
        fc.nat(1000),
        fc.integer({ min: -2 * HOUR, max: 3 * HOUR }),
        fc.nat(3).map((hours) => hours * HOUR),
      ),
      turns: fc.nat(2),
      /** Whether it is called together with the one before. */
      together: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 24 }), async (steps) => {
        const [grouped, alone] = [freshLedger(), freshLedger()];
        const said = { grouped: [] as string[], alone: [] as string[] };
        for (const each of steps) said.alone.push(...(await endsOf([take(alone.ledger, each)])));
        let calls: Promise<unknown>[] = [];
        for (const each of steps) {
          if (!each.together) {
            said.grouped.push(...(await endsOf(calls)));
            calls = [];
          }
          calls.push(take(grouped.ledger, each));
        }
        said.grouped.push(...(await endsOf(calls)));
        expect(said.grouped).toEqual(said.alone);
        expect(contentOf(grouped.directory)).toEqual(contentOf(alone.directory));
        expect(grouped.ledger.forwardedSize("siem")).toBe(alone.ledger.forwardedSize("siem"));
        expect(verdict(grouped.directory)).toBe("sound");
        for (const { ledger } of [grouped, alone]) ledger.close();
      }),
      { numRuns: 40, examples: [[SET_BACK]] },
    );
  });

  interface Step {
    readonly kind: string;
    readonly ms: number;
    readonly turns: number;
  }

  async function take(ledger: Ledger, { kind, ms, turns }: Step): Promise<unknown> {
    if (kind === "refuse") return await ledger.recordRefusal(at(ms), refused());
    if (kind === "clock") return await ledger.acceptClock(at(ms));
    if (kind === "forward") return await ledger.recordForwarded("siem", 1);
    return await ledger.sign(at(ms), async (tx) => {
      if (kind === "fail-early") throw new Error("no key");
      const before = tx.latestTimes("repos-db", 3).length;
      tx.append({ ...CONFIGURED, summary: [`size ${tx.size}, signed ${before}`] });
      for (let i = 0; i < 6; i++) tx.refuse(refused({ code: "truncated" }));
      for (let t = 0; t < turns; t++) await turn();
      if (kind === "fail-late") throw new Error("no signature");
      if (kind === "malformed") tx.append({ ...CONFIGURED, rules: "not hex" });
      return kind === "refusal" ? refusal("over-limit", "enough") : signatureRecord(tx, { content: "same" });
    });
  }

  function contentOf(directory: string) {
    return entriesOf(directory)
      .slice(1)
      .map((entry) => ("signature" in entry ? { ...entry, signature: "" } : entry));
  }
});

describe("works that share a transaction", () => {
  test("are one commit, of 64 at most", async () => {
    const { ledger, directory } = freshLedger();
    await sign(ledger, at(0));
    const before = commitsOf(directory);
    await Promise.all(Array.from({ length: 2 * MAX_WORKS_PER_COMMIT + 1 }, (_, i) => sign(ledger, at(i))));
    expect(commitsOf(directory) - before).toBe(3);
    await sign(ledger, at(HOUR));
    expect(commitsOf(directory) - before).toBe(4);
    expect(verdict(directory)).toBe("sound");
  });

  test("are those that wait at the same time, whatever they write", async () => {
    const { ledger, directory } = freshLedger();
    await ledger.recordRefusal(at(0), refused());
    const before = commitsOf(directory);
    const calls = [
      sign(ledger, at(1)),
      ledger.recordRefusal(at(2), refused()),
      ledger.recordForwarded("siem", 2),
      ledger.acceptClock(at(-1)),
      ledger.transact(at(3), (tx) => tx.append(CONFIGURED)),
    ];
    await Promise.all(calls);
    expect(commitsOf(directory) - before).toBe(1);
    expect(entriesOf(directory).map(({ kind }) => kind)).toEqual([
      "started",
      "refused",
      "signed",
      "refused",
      "clock-accepted",
      "configured",
    ]);
    expect(ledger.forwardedSize("siem")).toBe(2);
    expect(verdict(directory)).toBe("sound");
  });

  test("are those as well who came on other connections while a commit held up the process", async () => {
    const { ledger, directory } = freshLedger();
    await sign(ledger, at(0));
    const before = commitsOf(directory);
    await Promise.all(Array.from({ length: 8 }, () => turn().then(() => sign(ledger, at(1)))));
    expect(commitsOf(directory) - before).toBe(1);
  });

  test("write nothing where they append nothing", async () => {
    const { ledger, directory } = freshLedger();
    await sign(ledger, at(0));
    const before = commitsOf(directory);
    await Promise.all([1, 2].map((ms) => ledger.transact(at(ms), (tx) => tx.newest())));
    await ledger.transact(at(3), () => undefined);
    expect(commitsOf(directory)).toBe(before);
  });

  test("take in nobody who comes while they run: under a steady stream they would never be committed", async () => {
    const { ledger } = freshLedger();
    const seen: string[] = [];
    let second: Promise<unknown> | undefined;
    await ledger.transact(at(1), async () => {
      second = ledger.transact(at(2), () => void seen.push("second"));
      await turn();
    });
    seen.push("first is committed");
    await second;
    expect(seen).toEqual(["first is committed", "second"]);
  });

  test("do not suffer from one of them that fails, which leaves no trace", async () => {
    const { ledger, directory } = freshLedger();
    for (let i = 0; i < 9; i++) await ledger.recordRefusal(at(0), refused());
    const reason = new Error("the key is gone");
    const failing = ledger.sign(at(HOUR - 1), async (tx) => {
      tx.append(CONFIGURED);
      tx.append(signatureRecord(tx).fields);
      tx.refuse(refused());
      await turn();
      throw reason;
    });
    const neighbours = [
      signWithin(2, ledger, 1),
      failing,
      signWithin(2, ledger, 2),
      signWithin(2, ledger, 3),
    ];
    expect(await endsOf(neighbours)).toEqual(["done", String(reason), "done", "over-limit"]);
    expect(
      entriesOf(directory)
        .slice(10)
        .map(({ seq, kind, time }) => [seq, kind, time]),
    ).toEqual([
      [10, "signed", at(1).toISOString()],
      [11, "signed", at(2).toISOString()],
    ]);
    expect(await ledger.recordRefusal(at(4), refused())).toMatchObject({ seq: 12 });
    expect(await ledger.recordRefusal(at(5), refused())).toBeUndefined();
    expect(verdict(directory)).toBe("sound");
  });

  test("commit what those of them appended that refuse", async () => {
    const { ledger, directory } = freshLedger();
    const refusing = ledger.sign(at(1), async (tx): Promise<Refusal> => {
      tx.append(CONFIGURED);
      return refusal("over-limit", "enough");
    });
    expect(await endsOf([refusing, sign(ledger, at(2))])).toEqual(["over-limit", "done"]);
    expect(entriesOf(directory).map(({ kind }) => kind)).toEqual(["started", "configured", "signed"]);
  });

  test("each count from their own time and the last entry's", async () => {
    const { ledger, directory } = freshLedger();
    const calls = [2 * HOUR, 2 * HOUR - 1000, HOUR, 3 * HOUR].map((ms) => sign(ledger, at(ms)));
    expect(await endsOf(calls)).toEqual(["done", "done", "clock-behind", "done"]);
    expect(
      entriesOf(directory)
        .slice(1)
        .map(({ time }) => time),
    ).toEqual([2 * HOUR, 2 * HOUR, 3 * HOUR].map((ms) => at(ms).toISOString()));
  });

  test("resolve when they are committed, and not before", async () => {
    const { ledger, directory } = freshLedger();
    const before = ledger.checkpoint();
    const settled: string[] = [];
    const log = (what: string) => () => void settled.push(`${what} ${entriesOf(directory).length}`);
    const calls = [
      sign(ledger, at(1)).then(log("signed")),
      ledger.recordForwarded("siem", 1).then(log("noted")),
      ledger.transact(at(1), () => Promise.reject(new Error("fails"))).catch(log("failed")),
      ledger.transact(at(2), async (tx) => {
        tx.append(CONFIGURED);
        for (let i = 0; i < 5; i++) await turn();
        expect(settled).toEqual([]);
        expect(entriesOf(directory)).toHaveLength(1);
        expect(ledger.checkpoint()).toBe(before);
      }),
    ];
    await Promise.all(calls);
    expect(settled.toSorted()).toEqual(["failed 3", "noted 3", "signed 3"]);
  });

  test("all fail where their commit does, with all that wait, and no signature escapes", async () => {
    const { ledger, directory } = freshLedger();
    const lines = linesOf(directory);
    const signatures: unknown[] = [];
    const signing = (ms: number) => sign(ledger, at(ms)).then((receipt) => void signatures.push(receipt));
    const calls = [
      signing(1),
      ledger.recordForwarded("siem", 1),
      ledger.transact(at(1), () => Promise.reject(new Error("fails by itself"))),
      ledger.transact(at(2), () => renameSync(join(directory, "log.db"), join(directory, "elsewhere"))),
      ...Array.from({ length: MAX_WORKS_PER_COMMIT }, (_, i) => signing(3 + i)),
    ];
    // Before those who wait have their turn.
    calls[0]?.catch(() => renameSync(join(directory, "elsewhere"), join(directory, "log.db")));
    expect(new Set(await endsOf(calls))).toEqual(new Set(["log-not-durable"]));
    expect(signatures).toEqual([]);
    expect(await faultCode(() => sign(ledger, at(9)))).toBe("log-not-durable");
    expect(linesOf(directory)).toEqual(lines);
    expect(verdict(directory)).toBe("sound");
  });

  test("are all busy where another process holds the log, and the ledger is as good as before", async () => {
    const { ledger, directory } = freshLedger();
    const patient = reopen(directory, 20);
    await ledger.transact(at(1), async () => {
      const calls = [sign(patient, at(1)), patient.recordForwarded("siem", 1), sign(patient, at(2))];
      expect(await endsOf(calls)).toEqual(["busy", "busy", "busy"]);
    });
    expect(await endsOf([sign(patient, at(3)), sign(patient, at(4))])).toEqual(["done", "done"]);
  });

  test("wait for the lock of another process without holding up the rest of their own, where they have patience", async () => {
    const { ledger: another, directory } = freshLedger();
    const ledger = Ledger.open(directory, { origin: ORIGIN, busyTimeoutMs: 1, patienceMs: 60_000 });
    onTestFinished(() => ledger.close());
    const lock = Promise.withResolvers<void>();
    const locked = Promise.withResolvers<void>();
    const holding = another.sign(at(1), async (tx) => {
      locked.resolve();
      await lock.promise;
      return signatureRecord(tx);
    });
    await locked.promise;
    const waiting = [sign(ledger, at(2)), sign(ledger, at(3))];
    expect(await Promise.race([...waiting, delay(200, "the process goes on")])).toBe("the process goes on");
    lock.resolve();
    await holding;
    await Promise.all(waiting);
    expect(entriesOf(directory)).toHaveLength(4);
    expect(verdict(directory)).toBe("sound");
  });

  test("append nothing to a log that was halted meanwhile; what witnesses say is kept", async () => {
    const { ledger, directory } = freshLedger();
    const witness = newWitness();
    const acknowledgement = openAcknowledgement(
      cosign(ledger.checkpoint(), witness, at(1)),
      ledger.verifier,
      witness.key,
    );
    if (acknowledgement === undefined) throw new Error("the witness cosigned it");
    halt(directory, "another history was seen", at(1));
    const calls = [sign(ledger, at(1)), ledger.acknowledge(acknowledgement), sign(ledger, at(2))];
    expect(await endsOf(calls)).toEqual(["log-broken", "done", "log-broken"]);
    expect(await endsOf([ledger.recordForwarded("siem", 1)])).toEqual(["done"]);
    expect(ledger.acknowledgements()).toEqual([acknowledgement]);
    expect(entriesOf(directory)).toHaveLength(1);
  });

  test("are none of them committed where the database gave the transaction up", async () => {
    const { ledger, directory } = freshLedger();
    ledger.close();
    const lines = linesOf(directory);
    for (const swallows of [true, false]) {
      for (const neighbours of [0, 1]) {
        const database = openLogDatabase(directory);
        const writer = new LedgerWriter(database, {
          directory,
          inode: logInode(directory),
          signer: readLogKey(directory, ORIGIN),
          head: readHead(database),
          patienceMs: 0,
        });
        const append = () =>
          writer.transact(
            () => at(1),
            ({ transaction }) => transaction.append(CONFIGURED),
          );
        const fail = () =>
          writer.transact(
            () => at(1),
            () => {
              database.exec("ROLLBACK"); // as SQLite does by itself when the disk is full
              if (!swallows) throw new Fault("log-not-durable", "the disk is full");
            },
          );
        const before = Array.from({ length: neighbours }, append);
        const failing = fail();
        const calls = [...before, failing, ...Array.from({ length: neighbours }, append)];
        expect(new Set(await endsOf(calls))).toEqual(new Set(["log-not-durable"]));
        writer.close();
        expect(linesOf(directory)).toEqual(lines);
        expect(verdict(directory)).toBe("sound");
      }
    }
  });

  test("cannot be written to by one that is over", async () => {
    const { ledger, directory } = freshLedger();
    let kept: LedgerTransaction | undefined;
    const calls = [
      ledger.transact(at(1), (tx) => {
        kept = tx;
      }),
      ledger.transact(at(1), () => {
        for (let i = 0; i < 20; i++) expect(() => kept?.refuse(refused())).toThrow("is over");
        expect(() => kept?.append(CONFIGURED)).toThrow("is over");
      }),
    ];
    await Promise.all(calls);
    expect(await ledger.recordRefusal(at(2), refused())).toBeDefined();
    expect(entriesOf(directory)).toHaveLength(2);
  });
});

describe("what is noted beside the log", () => {
  test("waits for the transaction that runs, and does not go with it where that fails", async () => {
    const { ledger } = freshLedger();
    let noted: Promise<void> | undefined;
    const failing = ledger.transact(at(1), async () => {
      noted = ledger.recordForwarded("siem", 7);
      await turn();
      throw new Error("fails");
    });
    expect(await endsOf([failing])).toEqual(["Error: fails"]);
    await noted;
    expect(ledger.forwardedSize("siem")).toBe(7);
  });
});

describe("a question outside of transactions", () => {
  test("is answered from what is committed, while a transaction is open", async () => {
    const { ledger, directory } = freshLedger();
    const { entry } = await sign(ledger, at(1), { content: "first" });
    const what = (content: string) => {
      const { client, name, type, key, sha512 } = signatureRecord({ ...fakeTree }, { content })
        .fields as typeof entry;
      return { client, name, type, key, sha512 } as Parameters<Ledger["queries"]["findSigned"]>[0];
    };
    const { queries } = ledger;
    const answers = () => ({
      newest: queries.newest().seq,
      signed: queries.latestTimes("repos-db", 9).length,
      rules: queries.rulesInForce(),
      first: queries.findSigned(what("first"), at(0))?.seq,
      second: queries.findSigned(what("second"), at(0))?.seq,
      checkpoint: ledger.checkpoint(),
      forwarded: ledger.forwardedSize("siem"),
    });
    const before = answers();
    const note = ledger.recordForwarded("siem", 2);
    await ledger.sign(at(2), async (tx) => {
      tx.append(CONFIGURED);
      tx.append(signatureRecord(tx, { content: "second" }).fields);
      expect(tx.latestTimes("repos-db", 9)).toHaveLength(2);
      expect(answers()).toEqual(before);
      await turn();
      expect(answers()).toEqual(before);
      return refusal("over-limit", "enough");
    });
    await note;
    const after = answers();
    expect(after).toMatchObject({
      newest: 3,
      signed: 2,
      rules: CONFIGURED.rules,
      first: 1,
      second: 3,
      forwarded: 2,
    });
    expect(after.checkpoint).not.toBe(before.checkpoint);
    expect(verdict(directory)).toBe("sound");
  });

  test("costs a connection where a transaction is open, and only then", async () => {
    const { ledger, directory } = freshLedger();
    const connections = () => openFiles().filter((file) => file === join(directory, "log.db")).length;
    ledger.queries.newest();
    await sign(ledger, at(1));
    ledger.queries.newest();
    expect(connections()).toBe(1);
    for (let i = 0; i < 2; i++) {
      await ledger.transact(at(2), () => {
        ledger.queries.newest();
        ledger.checkpoint();
        expect(connections()).toBe(2);
      });
    }
    ledger.close();
    expect(connections()).toBe(0);
  });

  /** Paths of all files that this process has open. */
  function openFiles(): readonly string[] {
    return readdirSync("/proc/self/fd").flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/self/fd/${fd}`)];
      } catch {
        return []; // that of the listing itself
      }
    });
  }

  const fakeTree = { time: at(1), size: 1, root: new Uint8Array(32) } as LedgerTransaction;
});

describe("closing a ledger", () => {
  test("undoes the transaction that runs, whole, and all who wait hear of it at once", async () => {
    const { ledger, directory } = freshLedger();
    const { promise: stuck, resolve: goOn } = Promise.withResolvers<void>();
    const { promise: running, resolve: runs } = Promise.withResolvers<void>();
    const ran: string[] = [];
    let late: unknown;
    const group = [
      sign(ledger, at(1)),
      ledger.transact(at(2), async (tx) => {
        tx.append(CONFIGURED);
        runs();
        await stuck;
        try {
          tx.append(CONFIGURED);
        } catch (error) {
          late = error;
        }
      }),
      ledger.transact(at(3), () => void ran.push("third")),
    ];
    await running;
    const waiting = [sign(ledger, at(4)), ledger.recordForwarded("siem", 1)];
    ledger.close();
    expect(await endsOf([...group, ...waiting])).toEqual(Array(5).fill("no-state"));
    expect(await faultCode(() => ledger.recordForwarded("siem", 1))).toBe("no-state");
    goOn();
    await turn();
    expect(late).toBeDefined();
    expect(ran).toEqual([]);
    expect(entriesOf(directory)).toHaveLength(1);
    expect(verdict(directory)).toBe("sound");
    expect(await faultCode(() => ledger.queries.newest())).toBe("no-state");
  });

  test("before a call had its turn means that it does not run", async () => {
    const { ledger, directory } = freshLedger();
    const call = sign(ledger, at(1));
    ledger.close();
    expect(await endsOf([call])).toEqual(["no-state"]);
    await turn();
    expect(entriesOf(directory)).toHaveLength(1);
  });

  test("leaves no file open, whichever connections it had", async () => {
    const { ledger, directory } = freshLedger();
    await ledger.transact(at(1), () => {
      ledger.queries.newest();
    });
    ledger.close();
    expect(existsSync(join(directory, "log.db-wal"))).toBe(false);
  });
});
