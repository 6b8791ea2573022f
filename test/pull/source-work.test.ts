import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { PullSource } from "../../src/config/config.ts";
import { answerName, parseNotSigned } from "../../src/exchange/answer.ts";
import type { AnnouncedFile } from "../../src/exchange/notification.ts";
import { type Code, Fault, isRefusalCode, type Refusal, refusal } from "../../src/outcome.ts";
import type { NotificationRefusal } from "../../src/pull/judgement.ts";
import type { Signing } from "../../src/pull/signing.ts";
import { SourceMemory } from "../../src/pull/source-memory.ts";
import { SourceWork } from "../../src/pull/source-work.ts";
import type { Peer } from "../../src/request/peer.ts";
import { Cleanup } from "../support/cleanup.ts";
import { tempDir } from "../support/temp-dir.ts";
import { type Announcer, announced, makeAnnouncer, type Offered } from "./announcer.ts";
import { MemoryServer, memorySource } from "./memory-server.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** Signs everything; a test can have it refuse, fail, or take its time. */
class TestSigning implements Signing {
  readonly signed: { readonly name: string; readonly peer: Peer; readonly bytes: string }[] = [];
  readonly reports: { readonly refused: NotificationRefusal; readonly peer: Peer }[] = [];
  answer: (request: AnnouncedFile) => Code | undefined = () => undefined;
  reportFails = false;

  async sign(request: AnnouncedFile, peer: Peer, file: Readable): Promise<Uint8Array | Refusal> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of file) chunks.push(chunk as Uint8Array);
    this.signed.push({ name: request.name, peer, bytes: Buffer.concat(chunks).toString() });
    const code = this.answer(request);
    if (code === undefined) return Buffer.from(`signature of ${request.name}`);
    if (code === "internal") throw new TypeError("a bug");
    if (isRefusalCode(code)) return refusal(code, "why");
    throw new Fault(code, "why");
  }

  async report(refused: NotificationRefusal, peer: Peer): Promise<void> {
    if (this.reportFails) throw new Fault("service-unavailable", "it does not run");
    this.reports.push({ refused, peer });
  }
}

let announcer: Announcer;
let folder: string;
let server: MemoryServer;
let signing: TestSigning;
let said: string[];
let done: string[];
let now: Date;
beforeEach(async () => {
  announcer = await makeAnnouncer(cleanup);
  folder = await tempDir(cleanup);
  server = new MemoryServer();
  signing = new TestSigning();
  [said, done] = [[], []];
  now = new Date();
});

/** A process that works on the source, as it would after a start. */
function begin(settings: Partial<PullSource> = {}): {
  work: SourceWork;
  end: () => Promise<void>;
  run: () => void;
} {
  const source = { ...memorySource(announcer.blob), ...settings };
  const memory = SourceMemory.open(folder, "repos");
  const work = new SourceWork({
    source,
    server,
    signing,
    memory,
    say: (line) => said.push(line),
    done: (line) => done.push(line),
    now: () => now,
  });
  const soon = new AbortController();
  let running: Promise<void> = Promise.resolve();
  const end = async () => {
    soon.abort();
    await running;
    memory.close();
  };
  cleanup.add(end);
  return {
    work,
    end,
    run: () => {
      running = work.run({ soon: soon.signal, now: new AbortController().signal });
    },
  };
}

/** `signer pull --once`. */
async function once(settings: Partial<PullSource> = {}): Promise<Code | undefined> {
  const { work, end } = begin(settings);
  const never = new AbortController().signal;
  const code = await work.once({ soon: never, now: never });
  await end();
  return code;
}

async function offer(seq: number, files: readonly Offered[], time = now): Promise<readonly AnnouncedFile[]> {
  const requests = files.map((file, index) => announced(seq - files.length + index, file));
  for (const [index, { sha256 }] of requests.entries())
    server.files.set(sha256, files[index]?.bytes ?? Buffer.alloc(0));
  server.document = await announcer.document({ seq, time, requests });
  return requests;
}

const CORE = { name: "core.db.tar.gz", bytes: Buffer.from("core"), for: "alice" };
const EXTRA = { name: "extra.db.tar.gz", bytes: Buffer.from("extra") };

/** What the answer to a request is: `sig`, the code of a refusal, or `none`. */
function answerTo(request: AnnouncedFile | undefined): string {
  if (request === undefined) return "no request";
  if (server.answers.has(answerName(request, "sig"))) return "sig";
  const content = server.answers.get(answerName(request, "refused"));
  return content === undefined ? "none" : (parseNotSigned(content)?.code ?? "malformed");
}

