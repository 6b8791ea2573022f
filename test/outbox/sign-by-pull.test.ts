import { appendFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PullClientConfig } from "../../src/client/client-config.ts";
import { SentStream } from "../../src/client/sent-file.ts";
import { type FileToSign, type SignOptions, signFiles, signSources } from "../../src/client/sign-files.ts";
import type { AnnouncedFile } from "../../src/exchange/notification.ts";
import type { FileName, Requester } from "../../src/request/request.ts";
import { makeHost } from "../sign/fixture.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { type Gpg, startGpg } from "../support/gpg.ts";
import { type PullEnclave, putAnswer, type Sign, startPullEnclave } from "../support/pull-enclave.ts";
import { ANY_RULES, rule } from "../support/signing-host.ts";
import { tempDir } from "../support/temp-dir.ts";
import { makePullStory, type PullStory } from "./fixture.ts";

const cleanup = new Cleanup();
const NOTHING = { outbox: [], inbox: [], requests: [] };
const DB = buildDatabase({ kind: "db", packages: 3, compression: "gzip" });
const FILES = buildDatabase({ kind: "files", packages: 3, compression: "gzip" });
let seed = 0;
/** A database that was not signed before: the same again is signed ten times an hour. */
const fresh = (kind: "db" | "files" = "db") =>
  buildDatabase({ kind, packages: 3, compression: "gzip", seed: ++seed });
let story: PullStory;
let gpg: Gpg;

beforeAll(async () => {
  const limited = rule({ id: "limited", type: "db", names: ["limited.db.tar.gz"], limits: ["1 per day"] });
  const denied = rule({ id: "iso", type: "iso", client: "releng" });
  const rules = `${limited}${ANY_RULES.replace(/\[\[rules\]\]\nclient = "repos"\nkey = "repo"\nid = "any-iso"[^[]*/, denied)}`;
  [story, gpg] = await Promise.all([makePullStory(cleanup, { rules }), startGpg(cleanup)]);
  await gpg.importKey(readFileSync(story.publicKeyFile));
});
afterAll(() => cleanup.run());

async function file(name: string, content: Uint8Array | string): Promise<FileToSign> {
  const path = join(await tempDir(cleanup), name);
  writeFileSync(path, content);
  return { path, name: name as FileName };
}

/** Asks while a signing host answers as told, and then looks that nothing is left. */
async function ask(
  files: readonly FileToSign[],
  {
    sign = story.sign,
    changed = {},
    ...options
  }: SignOptions & { sign?: Sign; changed?: Partial<PullClientConfig> } = {},
) {
  const enclave = startPullEnclave(cleanup, story.folder, sign);
  try {
    return { result: await signFiles({ ...story.config, ...changed }, files, options), enclave };
  } catch (error) {
    return { result: error, enclave };
  } finally {
    await enclave.stop();
    expect(enclave.complaints).toEqual([]);
    expect(story.folder.left()).toEqual(NOTHING);
    expect(story.folder.notification()?.requests ?? []).toEqual([]);
  }
}

const waiting = (timeoutMs: number) => ({ pull: { ...story.config.pull, timeoutMs } });
const seqs = ({ answered }: PullEnclave) => answered.map(({ seq }) => seq);

/** Signs only when told to. */
function heldBack() {
  const { promise: announced, resolve: isAnnounced } = Promise.withResolvers<AnnouncedFile>();
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const sign: Sign = async (file, bytes) => {
    isAnnounced(file);
    await released;
    return await story.sign(file, bytes);
  };
  return { announced, release, sign };
}

