import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { ArtefactType } from "../../src/artefact/artefact.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { codeOf, outcomeOf, pieces } from "./recognition.ts";

const BAD = new URL("../vectors/database/bad/", import.meta.url);

const db = (compression: "none" | "gzip" | "zstd") => buildDatabase({ packages: 2, kind: "db", compression });
/** What an image looks like before its descriptors: zeros, then CD001, and nothing that makes sense after it. */
function imageLike(): Buffer {
  const bytes = Buffer.alloc(20 * 2048);
  bytes.write("\x01CD001\x01", 16 * 2048, "latin1");
  return bytes;
}

describe("files that are no database", () => {
  test.each(readdirSync(BAD))("%s", async (name) => {
    const bytes = readFileSync(new URL(name, BAD));
    const [code] = name.split("--");
    expect(await codeOf(bytes)).toBe(code);
    expect(await codeOf(pieces(bytes, 1))).toBe(code);
    expect(await codeOf(bytes, { types: ["db", "files"] })).toBe(code);
  });

  test.each([
    ["xz", "fd377a585a00"],
    ["bzip2", "425a6839"],
    ["lz4", "04224d18"],
    ["lz4", "02214c18"],
    ["lzop", "894c5a4f000d0a1a0a"],
    ["lrzip", "4c525a49"],
    ["compress", "1f9d90"],
    ["lzip", "4c5a495001"],
  ])("%s is refused by name", async (name, magic) => {
    for (const rest of [0, 1000]) {
      const outcome = await outcomeOf([Buffer.concat([Buffer.from(magic, "hex"), Buffer.alloc(rest, 0x55)])]);
      expect(outcome).toMatchObject({
        code: "unsupported-compression",
        reason: expect.stringContaining(name),
      });
    }
  });

  test.each([0, 1, 511, 512, 600, 40_000])("%i bytes of noise are not recognised", async (length) => {
    const noise = Buffer.alloc(length, "no magic number ");
    expect(await codeOf(noise)).toBe(length === 0 ? "empty-input" : "not-recognised");
    expect(await codeOf(pieces(noise, 100))).toBe(length === 0 ? "empty-input" : "not-recognised");
    expect(await codeOf(noise, { types: ["db"] })).toBe(length === 0 ? "empty-input" : "not-recognised");
  });

  test("chunks of nothing are nothing", async () => {
    expect(await codeOf([Buffer.alloc(0), Buffer.alloc(0)])).toBe("empty-input");
  });

  test("noise is refused after 512 bytes where no image is wanted", async () => {
    let pushed = 0;
    function* counted() {
      for (const piece of pieces(Buffer.alloc(4096, "x"), 128)) {
        pushed += piece.length;
        yield piece;
      }
    }
    expect(await codeOf(counted(), { types: ["db", "files"] })).toBe("not-recognised");
    expect(pushed).toBe(512);
  });

  test.each<[string, readonly ArtefactType[], number]>([
    ["an image is allowed", ["db", "files", "iso"], 36 * 1024],
    ["none is", ["db", "files"], 10240 + 1024],
  ])("2 GiB of zeros are refused early where %s", async (_, types, most) => {
    let pushed = 0;
    function* zeros() {
      const block = Buffer.alloc(1024);
      for (; pushed < 2 ** 31; pushed += block.length) yield block;
    }
    expect(await codeOf(zeros(), { types })).toBe("not-recognised");
    expect(pushed).toBeLessThan(most);
  });
});

