import { deflateRawSync, gunzipSync, gzipSync, constants as zlib } from "node:zlib";
import { describe, expect, test } from "vitest";
import { packageEntries, samplePackage } from "../support/database-fixture.ts";
import {
  FCOMMENT,
  FEXTRA,
  FHCRC,
  FNAME,
  FTEXT,
  gzipMember,
  headerChecksum,
  storedBlocks,
} from "../support/gzip-fixture.ts";
import { tarArchive } from "../support/tar-fixture.ts";
import { type Verdict, verdictOn } from "../support/verdict.ts";

const archive = tarArchive([samplePackage(1), samplePackage(2)].flatMap((one) => packageEntries(one, "db")));
const good = gzipMember(archive);
const half = archive.subarray(0, 1536);
const rest = archive.subarray(1536);

/** A deflate stream in pieces, each ended by `flush`. */
function flushed(flush: number): Buffer {
  return Buffer.concat([deflateRawSync(half, { finishFlush: flush }), deflateRawSync(rest)]);
}

/** One stored block whose length and its complement disagree. */
function contradictingStored(): Buffer {
  const blocks = storedBlocks(archive);
  blocks[3] = (blocks[3] ?? 0) ^ 1;
  return blocks;
}

/** Bits after the last block, up to the next byte, set. */
function dirtyLastByte(): Buffer {
  const blocks = Buffer.concat([storedBlocks(archive, 65535, false), Buffer.from([0x03, 0x00])]);
  blocks[blocks.length - 1] = 0xfc;
  return blocks;
}