describe("signatures", () => {
  test("come in the order of the files, and gpg finds them good", async () => {
    const files = [await file("core.db.tar.gz", DB), await file("core.files.tar.gz", FILES)];
    const progress: (readonly [number, number | undefined])[] = [];
    const { result, enclave } = await ask(files, {
      for: "alice" as Requester,
      onProgress: (sent, size) => progress.push([sent, size]),
    });
    const [first, second] = result as readonly Uint8Array[];
    expect(await gpg.verify(first ?? Buffer.of(), DB)).toMatchObject({ good: true });
    expect(await gpg.verify(second ?? Buffer.of(), FILES)).toMatchObject({ good: true });
    expect(enclave.answered).toMatchObject([
      { name: "core.db.tar.gz", type: "db", size: DB.length, for: "alice" },
      { name: "core.files.tar.gz", type: "files", size: FILES.length, for: "alice" },
    ]);
    expect(progress.at(-1)).toEqual([DB.length + FILES.length, DB.length + FILES.length]);
  });

  test("who asks is the configuration's, where nobody else is said", async () => {
    const { enclave } = await ask([await file("core.db.tar.gz", fresh())], {
      changed: { for: "bob" as Requester },
    });
    expect(enclave.answered).toMatchObject([{ for: "bob" }]);
  });

  test("of no file is none, and nothing is announced", async () => {
    const { result, enclave } = await ask([]);
    expect(result).toEqual([]);
    expect(enclave.seen.length).toBeLessThanOrEqual(1);
  });

  test("of what comes as a stream is asked for once", async () => {
    const enclave = startPullEnclave(cleanup, story.folder, story.sign);
    const stream = () => Readable.from([DB.subarray(0, 9), DB.subarray(9)]);
    const named = new SentStream(stream(), "core.db.tar.gz" as FileName);
    const [signature] = (await signSources(story.config, [named])) as readonly Uint8Array[];
    expect(await gpg.verify(signature ?? Buffer.of(), DB)).toMatchObject({ good: true });
    expect(await signSources(story.config, [new SentStream(stream(), undefined)])).toMatchObject({
      code: "bad-request",
      reason: "with pull, expected the name of a database or an image, not none",
    });
    const busy: Sign = async () => ({ code: "remote-log-unavailable", reason: "x" });
    await enclave.stop();
    const other = startPullEnclave(cleanup, story.folder, busy);
    const again = new SentStream(stream(), "core.db.tar.gz" as FileName);
    await expect(signSources(story.config, [again])).rejects.toMatchObject({
      code: "remote-log-unavailable",
    });
    expect(other.answered).toHaveLength(1);
    await other.stop();
    expect(story.folder.left()).toEqual(NOTHING);
  });
});

describe("a no of the signing host", () => {
  test("is its own, code and words, and asked once", async () => {
    const { result, enclave } = await ask([await file("core.iso", "x".repeat(40_000))]);
    expect(result).toMatchObject({ kind: "refusal", code: "not-permitted" });
    expect(enclave.answered).toHaveLength(1);
  });

  test("about one file is one about all, and the other is no longer asked for", async () => {
    const files = [await file("core.db.tar.gz", fresh()), await file("core.files.tar.gz", "not a database")];
    const { result } = await ask(files, {
      sign: async (file, bytes) => (file.type === "db" ? undefined : await story.sign(file, bytes)),
    });
    expect(result).toMatchObject({ kind: "refusal", code: "not-recognised" });
  });

  test("for a limit is waited for where there is time, with a new number", async () => {
    let asked = 0;
    const sign: Sign = async (file, bytes) => {
      asked += 1;
      const next = new Date(Date.now() + 100).toISOString();
      return asked === 1
        ? { code: "over-limit", reason: `the next one at ${next}` }
        : story.sign(file, bytes);
    };
    const files = [await file("core.db.tar.gz", fresh())];
    const { result, enclave } = await ask(files, { sign, changed: { waitMs: 60_000 } });
    expect(result).toHaveLength(1);
    const [first = 0, second = 0] = seqs(enclave);
    expect(second).toBeGreaterThan(first);
  });

  test("for a limit that is free again tomorrow is said at once", async () => {
    const files = [await file("limited.db.tar.gz", fresh())];
    expect((await ask(files)).result).toHaveLength(1);
    writeFileSync(files[0]?.path ?? "", fresh());
    const { result } = await ask(files, { changed: { waitMs: 60_000 } });
    expect(result).toMatchObject({ kind: "refusal", code: "over-limit" });
  });

  test("that may pass is asked again, a fault that does not is not", async () => {
    let asked = 0;
    const passing: Sign = async (file, bytes) => {
      asked += 1;
      return asked === 1 ? { code: "remote-log-unavailable", reason: "no answer" } : story.sign(file, bytes);
    };
    const files = [await file("core.db.tar.gz", fresh())];
    const passed = await ask(files, { sign: passing });
    expect(passed.result).toHaveLength(1);
    expect(passed.enclave.answered).toHaveLength(2);
    for (const [code, expected] of [
      ["clock-behind", { code: "clock-behind", message: "why" }],
      ["internal", { message: "the signing host failed: why" }],
    ] as const) {
      const { result, enclave } = await ask(files, { sign: async () => ({ code, reason: "why" }) });
      expect(result).toMatchObject(expected);
      expect(enclave.answered).toHaveLength(1);
    }
  });
});