const spooled = () => readdirSync(folder).filter((name) => name.endsWith(".spool"));

describe("asked once", () => {
  test("it has each request signed and answered, and nothing is left of them", async () => {
    const requests = await offer(10, [CORE, EXTRA]);
    expect(await once()).toBeUndefined();
    expect(requests.map(answerTo)).toEqual(["sig", "sig"]);
    expect(signing.signed.map(({ name, bytes }) => [name, bytes])).toEqual([
      ["core.db.tar.gz", "core"],
      ["extra.db.tar.gz", "extra"],
    ]);
    expect(signing.signed[0]?.peer).toEqual({
      address: "192.0.2.10",
      sshKey: expect.stringMatching(/^SHA256:[A-Za-z0-9+/]{43}$/),
    });
    expect(done).toEqual(["core.db.tar.gz (request 8): signed", "extra.db.tar.gz (request 9): signed"]);
    expect([said, spooled()]).toEqual([[], []]);
  });

  test("there may be nothing: no notification at all, or one without requests", async () => {
    expect(await once()).toBeUndefined();
    await offer(10, []);
    expect(await once()).toBeUndefined();
    expect([signing.signed, said, done]).toEqual([[], [], []]);
  });

  test("a refusal is an answer, and all is done", async () => {
    signing.answer = ({ name }) => (name === "core.db.tar.gz" ? "over-limit" : undefined);
    const requests = await offer(10, [CORE, EXTRA]);
    expect(await once()).toBeUndefined();
    expect(requests.map(answerTo)).toEqual(["over-limit", "sig"]);
    expect(done[0]).toBe("core.db.tar.gz (request 8): refused: over-limit: why");
  });

  test.each<Code>([
    "key-unusable",
    "clock-behind",
    "remote-log-unavailable",
    "busy",
    "timed-out",
    "bad-request",
  ])("%s is no answer: the others go on, and the next time it is asked again", async (code) => {
    signing.answer = ({ name }) => (name === "core.db.tar.gz" ? code : undefined);
    const requests = await offer(10, [CORE, EXTRA]);
    expect(await once()).toBe(code);
    expect(requests.map(answerTo)).toEqual(["none", "sig"]);
    expect(said).toEqual([`core.db.tar.gz (request 8): ${code}: why`]);
    signing.answer = () => undefined;
    expect(await once()).toBeUndefined();
    expect(requests.map(answerTo)).toEqual(["sig", "sig"]);
    expect(signing.signed.map(({ name }) => name)).toEqual([
      "core.db.tar.gz",
      "extra.db.tar.gz",
      "core.db.tar.gz",
    ]);
  });

  test("a file that is cut is refused for good: all its announced bytes were read", async () => {
    signing.answer = () => "truncated";
    const [request] = await offer(10, [CORE]);
    expect(await once()).toBeUndefined();
    expect(answerTo(request)).toBe("truncated");
  });

  test("a bug on the other side is an attempt that failed", async () => {
    signing.answer = () => "internal";
    await offer(10, [CORE]);
    expect(await once()).toBe("internal");
  });

  test("a file larger than max_size is refused here, and nobody is asked to read it", async () => {
    const [request] = await offer(10, [CORE]);
    expect(await once({ maxBytes: 3 })).toBeUndefined();
    expect(answerTo(request)).toBe("too-large");
    expect([signing.signed, server.count("download core.db.tar.gz 0")]).toEqual([[], 0]);
    const [other] = await offer(12, [CORE]);
    expect(await once({ maxBytes: 4 })).toBeUndefined();
    expect(answerTo(other)).toBe("sig");
  });

  test("what somebody else has answered is not signed again", async () => {
    const [request] = await offer(10, [CORE]);
    if (request !== undefined) server.answers.set(answerName(request, "sig"), Buffer.from("theirs"));
    expect(await once()).toBeUndefined();
    expect([signing.signed, done]).toEqual([[], ["core.db.tar.gz (request 9): answered before"]]);
  });

  test("an answer that was there first stays", async () => {
    const [request] = await offer(10, [CORE]);
    signing.answer = () => {
      if (request !== undefined) server.answers.set(answerName(request, "sig"), Buffer.from("theirs"));
      return undefined;
    };
    expect(await once()).toBeUndefined();
    expect([...server.answers.values()].map(String)).toEqual(["theirs"]);
    expect(done).toEqual(["core.db.tar.gz (request 9): signed; the answer that was there before stays"]);
  });

  test("a download goes on where it broke, as long as it goes on", async () => {
    const bytes = Buffer.from("x".repeat(9500));
    const [request] = await offer(10, [{ ...CORE, bytes }]);
    server.breaksAfter = 4000;
    expect(await once()).toBeUndefined();
    expect(answerTo(request)).toBe("sig");
    expect(server.asked.filter((each) => each.startsWith("download"))).toEqual(
      [0, 4000, 8000].map((from) => `download core.db.tar.gz ${from}`),
    );
  });

  test("a download that goes on in ever so small pieces ends, and the next run goes on with it", async () => {
    await offer(10, [{ ...CORE, bytes: Buffer.from("x".repeat(9500)) }]);
    server.breaksAfter = 1;
    expect(await once()).toBe("source-unavailable");
    expect(server.asked.filter((each) => each.startsWith("download"))).toHaveLength(100);
    expect(said).toEqual(["core.db.tar.gz (request 9): source-unavailable: the download broke 100 times"]);
    server.breaksAfter = 10_000;
    expect(await once()).toBeUndefined();
    expect(server.asked.filter((each) => each.startsWith("download")).at(-1)).toBe(
      "download core.db.tar.gz 100",
    );
  });

  test("a server that goes away after a part of a file: there is something left to do", async () => {
    await offer(10, [{ ...CORE, bytes: Buffer.from("x".repeat(9500)) }]);
    server.breaksAfter = 4000;
    server.fails = () => (server.count("notification") > 1 ? "connection refused" : undefined);
    expect(await once()).toBe("source-unavailable");
  });

  test("a server that goes away in the middle ends it: not each request finds that out", async () => {
    await offer(
      50,
      Array.from({ length: 20 }, (_, index) => ({ ...CORE, bytes: Buffer.from(`${index}`) })),
    );
    server.fails = (question) => {
      const isGone = question !== "notification" || server.count("notification") > 1;
      return isGone ? "connection refused" : undefined;
    };
    expect(await once()).toBe("source-unavailable");
    expect(server.asked).toEqual(["notification", "answered core.db.tar.gz", "notification"]);
    expect(said).toEqual([
      "core.db.tar.gz (request 30): source-unavailable: connection refused",
      "source-unavailable: connection refused",
    ]);
  });

  test("a file that is missing ends nothing: the others are signed", async () => {
    const requests = await offer(10, [CORE, EXTRA]);
    server.files.delete(requests[0]?.sha256 ?? "");
    expect(await once()).toBe("source-unavailable");
    expect(requests.map(answerTo)).toEqual(["none", "sig"]);
  });

  test("a server that is away ends it, and what was wrong is said", async () => {
    server.fails = () => "connection refused";
    expect(await once()).toBe("source-unavailable");
    expect(said).toEqual(["source-unavailable: connection refused"]);
  });
});

