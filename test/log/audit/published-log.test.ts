import { copyFileSync, existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { publishedLog } from "../../../src/log/audit/published-log.ts";
import { Contradiction } from "../../../src/log/contradiction.ts";
import { exportTo, growTo } from "../export/fixture.ts";
import { faultCode, freshDirectory, freshLedger, linesOf } from "../fixture.ts";

async function exported(size: number) {
  const made = freshLedger();
  const tiles = join(freshDirectory(), "tiles");
  await growTo(made.ledger, size);
  exportTo(made.directory, tiles);
  return { ...made, tiles };
}

describe("an exported log", () => {
  test("gives its checkpoint, and the lines that were logged", async () => {
    const { directory, tiles } = await exported(700);
    const log = publishedLog(tiles);
    expect(log.checkpoint).toBe(readFileSync(join(tiles, "checkpoint"), "utf8"));
    expect([...log.lines(700)]).toEqual(linesOf(directory));
  });

  test("is read from a full bundle where the partial one is gone meanwhile", async () => {
    const { ledger, directory, tiles } = await exported(200);
    const lines = linesOf(directory);
    copyFileSync(join(tiles, "checkpoint"), join(tiles, "kept"));
    await growTo(ledger, 300);
    exportTo(directory, tiles);
    renameSync(join(tiles, "kept"), join(tiles, "checkpoint"));
    expect(existsSync(join(tiles, "tile/entries/000.p"))).toBe(false);
    expect([...publishedLog(tiles).lines(200)]).toEqual(lines);
  });

  test.each([
    ["longer by a byte", (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(1)])],
    ["shorter by a byte", (bytes: Buffer) => bytes.subarray(0, -1)],
    ["larger than any bundle can be", () => Buffer.alloc(5 * 1024 * 1024)],
  ])("is refused with a bundle %s", async (_what, change) => {
    const { tiles } = await exported(256);
    const bundle = join(tiles, "tile/entries/000");
    writeFileSync(bundle, change(readFileSync(bundle)));
    expect(() => [...publishedLog(tiles).lines(256)]).toThrow(Contradiction);
  });

  test("is none where there is no checkpoint, or one that no checkpoint is as long as", async () => {
    const { tiles } = await exported(1);
    expect(await faultCode(() => publishedLog(freshDirectory()))).toBe("no-state");
    writeFileSync(join(tiles, "checkpoint"), "x".repeat(300_000));
    expect(await faultCode(() => publishedLog(tiles))).toBe("no-state");
  });
});
