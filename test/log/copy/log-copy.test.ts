import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { openAcknowledgement } from "../../../src/log/acknowledgements.ts";
import { type Append, LogCopy } from "../../../src/log/copy/log-copy.ts";
import type { Ledger } from "../../../src/log/ledger.ts";
import { encodeLogEntry, type LogEntry } from "../../../src/log/log-entry.ts";
import type { StoredEntry } from "../../../src/log/log-source.ts";
import { packageList } from "../../../src/log/package-list.ts";
import { encodeVerifierKey } from "../../../src/log/signed-note.ts";
import {
  at,
  DAY,
  faultCode,
  freshDirectory,
  HOUR,
  linesOf,
  MINUTE,
  ORIGIN,
  sign,
  tamper,
} from "../fixture.ts";
import {
  appendOf,
  copyVerdict,
  evidenceOf,
  fork,
  freshCopy,
  growLog,
  reopenCopy,
  sampleLog,
  signedAppend,
  WITNESS_NAME,
} from "./fixture.ts";

const NOW = at(DAY);

/** The kind of answer, and how large the head is that it shows. */
function outcome(answer: ReturnType<LogCopy["append"]>): string {
  if ("cosignedAt" in answer) return `cosigned ${answer.checkpoint.size}`;
  return answer.kind === "conflict" ? "conflict" : answer.code;
}

describe("a new copy", () => {
  test("is empty, has a witness key of its own, and nobody else may read it", async () => {
    const { ledger } = await sampleLog(1);
    const { copy, directory } = freshCopy(ledger);
    expect(copy.newest()).toMatchObject({ size: 0, acknowledgement: undefined });
    expect(copy.witness.name).toBe(WITNESS_NAME);
    expect(
      readdirSync(directory)
        .filter((file) => !/-(wal|shm)$/.test(file))
        .sort(),
    ).toEqual(["log.db", "log.pub", "witness.key", "witness.pub"]);
    for (const file of readdirSync(directory)) expect(statSync(join(directory, file)).mode & 0o077).toBe(0);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(readFileSync(join(directory, "log.pub"), "utf8")).toBe(`${encodeVerifierKey(ledger.verifier)}\n`);
  });

  test("is not made where a copy or a log is, and not opened where there is none", async () => {
    const { ledger, directory: state } = await sampleLog(1);
    const { directory } = freshCopy(ledger);
    const options = { verifier: ledger.verifier, witnessName: WITNESS_NAME };
    for (const taken of [directory, state])
      expect(await faultCode(() => LogCopy.create(taken, options))).toBe("bad-configuration");
    expect(await faultCode(() => LogCopy.open(state))).toBe("no-state");
    expect(await faultCode(() => LogCopy.open(join(directory, "missing")))).toBe("no-state");
  });
});

describe("an append", () => {
  test("is stored whole, cosigned, and sound, whatever the steps", async () => {
    const { ledger, directory: original } = await sampleLog(23);
    const { copy, directory } = freshCopy(ledger);
    for (const [from, to] of [
      [0, 1],
      [1, 7],
      [7, 8],
      [8, 23],
    ] as const) {
      expect(outcome(copy.append(appendOf(ledger, from, to), NOW))).toBe(`cosigned ${to}`);
      expect(reopenCopy(directory).newest().size).toBe(to);
    }
    expect(linesOf(directory)).toEqual(linesOf(original));
    expect(copyVerdict(directory)).toBe("sound");
    const { acknowledgement, root } = copy.newest();
    expect(openAcknowledgement(acknowledgement?.note ?? "", ledger.verifier, copy.witness)).toMatchObject({
      checkpoint: { size: 23, root },
      cosignedAt: NOW,
    });
  });

  test("may begin below the end, where it must say what the copy says, and is answered with the newest head", async () => {
    const { ledger } = await sampleLog(12);
    const { copy } = freshCopy(ledger);
    expect(outcome(copy.append(appendOf(ledger, 0, 9), NOW))).toBe("cosigned 9");
    expect(outcome(copy.append(appendOf(ledger, 0, 9), NOW))).toBe("cosigned 9");
    expect(outcome(copy.append(appendOf(ledger, 2, 5), NOW))).toBe("cosigned 9");
    expect(outcome(copy.append(appendOf(ledger, 4, 12), NOW))).toBe("cosigned 12");
    await growLog(ledger, 14);
    expect(outcome(copy.append(appendOf(ledger, 13, 14), NOW))).toBe("bad-request");
    expect(copy.newest().size).toBe(12);
  });
});

