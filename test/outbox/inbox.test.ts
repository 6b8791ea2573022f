import { mkdirSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { answerName, encodeNotSigned, MAX_ANSWER_BYTES } from "../../src/exchange/answer.ts";
import { InboxWatch, readAnswer } from "../../src/outbox/inbox.ts";
import { openPullFolder, type PullFolder } from "../../src/outbox/pull-folder.ts";
import { Cleanup } from "../support/cleanup.ts";
import { makePullFolder } from "../support/pull-folder.ts";
import { runOk } from "../support/run.ts";

const cleanup = new Cleanup();
const REQUEST = { sha256: "0123456789abcdef".repeat(4), seq: 7 };
let folder: PullFolder;
let [sig, refused] = ["", ""];
beforeEach(async () => {
  folder = openPullFolder((await makePullFolder(cleanup)).folder);
  sig = join(folder.inbox, answerName(REQUEST, "sig"));
  refused = join(folder.inbox, answerName(REQUEST, "refused"));
});
afterAll(() => cleanup.run());

const read = () => readAnswer(folder, REQUEST);

describe("an answer", () => {
  test("is the signature's bytes, as they are, or why there is none, or is not there yet", () => {
    expect(read()).toBeUndefined();
    writeFileSync(refused, encodeNotSigned({ code: "over-limit", reason: "the next tomorrow" }));
    expect(read()).toEqual({ kind: "not-signed", code: "over-limit", reason: "the next tomorrow" });
    // Of two signing hosts one has signed.
    writeFileSync(sig, "\x00\xff", "latin1");
    expect(read()).toEqual({ kind: "signature", bytes: Buffer.from([0, 0xff]) });
  });

  test("of another request is none", () => {
    for (const other of [
      { ...REQUEST, seq: 8 },
      { ...REQUEST, sha256: "f".repeat(64) },
    ])
      writeFileSync(join(folder.inbox, answerName(other, "sig")), "x");
    expect(read()).toBeUndefined();
  });

  test("is read to its longest and no further", () => {
    writeFileSync(sig, "");
    truncateSync(sig, MAX_ANSWER_BYTES);
    expect(read()).toEqual({ kind: "signature", bytes: Buffer.alloc(MAX_ANSWER_BYTES) });
    truncateSync(sig, 2 ** 40);
    expect(read()).toEqual({ kind: "odd", what: "it is larger than 16384 bytes" });
  });

  test("is what a signing host writes: another file under its name is not", () => {
    for (const content of ["", "no\n", "\x1b[2J", encodeNotSigned({ code: "busy", reason: "x" }).trimEnd()]) {
      writeFileSync(refused, content);
      expect(read()).toEqual({ kind: "odd", what: "it is no refusal of a signing host" });
    }
    truncateSync(refused, 2 ** 40);
    expect(read()).toEqual({ kind: "odd", what: "it is larger than 16384 bytes" });
  });

  test.each(["sig", "refused"] as const)(
    "%s that is no regular file is never opened for long",
    async (kind) => {
      const path = kind === "sig" ? sig : refused;
      symlinkSync("/etc/passwd", path);
      expect(read()).toEqual({ kind: "odd", what: "it is a link" });
      rmSync(path);
      mkdirSync(path);
      expect(read()).toEqual({ kind: "odd", what: "it is no regular file" });
      rmSync(path, { recursive: true });
      await runOk("mkfifo", [path]);
      expect(read()).toEqual({ kind: "odd", what: "it is no regular file" });
      rmSync(path);
      // A socket's path has less room than the name of an answer needs: made elsewhere, then moved.
      const short = join(folder.inbox, "s");
      const server = createServer().listen(short);
      await new Promise((resolve) => server.once("listening", resolve));
      renameSync(short, path);
      expect(read()).toEqual({ kind: "odd", what: "it is a socket" });
      await new Promise((resolve) => server.close(resolve));
    },
  );
});

describe("what waits for news", () => {
  const LONG = 3_600_000;

  test("hears of a file at once, also of one that came before it listened", async () => {
    const watch = new InboxWatch(folder, LONG);
    cleanup.add(() => watch.close());
    const heard = watch.news(LONG);
    writeFileSync(sig, "x");
    await heard;
    // Several changes at once are one piece of news.
    writeFileSync(refused, "x");
    await new Promise((resolve) => setTimeout(resolve, 50));
    await watch.news(LONG);
    watch.close();
  });

  test("looks by itself where nothing can be watched", async () => {
    const watch = new InboxWatch({ ...folder, inbox: join(folder.inbox, "missing") }, 20);
    await watch.news(LONG);
    watch.close();
  });

  test("waits no longer than it is to", async () => {
    const watch = new InboxWatch(folder);
    const before = performance.now();
    await watch.news(30);
    expect(performance.now() - before).toBeLessThan(1500);
    watch.close();
  });

  test("can be told to end, before and while it waits", async () => {
    const watch = new InboxWatch(folder);
    const aborted = new AbortController();
    const waiting = watch.news(LONG, aborted.signal);
    aborted.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
    await expect(watch.news(LONG, aborted.signal)).rejects.toThrow("enough");
    watch.close();
  });
});
