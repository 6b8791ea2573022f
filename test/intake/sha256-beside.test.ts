import { createHash } from "node:crypto";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runOk } from "../support/run.ts";

const MIB = 1024 * 1024;

/** A program with nothing else to do: were the digest not to keep the process alive, it would end without a word. */
const PROGRAM = `
import { Sha256Beside } from ${JSON.stringify(join(import.meta.dirname, "../../src/intake/sha256-beside.ts"))};
const [size, chunkSize] = process.argv.slice(1).map(Number);
const sha256 = new Sha256Beside();
for (let at = 0; at < size; at += chunkSize) await sha256.update(Buffer.alloc(Math.min(chunkSize, size - at), "abc"));
console.log(await sha256.digest());
`;

test.each([
  [9 * MIB, 256 * 1024],
  [9 * MIB + 1, 256 * 1024],
  [40 * MIB, MIB],
])(
  "the digest of %i bytes, %i at a time, comes though nothing else keeps the process",
  async (size, chunkSize) => {
    const args = ["--input-type=module-typescript", "--eval", PROGRAM, String(size), String(chunkSize)];
    const stdout = await runOk(process.execPath, ["--disable-warning=ExperimentalWarning", ...args]);
    const hash = createHash("sha256");
    for (let at = 0; at < size; at += chunkSize)
      hash.update(Buffer.alloc(Math.min(chunkSize, size - at), "abc"));
    expect(stdout.toString().trim()).toBe(hash.digest("hex"));
  },
);