const CASES: readonly (readonly [string, Buffer, Verdict])[] = [
  ["as gzip -n writes it", good, "db"],
  ["with FTEXT", gzipMember(archive, { flags: FTEXT }), "bad-compression"],
  [
    "with the original name, as gzip without -n writes it",
    gzipMember(archive, { flags: FNAME, optional: "core.db.tar\0" }),
    "db",
  ],
  [
    "with an unended name",
    gzipMember(archive, { flags: FNAME, optional: "x".repeat(70000) }),
    "bad-compression",
  ],
  ["with a comment", gzipMember(archive, { flags: FCOMMENT, optional: "hidden\0" }), "bad-compression"],
  [
    "with an extra field",
    gzipMember(archive, { flags: FEXTRA, optional: "\x06\0AB\x02\0hi" }),
    "bad-compression",
  ],
  [
    "with a long extra field",
    gzipMember(archive, { flags: FEXTRA, optional: `\xff\xff${"A".repeat(65535)}` }),
    "bad-compression",
  ],
  [
    "with a header checksum",
    gzipMember(archive, {
      flags: FHCRC,
      optional: headerChecksum(Buffer.from("1f8b08020000000000 03".replace(" ", ""), "hex")),
    }),
    "bad-compression",
  ],
  [
    "with a wrong header checksum",
    gzipMember(archive, { flags: FHCRC, optional: "\0\0" }),
    "bad-compression",
  ],
  ["with reserved flag 5", gzipMember(archive, { flags: 32 }), "bad-compression"],
  ["with reserved flag 6", gzipMember(archive, { flags: 64 }), "bad-compression"],
  ["with reserved flag 7", gzipMember(archive, { flags: 128 }), "bad-compression"],
  ["of method 7", gzipMember(archive, { method: 7 }), "bad-compression"],
  ["with a wrong checksum", gzipMember(archive, { crc: 1 }), "bad-compression"],
  ["with a wrong length", gzipMember(archive, { length: archive.length - 1 }), "bad-compression"],
  ["followed by one zero", Buffer.concat([good, Buffer.alloc(1)]), "trailing-data"],
  [
    "followed by a block of zeros, as tape drives do",
    Buffer.concat([good, Buffer.alloc(512)]),
    "trailing-data",
  ],
  ["followed by 100 KiB of zeros", Buffer.concat([good, Buffer.alloc(102400)]), "trailing-data"],
  ["followed by a newline", Buffer.concat([good, Buffer.from("\n")]), "trailing-data"],
  ["followed by the first byte of a member", Buffer.concat([good, Buffer.from([0x1f])]), "trailing-data"],
  ["followed by an empty member", Buffer.concat([good, gzipMember(Buffer.alloc(0))]), "trailing-data"],
  ["followed by itself", Buffer.concat([good, good]), "trailing-data"],
  ["in two members", Buffer.concat([gzipMember(half), gzipMember(rest)]), "trailing-data"],
  ["after an empty member", Buffer.concat([gzipMember(Buffer.alloc(0)), good]), "trailing-data"],
  ["after a zero byte", Buffer.concat([Buffer.alloc(1), good]), "not-recognised"],
  ["inside gzip", gzipMember(good), "bad-archive"],
  ["of nothing", gzipMember(Buffer.alloc(0)), "truncated"],
  ["of one byte", gzipMember(Buffer.from("x")), "truncated"],
  ["in stored blocks", gzipMember(archive, { deflated: storedBlocks(archive) }), "db"],
  ["in stored blocks of one byte", gzipMember(archive, { deflated: storedBlocks(archive, 1) }), "db"],
  [
    "in a stored block that contradicts itself",
    gzipMember(archive, { deflated: contradictingStored() }),
    "bad-compression",
  ],
  ["with fixed codes", gzipSync(archive, { strategy: zlib.Z_FIXED }), "db"],
  ["with run lengths only", gzipSync(archive, { strategy: zlib.Z_RLE }), "db"],
  ["with literals only", gzipSync(archive, { strategy: zlib.Z_HUFFMAN_ONLY }), "db"],
  ["with a sync flush, as pigz writes", gzipMember(archive, { deflated: flushed(zlib.Z_SYNC_FLUSH) }), "db"],
  ["with a full flush", gzipMember(archive, { deflated: flushed(zlib.Z_FULL_FLUSH) }), "db"],
  ["with bits after the last block", gzipMember(archive, { deflated: dirtyLastByte() }), "db"],
  [
    "with two last blocks",
    gzipMember(archive, { deflated: Buffer.concat([storedBlocks(archive), Buffer.from([3, 0])]) }),
    "bad-compression",
  ],
  [
    "with no last block",
    gzipMember(archive, { deflated: storedBlocks(archive, 65535, false) }),
    "bad-compression",
  ],
  ["with a reserved block type", gzipMember(archive, { deflated: Buffer.from([7, 0]) }), "bad-compression"],
  [
    "with a distance before the start",
    gzipMember(archive, { deflated: Buffer.from([0x03 | 0x08, 0x42, 0, 0]) }),
    "bad-compression",
  ],
];

describe("a database in gzip", () => {
  test.each(CASES)("%s", async (_title, bytes, verdict) => {
    expect(await verdictOn(bytes)).toBe(verdict);
    expect(await verdictOn(bytes, { chunk: 1021 })).toBe(verdict);
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8, 9])("at level %i", async (level) => {
    expect(await verdictOn(gzipSync(archive, { level }))).toBe("db");
  });

  test("one byte at a time", async () => {
    expect(await verdictOn(good, { chunk: 1 })).toBe("db");
  });

  test("is truncated wherever it is cut", async () => {
    for (let length = 2; length < good.length; length += length < 40 ? 1 : 7)
      expect([length, await verdictOn(good.subarray(0, length))]).toEqual([length, "truncated"]);
  });

  test("bears no changed bit but in the fields that say nothing, or where the content stays the same", async () => {
    for (let bit = 0; bit < good.length * 8; bit += bit < 160 ? 1 : 13) {
      const bent = Buffer.from(good);
      bent[bit >> 3] = (bent[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const verdict = await verdictOn(bent);
      // Modification time, extra flags and operating system.
      if (bit >= 32 && bit < 80) expect([bit, verdict]).toEqual([bit, "db"]);
      else if (verdict === "db") expect([bit, gunzipSync(bent).equals(archive)]).toEqual([bit, true]);
    }
  });
});
