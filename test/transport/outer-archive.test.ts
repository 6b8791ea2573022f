import { Readable } from "node:stream";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RefusedSource } from "../../src/intake/refused-source.ts";
import { isRefusal } from "../../src/outcome.ts";
import { MAX_MEMBERS, OuterArchive } from "../../src/transport/outer-archive.ts";
import {
  archiveEnd,
  paxEntry,
  paxRecord,
  type TarEntry,
  tarArchive,
  tarEntry,
} from "../support/tar-fixture.ts";

const PATIENT = { idleMs: 10_000, totalMs: 10_000 };
const GNU = [[257, "ustar  \0"]] as const;

/** Reads an archive to its end: `NAME=CONTENT` of each whole file, then `end` or the code that it was refused with. */
async function read(source: Readable, deadlines = PATIENT): Promise<readonly string[]> {
  const archive = new OuterArchive(source, deadlines);
  const seen: string[] = [];
  try {
    for (;;) {
      const member = await archive.next();
      if (member === undefined) return [...seen, "end"];
      if (isRefusal(member)) return [...seen, member.code];
      const pieces: Buffer[] = [];
      for await (const piece of member.content) pieces.push(piece as Buffer);
      seen.push(`${member.name}=${Buffer.concat(pieces).toString("latin1")}`);
    }
  } catch (error) {
    if (error instanceof RefusedSource) return [...seen, error.refusal.code];
    throw error;
  } finally {
    archive.close();
  }
}

function whole(bytes: Buffer): Readable {
  return Readable.from(bytes.length === 0 ? [] : [bytes], { objectMode: false });
}

function readBytes(bytes: Buffer): Promise<readonly string[]> {
  return read(whole(bytes));
}

function inPieces(bytes: Buffer, size: number): Readable {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size));
  return Readable.from(pieces);
}

function longName(name: string): TarEntry {
  return { name: "././@LongLink", type: "L", content: `${name}\0`, patch: GNU };
}

const LONG = `${"a".repeat(240)}.db.tar.gz`;
const FILE: TarEntry = { name: "core.db.tar.gz", content: "one" };
const TWO = tarArchive([FILE, { name: "core.files.tar.gz", content: "x".repeat(512), patch: GNU }]);
const READ = ["core.db.tar.gz=one", `core.files.tar.gz=${"x".repeat(512)}`, "end"];

describe("what tar writes is read:", () => {
  const accepted: Readonly<Record<string, readonly [Buffer, readonly string[]]>> = {
    "files in ustar's and in GNU tar's format": [TWO, READ],
    "two zero blocks alone at the end": [
      Buffer.concat([tarEntry(FILE), Buffer.alloc(1024)]),
      ["core.db.tar.gz=one", "end"],
    ],
    "a large blocking factor": [
      Buffer.concat([tarEntry(FILE), Buffer.alloc(512 * 1024)]),
      ["core.db.tar.gz=one", "end"],
    ],
    "an empty file": [tarArchive([{ name: "core.db" }]), ["core.db=", "end"]],
    "GNU tar's long name": [
      tarArchive([longName(LONG), { name: LONG.slice(0, 100), content: "1", patch: GNU }]),
      [`${LONG}=1`, "end"],
    ],
    "a pax path": [
      tarArchive([paxEntry({ path: LONG }), { name: "aaa", content: "1" }]),
      [`${LONG}=1`, "end"],
    ],
    "pax times, owners and attributes": [
      tarArchive([
        paxEntry({
          mtime: "1795490583.270943433",
          atime: "1",
          ctime: "1",
          uid: "4294967294",
          "LIBARCHIVE.creationtime": "1",
          "SCHILY.xattr.user.a": "b\nc",
          "GNU.volume.label": "x",
        }),
        FILE,
      ]),
      ["core.db.tar.gz=one", "end"],
    ],
    "a size that fills its field": [
      tarArchive([{ ...FILE, patch: [[124, "000000000003"]] }]),
      ["core.db.tar.gz=one", "end"],
    ],
    "an owner in base 256": [
      tarArchive([{ ...FILE, patch: [[108, Buffer.from([0x80, 0, 0, 0, 1, 2, 3, 4])]] }]),
      ["core.db.tar.gz=one", "end"],
    ],
  };
  test.each(Object.entries(accepted))("%s", async (_, [bytes, expected]) => {
    expect(await readBytes(bytes)).toEqual(expected);
  });
});