test("a package list that was replaced before it could be sent has an empty place, and the copy is sound at each step", async () => {
  const { ledger, directory: original } = await sampleLog(2);
  const { copy, directory } = freshCopy(ledger);
  const signWith = (seq: number, version: string) =>
    sign(ledger, at(2 * HOUR + seq * MINUTE), {
      extra: { packages: packageList([{ name: "acl", version, sha256: undefined }]) },
    });
  await signWith(2, "1-1");
  copy.append(appendOf(ledger, 0, 3), NOW);
  await signWith(3, "2-1");
  await signWith(4, "1-1");
  await sign(ledger, at(3 * HOUR), { name: "extra.db.tar.gz", extra: { packages: packageList([]) } });
  for (const [from, to] of [
    [3, 4],
    [4, 5],
    [5, 6],
  ] as const) {
    expect(outcome(copy.append(appendOf(ledger, from, to), NOW))).toBe(`cosigned ${to}`);
    expect(copyVerdict(directory)).toBe("sound");
  }
  const lists = (folder: string) => {
    const database = new DatabaseSync(join(folder, "log.db"));
    const rows = database.prepare("SELECT * FROM package_lists ORDER BY seq").all();
    database.close();
    return rows;
  };
  expect(lists(directory)).toEqual(lists(original));
  tamper(directory, "UPDATE package_lists SET list = 'acl 3-1 -' || char(10) WHERE seq = 4");
  expect(copyVerdict(directory)).toBe("4: the entry's package list was changed");
});

