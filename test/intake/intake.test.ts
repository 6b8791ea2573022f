import { createHash } from "node:crypto";
import { PassThrough, Readable } from "node:stream";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ArtefactFacts, Recogniser } from "../../src/artefact/artefact.ts";
import { recognise } from "../../src/artefact/recognise.ts";
import { type IntakeBounds, receive } from "../../src/intake/intake.ts";
import { startMessageHash } from "../../src/openpgp/message-hash.ts";
import { refusal } from "../../src/outcome.ts";
import { buildDatabase } from "../support/database-fixture.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const BOUNDS: IntakeBounds = { maxBytes: 64 * MIB, idleMs: 10_000, totalMs: 20_000 };
const FACTS: ArtefactFacts = {
  kind: "database",
  type: "db",
  compression: "none",
  packages: [],
  newestBuildDate: undefined,
  expandedBytes: 0,
};

/** Takes everything, and keeps what it saw as a hash. */
class Seen implements Recogniser {
  readonly hash = createHash("sha512");
  bytes = 0;
  closed = 0;
  /** Refuses the chunk with which it has seen so many bytes. */
  readonly refuseFrom: number;
  /** Whether the end is refused. */
  readonly refuseEnd: boolean;

  constructor(refuseFrom = Number.POSITIVE_INFINITY, refuseEnd = false) {
    this.refuseFrom = refuseFrom;
    this.refuseEnd = refuseEnd;
  }

  async push(chunk: Uint8Array) {
    await Promise.resolve();
    this.hash.update(chunk);
    this.bytes += chunk.length;
    return this.bytes >= this.refuseFrom ? refusal("bad-archive", "expected better") : undefined;
  }

  async finish() {
    return this.refuseEnd ? refusal("truncated", "expected more") : FACTS;
  }

  close() {
    this.closed++;
  }
}

function start(source: Readable, recogniser: Recogniser, bounds: Partial<IntakeBounds> = {}) {
  return receive(source, recogniser, startMessageHash([{ algorithm: "ed25519" }]), { ...BOUNDS, ...bounds });
}

const hex = (algorithm: string, bytes: Uint8Array) => createHash(algorithm).update(bytes).digest("hex");

/** Bytes that no two of are alike in their places, and chunks of them. */
function bytesOf(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let index = 0; index < size; index += 4) bytes.writeUInt32LE(index, Math.min(index, size - 4));
  return bytes;
}
function* chunksOf(bytes: Buffer, size: number): Generator<Buffer> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size);
}

async function expectReceived(bytes: Buffer, chunks: Iterable<Buffer>): Promise<void> {
  const recogniser = new Seen();
  const copy = Buffer.from(bytes);
  const outcome = await start(Readable.from(chunks), recogniser);
  if (outcome.kind !== "artefact") throw new Error(outcome.refusal.reason);
  const sha512 = hex("sha512", copy);
  expect(outcome.received).toEqual({ size: copy.length, sha256: hex("sha256", copy), sha512 });
  expect(recogniser.hash.digest("hex"), "what was recognised").toBe(sha512);
  expect(outcome.message.sha512().digest("hex"), "what is signed").toBe(sha512);
  expect(recogniser.closed).toBeGreaterThan(0);
}

describe("what is recognised, hashed and signed is the same bytes", () => {
  test("in chunks of any sizes", async () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(sizes, async (lengths) => {
        const bytes = bytesOf(lengths.reduce((sum, length) => sum + length, 4));
        const ends = lengths.map((_, index) =>
          lengths.slice(0, index + 1).reduce((sum, length) => sum + length),
        );
        const chunks = [0, ...ends].map((end, index) => bytes.subarray(end, ends[index]));
        await expectReceived(bytes, chunks);
      }),
      { numRuns: 50 },
    );
  });

  test("one byte at a time", async () => {
    const bytes = bytesOf(3000);
    await expectReceived(bytes, chunksOf(bytes, 1));
  });

  test.each([
    [MIB - 1, 64 * KIB],
    [MIB, 64 * KIB],
    [4 * MIB - 1, 64 * KIB],
    [4 * MIB, 64 * KIB],
    [4 * MIB, 4 * MIB],
    [4 * MIB + 1, 64 * KIB],
    [5 * MIB + 1, 3 * MIB],
    [9 * MIB, 64 * KIB],
    [20 * MIB, 256 * KIB],
    [20 * MIB + 17, 256 * KIB],
    [20 * MIB, MIB],
    [40 * MIB, 40 * MIB],
  ])("%i of them, in chunks of %i", async (size, chunkSize) => {
    const bytes = bytesOf(size);
    await expectReceived(bytes, chunksOf(bytes, chunkSize));
  });

  test("where they lie in a buffer together with others, which stays whole", async () => {
    const pool = bytesOf(12 * MIB);
    const before = hex("sha256", pool);
    await expectReceived(pool.subarray(MIB), chunksOf(pool.subarray(MIB), MIB));
    expect(hex("sha256", pool)).toBe(before);
  });

  test("of a real database through its real recogniser", async () => {
    const bytes = buildDatabase({ packages: 50, kind: "files" });
    for (const size of [1, 100, bytes.length]) {
      const types = new Set(["files"] as const);
      const expectation = { name: "core.files.tar.gz", types, maxBytes: MIB };
      const outcome = await start(Readable.from(chunksOf(bytes, size)), recognise(expectation));
      expect(outcome).toMatchObject({ kind: "artefact", facts: { type: "files" } });
      expect(outcome.received?.sha256).toBe(hex("sha256", bytes));
    }
  });
});