describe("what is no good signature is a fault, nothing is left, and nobody is asked again", () => {
  const sign = async (bytes: Uint8Array, name = "core.db.tar.gz", host = story.host) => {
    host.clock.now = new Date();
    const answer = await host.call(`sign ${name}`, bytes);
    if (!("receipt" in answer)) throw new Error(answer.kind);
    return answer.receipt.signature;
  };
  const OTHER = buildDatabase({ kind: "db", packages: 5, compression: "gzip" });

  test.each<[string, () => Promise<Uint8Array>, RegExp]>([
    ["nothing", async () => new Uint8Array(), /it is empty/],
    ["text", async () => Buffer.from("<html>"), /no whole signature/],
    ["of other bytes", () => sign(OTHER), /digest|failed/i],
    ["for another name", () => sign(DB, "extra.db.tar.gz"), /it is for "extra.db.tar.gz"/],
    ["cut", async () => (await sign(DB)).subarray(0, -1), /no whole signature/],
    [
      "with something behind it",
      async () => Buffer.concat([await sign(DB), Buffer.of(0)]),
      /no whole signature/,
    ],
    ["too long", async () => Buffer.alloc(16 * 1024 + 1), /larger than 16384 bytes/],
    [
      "by another key",
      async () => sign(DB, undefined, await makeHost(cleanup, { now: new Date() })),
      /key|Could not find/i,
    ],
  ])("%s", async (_what, made, why) => {
    const { result, enclave } = await ask([await file("core.db.tar.gz", DB)], { sign: async () => made() });
    expect(result).toMatchObject({ code: "signing-failed", message: expect.stringMatching(why) });
    expect(result).toMatchObject({
      message: expect.stringMatching(/^expected a good signature of core\.db/),
    });
    expect(enclave.answered).toHaveLength(1);
  });

  test("one that was made two days before it was asked for", async () => {
    const then = new Date(Date.now() - 2 * 86_400_000);
    const host = await makeHost(cleanup, { now: then });
    const publicKeyFile = join(await tempDir(cleanup), "repo.asc");
    writeFileSync(publicKeyFile, (await host.host.loadKey("repo" as never)).armoredPublicKey);
    const answer = await host.call("sign core.db.tar.gz", DB);
    const old = "receipt" in answer ? answer.receipt.signature : new Uint8Array();
    const files = [await file("core.db.tar.gz", DB)];
    const { result } = await ask(files, { sign: async () => old, changed: { publicKeyFile } });
    expect(result).toMatchObject({
      code: "signing-failed",
      message: expect.stringMatching(/it is an old one, made at /),
    });
  });

  test("something that is no file, and a no that is none", async () => {
    const { announced, sign: held, release } = heldBack();
    const asking = ask([await file("core.db.tar.gz", fresh())], { sign: held });
    const request = await announced;
    const folder = join(story.folder.inbox, `${request.sha256}.${request.seq}.sig`);
    mkdirSync(folder);
    release();
    // A folder that the web server's account has made: it is not ours to remove what is in it.
    await expect(asking).rejects.toThrow();
    rmSync(folder, { recursive: true });
    const files = [await file("core.db.tar.gz", fresh())];
    const sign: Sign = async (file) => {
      putAnswer(story.folder, file, "refused", "no\n");
      return undefined;
    };
    expect((await ask(files, { sign })).result).toMatchObject({
      code: "signing-failed",
      message: "expected a good signature of core.db.tar.gz: it is no refusal of a signing host",
    });
  });
});

describe("no answer in time is a fault that says how far the signing host has come, and nothing is left", () => {
  const config = (timeoutMs = 300) => waiting(timeoutMs);

  test("nobody has looked", async () => {
    const asking = signFiles({ ...story.config, ...config() }, [await file("core.db.tar.gz", fresh())]);
    await expect(asking).rejects.toMatchObject({
      code: "host-unreachable",
      message: `no answer about core.db.tar.gz within 0.3 seconds: nobody has fetched the notification; does "signer pull" run, and the web server serve "${story.folder.outbox}"?`,
    });
    expect(story.folder.left()).toEqual(NOTHING);
  });

  test("the notification was read", async () => {
    const asking = signFiles({ ...story.config, ...config(1000) }, [await file("core.db.tar.gz", fresh())]);
    asking.catch(() => undefined);
    await expect.poll(() => story.folder.notification()?.requests.length ?? 0).toBe(1);
    await expect(asking).rejects.toThrow(
      /^no answer about core\.db\.tar\.gz within 1 second: the notification was fetched \(\S+Z\), the file was not; the log of "signer pull" says why$/,
    );
    expect(story.folder.left()).toEqual(NOTHING);
  });

  test("the file was fetched", async () => {
    const files = [await file("core.db.tar.gz", fresh()), await file("core.files.tar.gz", fresh("files"))];
    const { result } = await ask(files, {
      sign: async (file, bytes) => (file.type === "db" ? await story.sign(file, bytes) : undefined),
      changed: config(1000),
    });
    expect(result).toMatchObject({
      code: "host-unreachable",
      message: expect.stringMatching(
        /^no answer about core\.files\.tar\.gz within 1 second: the signing host has fetched it \(\S+Z\) and not answered; its log says why$/,
      ),
    });
  });

  test("of several, how many", async () => {
    const files = [await file("core.db.tar.gz", fresh()), await file("core.files.tar.gz", fresh("files"))];
    const asking = signFiles({ ...story.config, ...config() }, files);
    await expect(asking).rejects.toThrow("no answer about core.db.tar.gz and 1 more within");
  });

  test("it is not asked again, however much patience there is", async () => {
    const before = story.folder.notification()?.seq ?? 0;
    const patient = { ...story.config, ...config(), waitMs: 60_000 };
    await expect(signFiles(patient, [await file("core.db.tar.gz", fresh())])).rejects.toMatchObject({
      code: "host-unreachable",
    });
    expect(story.folder.notification()?.seq).toBe(before + 3); // the request, its notification, and none again
  });
});

