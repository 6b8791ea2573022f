import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  readdirSync,
  readFileSync,
  statfsSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { AnnouncedFile } from "../../src/exchange/notification.ts";
import { Fault } from "../../src/outcome.ts";
import { SourceMemory } from "../../src/pull/source-memory.ts";
import { type Download, Spool } from "../../src/pull/spool.ts";
import { Cleanup } from "../support/cleanup.ts";
import { tempDir } from "../support/temp-dir.ts";
import { announced } from "./announcer.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const BYTES = randomBytes(600_000);
const FILE = announced(7, { name: "core.db.tar.gz", bytes: BYTES });

let folder: string;
let spool: Spool;
beforeEach(async () => {
  folder = await tempDir(cleanup);
  spool = new Spool(folder, "repos");
});

/** Gives bytes in pieces, notes from where, and breaks at `until`. */
function from(bytes: Uint8Array, until = Number.POSITIVE_INFINITY): { download: Download; asked: number[] } {
  const asked: number[] = [];
  return {
    asked,
    download: async function* (start) {
      asked.push(start);
      for (let at = start; at < bytes.length; at += 10_000) {
        if (at >= until) throw new Fault("source-unavailable", "the connection broke");
        yield bytes.subarray(at, at + 10_000);
      }
    },
  };
}

async function read(file: AnnouncedFile): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of spool.read(file)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const path = () => join(folder, readdirSync(folder)[0] ?? "none");

test("a file is fetched, kept 0600 under its digest and number, and read as it was announced", async () => {
  await spool.fetch(FILE, from(BYTES).download);
  expect(readdirSync(folder)).toEqual([`repos.${FILE.sha256}.7.spool`]);
  expect(statSync(path()).mode & 0o777).toBe(0o600);
  expect((await read(FILE)).equals(BYTES)).toBe(true);
  spool.remove(FILE);
  expect(readdirSync(folder)).toEqual([]);
});

test("what has come before an interruption is not fetched again, and neither is a whole file", async () => {
  const broken = from(BYTES, 250_000);
  await expect(spool.fetch(FILE, broken.download)).rejects.toMatchObject({ message: "the connection broke" });
  expect(spool.size(FILE)).toBe(250_000);
  const rest = from(BYTES);
  await new Spool(folder, "repos").fetch(FILE, rest.download);
  expect(rest.asked).toEqual([250_000]);
  await spool.fetch(FILE, rest.download);
  expect(rest.asked).toEqual([250_000]);
  expect((await read(FILE)).equals(BYTES)).toBe(true);
});

describe("what is not what was announced is not kept:", () => {
  test("a file of other bytes", async () => {
    const other = Buffer.from(BYTES);
    other[300_000] = (other[300_000] ?? 0) ^ 1;
    await expect(spool.fetch(FILE, from(other).download)).rejects.toMatchObject({
      code: "source-unavailable",
    });
    expect(readdirSync(folder)).toEqual([]);
  });

  test("a longer one, from the first octet too many", async () => {
    const longer = Buffer.concat([BYTES, Buffer.alloc(1)]);
    await expect(spool.fetch(FILE, from(longer).download)).rejects.toMatchObject({
      code: "source-unavailable",
      message: expect.stringMatching(/larger than announced/),
    });
  });

  test("a shorter one, whose rest may come later", async () => {
    await expect(spool.fetch(FILE, from(BYTES.subarray(0, -1)).download)).rejects.toMatchObject({
      code: "source-unavailable",
      message: expect.stringMatching(/ended after 599999 of 600000 bytes/),
    });
    await spool.fetch(FILE, from(BYTES).download);
  });

  test("a beginning that the disk has lost: the next attempt begins anew", async () => {
    await expect(spool.fetch(FILE, from(BYTES, 250_000).download)).rejects.toThrow();
    writeFileSync(path(), Buffer.alloc(250_000));
    await expect(spool.fetch(FILE, from(BYTES).download)).rejects.toMatchObject({
      code: "source-unavailable",
    });
    const again = from(BYTES);
    await spool.fetch(FILE, again.download);
    expect(again.asked).toEqual([0]);
  });

  test.each([
    ["something else of the same length", Buffer.alloc(BYTES.length)],
    ["something longer", Buffer.alloc(BYTES.length + 1)],
  ])("%s that lies in its place", async (_, found) => {
    writeFileSync(join(folder, `repos.${FILE.sha256}.7.spool`), found);
    const anew = from(BYTES);
    await spool.fetch(FILE, anew.download);
    expect(anew.asked).toEqual([0]);
    expect((await read(FILE)).equals(BYTES)).toBe(true);
  });
});

