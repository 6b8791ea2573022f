import { constants as zlib, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { packageEntries, samplePackage } from "../support/database-fixture.ts";
import { tarArchive } from "../support/tar-fixture.ts";
import { type Verdict, verdictOn } from "../support/verdict.ts";
import {
  contentChecksum,
  rawBlocks,
  skippableFrame,
  type ZstdBlock,
  zstdFrame,
} from "../support/zstd-fixture.ts";

const archive = tarArchive([samplePackage(1), samplePackage(2)].flatMap((one) => packageEntries(one, "db")));
const good = zstdFrame(archive);
const half = archive.subarray(0, 1536);
const rest = archive.subarray(1536);
const blocks = rawBlocks(archive);
const empty: ZstdBlock = { type: 0, data: Buffer.alloc(0) };
const megabytes = (exponent: number): number => (exponent - 10) << 3;

/** The archive with its last 1024 zeros as an RLE block. */
const withRun: readonly ZstdBlock[] = [
  ...rawBlocks(archive.subarray(0, archive.length - 1024)),
  { type: 1, size: 1024, data: Buffer.alloc(1) },
];

const CASES: readonly (readonly [string, Buffer, Verdict])[] = [
  ["in raw blocks", good, "db"],
  ["with its content size", zstdFrame(archive, { contentSize: archive.length }), "db"],
  ["in a single segment", zstdFrame(archive, { singleSegment: true, contentSize: archive.length }), "db"],
  ["without a checksum", zstdFrame(archive, { checksum: false }), "bad-compression"],
  ["with a wrong checksum", zstdFrame(archive, { checksum: Buffer.alloc(4) }), "bad-compression"],
  [
    "with a checksum cut short",
    zstdFrame(archive, { checksum: contentChecksum(archive).subarray(0, 3) }),
    "truncated",
  ],
  [
    "with too small a content size",
    zstdFrame(archive, { contentSize: archive.length - 512 }),
    "bad-compression",
  ],
  [
    "with too large a content size",
    zstdFrame(archive, { contentSize: archive.length + 512 }),
    "bad-compression",
  ],
  ["with a content size of zero", zstdFrame(archive, { contentSize: 0 }), "bad-compression"],
  ["with a content size of 2^64-1", zstdFrame(archive, { contentSize: 2n ** 64n - 1n }), "expands-too-far"],
  ["with a content size of 2^64-2", zstdFrame(archive, { contentSize: 2n ** 64n - 2n }), "expands-too-far"],
  [
    "in a single segment of 2^63",
    zstdFrame(archive, { singleSegment: true, contentSize: 2n ** 63n }),
    "expands-too-far",
  ],
  [
    "in a single segment of zero",
    zstdFrame(archive, { singleSegment: true, contentSize: 0 }),
    "bad-compression",
  ],
  ["with the reserved bit", zstdFrame(archive, { bits: 8 }), "bad-compression"],
  ["with the unused bit", zstdFrame(archive, { bits: 16 }), "bad-compression"],
  ["with a dictionary", zstdFrame(archive, { dictionary: 7 }), "bad-compression"],
  ["with the dictionary 0, which is none", zstdFrame(archive, { dictionary: 0 }), "bad-compression"],
  ["with a window of 1 KiB and larger blocks", zstdFrame(archive, { window: 0 }), "bad-compression"],
  ["with a window of 32 MiB, as --ultra -20 writes", zstdFrame(archive, { window: megabytes(25) }), "db"],
  [
    "with a window of 128 MiB, as --long=27 writes",
    zstdFrame(archive, { window: megabytes(27) }),
    "bad-compression",
  ],
  ["with a window of 2 TiB", zstdFrame(archive, { window: 0xff }), "bad-compression"],
  ["with an RLE block", zstdFrame(archive, { blocks: withRun }), "db"],
  [
    "with an RLE block of no repetitions",
    zstdFrame(archive, { blocks: [{ type: 1, size: 0, data: Buffer.alloc(1) }, ...blocks] }),
    "db",
  ],
  [
    "with an RLE block over 128 KiB",
    zstdFrame(archive, {
      window: megabytes(20),
      blocks: [...blocks, { type: 1, size: 131073, data: Buffer.alloc(1) }],
    }),
    "bad-compression",
  ],
  [
    "with zeros after its end in an RLE block",
    zstdFrame(Buffer.concat([archive, Buffer.alloc(10240)]), {
      blocks: [...blocks, { type: 1, size: 10240, data: Buffer.alloc(1) }],
    }),
    "trailing-data",
  ],
  ["with an empty block before", zstdFrame(archive, { blocks: [empty, ...blocks] }), "db"],
  ["with an empty last block", zstdFrame(archive, { blocks: [...blocks, empty] }), "db"],
  [
    "with a reserved block",
    zstdFrame(archive, { blocks: [...blocks, { type: 3, data: Buffer.alloc(0) }] }),
    "bad-compression",
  ],
  [
    "with a compressed block of no bytes",
    zstdFrame(archive, { blocks: [{ type: 2, data: Buffer.alloc(0) }, ...blocks] }),
    "db",
  ],
  [
    "with a compressed block of noise",
    zstdFrame(archive, { blocks: [{ type: 2, data: Buffer.alloc(40, 0xff) }, ...blocks] }),
    "bad-compression",
  ],
  [
    "with a compressed block that gives nothing",
    zstdFrame(archive, { blocks: [{ type: 2, data: Buffer.from([0, 0]) }, ...blocks] }),
    "db",
  ],
  ["with no last block", zstdFrame(archive, { ended: false, checksum: Buffer.alloc(0) }), "truncated"],
  ["followed by a zero", Buffer.concat([good, Buffer.alloc(1)]), "trailing-data"],
  ["followed by a newline", Buffer.concat([good, Buffer.from("\n")]), "trailing-data"],
  [
    "followed by an empty skippable frame",
    Buffer.concat([good, skippableFrame(Buffer.alloc(0))]),
    "trailing-data",
  ],
  [
    "followed by a skippable frame",
    Buffer.concat([good, skippableFrame(archive, 0x184d2a5f)]),
    "trailing-data",
  ],
  ["after a skippable frame", Buffer.concat([skippableFrame(archive), good]), "bad-compression"],
  [
    "after an empty skippable frame",
    Buffer.concat([skippableFrame(Buffer.alloc(0)), good]),
    "bad-compression",
  ],
  [
    "followed by an empty frame",
    Buffer.concat([good, zstdFrame(Buffer.alloc(0), { blocks: [empty] })]),
    "trailing-data",
  ],
  ["followed by itself", Buffer.concat([good, good]), "trailing-data"],
  ["in two frames", Buffer.concat([zstdFrame(half), zstdFrame(rest)]), "trailing-data"],
  [
    "after an empty frame",
    Buffer.concat([zstdFrame(Buffer.alloc(0), { blocks: [empty] }), good]),
    "trailing-data",
  ],
  ["inside zstd", zstdFrame(good), "bad-archive"],
  ["of nothing", zstdFrame(Buffer.alloc(0), { blocks: [empty] }), "truncated"],
  ["of one byte", zstdFrame(Buffer.from("x")), "truncated"],
  ["in a frame of version 0.7", Buffer.concat([Buffer.from([0x27]), good.subarray(1)]), "not-recognised"],
  ["in a frame with no magic number", good.subarray(4), "not-recognised"],
  ["of magic number and nothing more", good.subarray(0, 4), "truncated"],
];

describe("a database in zstd", () => {
  test.each(CASES)("%s", async (_title, bytes, verdict) => {
    expect(await verdictOn(bytes)).toBe(verdict);
    expect(await verdictOn(bytes, { chunk: 1021 })).toBe(verdict);
    expect(await verdictOn(bytes, { chunk: 7 })).toBe(verdict);
  });

  test.each([-7, 1, 3, 9, 15, 19, 20, 21])("at level %i", async (level) => {
    const params = { [zlib.ZSTD_c_compressionLevel]: level, [zlib.ZSTD_c_checksumFlag]: 1 };
    expect(await verdictOn(zstdCompressSync(archive, { params }))).toBe("db");
  });

  test("is truncated wherever it is cut", async () => {
    const compressed = zstdCompressSync(archive, { params: { [zlib.ZSTD_c_checksumFlag]: 1 } });
    for (let length = 4; length < compressed.length; length += length < 40 ? 1 : 7)
      expect([length, await verdictOn(compressed.subarray(0, length))]).toEqual([length, "truncated"]);
    for (const length of [6, 7, 8, 9, 10, archive.length, good.length - 5, good.length - 1])
      expect([length, await verdictOn(good.subarray(0, length))]).toEqual([length, "truncated"]);
  });

  test("bears no changed bit but where the content stays the same", async () => {
    const compressed = zstdCompressSync(archive, { params: { [zlib.ZSTD_c_checksumFlag]: 1 } });
    for (let bit = 0; bit < compressed.length * 8; bit += bit < 160 ? 1 : 13) {
      const bent = Buffer.from(compressed);
      bent[bit >> 3] = (bent[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      if ((await verdictOn(bent)) === "db")
        expect([bit, zstdDecompressSync(bent).equals(archive)]).toEqual([bit, true]);
    }
  });
});
