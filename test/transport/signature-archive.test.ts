import { expect, test } from "vitest";
import type { Receipt } from "../../src/log/remote/remote-logs.ts";
import { parseFileName } from "../../src/request/request.ts";
import { SignatureArchive } from "../../src/transport/signature-archive.ts";

function makeArchive() {
  const writes: Buffer[] = [];
  const archive = new SignatureArchive(async (bytes) => void writes.push(Buffer.from(bytes)));
  const add = async (text: string, signature: Uint8Array) => {
    const name = parseFileName(text);
    if (name === undefined) throw new Error(text);
    const entry = { time: "2026-11-23T12:00:05.120Z" };
    await archive.add(name, { entry, signature } as unknown as Receipt);
  };
  return { writes, archive, add, bytes: () => Buffer.concat(writes) };
}

test("a signature is a ustar file of the entry's time, and goes out at once but for one byte", async () => {
  const { writes, archive, add, bytes } = makeArchive();
  await add("core.db", Buffer.alloc(300, 7));
  expect(writes.map(({ length }) => length)).toEqual([1023]);
  await archive.end();
  const [header, content] = [bytes().subarray(0, 512), bytes().subarray(512)];
  expect(header.toString("latin1").replace(/\0+/g, "|")).toMatch(
    /^core\.db\.sig\|0000644\|0000000\|0000000\|00000000454\|15301025305\|0\d{5}\| 0\|ustar\|00\|$/,
  );
  expect(content).toEqual(Buffer.concat([Buffer.alloc(300, 7), Buffer.alloc(212 + 1024)]));
});

test("nothing is lost between files, whether a signature fills its block or not", async () => {
  const { writes, archive, add, bytes } = makeArchive();
  await add("a.db", Buffer.alloc(512, 1));
  await add("b.db", Buffer.alloc(513, 2));
  expect(writes.map(({ length }) => length)).toEqual([1023, 1536]);
  await archive.end();
  expect(bytes().subarray(512, 1024)).toEqual(Buffer.alloc(512, 1));
  expect(bytes().toString("latin1", 1024, 1032)).toBe("b.db.sig");
  expect(bytes()).toHaveLength(1024 + 1536 + 1024);
});

test("a name longer than its field comes before, and one that fills it does not", async () => {
  for (const [length, isLong] of [
    [96, false],
    [97, true],
    [251, true],
  ] as const) {
    const { archive, add, bytes } = makeArchive();
    await add("a".repeat(length), Buffer.alloc(1));
    await archive.end();
    expect(bytes()).toHaveLength((isLong ? 1024 : 0) + 1024 + 1024);
    expect(bytes().toString("latin1", 0, 13)).toBe(isLong ? "././@LongLink" : "a".repeat(13));
  }
});

test("a broken end is a block that is no header, and half a block", async () => {
  const { archive, add, bytes } = makeArchive();
  await add("core.db", Buffer.alloc(300, 7));
  await archive.break();
  const end = bytes().subarray(1024);
  expect(end).toHaveLength(768);
  expect(end.includes(0)).toBe(false);
});
