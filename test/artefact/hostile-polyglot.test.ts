import { describe, expect, test } from "vitest";
import { packageEntries, samplePackage } from "../support/database-fixture.ts";
import { gzipMember, storedBlocks } from "../support/gzip-fixture.ts";
import { paxEntry, paxRecord, tarArchive } from "../support/tar-fixture.ts";
import { verdictOn } from "../support/verdict.ts";
import { zstdFrame } from "../support/zstd-fixture.ts";

const SECTOR = 2048;
const KEY = "SCHILY.xattr.user.note";

/** A db of some 250 KiB, all of it attributes: these bytes stand at this offset of the archive. */
function databaseAround(bytes: Buffer, offset: number): Buffer {
  const empty = { ...paxEntry({}), content: paxRecord([KEY, "-".repeat(60_000)]) };
  const samples = Array.from({ length: 4 }, (_, index) => packageEntries(samplePackage(index), "db"));
  const archive = tarArchive(samples.flatMap((entries) => [empty, ...entries]));
  bytes.copy(archive, offset);
  return archive;
}

/** Where the archive's bytes come to stand in a gzip member of stored blocks, and in a zstd frame of raw ones. */
const IN_GZIP = 10 + 5;
const IN_ZSTD = 6 + 3;

describe("a database that is an image as well", () => {
  const descriptor = Buffer.from("\x01CD001\x01\0", "latin1");

  test.each([16, 17, 18, 31, 100, 115])(
    "with a descriptor in sector %i is not recognised",
    async (sector) => {
      const bytes = databaseAround(descriptor, sector * SECTOR);
      for (const chunk of [65536, 2048, 2049, 511])
        expect(await verdictOn(bytes, { chunk })).toBe("not-recognised");
    },
  );

  test("is not recognised however the descriptor is cut", async () => {
    const bytes = databaseAround(descriptor, 16 * SECTOR);
    for (let chunk = 16 * SECTOR - 3; chunk < 16 * SECTOR + 8; chunk++)
      expect([chunk, await verdictOn(bytes, { chunk })]).toEqual([chunk, "not-recognised"]);
    expect(await verdictOn(bytes, { chunk: 1 })).toBe("not-recognised");
  });

  test("is not recognised under stored blocks of gzip or raw ones of zstd", async () => {
    const gzip = databaseAround(descriptor, 16 * SECTOR - IN_GZIP);
    expect(await verdictOn(gzipMember(gzip, { deflated: storedBlocks(gzip) }))).toBe("not-recognised");
    const zstd = databaseAround(descriptor, 16 * SECTOR - IN_ZSTD);
    expect(await verdictOn(zstdFrame(zstd))).toBe("not-recognised");
  });

  test.each([15, 116])(
    "with a descriptor in sector %i, where nobody looks, is a database",
    async (sector) => {
      expect(await verdictOn(databaseAround(descriptor, sector * SECTOR))).toBe("db");
    },
  );

  test.each([
    ["one byte early", Buffer.from("CD001"), 16 * SECTOR],
    ["one byte late", Buffer.from("CD001"), 16 * SECTOR + 2],
    ["with another letter", Buffer.from("CD002"), 16 * SECTOR + 1],
    ["in lower case", Buffer.from("cd001"), 16 * SECTOR + 1],
    ["in two sectors, half in each", Buffer.from(`CD0--${"-".repeat(SECTOR - 5)}--001`), 16 * SECTOR + 1],
  ])("with the identifier %s is a database", async (_title, bytes, offset) => {
    for (const chunk of [65536, 2048, 2051, 1])
      expect(await verdictOn(databaseAround(bytes, offset), { chunk })).toBe("db");
  });
});
