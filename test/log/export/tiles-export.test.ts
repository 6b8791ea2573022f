import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { exportedHead } from "../../../src/log/export/exported-head.ts";
import { exportTiles } from "../../../src/log/export/tiles-export.ts";
import { LogReader } from "../../../src/log/log-reader.ts";
import { encodeVerifierKey } from "../../../src/log/signed-note.ts";
import { isRefusal } from "../../../src/outcome.ts";
import { run } from "../../support/run.ts";
import { at, freshDirectory, freshLedger, sign, tamper } from "../fixture.ts";
import { newWitness } from "../proof/fixture.ts";
import { acknowledge, exportTo, filesBelow, growTo, keyOf } from "./fixture.ts";

const VERIFIER = join(import.meta.dirname, "..", "proof", "independent", "verify.py");

/** What a verifier that shares nothing with this program says of a folder. */
async function independently(folder: string, key: string, ...witnesses: readonly string[]) {
  const args = [VERIFIER, "tiles", folder, "--key", key, ...witnesses.flatMap((one) => ["--witness", one])];
  return JSON.parse((await run("python3", args)).stdout.toString()) as { ok: boolean; size?: number };
}

function freshFolder(): string {
  return join(freshDirectory(), "tiles");
}

describe("an exported folder", () => {
  test("verifies independently, at every size that fills a tile, is one below it or one above", async () => {
    const { ledger, directory } = freshLedger();
    const folder = freshFolder();
    const key = keyOf(directory);
    for (const size of [1, 2, 255, 256, 257, 511, 512, 700]) {
      await growTo(ledger, size);
      exportTo(directory, folder);
      expect(await independently(folder, key), String(size)).toMatchObject({ ok: true, size });
    }
  });

  test("is brought up to date by writing what is new, and nothing else is touched", async () => {
    const { ledger, directory } = freshLedger();
    const folder = freshFolder();
    await growTo(ledger, 300);
    expect(exportTo(directory, folder)).toBe("0 to 300, 6 files");
    const first = filesBelow(folder);
    expect([...first.keys()].toSorted()).toEqual([
      "checkpoint",
      "tile/0/000",
      "tile/0/001.p/44",
      "tile/1/000.p/1",
      "tile/entries/000",
      "tile/entries/001.p/44",
    ]);
    expect(exportTo(directory, folder)).toBe("300 to 300, 0 files");
    expect(filesBelow(folder)).toEqual(first);

    await growTo(ledger, 513);
    expect(exportTo(directory, folder)).toBe("300 to 513, 6 files");
    const second = filesBelow(folder);
    for (const kept of ["tile/0/000", "tile/entries/000"]) expect(second.get(kept)).toBe(first.get(kept));
    // Partial ones go where the full one is there, and not before.
    expect([...second.keys()].toSorted()).toEqual([
      "checkpoint",
      "tile/0/000",
      "tile/0/001",
      "tile/0/002.p/1",
      "tile/1/000.p/1",
      "tile/1/000.p/2",
      "tile/entries/000",
      "tile/entries/001",
      "tile/entries/002.p/1",
    ]);
  });

  test("is for everybody to read, whatever the umask", async () => {
    const { directory } = freshLedger();
    const folder = freshFolder();
    const before = process.umask(0o077);
    try {
      exportTo(directory, folder);
    } finally {
      process.umask(before);
    }
    const mode = (name: string) => statSync(join(folder, name)).mode & 0o777;
    for (const name of [".", "tile", "tile/0", "tile/0/000.p"]) expect(mode(name)).toBe(0o755);
    for (const name of ["checkpoint", "tile/0/000.p/1"]) expect(mode(name)).toBe(0o644);
  });

  test("holds nothing that is about people", async () => {
    const { ledger, directory } = freshLedger();
    const folder = freshFolder();
    await sign(ledger, at(1), { extra: { private: { for: "alice", address: "192.0.2.10" } } });
    exportTo(directory, folder);
    for (const name of filesBelow(folder).keys()) {
      const text = readFileSync(join(folder, name), "latin1");
      expect(text).not.toMatch(/alice|192\.0\.2/);
    }
  });

  test("that an interrupted export left half-way is completed", async () => {
    const { ledger, directory } = freshLedger();
    const folder = freshFolder();
    await growTo(ledger, 300);
    exportTo(directory, folder);
    const whole = [...filesBelow(folder).keys()].toSorted();
    // As if it had been stopped before the checkpoint, and before one of the tiles.
    rmSync(join(folder, "checkpoint"));
    rmSync(join(folder, "tile/0/001.p/44"));
    writeFileSync(join(folder, ".unfinished-1"), "half a ti");
    expect(exportTo(directory, folder)).toBe("0 to 300, 2 files");
    expect([...filesBelow(folder).keys()].filter((name) => !name.startsWith(".")).toSorted()).toEqual(whole);
  });
});