describe("what was seen is remembered:", () => {
  test("settled when all is answered, and not before; then nobody is asked about it again", async () => {
    const remembered = () => {
      const memory = SourceMemory.open(folder, "repos");
      memory.close();
      return memory.state.newest;
    };
    signing.answer = ({ name }) => (name === "core.db.tar.gz" ? "key-unusable" : undefined);
    await offer(10, [CORE, EXTRA]);
    await once();
    expect(remembered()).toMatchObject({ seq: 10, settled: false });
    signing.answer = () => undefined;
    await once();
    expect(remembered()).toMatchObject({ seq: 10, settled: true });
    server.asked.length = 0;
    await once();
    expect(server.asked).toEqual(["notification"]);
  });

  test("before anything is done about it", async () => {
    await offer(10, [CORE]);
    let seq: number | undefined;
    server.fails = (question) => {
      if (question.startsWith("answered")) seq = seqInFile();
      return undefined;
    };
    await once();
    expect(seq).toBe(10);
  });

  test("an older notification is refused, once, by whatever process; a newer one goes on", async () => {
    const older = await announcer.document({ seq: 9, requests: [announced(9, EXTRA)] });
    await offer(10, [CORE]);
    await once();
    const good = server.document;
    server.document = older;
    for (let count = 0; count < 3; count += 1) expect(await once()).toBe("notification-rolled-back");
    expect(signing.reports).toEqual([
      {
        refused: expect.objectContaining({
          code: "notification-rolled-back",
          reason: "notification 9 was shown after 10",
        }),
        peer: { address: "192.0.2.10", sshKey: expect.stringMatching(/^SHA256:/) },
      },
    ]);
    expect(signing.signed).toHaveLength(1);
    server.document = good;
    expect(await once()).toBeUndefined();
    await offer(12, [EXTRA]);
    expect(await once()).toBeUndefined();
    expect(signing.signed.map(({ name }) => name)).toEqual(["core.db.tar.gz", "extra.db.tar.gz"]);
    server.document = older;
    await once();
    expect(signing.reports).toHaveLength(1);
  });

  test("each bad document is an entry of its own, also another one with the same number", async () => {
    await offer(10, [CORE]);
    await once();
    const others = [
      await announcer.document({ seq: 10, time: new Date(0) }),
      Buffer.from("nothing signed\n"),
      Buffer.from("nothing signed, again\n"),
    ];
    for (const document of [...others, ...others]) {
      server.document = document;
      await once();
    }
    expect(signing.reports.map(({ refused }) => refused.code)).toEqual([
      "notification-rolled-back",
      "bad-notification",
      "bad-notification",
    ]);
    expect(signing.signed).toHaveLength(1);
  });

  test("a refusal that could not be logged is logged the next time", async () => {
    server.document = Buffer.from("nothing signed\n");
    signing.reportFails = true;
    expect(await once()).toBe("service-unavailable");
    signing.reportFails = false;
    expect(await once()).toBe("bad-notification");
    expect(signing.reports).toHaveLength(1);
  });
});