describe("what contradicts the copy is not stored, and kept as evidence:", () => {
  test("a log that forked, from the entry on that differs", async () => {
    const { ledger, directory: state } = await sampleLog(6);
    const other = fork(state);
    await growLog(ledger, 12);
    await growLog(other, 14, "extra.db.tar.gz");
    const { copy, directory } = freshCopy(ledger);
    copy.append(appendOf(ledger, 0, 12), NOW);
    const own = copy.newest().acknowledgement?.note;
    const sent = appendOf(other, 4, 14);
    expect(copy.append(sent, NOW)).toEqual({
      kind: "conflict",
      reason: "entry 6 is another one in the head of 14 entries that the log signed",
      note: own,
    });
    expect(evidenceOf(directory)).toEqual([
      {
        reason: "entry 6 is another one in the head of 14 entries that the log signed",
        seq: 6,
        time: NOW.toISOString(),
        held: { note: own, line: linesOf(directory)[6] },
        sent: { note: sent.note, line: sent.entries[2]?.line },
      },
    ]);
    expect(copy.newest()).toMatchObject({ size: 12, acknowledgement: { note: own } });
    expect(copyVerdict(directory)).toBe("sound");
  });

  test("a smaller head that is another one, also after a restart", async () => {
    const { ledger, directory: state } = await sampleLog(3);
    const other = fork(state);
    await growLog(ledger, 9);
    await growLog(other, 7, "extra.db.tar.gz");
    const { copy, directory } = freshCopy(ledger);
    copy.append(appendOf(ledger, 0, 9), NOW);
    copy.close();
    const reopened = reopenCopy(directory);
    expect(outcome(reopened.append(appendOf(other, 5, 7), NOW))).toBe("conflict");
    expect(outcome(reopened.append(appendOf(other, 0, 4), NOW))).toBe("conflict");
    expect(evidenceOf(directory).map(({ seq }) => seq)).toEqual(expect.arrayContaining([5, 3]));
    // Even where nothing but the head says so.
    const lie = { ...appendOf(ledger, 0, 3), note: appendOf(other, 0, 3).note };
    expect(outcome(reopened.append(lie, NOW))).toBe("cosigned 9");
    const another = { ...appendOf(ledger, 5, 7), note: appendOf(other, 5, 7).note };
    expect(outcome(reopened.append(another, NOW))).toBe("conflict");
    expect(reopened.newest().size).toBe(9);
  });

  test("a fork further back than what is sent", async () => {
    const { ledger, directory: state } = await sampleLog(3);
    const other = fork(state);
    await growLog(ledger, 6);
    await growLog(other, 9, "extra.db.tar.gz");
    const { copy, directory } = freshCopy(ledger);
    copy.append(appendOf(ledger, 0, 6), NOW);
    expect(copy.append(appendOf(other, 6, 9), NOW)).toMatchObject({
      reason: "the log signed a head of 9 entries that does not continue the 6 that were copied",
    });
    expect(evidenceOf(directory)).toHaveLength(1);
  });

  test.each([
    [
      "a second beginning",
      (verifier: string) => ({ kind: "started", origin: ORIGIN, verifier, time: at(DAY).toISOString() }),
      "the log starts a second time",
    ],
    [
      "a time that runs backwards",
      () => ({ kind: "configured", rules: "0".repeat(64), summary: [], time: at(0).toISOString() }),
      "the entry's time is before that of the entry before it",
    ],
  ] as const)("%s, though the log signed it", async (_, fields, what) => {
    const { ledger, directory: state } = await sampleLog(4);
    const { copy, directory } = freshCopy(ledger);
    copy.append(appendOf(ledger, 0, 4), NOW);
    const line = encodeLogEntry({ seq: 4, ...fields(encodeVerifierKey(ledger.verifier)) } as LogEntry);
    expect(copy.append(signedAppend(state, 4, [line]), NOW)).toMatchObject({
      kind: "conflict",
      reason: `the log signed an entry 4 that contradicts it: ${what}`,
    });
    expect(evidenceOf(directory)).toMatchObject([{ seq: 4, sent: { line } }]);
    expect(copy.newest().size).toBe(4);
    expect(copyVerdict(directory)).toBe("sound");
  });

  test("a beginning that is not the log's", async () => {
    const { ledger, directory: state } = await sampleLog(1);
    const { ledger: stranger } = await sampleLog(1);
    const { copy, directory } = freshCopy(ledger);
    const [line = ""] = appendOf(stranger, 0, 1).entries.map((entry) => entry.line);
    expect(copy.append(signedAppend(state, 0, [line]), NOW)).toMatchObject({
      kind: "conflict",
      note: undefined,
    });
    expect(evidenceOf(directory)).toMatchObject([{ seq: 0, held: {} }]);
    expect(copy.newest().size).toBe(0);
  });

  test("the same checkpoint once, and no more than a hundred", async () => {
    const { ledger, directory: state } = await sampleLog(3);
    const other = fork(state);
    await growLog(ledger, 6);
    await growLog(other, 8, "extra.db.tar.gz");
    const { copy, directory } = freshCopy(ledger);
    copy.append(appendOf(ledger, 0, 6), NOW);
    for (const minutes of [1, 2]) copy.append(appendOf(other, 0, 7), at(DAY + minutes * MINUTE));
    expect(evidenceOf(directory)).toHaveLength(1);
    for (let file = 1; file < 100; file++) writeFileSync(join(directory, "conflicts", `${file}.json`), "{}");
    expect(copy.append(appendOf(other, 0, 7), NOW)).toMatchObject({
      reason: expect.not.stringMatching("kept"),
    });
    expect(copy.append(appendOf(other, 0, 8), NOW)).toMatchObject({
      kind: "conflict",
      reason: expect.stringMatching(/\(the evidence could not be kept\)$/),
    });
    expect(evidenceOf(directory)).toHaveLength(100);
  });
});

