import { createGzip, deflateRawSync, gzipSync, constants as zlib, zstdCompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../src/artefact/compression.ts";
import { startDatabase } from "../../src/artefact/database.ts";
import { FREE_EXPANSION_BYTES } from "../../src/artefact/expansion.ts";
import {
  buildDatabase,
  compress,
  descText,
  packageEntries,
  samplePackage,
} from "../support/database-fixture.ts";
import { archiveEnd, tarArchive, tarEntry } from "../support/tar-fixture.ts";
import { codeOf, outcomeOf, pieces } from "./recognition.ts";

const archive = (): Buffer => buildDatabase({ packages: 3, kind: "db", compression: "none" });

/** Refused or accepted the same whole, byte by byte, and cut after `cut` bytes. */
async function codeHoweverCut(bytes: Buffer, cut: number): Promise<string> {
  const whole = await codeOf(bytes);
  expect(await codeOf(pieces(bytes, 1))).toBe(whole);
  expect(await codeOf(pieces(bytes, bytes.length, cut))).toBe(whole);
  return whole;
}

describe("gzip", () => {
  const good = () => gzipSync(archive());

  /** The good stream with these bytes from `offset` on. */
  function patched(offset: number, ...bytes: number[]): Buffer {
    const stream = good();
    Buffer.from(bytes).copy(stream, offset < 0 ? stream.length + offset : offset);
    return stream;
  }

  test.each<[string, Buffer, string]>([
    ["nothing wrong", good(), "accepted as db"],
    ["stored blocks", gzipSync(archive(), { level: 0 }), "accepted as db"],
    ["a method that is not deflate", patched(2, 7), "bad-compression"],
    ["the text flag", patched(3, 0x01), "bad-compression"],
    ["a reserved flag", patched(3, 0x80), "bad-compression"],
    ["a wrong CRC", patched(-8, 0, 0, 0, 0), "bad-compression"],
    ["a wrong length", patched(-4, 0, 0, 0, 0), "bad-compression"],
    ["a reserved block type", patched(10, 0xff), "bad-compression"],
    ["a second member", Buffer.concat([good(), gzipSync("x")]), "trailing-data"],
    ["an empty second member", Buffer.concat([good(), gzipSync("")]), "trailing-data"],
    ["one zero behind it", Buffer.concat([good(), Buffer.alloc(1)]), "trailing-data"],
    ["zeros up to a block behind it", Buffer.concat([good(), Buffer.alloc(512)]), "trailing-data"],
    ["one byte behind it", Buffer.concat([good(), Buffer.from("x")]), "trailing-data"],
    ["half a magic number behind it", Buffer.concat([good(), Buffer.of(0x1f)]), "trailing-data"],
  ])("with %s", async (_, bytes, code) => {
    expect(await codeHoweverCut(bytes, good().length)).toBe(code);
  });

  /** The good stream with other flags and fields after the header. */
  function withFields(flags: number, fields: Buffer | string): Buffer {
    const stream = patched(3, flags);
    return Buffer.concat([stream.subarray(0, 10), Buffer.from(fields), stream.subarray(10)]);
  }

  test.each<[string, Buffer, string]>([
    ["a file name", withFields(0x08, "core db.tar~\0"), "accepted as db"],
    ["an empty file name", withFields(0x08, "\0"), "accepted as db"],
    ["a file name of 255 bytes", withFields(0x08, `${"n".repeat(255)}\0`), "accepted as db"],
    ["a file name of 256 bytes", withFields(0x08, `${"n".repeat(256)}\0`), "bad-compression"],
    ["an escape sequence for a file name", withFields(0x08, "\x1b[2J\0"), "bad-compression"],
    ["DEL in the file name", withFields(0x08, "a\x7f\0"), "bad-compression"],
    ["a file name outside ASCII", withFields(0x08, Buffer.from("\xe4\0", "latin1")), "bad-compression"],
    ["a comment", withFields(0x10, "hello\0"), "bad-compression"],
    ["a file name and a comment", withFields(0x18, "name\0hello\0"), "bad-compression"],
    ["an extra field", withFields(0x04, Buffer.from("0200abcd", "hex")), "bad-compression"],
    ["a header checksum", withFields(0x02, "\0\0"), "bad-compression"],
  ])("with %s in the header", async (_, bytes, code) => {
    expect(await codeHoweverCut(bytes, 10)).toBe(code);
  });

  test("cut inside the file name is truncated", async () => {
    const bytes = withFields(0x08, "core.db.tar\0");
    for (const length of [10, 11, 15, 21, 22])
      expect(await codeOf(bytes.subarray(0, length))).toBe("truncated");
  });

  test.each([
    ["a second member", gzipSync("x"), "second member"],
    ["zeros", Buffer.alloc(4), "not even zeros"],
    ["a megabyte of zeros", Buffer.alloc(1 << 20), "not even zeros"],
    ["text", Buffer.from("text"), "nothing after the gzip stream"],
  ])("with %s behind it says so, whole and in two chunks", async (_, more, words) => {
    for (const chunks of [[Buffer.concat([good(), more])], [good(), more]]) {
      expect(await outcomeOf(chunks)).toMatchObject({
        code: "trailing-data",
        reason: expect.stringContaining(words),
      });
    }
  });

  test("in two members that are one archive is trailing-data", async () => {
    const bytes = archive();
    const members = [gzipSync(bytes.subarray(0, 1024)), gzipSync(bytes.subarray(1024))];
    expect(await codeHoweverCut(Buffer.concat(members), members[0]?.length ?? 0)).toBe("trailing-data");
  });

  test("raw deflate and zlib streams are not recognised", async () => {
    expect(await codeOf(deflateRawSync(archive()))).toBe("not-recognised");
  });
});

describe("zstd", () => {
  const C = zlib;
  const encode = (params: Record<number, number>, size?: number) =>
    zstdCompressSync(archive(), {
      params: { [C.ZSTD_c_checksumFlag]: 1, ...params },
      ...(size && { pledgedSrcSize: size }),
    });
  const good = () => encode({ [C.ZSTD_c_contentSizeFlag]: 0 });
  const sized = () => encode({ [C.ZSTD_c_contentSizeFlag]: 1 });
  const skippable = (nibble: number) =>
    Buffer.concat([Buffer.of(0x50 | nibble, 0x2a, 0x4d, 0x18, 3, 0, 0, 0), Buffer.from("abc")]);

  /** A frame made by hand: descriptor, fields, blocks; the checksum is left out or wrong. */
  const frame = (...parts: (readonly number[] | Buffer)[]) =>
    Buffer.concat([Buffer.of(0x28, 0xb5, 0x2f, 0xfd), ...parts.map((part) => Buffer.from(part))]);

  const patched = (stream: Buffer, offset: number, byte: number) => {
    stream.writeUInt8(byte, offset < 0 ? stream.length + offset : offset);
    return stream;
  };

  test.each<[string, Buffer, string]>([
    ["nothing wrong", good(), "accepted as db"],
    ["its content size", sized(), "accepted as db"],
    [
      "a window of 8 MiB",
      encode({ [C.ZSTD_c_contentSizeFlag]: 0, [C.ZSTD_c_windowLog]: 23 }),
      "accepted as db",
    ],
    ["a window of 32 MiB", patched(good(), 5, (25 - 10) << 3), "accepted as db"],
    ["a window a step above 32 MiB", patched(good(), 5, ((25 - 10) << 3) | 1), "bad-compression"],
    ["a window of 64 MiB", patched(good(), 5, (26 - 10) << 3), "bad-compression"],
    ["the largest window there is", patched(good(), 5, 0xff), "bad-compression"],
    ["no checksum", encode({ [C.ZSTD_c_checksumFlag]: 0 }), "bad-compression"],
    ["a wrong checksum", patched(good(), -1, (good().at(-1) ?? 0) ^ 1), "bad-compression"],
    ["a wrong content size", patched(sized(), 5, 7), "bad-compression"],
    ["an unused bit", patched(good(), 4, 0x14), "bad-compression"],
    ["a reserved bit", patched(good(), 4, 0x0c), "bad-compression"],
    ["a dictionary of 1 byte", frame([0x05, 0x58, 1], [1, 0, 0], Buffer.alloc(4)), "bad-compression"],
    [
      "a dictionary of 4 bytes",
      frame([0x07, 0x58, 1, 2, 3, 4], [1, 0, 0], Buffer.alloc(4)),
      "bad-compression",
    ],
    ["a reserved block type", frame([0x04, 0x58], [7, 0, 0], Buffer.alloc(4)), "bad-compression"],
    [
      "a block of more than 128 KiB",
      frame([0x04, 0x58], [0x03, 0x00, 0x10 | 0x01], Buffer.alloc(9)),
      "bad-compression",
    ],
    [
      "a block of more than its window",
      frame([0x04, 0x00], [(1025 << 3) & 0xff, (1025 << 3) >> 8, 0], Buffer.alloc(1025)),
      "bad-compression",
    ],
    ["a second frame", Buffer.concat([good(), good()]), "trailing-data"],
    ["an empty second frame", Buffer.concat([good(), zstdCompressSync("")]), "trailing-data"],
    ["a skippable frame behind it", Buffer.concat([good(), skippable(0)]), "trailing-data"],
    ["a zero behind it", Buffer.concat([good(), Buffer.alloc(1)]), "trailing-data"],
    ["a skippable frame before it", Buffer.concat([skippable(0), good()]), "bad-compression"],
    ["another skippable frame before it", Buffer.concat([skippable(15), good()]), "bad-compression"],
    ["only a skippable frame", skippable(7), "bad-compression"],
  ])("with %s", async (_, bytes, code) => {
    expect(await codeHoweverCut(bytes, good().length)).toBe(code);
  });

  test.each([
    ["a second frame", Buffer.from("28b52ffd", "hex"), "second frame"],
    ["a skippable frame", Buffer.from("5f2a4d18", "hex"), "skippable frame"],
    ["text", Buffer.from("text"), "nothing after the zstd frame"],
  ])("with %s behind it says so", async (_, more, words) => {
    const outcome = await outcomeOf([good(), more]);
    expect(outcome).toMatchObject({ code: "trailing-data", reason: expect.stringContaining(words) });
  });

  test("a frame of raw and repeated blocks is walked and read", async () => {
    // An empty database: 10240 NULs as one raw block of 1 KiB, a repeated block of 9 KiB and an empty last one.
    const empty = zstdCompressSync(Buffer.alloc(10240), { params: { [C.ZSTD_c_checksumFlag]: 1 } });
    const header = (type: number, size: number, last: number) => {
      const bytes = Buffer.alloc(3);
      bytes.writeUIntLE((size << 3) | (type << 1) | last, 0, 3);
      return bytes;
    };
    const byHand = frame(
      [0x04, 0x58],
      header(0, 1024, 0),
      Buffer.alloc(1024),
      header(1, 9216, 0),
      [0],
      header(0, 0, 1),
      empty.subarray(-4),
    );
    expect(await codeHoweverCut(byHand, 8)).toBe("accepted as unknown");
  });

  test.each<[string, Buffer]>([
    ["1 byte", frame([0x24, 0xff], [1, 0, 0], Buffer.alloc(4))],
    ["2 bytes", frame([0x64, 0xff, 0xff], [1, 0, 0], Buffer.alloc(4))],
    ["4 bytes", frame([0xa4, 0, 0, 0, 1], [1, 0, 0], Buffer.alloc(4))],
    ["8 bytes", frame([0xe4, 0, 0, 0, 1, 0, 0, 0, 0], [1, 0, 0], Buffer.alloc(4))],
  ])("a content size of %s that the content does not have is bad-compression", async (_, bytes) => {
    expect(await codeHoweverCut(bytes, 7)).toBe("bad-compression");
  });

  test("a single segment larger than any window is bad-compression, by its header", async () => {
    const header = (bytes: number) => {
      const size = Buffer.alloc(4);
      size.writeUInt32LE(bytes);
      return frame([0xa4], size, [1, 0, 0], Buffer.alloc(600));
    };
    expect(await outcomeOf([header(2 ** 25 + 1)])).toMatchObject({
      reason: expect.stringContaining("window"),
    });
    expect(await outcomeOf([header(2 ** 25)])).not.toMatchObject({
      reason: expect.stringContaining("window"),
    });
  });

  test("a content size above the limit expands too far, by its header", async () => {
    const declared = Buffer.alloc(8);
    declared.writeBigUInt64LE(BigInt(DEFAULT_LIMITS.maxExpandedBytes) + 1n);
    expect(await codeOf(frame([0xc4, 0x58], declared, [1, 0, 0], Buffer.alloc(600)))).toBe("expands-too-far");
    declared.writeBigUInt64LE(2n ** 64n - 1n);
    expect(await codeOf(frame([0xc4, 0x58], declared, [1, 0, 0], Buffer.alloc(600)))).toBe("expands-too-far");
    declared.writeBigUInt64LE(BigInt(DEFAULT_LIMITS.maxExpandedBytes));
    expect(await codeOf(frame([0xc4, 0x58], declared, [1, 0, 0], Buffer.alloc(600)))).not.toBe(
      "expands-too-far",
    );
  });
});

describe("what costs too much is refused", () => {
  const sample = samplePackage(1);
  const directory = `${sample.name}-${sample.version}/`;

  /** A files database whose one list is `bytes` long and consists of one short path again and again. */
  function* bomb(bytes: number): Generator<Buffer> {
    const line = "usr/share/aaaaa\n";
    const content = `%FILES%\n${"a".repeat(7)}\n`;
    const start = Buffer.concat([
      ...packageEntries(sample, "db").map(tarEntry),
      tarEntry({ name: `${directory}files`, content: "", size: bytes }),
      Buffer.from(content),
    ]);
    yield start;
    const chunk = Buffer.from(line.repeat(65536 / line.length));
    for (let left = bytes - content.length; left > 0; left -= chunk.length)
      yield chunk.subarray(0, Math.min(left, chunk.length));
    yield Buffer.alloc(512 - (bytes % 512 || 512));
    yield archiveEnd(start.length - Buffer.byteLength(content) + Math.ceil(bytes / 512) * 512);
  }

  async function gzipped(chunks: Iterable<Buffer>): Promise<Buffer> {
    const stream = createGzip();
    const out: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => out.push(chunk));
    for (const chunk of chunks)
      if (!stream.write(chunk)) await new Promise((resolve) => stream.once("drain", resolve));
    await new Promise<void>((resolve) => {
      stream.on("end", resolve);
      stream.end();
    });
    return Buffer.concat(out);
  }

  test("a gzip bomb that is a well-formed database", async () => {
    const bytes = await gzipped(bomb(64 << 20));
    expect(bytes.length).toBeLessThan(1 << 20);
    expect(await codeOf(bytes)).toBe("expands-too-far");
    expect(await codeOf(pieces(bytes, 1000))).toBe("expands-too-far");
    expect(await codeOf(bytes, { limits: { maxExpansionRatio: 2000 } })).toBe("accepted as files");
  });

  test("a zstd bomb that is a well-formed database", async () => {
    const bytes = compress(Buffer.concat([...bomb(16 << 20)]), "zstd");
    expect(bytes.length).toBeLessThan(1 << 16);
    expect(await codeOf(bytes)).toBe("expands-too-far");
    expect(await codeOf(bytes, { limits: { maxExpansionRatio: 1e6 } })).toBe("accepted as files");
  });

  test("the ratio counts only above 1 MiB, and what has been received so far", async () => {
    const small = await gzipped(bomb(FREE_EXPANSION_BYTES - 20480));
    expect(FREE_EXPANSION_BYTES / small.length).toBeGreaterThan(100);
    expect(await codeOf(small)).toBe("accepted as files");
    const large = await gzipped(bomb(FREE_EXPANSION_BYTES + 1));
    expect(await codeOf(large)).toBe("expands-too-far");
  });

  test.each(["none", "gzip", "zstd"] as const)(
    "%s that expands to more than its limit, by one byte",
    async (compression) => {
      const bytes = compress(archive(), compression);
      const limit = archive().length;
      expect(await codeOf(bytes, { limits: { maxExpandedBytes: limit } })).toBe("accepted as db");
      expect(await codeOf(bytes, { limits: { maxExpandedBytes: limit - 1 } })).toBe("expands-too-far");
    },
  );

  test.each(["none", "gzip", "zstd"] as const)(
    "%s of more bytes than received may be, by one byte",
    async (compression) => {
      const bytes = compress(archive(), compression);
      expect(await codeOf(bytes, { limits: { maxBytes: bytes.length } })).toBe("accepted as db");
      expect(await codeOf(bytes, { limits: { maxBytes: bytes.length - 1 } })).toBe("too-large");
      expect(await codeOf(bytes, { maxBytes: bytes.length - 1 })).toBe("too-large");
      expect(await codeOf(bytes, { maxBytes: bytes.length })).toBe("accepted as db");
    },
  );

  test("2 GiB of zeros in gzip, before a megabyte of them has been sent", async () => {
    let sent = 0;
    const zeros = createGzip();
    const block = Buffer.alloc(1 << 20);
    let left = 2048;
    const feed = () => {
      while (left-- > 0 && zeros.write(block)) {
        // Until the compressor asks to wait.
      }
      if (left < 0) zeros.end();
    };
    zeros.on("drain", feed);
    feed();
    async function* counted() {
      for await (const chunk of zeros) {
        sent += chunk.length;
        yield chunk as Buffer;
      }
    }
    expect(await outcomeOf(counted())).toMatchObject({ code: "trailing-data" });
    expect(sent).toBeLessThan(1 << 20);
    zeros.destroy();
  });

  test("a tall tale of a size is no reason to reserve memory", async () => {
    const bytes = tarArchive([
      { name: directory, type: "5" },
      { name: `${directory}desc`, content: "x", size: 8 ** 11 - 1 },
    ]);
    expect(await codeOf(bytes)).toBe("bad-database");
    const list = Buffer.concat([
      ...packageEntries(sample, "db").map(tarEntry),
      tarEntry({ name: `${directory}files`, content: "%FILES%\n", size: 8 ** 11 - 1 }),
    ]);
    expect(await codeOf(list)).toBe("truncated");
  });
});

test("nothing that is held depends on the length of the file lists", async () => {
  const facts = await outcomeOf(
    pieces(buildDatabase({ packages: 20, kind: "files", filesPerPackage: 2000 }), 65536),
  );
  const few = await outcomeOf(
    pieces(buildDatabase({ packages: 20, kind: "files", filesPerPackage: 10 }), 65536),
  );
  expect({ ...facts, expandedBytes: 0 }).toEqual({ ...few, expandedBytes: 0 });
});

test("a refusal stays what it is, whatever is pushed after it", async () => {
  const recogniser = startDatabase(
    { compression: "gzip", wanted: new Set(["db"]), named: undefined },
    DEFAULT_LIMITS,
  );
  const bytes = gzipSync(Buffer.from(descText(samplePackage(1).fields).repeat(10)));
  await recogniser.push(bytes);
  const refused = await recogniser.finish();
  expect(refused).toMatchObject({ code: "bad-archive" });
  expect(await recogniser.push(bytes)).toEqual(refused);
  recogniser.close();
});