/** Of what a crash now would leave: the file itself is read, since its database is locked. */
function seqInFile(): number {
  return Number(/"seq":(\d+)/.exec(readFileSync(join(folder, "repos.db"), "latin1"))?.[1]);
}

describe("as a service", () => {
  const until = (isSo: () => boolean) =>
    vi.waitFor(() => expect(isSo()).toBe(true), { timeout: 50_000, interval: 5 });

  test("it answers what comes, until it is ended", async () => {
    const { run, end } = begin();
    run();
    await until(() => server.count("notification") > 3);
    const [core] = await offer(10, [CORE]);
    await until(() => answerTo(core) === "sig");
    const [extra] = await offer(12, [EXTRA]);
    await until(() => answerTo(extra) === "sig");
    await end();
    const polls = server.count("notification");
    await sleep(50);
    expect(server.count("notification")).toBe(polls);
  });

  test("a server that is away is said once, and once that it is back", async () => {
    const { run } = begin();
    server.fails = () => "connection refused";
    run();
    await until(() => server.count("notification") > 4);
    server.fails = () => undefined;
    const [core] = await offer(10, [CORE]);
    await until(() => answerTo(core) === "sig");
    expect(said).toEqual([
      "source-unavailable: connection refused",
      expect.stringMatching(/^the server answers again; it was away since \d{4}-.*Z$/),
    ]);
  });

  test("while a server is away nothing else is asked of it", async () => {
    await offer(10, [CORE]);
    server.fails = (question) => (question === "notification" ? undefined : "it breaks");
    const { run } = begin();
    run();
    await until(() => said.length > 0);
    server.fails = () => "connection refused";
    await until(() => said.length > 1);
    server.asked.length = 0;
    await until(() => server.count("notification") > 4);
    expect(new Set(server.asked)).toEqual(new Set(["notification"]));
  });

  test("what fails is tried again and said once; others do not wait for it", async () => {
    let failures = 0;
    signing.answer = ({ name }) => {
      if (name !== "core.db.tar.gz") return undefined;
      failures += 1;
      return failures < 5 ? "clock-behind" : undefined;
    };
    const requests = await offer(10, [CORE, EXTRA]);
    const { run } = begin();
    run();
    await until(() => answerTo(requests[0]) === "sig");
    expect(done).toEqual(["extra.db.tar.gz (request 9): signed", "core.db.tar.gz (request 8): signed"]);
    expect(said).toEqual(["core.db.tar.gz (request 8): clock-behind: why"]);
    expect(server.count("download core.db.tar.gz 0"), "its file is kept").toBe(1);
  });

  test("an answer that could not be uploaded is kept: the log is not asked again", async () => {
    let uploads = 0;
    server.fails = (question) => {
      if (!question.startsWith("upload")) return undefined;
      uploads += 1;
      return uploads < 4 ? "it breaks" : undefined;
    };
    const [core] = await offer(10, [CORE]);
    const { run } = begin();
    run();
    await until(() => answerTo(core) === "sig");
    expect(signing.signed).toHaveLength(1);
  });

  test("a request that vanishes is dropped, with what was fetched of it", async () => {
    signing.answer = ({ name }) => (name === "core.db.tar.gz" ? "key-unusable" : undefined);
    const [core] = await offer(10, [CORE]);
    const { run } = begin();
    run();
    await until(() => said.length > 0);
    expect(spooled()).toHaveLength(1);
    const [extra] = await offer(12, [EXTRA]);
    await until(() => answerTo(extra) === "sig");
    signing.answer = () => undefined;
    await sleep(50);
    expect([answerTo(core), spooled()]).toEqual(["none", []]);
  });

  test("a request that stays is not asked for twice, nor what is known of it forgotten", async () => {
    signing.answer = ({ name }) => (name === "core.db.tar.gz" ? "key-unusable" : undefined);
    const requests = await offer(10, [CORE, EXTRA]);
    const { run } = begin();
    run();
    await until(() => answerTo(requests[1]) === "sig");
    server.document = await announcer.document({ seq: 11, requests });
    await until(() => seqInFile() === 11);
    const attempts = server.count("answered core.db.tar.gz");
    await until(() => server.count("answered core.db.tar.gz") > attempts + 2);
    expect(server.count("answered extra.db.tar.gz")).toBe(1);
    expect(server.count("download core.db.tar.gz 0")).toBe(1);
  });

  test("a notification that was away and is there again is worked on, although its ETag is the one before", async () => {
    signing.answer = () => "key-unusable";
    const [core] = await offer(10, [CORE]);
    const { document } = server;
    const { run } = begin();
    run();
    await until(() => said.length > 0);
    server.document = undefined;
    await until(() => spooled().length === 0);
    signing.answer = () => undefined;
    server.document = document;
    await until(() => answerTo(core) === "sig");
  });

  test("a server with news at each question, of files that never come, is asked no faster than it is worth", async () => {
    const documents: Buffer[] = [];
    for (let seq = 1; seq <= 12; seq += 1)
      documents.push(await announcer.document({ seq: 10 + seq, requests: [announced(10 + seq, CORE)] }));
    server.fails = (question) => {
      if (question === "notification") server.document = documents.shift() ?? server.document;
      return question.startsWith("answered") ? "it breaks" : undefined;
    };
    const { run } = begin({ pollMs: 3_600_000, maxBackOffMs: 3_600_000 });
    run();
    await until(() => said.length > 1);
    expect(server.count("notification"), "not all of them at once").toBeLessThan(4);
  });

  test("a bad notification does not end the work on the one before it", async () => {
    signing.answer = () => "key-unusable";
    const [core] = await offer(10, [CORE]);
    const { run } = begin();
    run();
    await until(() => said.length > 0);
    server.document = Buffer.from("nothing signed\n");
    await until(() => signing.reports.length > 0);
    signing.answer = () => undefined;
    await until(() => answerTo(core) === "sig");
    expect(signing.reports).toHaveLength(1);
  });

  test("a refusal that could not be logged is logged when it can be, though the server says that nothing is new", async () => {
    server.document = Buffer.from("nothing signed\n");
    signing.reportFails = true;
    const { run } = begin();
    run();
    await until(() => said.length > 0);
    signing.reportFails = false;
    await until(() => signing.reports.length > 0);
    expect(said.slice(0, 1)).toEqual(["service-unavailable: it does not run"]);
  });

  test("a thousand requests are answered one after the other", async () => {
    const files = Array.from({ length: 1000 }, (_, index) => ({
      name: `repo-${index}.db.tar.gz`,
      bytes: Buffer.from(`${index}`),
    }));
    const requests = await offer(5000, files);
    let most = 0;
    signing.answer = () => {
      most = Math.max(most, spooled().length);
      return undefined;
    };
    const { run } = begin({ pollMs: 1000 });
    run();
    await until(() => server.answers.size === 1000);
    expect(requests.map(answerTo)).toEqual(requests.map(() => "sig"));
    expect(most).toBe(1);
  });
});

describe("a notification whose time is far from this clock's is noted once, and not refused:", () => {
  const DAY_MS = 86_400_000;
  test.each([
    ["a day ahead", DAY_MS],
    ["a day behind", -DAY_MS],
  ])("%s", async (_, offMs) => {
    const { run } = begin();
    const [core] = await offer(10, [CORE], new Date(now.getTime() + offMs));
    run();
    await vi.waitFor(() => expect(answerTo(core)).toBe("sig"));
    const [extra] = await offer(12, [EXTRA], new Date(now.getTime() + offMs));
    await vi.waitFor(() => expect(answerTo(extra)).toBe("sig"));
    expect(said).toEqual([
      expect.stringMatching(/^a notification is of .*: one of the clocks may be wrong$/),
    ]);
  });

  test("one that says that there is nothing may be old", async () => {
    await offer(10, [], new Date(now.getTime() - DAY_MS));
    await once();
    expect(said).toEqual([]);
  });
});