describe("what is no append of this log is refused, and is no evidence:", () => {
  const bends: readonly (readonly [string, (good: Append, ledger: Ledger, stranger: Ledger) => Append])[] = [
    ["another log's checkpoint", (good, _, stranger) => ({ ...good, note: appendOf(stranger, 3, 6).note })],
    ["another log", (_, __, stranger) => appendOf(stranger, 3, 6)],
    ["a checkpoint of another size", (good, ledger) => ({ ...good, note: appendOf(ledger, 3, 5).note })],
    ["a changed signature", (good) => ({ ...good, note: good.note.replace(/.{6}\n$/, "AAAAA=\n") })],
    ["a changed root", (good) => ({ ...good, note: good.note.replace(/\n6\n..../, "\n6\nAAAA") })],
    ["no note at all", (good) => ({ ...good, note: "garbage" })],
    [
      "a checkpoint with a second signature",
      (good) => ({ ...good, note: good.note + good.note.slice(good.note.indexOf("\u2014")) }),
    ],
    ["a missing entry", (good) => ({ ...good, entries: good.entries.slice(1) })],
    ["an entry too many", (good) => ({ ...good, entries: [...good.entries, ...good.entries.slice(-1)] })],
    ["entries in another order", (good) => ({ ...good, entries: good.entries.toReversed() })],
    ["a gap", (_, ledger) => appendOf(ledger, 4, 6)],
    ["a line that is no entry", (good) => withFirst(good, { line: "{}" })],
    ["a missing private record", (good) => withFirst(good, { private: undefined })],
    [
      "another salt",
      (good) => withFirst(good, { private: { salt: Buffer.alloc(16), record: '{"for":"alice"}' } }),
    ],
    ["another package list", (good) => withFirst(good, { packages: "acl 9-1 -\n" })],
  ];

  test.each(bends)("%s", async (_, bend) => {
    const { ledger } = await sampleLog(6);
    const { ledger: stranger } = await sampleLog(6);
    const { copy, directory } = freshCopy(ledger);
    copy.append(appendOf(ledger, 0, 3), NOW);
    const good = appendOf(ledger, 3, 6);
    expect(outcome(copy.append(bend(good, ledger, stranger), NOW))).toBe("bad-request");
    expect(evidenceOf(directory)).toEqual([]);
    expect(copy.newest().size).toBe(3);
    expect(outcome(copy.append(good, NOW))).toBe("cosigned 6");
  });

  test("a line that differs under a checkpoint that says what the copy says", async () => {
    const { ledger, directory: state } = await sampleLog(3);
    const other = fork(state);
    await growLog(ledger, 6);
    await growLog(other, 6, "extra.db.tar.gz");
    const { copy, directory } = freshCopy(ledger);
    copy.append(appendOf(ledger, 0, 6), NOW);
    const lie = { ...appendOf(other, 2, 6), note: appendOf(ledger, 2, 6).note };
    expect(outcome(copy.append(lie, NOW))).toBe("bad-request");
    expect(evidenceOf(directory)).toEqual([]);
  });
});

/** An append whose first entry is another one. */
function withFirst(append: Append, change: Partial<StoredEntry>): Append {
  const [first, ...rest] = append.entries;
  return first === undefined ? append : { ...append, entries: [{ ...first, ...change }, ...rest] };
}

test("a clock that is set back makes no cosignature older than the last", async () => {
  const { ledger } = await sampleLog(3);
  const { copy, directory } = freshCopy(ledger);
  copy.append(appendOf(ledger, 0, 1), at(DAY));
  copy.append(appendOf(ledger, 1, 2), at(0));
  expect(copy.newest().acknowledgement?.cosignedAt).toEqual(at(DAY));
  const later = reopenCopy(directory);
  later.append(appendOf(ledger, 2, 3), at(2 * DAY));
  expect(later.newest().acknowledgement?.cosignedAt).toEqual(at(2 * DAY));
});