test("given up while it waits, it leaves nothing and ends with the reason", async () => {
  const { announced, sign, release } = heldBack();
  const aborted = new AbortController();
  const asking = ask([await file("core.db.tar.gz", fresh())], { sign, signal: aborted.signal });
  await announced;
  expect(story.folder.left().requests).toHaveLength(1);
  aborted.abort(new Error("enough"));
  // What the signing host answers from now on is nobody's, and the next one clears it.
  await expect.poll(() => story.folder.left()).toEqual(NOTHING);
  release();
  await asking.catch(() => undefined);
  expect((await ask([await file("core.db.tar.gz", fresh())])).result).toHaveLength(1);
});

test("what was answered stays answered where the outbox cannot be cleared, and somebody is told", async () => {
  const { announced, sign, release } = heldBack();
  const notes: string[] = [];
  const enclave = startPullEnclave(cleanup, story.folder, sign);
  const asking = signFiles(story.config, [await file("core.db.tar.gz", fresh())], {
    onNote: (text) => notes.push(text),
  });
  await announced;
  const { keyFile } = story.folder;
  renameSync(keyFile, `${keyFile}.away`);
  renameSync(`${keyFile}.pub`, `${keyFile}.pub.away`);
  release();
  expect(await asking).toHaveLength(1);
  expect(notes).toEqual([
    expect.stringMatching(/^the outbox is not cleared, which the next run does: expected to sign with /),
  ]);
  await enclave.stop();
  expect(story.folder.left().requests).toHaveLength(1);
  renameSync(`${keyFile}.away`, keyFile);
  renameSync(`${keyFile}.pub.away`, `${keyFile}.pub`);
  // Its process is this one, which is there: only when it is gone are its requests nobody's.
  const [record = ""] = story.folder.left().requests;
  renameSync(
    join(story.folder.requests, record),
    join(
      story.folder.requests,
      record.replace(/@\d+-\d+-/, (owner) => owner.replace(/-\d+-$/, "-1-")),
    ),
  );
  expect((await ask([await file("core.db.tar.gz", fresh())])).result).toHaveLength(1);
});

describe("what cannot be asked for is said before anything is announced", () => {
  test.each<[string, string, string]>([
    ["core.txt", "x", "bad-request"],
    ["core.tar.gz", "x", "bad-request"],
    ["core.db.tar.gz", "", "empty-input"],
  ])("%s of %j", async (name, content, code) => {
    const before = story.folder.notification();
    const { result } = await ask([
      await file("core.files.tar.gz", fresh("files")),
      await file(name, content),
    ]);
    expect(result).toMatchObject({ kind: "refusal", code });
    expect(story.folder.notification()).toEqual(before);
  });

  test("a file that is changed while it is copied", async () => {
    const changing = await file("core.db.tar.gz", Buffer.alloc(600_000));
    const { result } = await ask([changing], { onProgress: () => appendFileSync(changing.path, "x") });
    expect(result).toMatchObject({
      kind: "refusal",
      code: "bad-request",
      reason: expect.stringContaining("to stay as it is"),
    });
  });

  test("a key that does not sign, a certificate that is none", async () => {
    const files = [await file("core.db.tar.gz", fresh())];
    const missing = { pull: { ...story.config.pull, keyFile: "/nonexistent" } };
    expect((await ask(files, { changed: missing })).result).toMatchObject({ code: "bad-configuration" });
    expect((await ask(files, { changed: { publicKeyFile: "/nonexistent" } })).result).toMatchObject({
      code: "bad-configuration",
    });
  });

  test("a folder that is not there", async () => {
    const elsewhere = { pull: { ...story.config.pull, folder: "/nonexistent" } };
    const { result } = await ask([await file("core.db.tar.gz", fresh())], { changed: elsewhere });
    expect(result).toMatchObject({
      code: "bad-configuration",
      message: expect.stringContaining("install -d"),
    });
  });
});
