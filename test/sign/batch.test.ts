import { PassThrough, Readable, Writable } from "node:stream";
import { afterAll, expect, test } from "vitest";
import { signBatch } from "../../src/batch.ts";
import { Fault, isRefusal } from "../../src/outcome.ts";
import { replyBatch } from "../../src/reply.ts";
import { parseAddress } from "../../src/request/peer.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { tarArchive, tarEntry } from "../support/tar-fixture.ts";
import { type HostInProcess, makeHost } from "./fixture.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const NAMES = ["a.db.tar.gz", "b.db.tar.gz", "c.db.tar.gz"] as const;
const ARCHIVE = tarArchive(
  NAMES.map((name, seed) => ({ name, content: buildDatabase({ packages: 1, kind: "db", seed }) })),
);

function collector(): { stdout: Writable; bytes: () => Buffer } {
  const chunks: Buffer[] = [];
  const stdout = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  return { stdout, bytes: () => Buffer.concat(chunks) };
}

/** A batch of client `repos`, on `host` or one like it. */
function batch(host: HostInProcess["host"], source = Readable.from([ARCHIVE])) {
  const address = parseAddress("192.0.2.10");
  if (address === undefined) throw new Error("no address");
  return signBatch(
    host,
    { for: undefined },
    { client: "repos", peer: { address, sshKey: undefined } },
    source,
  );
}

test("no byte of a signature leaves before its receipt, and none at all where the log cannot be written", async () => {
  const { host, entries } = await makeHost(cleanup);
  const { stdout, bytes } = collector();
  let released = 0;
  const remoteLogs = {
    connect: () => undefined,
    ready: async () => undefined,
    release: async () => {
      expect(bytes().length === 0, "the first is not out before it is released").toBe(released === 0);
      released += 1;
      throw new Fault("remote-log-unavailable", "the remote log did not answer");
    },
  } as unknown as HostInProcess["host"]["remoteLogs"];
  await expect(replyBatch(stdout, batch({ ...host, remoteLogs }), 1000)).rejects.toMatchObject({
    code: "remote-log-unavailable",
    message: "a.db.tar.gz: the remote log did not answer",
  });
  expect(released).toBe(1);
  expect(bytes().toString("latin1")).toMatch(/^signer: refused/);
  expect(
    entries().filter(({ kind }) => kind === "signed"),
    "the rest is not signed",
  ).toHaveLength(1);
});

test("a bug in the middle breaks the archive", async () => {
  const { stdout, bytes } = collector();
  // biome-ignore lint/correctness/useYield: it fails before the first file
  const files = (async function* () {
    throw new Error("a bug");
  })();
  await expect(replyBatch(stdout, files, 1000)).rejects.toThrow("a bug");
  expect(bytes().length % 512).toBe(256);
});

test("keys are loaded once for a whole batch", async () => {
  const { host } = await makeHost(cleanup);
  let loaded = 0;
  const loadKey: typeof host.loadKey = (name) => {
    loaded += 1;
    return host.loadKey(name);
  };
  const { stdout, bytes } = collector();
  expect(await replyBatch(stdout, batch({ ...host, loadKey }), 1000)).toBeUndefined();
  expect(loaded).toBe(1);
  expect(bytes().subarray(-1024)).toEqual(Buffer.alloc(1024));
});

test("the next file is not signed before the signature of the one before is taken", async () => {
  const { host, kinds } = await makeHost(cleanup);
  const files = batch(host);
  for (let count = 1; count <= NAMES.length; count++) {
    expect((await files.next()).value).toMatchObject({ kind: "signed-file", name: NAMES[count - 1] });
    expect(kinds().filter((kind) => kind === "signed")).toHaveLength(count);
  }
  expect(await files.next()).toEqual({ done: true, value: undefined });
});

test("a client that goes away ends the batch, and reading with it", async () => {
  const { host, kinds } = await makeHost(cleanup);
  const source = Readable.from([ARCHIVE]);
  const stdout = new Writable({ write: (_chunk, _encoding, done) => done(new Error("EPIPE")) });
  await expect(replyBatch(stdout, batch(host, source), 1000)).rejects.toMatchObject({
    code: "reply-not-delivered",
  });
  expect(source.destroyed).toBe(true);
  expect(kinds().filter((kind) => kind === "signed")).toHaveLength(1);
});

test("content that is cut off is refused under its name, and not signed", async () => {
  const { host, entries } = await makeHost(cleanup);
  const source = Readable.from([ARCHIVE.subarray(0, 700)]);
  const refused = (await batch(host, source).next()).value;
  expect(isRefusal(refused) && [refused.code, refused.reason.slice(0, 13)]).toEqual([
    "truncated",
    "a.db.tar.gz: ",
  ]);
  expect(entries().at(-1)).toMatchObject({ kind: "refused", code: "truncated", name: "a.db.tar.gz" });
});

test("a fault of the key is logged for the file, and named", async () => {
  const { host, entries } = await makeHost(cleanup);
  const loadKey = () => Promise.reject(new Fault("key-unavailable", "the key cannot be read"));
  await expect(batch({ ...host, loadKey }).next()).rejects.toMatchObject({
    code: "key-unavailable",
    message: "a.db.tar.gz: the key cannot be read",
  });
  expect(entries().at(-1)).toMatchObject({ kind: "refused", code: "key-unavailable", name: "a.db.tar.gz" });
});

test("the largest file allowed counts for each file, whatever the header promises", async () => {
  const { host } = await makeHost(cleanup);
  const source = new PassThrough();
  source.write(tarEntry({ name: "a.db.tar.gz", size: 0o77777777777, content: "" }));
  source.write(Buffer.from("no database ".repeat(1000)));
  const refused = (await batch(host, source).next()).value;
  expect(refused).toMatchObject({ code: "not-recognised" });
});
