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

/** Reads so many bytes that come as fast as they can be made; says the most memory that it ever had, in KiB. */
const READER = `
import { Readable } from "node:stream";
import { receive } from ${JSON.stringify(join(import.meta.dirname, "../../src/intake/intake.ts"))};
import { startMessageHash } from ${JSON.stringify(join(import.meta.dirname, "../../src/openpgp/message-hash.ts"))};
const size = Number(process.argv[1]);
const recogniser = { push: async () => undefined, finish: async () => ({}), close: () => undefined };
const message = { update: () => undefined, sha512: () => startMessageHash([]).sha512() };
const chunks = function* () { for (let at = 0; at < size; at += 1048576) yield Buffer.allocUnsafeSlow(1048576).fill(at); };
const bounds = { maxBytes: size, idleMs: 60_000, totalMs: 60_000 };
await receive(Readable.from(chunks()), recogniser, message, bounds);
console.log(process.resourceUsage().maxRSS);
`;

test("a file far larger than memory should hold is never in it, though it comes faster than it is hashed", async () => {
  const args = ["--disable-warning=ExperimentalWarning", "--input-type=module-typescript", "--eval", READER];
  const stdout = await runOk(process.execPath, [...args, String(512 * MIB)]);
  expect(Number(stdout)).toBeLessThan(400 * 1024);
});