test("several processes append to one copy, and each sees what the others stored", async () => {
  const { ledger } = await sampleLog(9);
  const { copy, directory } = freshCopy(ledger);
  const other = reopenCopy(directory);
  expect(outcome(copy.append(appendOf(ledger, 0, 5), NOW))).toBe("cosigned 5");
  expect(outcome(other.append(appendOf(ledger, 0, 3), NOW))).toBe("cosigned 5");
  expect(outcome(other.append(appendOf(ledger, 3, 9), NOW))).toBe("cosigned 9");
  expect(outcome(copy.append(appendOf(ledger, 5, 7), NOW))).toBe("cosigned 9");
  expect(copyVerdict(directory)).toBe("sound");
});

describe("a copy that was changed is found broken, and cosigns nothing more:", () => {
  const CUT =
    "DELETE FROM package_lists WHERE seq >= 4; DELETE FROM private_records WHERE seq >= 4; DELETE FROM entries WHERE seq >= 4;";
  test.each([
    ["its end cut off", `${CUT} DELETE FROM nodes WHERE position > 6`],
    [
      "its end cut off, with the head",
      `${CUT} DELETE FROM nodes WHERE position > 6; UPDATE head SET checkpoint = '{4}'`,
    ],
    ["without its own cosignature", "DELETE FROM acknowledgements"],
    ["with an older cosignature", "UPDATE acknowledgements SET note = '{cosigned4}'"],
    ["with a cosignature of nobody", "UPDATE acknowledgements SET note = '{4}'"],
    ["without entries", "DELETE FROM package_lists; DELETE FROM private_records; DELETE FROM entries"],
    ["the last entry changed", "UPDATE entries SET line = replace(line, 'core', 'cure') WHERE seq = 7"],
    [
      "a node at the edge changed",
      "UPDATE nodes SET hash = zeroblob(32) WHERE position = (SELECT max(position) FROM nodes)",
    ],
  ])("%s", async (_, sql) => {
    const { ledger } = await sampleLog(9);
    const { copy, directory } = freshCopy(ledger);
    copy.append(appendOf(ledger, 0, 4), NOW);
    const cosigned4 = copy.newest().acknowledgement?.note ?? "";
    copy.append(appendOf(ledger, 4, 8), NOW);
    const note4 = appendOf(ledger, 0, 4).note;
    tamper(directory, sql.replace("{4}", note4).replace("{cosigned4}", cosigned4));
    expect(await faultCode(() => LogCopy.open(directory))).toBe("log-broken");
    expect(await faultCode(() => copy.append(appendOf(ledger, 8, 9), NOW))).toBe("log-broken");
  });

  test("put back as a whole while it is open; put back while nobody looks it is taken for what it was", async () => {
    const { ledger } = await sampleLog(6);
    const { copy, directory } = freshCopy(ledger);
    copy.append(appendOf(ledger, 0, 3), NOW);
    copy.close();
    const yesterday = readFileSync(join(directory, "log.db"));
    const open = reopenCopy(directory);
    open.append(appendOf(ledger, 3, 6), NOW);
    for (const file of ["log.db-wal", "log.db-shm"]) rmSync(join(directory, file), { force: true });
    rmSync(join(directory, "log.db"));
    writeFileSync(join(directory, "log.db"), yesterday);
    expect(await faultCode(() => open.append(appendOf(ledger, 0, 6), NOW))).toBe("log-broken");
    expect(await faultCode(() => open.rootOf(1))).toBe("log-broken");
    // It grows again by the same log, and by no other: that of the host, which knows that six were acknowledged.
    expect(reopenCopy(directory).newest().size).toBe(3);
  });

  test("all of it rolled back, consistently, under the eyes of who has it open", async () => {
    const { ledger } = await sampleLog(9);
    const { copy, directory } = freshCopy(ledger);
    copy.append(appendOf(ledger, 0, 4), NOW);
    const cosigned = copy.newest().acknowledgement?.note;
    copy.append(appendOf(ledger, 4, 8), NOW);
    tamper(
      directory,
      `${CUT} DELETE FROM nodes WHERE position > 6;
       UPDATE head SET checkpoint = '${appendOf(ledger, 0, 4).note}';
       UPDATE acknowledgements SET size = 4, note = '${cosigned}'`,
    );
    // Who opens it now cannot know better.
    expect(reopenCopy(directory).newest().size).toBe(4);
    expect(await faultCode(() => copy.append(appendOf(ledger, 4, 8), NOW))).toBe("log-broken");
  });

  test("put back, and grown by another history that its own key cosigned, while somebody has it open", async () => {
    const { ledger, directory: state } = await sampleLog(4);
    const other = fork(state);
    await growLog(ledger, 8);
    await growLog(other, 9, "extra.db.tar.gz");
    const { copy, directory } = freshCopy(ledger);
    copy.append(appendOf(ledger, 0, 4), NOW);
    const elsewhere = join(freshDirectory(), "copy");
    cpSync(directory, elsewhere, { recursive: true });
    copy.append(appendOf(ledger, 4, 8), NOW);
    const victim = reopenCopy(elsewhere);
    expect(outcome(victim.append(appendOf(other, 4, 9), NOW))).toBe("cosigned 9");
    victim.close();
    const tables = ["private_records", "package_lists", "nodes", "head", "acknowledgements"];
    tamper(
      directory,
      `ATTACH '${join(elsewhere, "log.db")}' AS other;
       ${tables.map((table) => `DELETE FROM ${table};`).join("")} DELETE FROM entries;
       INSERT INTO entries (seq, line) SELECT seq, line FROM other.entries;
       ${tables.map((table) => `INSERT INTO ${table} SELECT * FROM other.${table};`).join("")}
       DETACH other`,
    );
    expect(reopenCopy(directory).newest().size).toBe(9);
    expect(await faultCode(() => copy.newest())).toBe("log-broken");
  });

  test("rewritten by somebody who has the log's key and not the witness's", async () => {
    const { ledger, directory: state } = await sampleLog(4);
    const other = fork(state);
    await growLog(ledger, 8);
    await growLog(other, 8, "extra.db.tar.gz");
    const { copy, directory } = freshCopy(ledger);
    copy.append(appendOf(ledger, 0, 8), NOW);
    const own = copy.newest().acknowledgement?.note;
    const { copy: rewritten, directory: elsewhere } = freshCopy(ledger);
    rewritten.append(appendOf(other, 0, 8), NOW);
    copy.close();
    rewritten.close();
    cpSync(join(elsewhere, "log.db"), join(directory, "log.db"));
    tamper(
      directory,
      `UPDATE acknowledgements SET witness = '${encodeVerifierKey(copy.witness)}', note = '${own}'`,
    );
    expect(await faultCode(() => LogCopy.open(directory))).toBe("log-broken");
  });

  test("its keys changed", async () => {
    const { ledger } = await sampleLog(2);
    const { ledger: stranger } = await sampleLog(2);
    const first = freshCopy(ledger);
    const second = freshCopy(stranger);
    first.copy.append(appendOf(ledger, 0, 2), NOW);
    for (const file of ["log.pub", "witness.key", "witness.pub"]) {
      const kept = readFileSync(join(first.directory, file));
      cpSync(join(second.directory, file), join(first.directory, file));
      expect(await faultCode(() => LogCopy.open(first.directory))).toBe("log-broken");
      writeFileSync(join(first.directory, file), kept);
    }
    reopenCopy(first.directory);
  });
});