describe("is refused:", () => {
  const refused: Readonly<Record<string, readonly [Buffer, string]>> = {
    nothing: [Buffer.alloc(0), "empty-input"],
    "an archive of no files": [archiveEnd(0), "empty-input"],
    "what is no tar archive": [Buffer.from("x".repeat(1024)), "bad-archive"],
    "a compressed archive": [
      Buffer.concat([Buffer.from([0x1f, 0x8b, 8]), Buffer.alloc(1024, 7)]),
      "bad-archive",
    ],
    "a folder": [tarArchive([{ name: "core/", type: "5" }]), "bad-archive"],
    "a hard link": [tarArchive([{ ...FILE, type: "1", linkname: "x" }]), "bad-archive"],
    "a symbolic link": [tarArchive([{ ...FILE, type: "2", linkname: "x" }]), "bad-archive"],
    "a device": [tarArchive([{ ...FILE, type: "3" }]), "bad-archive"],
    "a FIFO": [tarArchive([{ ...FILE, type: "6" }]), "bad-archive"],
    "an old-style file": [tarArchive([{ ...FILE, type: "\0" }]), "bad-archive"],
    "a sparse file": [tarArchive([{ ...FILE, type: "S", patch: GNU }]), "bad-archive"],
    "a global pax header": [tarArchive([{ ...paxEntry({ path: "a" }), type: "g" }, FILE]), "bad-archive"],
    "a long link name": [tarArchive([{ ...longName("core.db"), type: "K" }, FILE]), "bad-archive"],
    "a file with a link name": [tarArchive([{ ...FILE, linkname: "x" }]), "bad-archive"],
    "another magic": [tarArchive([{ ...FILE, patch: [[257, "ustar\x0001"]] }]), "bad-archive"],
    "no magic": [tarArchive([{ ...FILE, patch: [[257, "\0\0\0\0\0\0\0\0"]] }]), "bad-archive"],
    "a size in base 256": [
      tarArchive([{ ...FILE, patch: [[124, Buffer.from([0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3])]] }]),
      "bad-archive",
    ],
    "a size of 8 GiB": [tarArchive([{ ...FILE, patch: [[124, "100000000000"]] }]), "bad-archive"],
    "a size with a sign": [tarArchive([{ ...FILE, patch: [[124, "-0000000003\0"]] }]), "bad-archive"],
    "something behind the name's NUL": [tarArchive([{ ...FILE, patch: [[99, "x"]] }]), "bad-archive"],
    "a prefix": [tarArchive([{ ...FILE, prefix: "x" }]), "bad-archive"],
    "a prefix in GNU tar's format": [tarArchive([{ ...FILE, prefix: "x", patch: GNU }]), "bad-archive"],
    "content that is not padded with NULs": [tarArchive([{ ...FILE, padding: "x" }]), "bad-archive"],
    "the same name twice": [tarArchive([{ name: "core.db" }, { name: "core.db" }]), "bad-archive"],
    "two extended headers before a file": [
      tarArchive([paxEntry({ mtime: "1" }), paxEntry({ mtime: "1" }), FILE]),
      "bad-archive",
    ],
    "an extended header at the end": [tarArchive([paxEntry({ mtime: "1" })]), "bad-archive"],
    "an empty extended header": [tarArchive([{ ...paxEntry({}) }, FILE]), "bad-archive"],
    "an extended header of more than 64 KiB": [
      tarArchive([paxEntry({ mtime: "1".repeat(65_536) }), FILE]),
      "bad-archive",
    ],
    "a key twice": [
      tarArchive([
        { name: "x", type: "x", content: "7 a=bb\n7 a=bb\n".replaceAll("bb", "b").replaceAll("7", "6") },
        FILE,
      ]),
      "bad-archive",
    ],
    "a record whose length is too large": [
      tarArchive([{ name: "x", type: "x", content: "9 a=b\n" }, FILE]),
      "bad-archive",
    ],
    "a record whose length is too small": [
      tarArchive([{ name: "x", type: "x", content: "4 a=b\n" }, FILE]),
      "bad-archive",
    ],
    "a record of length 0": [tarArchive([{ name: "x", type: "x", content: "0 a=b\n" }, FILE]), "bad-archive"],
    "a long name without a NUL": [tarArchive([{ ...longName(""), content: "core.db" }, FILE]), "bad-archive"],
    "a long name with two NULs": [
      tarArchive([{ ...longName(""), content: "core.db\0\0" }, FILE]),
      "bad-archive",
    ],
    "a pax size": [
      tarArchive([{ name: "x", type: "x", content: paxRecord(["size", "3"]) }, FILE]),
      "bad-archive",
    ],
    "a pax sparse file": [tarArchive([paxEntry({ "GNU.sparse.major": "1" }), FILE]), "bad-archive"],
    "one zero block at the end": [Buffer.concat([tarEntry(FILE), Buffer.alloc(512)]), "truncated"],
    "a file after one zero block": [
      Buffer.concat([tarEntry(FILE), Buffer.alloc(512), tarArchive([{ name: "b" }])]),
      "bad-archive",
    ],
    "no zero blocks": [tarEntry(FILE), "truncated"],
    "a byte after the end": [Buffer.concat([TWO, Buffer.from("x")]), "trailing-data"],
    "a second archive after the end": [Buffer.concat([TWO, TWO]), "trailing-data"],
    "a NUL too many": [Buffer.concat([TWO, Buffer.alloc(1)]), "truncated"],
    "more than a MiB of NULs": [Buffer.concat([TWO, Buffer.alloc(1024 * 1024 + 512)]), "trailing-data"],
  };
  test.each(Object.entries(refused))("%s", async (_, [bytes, code]) => {
    expect((await readBytes(bytes)).at(-1)).toBe(code);
  });

  test.each([
    "./core.db",
    "a/core.db",
    "../core.db",
    "/core.db",
    ".core.db",
    "-core.db",
    "core db",
    "core\u001b.db",
    "cöre.db",
    "a".repeat(252),
  ])("the name %j, wherever it stands", async (name) => {
    const plain = { name: Buffer.from(name).subarray(0, 100), content: "one" };
    const archives = [
      [longName(name), plain],
      [paxEntry({ path: name }), { ...FILE }],
    ];
    if (name.length <= 100) archives.push([plain]);
    for (const entries of archives) expect(await readBytes(tarArchive(entries))).toEqual(["bad-archive"]);
  });

  test("the file after the last that is allowed", async () => {
    const files = (count: number) =>
      tarArchive(Array.from({ length: count }, (_, index) => ({ name: `f${index}.db` })));
    expect((await readBytes(files(MAX_MEMBERS))).at(-1)).toBe("end");
    const seen = await readBytes(files(MAX_MEMBERS + 1));
    expect(seen).toHaveLength(MAX_MEMBERS + 1);
    expect(seen.at(-1)).toBe("too-large");
  });
});