test("a link in a file's place is not followed", async () => {
  const target = join(await tempDir(cleanup), "target");
  writeFileSync(target, "x");
  symlinkSync(target, join(folder, `repos.${FILE.sha256}.7.spool`));
  await expect(spool.fetch(FILE, from(BYTES).download)).rejects.toMatchObject({ code: "pull-state-failed" });
  expect(readFileSync(target, "utf8")).toBe("x");
});

describe("a file that has changed since it was fetched has no end for who reads it:", () => {
  test.each<[string, Uint8Array]>([
    ["an octet", Buffer.concat([BYTES.subarray(0, -1), Buffer.from([(BYTES.at(-1) ?? 0) ^ 1])])],
    ["its length", BYTES.subarray(0, -1)],
    ["a longer one", Buffer.concat([BYTES, Buffer.alloc(1)])],
  ])("%s", async (_, changed) => {
    await spool.fetch(FILE, from(BYTES).download);
    writeFileSync(path(), changed);
    await expect(read(FILE)).rejects.toMatchObject({ code: "pull-state-failed" });
    expect(readdirSync(folder)).toEqual([]);
  });
});

test("of requests that are there no more, nothing is kept; of other sources all", async () => {
  const later = { ...FILE, seq: 8 };
  const other = new Spool(folder, "others");
  await spool.fetch(FILE, from(BYTES).download);
  await spool.fetch(later, from(BYTES).download);
  await other.fetch(FILE, from(BYTES).download);
  spool.keepOnly([later]);
  expect(readdirSync(folder).toSorted()).toEqual([
    `others.${FILE.sha256}.7.spool`,
    `repos.${FILE.sha256}.8.spool`,
  ]);
});

test("a thousand requests that cannot be signed leave eight files: the oldest goes for a new one", async () => {
  for (let seq = 1; seq <= 20; seq += 1) {
    const bytes = Buffer.from(`${seq}`);
    const file = announced(seq, { name: "core.db.tar.gz", bytes });
    await spool.fetch(file, from(bytes).download);
    utimesSync(join(folder, `repos.${file.sha256}.${seq}.spool`), seq, seq);
  }
  const kept = readdirSync(folder).map((name) => Number(name.split(".")[2]));
  expect(kept.toSorted((one, other) => one - other)).toEqual([13, 14, 15, 16, 17, 18, 19, 20]);
});

describe.runIf(process.getuid?.() === 0)("on a small disk", () => {
  beforeEach(() => {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=400k,mode=0700", "tmpfs", folder], { stdio: "ignore" });
    cleanup.add(() => execFileSync("umount", [folder]));
  });

  test("a file that cannot fit is not begun", async () => {
    const { download, asked } = from(BYTES);
    await expect(spool.fetch(FILE, download)).rejects.toMatchObject({
      code: "pull-state-failed",
      message: expect.stringMatching(/no room for core\.db\.tar\.gz \(request 7\)/),
    });
    expect(asked).toEqual([]);
  });

  test("a file takes not the last of the room: other sources remember what they see, and whoever else is there writes", async () => {
    const memory = SourceMemory.open(folder, "others");
    cleanup.add(() => memory.close());
    const { bavail, bsize } = statfsSync(folder);
    const bytes = randomBytes(bavail * bsize);
    const all = announced(9, { name: "core.db.tar.gz", bytes });
    await spool.fetch(all, from(bytes).download).catch(() => undefined);
    const newest = { seq: 9, sha256: all.sha256, settled: false };
    memory.remember({ ...memory.state, newest });
    expect(memory.state.newest).toEqual(newest);
    expect(spool.size(all)).toBe(0);
  });

  test("two sources that have room each, and not both, leave some", async () => {
    const others = new Spool(folder, "others");
    let least = Number.POSITIVE_INFINITY;
    const files = [1, 2].map((seq) => randomBytes(220_000 + seq));
    await Promise.allSettled(
      files.map((bytes, index) => {
        const file = announced(index + 1, { name: "core.db.tar.gz", bytes });
        const slowly: Download = async function* (start) {
          for (let at = start; at < bytes.length; at += 1000) {
            yield bytes.subarray(at, at + 1000);
            least = Math.min(least, statfsSync(folder).bavail);
          }
        };
        return [spool, others][index]?.fetch(file, slowly);
      }),
    );
    expect(least).toBeGreaterThan(1);
  });

  test("a file for which there is no room any more makes room for others", async () => {
    const bytes = BYTES.subarray(0, 300_000);
    const file = announced(9, { name: "core.db.tar.gz", bytes });
    const download: Download = async function* (start) {
      yield bytes.subarray(start, 100_000);
      writeFileSync(join(folder, "somebody"), Buffer.alloc(250_000));
      yield bytes.subarray(100_000);
    };
    await expect(spool.fetch(file, download)).rejects.toMatchObject({ code: "pull-state-failed" });
    expect(readdirSync(folder)).toEqual(["somebody"]);
  });
});