describe("a head that is exported", () => {
  test("carries the cosignatures of just it", async () => {
    const { ledger, directory } = freshLedger();
    const folder = freshFolder();
    const witness = newWitness();
    const witnessKey = encodeVerifierKey(witness.key);
    acknowledge(directory, witness);
    exportTo(directory, folder);
    expect(await independently(folder, keyOf(directory), witnessKey)).toMatchObject({ ok: true });

    await growTo(ledger, 3);
    exportTo(directory, folder);
    expect(await independently(folder, keyOf(directory))).toMatchObject({ ok: true, size: 3 });
    expect(await independently(folder, keyOf(directory), witnessKey)).toMatchObject({ ok: false });
  });

  test("is with --cosigned the newest that a witness cosigned, and never goes back", async () => {
    const { ledger, directory } = freshLedger();
    const folder = freshFolder();
    expect(exportTo(directory, folder, { cosigned: true })).toBe("bad-request");
    await growTo(ledger, 5);
    acknowledge(directory, newWitness());
    await growTo(ledger, 9);
    expect(exportTo(directory, folder, { cosigned: true })).toBe("0 to 5, 3 files");
    expect(await independently(folder, keyOf(directory))).toMatchObject({ ok: true, size: 5 });
    expect(exportTo(directory, folder)).toBe("5 to 9, 3 files");
    expect(exportTo(directory, folder, { cosigned: true })).toBe("9 to 9, 0 files");
    expect(await independently(folder, keyOf(directory))).toMatchObject({ ok: true, size: 9 });
  });

  test("that comes with cosignatures later replaces the bare one", () => {
    const { directory } = freshLedger();
    const folder = freshFolder();
    exportTo(directory, folder);
    acknowledge(directory, newWitness("w.example.net/1"));
    acknowledge(directory, newWitness("w.example.net/2"));
    expect(exportTo(directory, folder)).toBe("1 to 1, 1 files");
    expect(readFileSync(join(folder, "checkpoint"), "utf8").match(/^\u2014 w\.example/gm)).toHaveLength(2);
  });
});

test("a head that another export published meanwhile stays", async () => {
  const { ledger, directory } = freshLedger();
  const folder = freshFolder();
  await growTo(ledger, 5);
  const reader = LogReader.open(directory);
  onTestFinished(() => reader.close());
  await growTo(ledger, 9);
  const verifier = reader.statedVerifier();
  const head = exportedHead(reader, verifier, { cosigned: false });
  if (isRefusal(head)) throw new Error(head.reason);
  const onProgress = () => void exportTo(directory, folder);
  const done = exportTiles(reader, head, folder, { verifier, published: undefined, onProgress });
  expect(done).toMatchObject({ before: 0, size: 9 });
  expect(await independently(folder, keyOf(directory))).toMatchObject({ ok: true, size: 9 });
});

describe("a folder is refused and left as it is", () => {
  /** The folder's files are the same afterwards. */
  function expectRefused(directory: string, folder: string, code: string): void {
    const before = filesBelow(folder);
    expect(exportTo(directory, folder)).toBe(code);
    expect(filesBelow(folder)).toEqual(before);
  }

  test("that holds something else", () => {
    const { directory } = freshLedger();
    const folder = freshDirectory();
    writeFileSync(join(folder, "index.html"), "hello");
    expectRefused(directory, folder, "bad-request");
  });

  test("whose checkpoint is no checkpoint, or no file", () => {
    const { directory } = freshLedger();
    const folder = freshDirectory();
    writeFileSync(join(folder, "checkpoint"), "hello");
    expectRefused(directory, folder, "bad-request");
    rmSync(join(folder, "checkpoint"));
    mkdirSync(join(folder, "checkpoint"));
    expectRefused(directory, folder, "bad-request");
  });

  test("that holds another log", () => {
    const folder = freshFolder();
    exportTo(freshLedger().directory, folder);
    expectRefused(freshLedger().directory, folder, "bad-request");
  });

  test("that holds more of this log than there is: it was rolled back", async () => {
    const { ledger, directory } = freshLedger();
    const folder = freshFolder();
    await growTo(ledger, 4);
    exportTo(directory, folder);
    tamper(directory, "DELETE FROM entries WHERE seq = 3; DELETE FROM nodes WHERE position > 3");
    expectRefused(directory, folder, "log-broken");
  });

  test("whose head is none of this log, though its key signed it", async () => {
    const { ledger, directory } = freshLedger();
    const folder = freshFolder();
    await growTo(ledger, 4);
    exportTo(directory, folder);
    await growTo(ledger, 8);
    // The root of four leaves is node 2/0, at position 6.
    tamper(directory, "UPDATE nodes SET hash = zeroblob(32) WHERE position = 6");
    expectRefused(directory, folder, "log-broken");
  });

  test("where a tile without a checkpoint is not this log's", async () => {
    const { directory } = freshLedger();
    const folder = freshFolder();
    exportTo(directory, folder);
    rmSync(join(folder, "checkpoint"));
    writeFileSync(join(folder, "tile/0/000.p/1"), Buffer.alloc(32));
    expectRefused(directory, folder, "log-broken");
  });
});

describe("a log that contradicts itself is not published", () => {
  test.each([
    ["an entry was changed", "UPDATE entries SET line = replace(line, 'rules 7', 'rules 8') WHERE seq = 7"],
    ["an entry is missing", "DELETE FROM entries WHERE seq = 7"],
    ["the last leaf's hash was changed", "UPDATE nodes SET hash = zeroblob(32) WHERE position = 593"],
    ["a node over a full tile was changed", "UPDATE nodes SET hash = zeroblob(32) WHERE position = 510"],
  ])("where %s", async (_what, sql) => {
    const { ledger, directory } = freshLedger();
    const folder = freshFolder();
    await growTo(ledger, 300);
    tamper(directory, sql);
    expect(exportTo(directory, folder)).toBe("log-broken");
    expect(existsSync(join(folder, "checkpoint"))).toBe(false);
  });
});

test("a disk that says no is a fault", () => {
  const { directory } = freshLedger();
  expect(exportTo(directory, join(freshDirectory(), "missing", "tiles"))).toBe("reply-not-delivered");
});