describe("the name and the bytes must agree", () => {
  test.each([
    ["core.db.tar.gz", "gzip"],
    ["core.db.tar.zst", "zstd"],
    ["core.db.tar", "none"],
    ["core.db", "none"],
    ["core.db", "gzip"],
    ["core.db", "zstd"],
  ] as const)("%s may be %s", async (name, compression) => {
    expect(await codeOf(db(compression), { name })).toBe("accepted as db");
  });

  test.each([
    ["core.db.tar.gz", "zstd"],
    ["core.db.tar.gz", "none"],
    ["core.db.tar.zst", "gzip"],
    ["core.db.tar.zst", "none"],
    ["core.db.tar", "gzip"],
    ["core.db.tar", "zstd"],
    ["core.db.tar.xz", "gzip"],
    ["core.db.tar.lzo", "none"],
    ["core.tar.gz", "gzip"],
    ["core.db.tar.gz.sig", "gzip"],
    ["core", "none"],
  ] as const)("%s may not be %s", async (name, compression) => {
    expect(await codeOf(db(compression), { name })).toBe("name-mismatch");
  });

  test.each([
    ["core.files.tar.gz", "gzip", ["db", "files", "iso"]],
    ["arch.iso", "gzip", ["db", "files", "iso"]],
    ["arch.iso", "none", ["db", "files", "iso"]],
    [undefined, "gzip", ["files"]],
    [undefined, "gzip", ["iso"]],
    [undefined, "zstd", ["iso"]],
    [undefined, "none", ["iso"]],
    ["core.db.tar.gz", "gzip", ["files", "iso"]],
  ] as const)("with the name %s and allowed %s %j a db is wrong-type", async (name, compression, types) => {
    expect(await codeOf(db(compression), { ...(name && { name }), types })).toBe("wrong-type");
  });

  test("a wrong compression is told with the right one", async () => {
    const told = (name: string) => outcomeOf([db("gzip")], { name });
    expect(await told("core.db.tar.zst")).toMatchObject({
      reason: "expected zstd, as the name says, not gzip",
    });
    expect(await told("core.db.tar")).toMatchObject({
      reason: "expected no compression, as the name says, not gzip",
    });
  });

  test("xz is unsupported whether its name says so or not", async () => {
    const bytes = Buffer.from("fd377a585a000004", "hex");
    expect(await codeOf(bytes, { name: "core.db.tar.xz" })).toBe("unsupported-compression");
    expect(await codeOf(bytes, { name: "core.db.tar.gz" })).toBe("unsupported-compression");
    expect(await codeOf(bytes)).toBe("unsupported-compression");
  });

  test("an empty database is refused where its name promises an image", async () => {
    expect(await codeOf(Buffer.alloc(10240), { name: "arch.iso" })).toBe("wrong-type");
    expect(await codeOf(Buffer.alloc(10240), { types: ["iso"] })).toBe("wrong-type");
  });
});

describe("what is no database goes to the image recogniser", () => {
  test("where an image is allowed", async () => {
    expect(await codeOf(imageLike())).toBe("bad-image");
    expect(await codeOf(imageLike(), { name: "arch.iso" })).toBe("bad-image");
    expect(await codeOf(pieces(imageLike(), 100))).toBe("bad-image");
  });

  test("and is wrong-type where the name promises a database", async () => {
    expect(await codeOf(imageLike(), { name: "core.db.tar.gz" })).toBe("wrong-type");
    expect(await codeOf(imageLike(), { name: "core.files" })).toBe("wrong-type");
  });

  test("and not where none is allowed", async () => {
    expect(await codeOf(imageLike(), { types: ["db", "files"] })).toBe("not-recognised");
  });

  test("cut before an image could show, it is truncated only if its name promises an image", async () => {
    const start = imageLike().subarray(0, 32_768);
    expect(await codeOf(start, { name: "arch.iso" })).toBe("truncated");
    expect(await codeOf(start)).toBe("not-recognised");
    expect(await codeOf(start, { name: "core.db" })).toBe("not-recognised");
    expect(await codeOf(imageLike().subarray(0, 16 * 2048 + 5))).toBe("not-recognised");
    expect(await codeOf(imageLike().subarray(0, 16 * 2048 + 6))).toBe("truncated");
  });
});

test("a stranger's name is quoted", async () => {
  const outcome = await outcomeOf([db("gzip")], { name: "core.db.tar.gz.old" });
  expect(outcome).toMatchObject({
    code: "name-mismatch",
    reason: expect.stringContaining('"core.db.tar.gz.old"'),
  });
});