describe("a refusal", () => {
  test("in the middle ends the reading at once, and claims no digest", async () => {
    const recogniser = new Seen(3 * KIB);
    const source = Readable.from(chunksOf(bytesOf(MIB), KIB));
    const outcome = await start(source, recogniser);
    expect(outcome).toMatchObject({
      kind: "rejected",
      refusal: { code: "bad-archive" },
      received: undefined,
    });
    expect(recogniser.bytes).toBe(3 * KIB);
    expect(source.destroyed).toBe(true);
    expect(recogniser.closed).toBeGreaterThan(0);
  });

  test("at the end has size and digests of what was read", async () => {
    const bytes = bytesOf(5000);
    const outcome = await start(Readable.from(chunksOf(bytes, 999)), new Seen(undefined, true));
    const received = { size: 5000, sha256: hex("sha256", bytes), sha512: hex("sha512", bytes) };
    expect(outcome).toMatchObject({ kind: "rejected", refusal: { code: "truncated" }, received });
  });

  test("for its size comes with the first byte too many, which nobody looks at", async () => {
    const exactly = await start(Readable.from(chunksOf(bytesOf(4096), 1024)), new Seen(), { maxBytes: 4096 });
    expect(exactly.kind).toBe("artefact");
    const recogniser = new Seen();
    const chunks = [...chunksOf(bytesOf(4096), 1024), Buffer.of(0)];
    const outcome = await start(Readable.from(chunks), recogniser, { maxBytes: 4096 });
    expect(outcome).toMatchObject({ kind: "rejected", refusal: { code: "too-large" } });
    expect(recogniser.bytes).toBe(4096);
  });

  test("after the second thread has begun ends that, too", async () => {
    const recogniser = new Seen(12 * MIB);
    const outcome = await start(Readable.from(chunksOf(bytesOf(20 * MIB), MIB)), recogniser);
    expect(outcome).toMatchObject({ kind: "rejected", refusal: { code: "bad-archive" } });
  });
});

describe("a deadline", () => {
  test("ends the wait for the first byte", async () => {
    const source = new PassThrough();
    const outcome = await start(source, new Seen(), { idleMs: 30 });
    expect(outcome).toMatchObject({ kind: "rejected", refusal: { code: "timed-out" }, received: undefined });
    expect(source.destroyed).toBe(true);
  });

  test("ends the wait for the next byte", async () => {
    const source = new PassThrough();
    source.write("a");
    const recogniser = new Seen();
    const outcome = await start(source, recogniser, { idleMs: 30 });
    expect(outcome).toMatchObject({
      refusal: { code: "timed-out", reason: expect.stringContaining("byte") },
    });
    expect(recogniser).toMatchObject({ bytes: 1 });
  });

  test("of the whole is not put off by bytes that keep coming", async () => {
    const source = new PassThrough();
    const drip = setInterval(() => source.write("a"), 5);
    const outcome = await start(source, new Seen(), { idleMs: 5000, totalMs: 100 });
    clearInterval(drip);
    expect(outcome).toMatchObject({
      refusal: { code: "timed-out", reason: expect.stringContaining("within") },
    });
  });

  test("between bytes is put off by each", async () => {
    const source = new PassThrough();
    let left = 8;
    const drip = setInterval(() => (left-- > 0 ? source.write("a") : source.end()), 250);
    const outcome = await start(source, new Seen(), { idleMs: 1500 });
    clearInterval(drip);
    expect(outcome).toMatchObject({ kind: "artefact", received: { size: 8 } });
  });
});

test("a source that fails is no end of the bytes", async () => {
  const source = new PassThrough();
  source.write(bytesOf(100));
  setImmediate(() => source.destroy(new Error("EIO")));
  const recogniser = new Seen();
  await expect(start(source, recogniser)).rejects.toThrow("EIO");
  expect(recogniser.closed).toBeGreaterThan(0);
});

test.each([100, 12 * MIB])(
  "a recogniser that throws at %i bytes is closed, and its source destroyed",
  async (size) => {
    const recogniser = new Seen();
    recogniser.push = () => Promise.reject(new Error("bug"));
    const source = Readable.from([bytesOf(size)]);
    await expect(start(source, recogniser)).rejects.toThrow("bug");
    expect(recogniser.closed).toBeGreaterThan(0);
    expect(source.destroyed).toBe(true);
  },
);
