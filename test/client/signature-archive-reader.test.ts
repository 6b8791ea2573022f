import { expect, test } from "vitest";
import { encodeBatch } from "../../src/client/batch-archive.ts";
import { readSignatureArchive } from "../../src/client/signature-archive-reader.ts";
import { type FileName, parseFileName } from "../../src/request/request.ts";

const LONG = `${"x".repeat(150)}.db.tar.gz`;

function name(text: string): FileName {
  const parsed = parseFileName(text);
  if (parsed === undefined) throw new Error(text);
  return parsed;
}

/** An archive of files of one content. */
async function archive(names: readonly string[], size = 100): Promise<Buffer> {
  const content = async function* () {
    yield Buffer.alloc(size, 0x61);
  };
  const chunks: Uint8Array[] = [];
  for await (const chunk of encodeBatch(names.map((text) => ({ name: name(text), size, content }))))
    chunks.push(chunk);
  return Buffer.concat(chunks);
}

const NAMES = [name("a.db"), name(LONG)];

test("one signature for each name, in their order", async () => {
  const read = readSignatureArchive(await archive(["a.db.sig", `${LONG}.sig`]), NAMES);
  expect(read).toEqual([Buffer.alloc(100, 0x61), Buffer.alloc(100, 0x61)]);
});

test.each([
  ["in another order", ["b.db.sig", "a.db.sig"]],
  ["one missing", ["a.db.sig"]],
  ["one too many", ["a.db.sig", "b.db.sig", "c.db.sig"]],
  ["one twice", ["a.db.sig", "a.db.sig"]],
  ["under the file's own name", ["a.db", "b.db"]],
])("signatures %s are no answer", async (_, names) => {
  expect(readSignatureArchive(await archive(names), [name("a.db"), name("b.db")])).toBeTypeOf("string");
});

test("an empty signature, one that is too large, a truncated archive and bytes after its end are no answer", async () => {
  for (const size of [0, 16 * 1024 + 1])
    expect(readSignatureArchive(await archive(["a.db.sig"], size), [name("a.db")])).toBeTypeOf("string");
  const whole = await archive(["a.db.sig", `${LONG}.sig`]);
  for (let length = 0; length < whole.length; length += 1)
    expect(readSignatureArchive(whole.subarray(0, length), NAMES)).toBeTypeOf("string");
  expect(readSignatureArchive(Buffer.concat([whole, Buffer.alloc(1)]), NAMES)).toBeTypeOf("string");
});