test("an archive cut off anywhere is truncated, and no file of it is whole that is not", async () => {
  const [first = "", second = ""] = READ;
  const bytes = Buffer.concat([TWO.subarray(0, 2048), Buffer.alloc(1024)]);
  for (let length = 1; length < bytes.length; length++) {
    const expected = length >= 2048 ? [first, second] : length >= 1024 ? [first] : [];
    const seen = await readBytes(bytes.subarray(0, length));
    expect(seen, `${length} bytes`).toEqual([...expected, "truncated"]);
  }
});

test("a header with any byte changed is refused", async () => {
  for (let at = 0; at < 512; at++) {
    for (const flip of [0x01, 0x20, 0x80]) {
      const bytes = Buffer.from(TWO);
      bytes[at] = (bytes[at] ?? 0) ^ flip;
      expect(await readBytes(bytes), `byte ${at}`).toEqual(["bad-archive"]);
    }
  }
});

test("any bytes come to an end or a refusal, changed ones with a right checksum as well", async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(511), fc.uint8Array({ minLength: 1, maxLength: 12 }), async (at, patch) => {
      const seen = await readBytes(
        tarArchive([{ ...FILE, patch: [[at, Buffer.from(patch).subarray(0, 512 - at)]] }]),
      );
      expect(seen.at(-1)).toMatch(/^(?:end|bad-archive|truncated|trailing-data)$/);
      for (const file of seen.slice(0, -1)) expect(file).toMatch(/^[A-Za-z0-9@_+][A-Za-z0-9@._+-]*=/);
    }),
    { numRuns: 300 },
  );
});

test.each([1, 511, 512, 513, 1000])("pieces of %i bytes make no difference", async (size) => {
  expect(await read(inPieces(TWO, size))).toEqual(READ);
});

test("a client that stops sending is timed out between files and within one", async () => {
  for (const length of [0, 100, 600, 1024]) {
    const source = new Readable({ read: () => undefined });
    if (length > 0) source.push(TWO.subarray(0, length));
    expect((await read(source, { idleMs: 20, totalMs: 10_000 })).at(-1)).toBe("timed-out");
    expect(source.destroyed).toBe(true);
  }
});

test("a client that sends a byte now and then is timed out as a whole", async () => {
  const header = tarEntry({ ...FILE, size: 0o7777777777, content: "" });
  let sent = 0;
  const source = new Readable({
    async read() {
      await setImmediate();
      this.push(sent++ === 0 ? header : Buffer.alloc(1));
    },
  });
  expect(await read(source, { idleMs: 10_000, totalMs: 20 })).toEqual(["timed-out"]);
});

test("nothing further is read than the consumer asks for", async () => {
  let chunks = 0;
  const source = new Readable({
    highWaterMark: 1,
    read() {
      chunks++;
      this.push(chunks === 1 ? tarEntry({ ...FILE, size: 1024 * 1024, content: "" }) : Buffer.alloc(1024, 1));
    },
  });
  const archive = new OuterArchive(source, PATIENT);
  const member = await archive.next();
  for (let turn = 0; turn < 50; turn++) await setImmediate();
  expect(member).toMatchObject({ kind: "member", name: "core.db.tar.gz" });
  expect(chunks).toBeLessThan(4);
  await expect(archive.next()).rejects.toThrow("not read to its end");
  archive.close();
  expect(source.destroyed).toBe(true);
});
