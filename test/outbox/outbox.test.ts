import { hash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { answerName, uploadName } from "../../src/exchange/answer.ts";
import { type AnnouncedFile, MAX_REQUESTS } from "../../src/exchange/notification.ts";
import { type Asked, Outbox } from "../../src/outbox/outbox.ts";
import { copyIntoOutbox } from "../../src/outbox/outbox-copy.ts";
import { openPullFolder } from "../../src/outbox/pull-folder.ts";
import { encodeRecord, recordName } from "../../src/outbox/request-record.ts";
import { isRefusal } from "../../src/outcome.ts";
import type { FileName, Requester } from "../../src/request/request.ts";
import { Cleanup } from "../support/cleanup.ts";
import { makePullFolder, type PullFolderUnderTest } from "../support/pull-folder.ts";
import { runOk } from "../support/run.ts";
import { elsewhereName, goneName } from "./fixture.ts";

const cleanup = new Cleanup();
let folder: PullFolderUnderTest;
beforeEach(async () => {
  folder = await makePullFolder(cleanup);
});
afterAll(() => cleanup.run());

const MINUTE = 60_000;
const DAY = 86_400_000;
const NOTHING = { outbox: [], inbox: [], requests: [] };
const sha256 = (text: string) => hash("sha256", text);

function outbox(now: () => number = Date.now): Outbox {
  return new Outbox(openPullFolder(folder.folder), folder.keyFile, now);
}

async function* bytes(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text);
}

async function asked(text: string, name = "core.db.tar.gz"): Promise<Asked> {
  const copy = await copyIntoOutbox(openPullFolder(folder.folder), bytes(text));
  if (isRefusal(copy)) throw new Error(copy.code);
  return { name: name as FileName, type: "db", for: undefined, copy };
}

const announce = async (text: string, of = outbox()) => await of.announce([await asked(text)], MINUTE);
const stampOf = () => statSync(join(folder.outbox, "notification")).mtimeMs / 1000;

describe("what is announced", () => {
  test("lies under its digest, stands in a signed notification, and is gone when it is taken back", async () => {
    const of = outbox();
    const who = "alice" as Requester;
    const requests = await of.announce(
      [{ ...(await asked("one")), for: who }, await asked("two", "a.db")],
      MINUTE,
    );
    const [first, second] = requests;
    expect(requests).toMatchObject([
      { name: "core.db.tar.gz", type: "db", size: 3, sha256: sha256("one"), for: "alice" },
      { name: "a.db", type: "db", size: 3, sha256: sha256("two"), for: undefined },
    ]);
    expect(second?.seq).toBe((first?.seq ?? 0) + 1);
    expect(folder.notification()).toMatchObject({ seq: (second?.seq ?? 0) + 1, requests });
    expect(readFileSync(join(folder.outbox, sha256("one")), "latin1")).toBe("one");
    expect(folder.left().outbox).toEqual([sha256("one"), sha256("two")].toSorted());
    await of.withdraw(requests);
    expect(folder.left()).toEqual(NOTHING);
    expect(folder.notification()).toMatchObject({ seq: (second?.seq ?? 0) + 2, requests: [] });
  });

  test("by several stands there together, in the order of the numbers, and each takes back its own alone", async () => {
    const [one, two] = [outbox(), outbox()];
    const first = await announce("one", one);
    const second = await announce("two", two);
    expect(folder.notification()?.requests).toEqual([...first, ...second]);
    await one.withdraw(first);
    expect(folder.notification()?.requests).toEqual(second);
    expect(folder.left().outbox).toEqual([sha256("two")]);
    const third = await announce("three", one);
    expect(folder.notification()?.requests).toEqual([...second, ...third]);
  });

  test("twice is one file, which stays until nobody needs it, and is not another one for who is reading it", async () => {
    const of = outbox();
    const first = await announce("same", of);
    const path = join(folder.outbox, sha256("same"));
    const { ino } = statSync(path);
    const second = await announce("same", of);
    expect(folder.left().outbox).toEqual([sha256("same")]);
    expect(statSync(path).ino).toBe(ino);
    await of.withdraw(first);
    expect(statSync(path).ino).toBe(ino);
    await of.withdraw(second);
    expect(existsSync(path)).toBe(false);
  });

  test("replaces what has its name and is not it", async () => {
    writeFileSync(join(folder.outbox, sha256("whole")), "who");
    await announce("whole");
    expect(readFileSync(join(folder.outbox, sha256("whole")), "latin1")).toBe("whole");
    symlinkSync("/etc/passwd", join(folder.outbox, sha256("linked")));
    await announce("linked");
    expect(readFileSync(join(folder.outbox, sha256("linked")), "latin1")).toBe("linked");
  });

  test("is readable for those who may read the folder, and nobody else", async () => {
    const modeOf = (path: string) => statSync(path).mode & 0o777;
    for (const [mode, files] of [
      [0o2750, 0o640],
      [0o2775, 0o644],
      [0o700, 0o600],
    ] as const) {
      chmodSync(folder.outbox, mode);
      const of = outbox();
      const requests = await announce(`mode ${mode}`, of);
      expect(modeOf(join(folder.outbox, "notification"))).toBe(files);
      expect(modeOf(join(folder.outbox, requests[0]?.sha256 ?? ""))).toBe(files);
      await of.withdraw(requests);
    }
    expect(modeOf(join(folder.requests, "state"))).toBe(0o644);
    chmodSync(folder.requests, 0o700);
    await announce("x");
    for (const name of readdirSync(folder.requests)) expect(modeOf(join(folder.requests, name))).toBe(0o600);
  });

  test("is at most as much as a notification holds: beyond it, busy, and nothing is changed", async () => {
    const of = outbox();
    const [template] = await announce("one", of);
    const fill = (seq: number) =>
      writeFileSync(
        join(folder.requests, recordName(seq)),
        encodeRecord({ file: { ...(template as AnnouncedFile), seq }, expiresMs: Date.now() + MINUTE }),
      );
    for (let seq = 1; seq < MAX_REQUESTS - 1; seq++) fill(seq);
    const fits = await announce("two", of);
    expect(folder.notification()?.requests).toHaveLength(MAX_REQUESTS);
    const before = folder.notification();
    await expect(announce("three", of)).rejects.toMatchObject({
      code: "busy",
      message: "1000 files wait for signatures: expected at most 1000",
    });
    expect(folder.notification()).toEqual(before);
    expect(folder.left().outbox).toEqual([sha256("one"), sha256("two")].toSorted());
    await of.withdraw(fits);
    expect(folder.notification()?.requests).toHaveLength(MAX_REQUESTS - 1);
  });
});

describe("the number", () => {
  test("begins at the time in seconds, in a new outbox", async () => {
    const now = Date.parse("2026-11-24T10:00:00.900Z");
    const [first] = await announce(
      "x",
      outbox(() => now),
    );
    expect(first?.seq).toBe(now / 1000 + 0.1);
  });

  test("is ahead of all that were given out, where the folder comes out of a backup", async () => {
    let now = Date.parse("2026-11-24T10:00:00Z");
    const of = outbox(() => now);
    await announce("x", of);
    const [state, notification] = [join(folder.requests, "state"), join(folder.outbox, "notification")];
    const backup = [readFileSync(state), readFileSync(notification)] as const;
    now += MINUTE;
    await announce("y", of);
    const last = folder.notification()?.seq ?? 0;
    writeFileSync(state, backup[0]);
    writeFileSync(notification, backup[1]);
    now += MINUTE;
    const [after] = await announce("z", of);
    expect(after?.seq).toBeGreaterThan(last);
  });

  test("never falls and never comes again, however the clock is put, and where what was remembered is lost", async () => {
    let now = Date.parse("2026-11-24T10:00:00Z");
    const of = outbox(() => now);
    const seen: number[] = [];
    const step = async () => {
      const requests = await announce("x", of);
      seen.push(...requests.map(({ seq }) => seq), folder.notification()?.seq ?? 0);
      await of.withdraw(requests);
      seen.push(folder.notification()?.seq ?? 0);
    };
    await step();
    now -= 400 * DAY;
    await step();
    unlinkSync(join(folder.requests, "state"));
    await step();
    writeFileSync(join(folder.requests, "state"), "");
    await step();
    writeFileSync(join(folder.requests, "state"), '{"seq":-5,"stamp":0,"version":1}\n');
    await step();
    now += 4000 * DAY;
    await step();
    expect(seen).toEqual([...new Set(seen)].toSorted((one, other) => one - other));
    expect(seen).toHaveLength(18);
  });
});

describe("the notification's time of last change", () => {
  test("grows by a second at least, however fast one follows the other and however the clock is put", async () => {
    let now = Date.parse("2026-11-24T10:00:00.5Z");
    const of = outbox(() => now);
    const stamps: number[] = [];
    for (const stepMs of [0, 1, 0, -3600_000, 0, 10_000]) {
      now += stepMs;
      await announce(`at ${stamps.length}`, of);
      stamps.push(stampOf());
    }
    unlinkSync(join(folder.outbox, "notification"));
    await announce("after it was deleted", of);
    stamps.push(stampOf());
    // As if another program had touched it, or what is remembered had been lost.
    unlinkSync(join(folder.requests, "state"));
    utimesSync(join(folder.outbox, "notification"), 2e9, 2e9);
    await announce("later", of);
    stamps.push(stampOf());
    expect(stamps.every(Number.isInteger)).toBe(true);
    for (const [index, stamp] of stamps.entries())
      if (index > 0) expect(stamp).toBeGreaterThanOrEqual((stamps[index - 1] ?? 0) + 1);
    expect(stamps.at(-1)).toBe(2e9 + 1);
  });

  test("is the clock's where that is later", async () => {
    const now = Date.parse("2027-01-01T00:00:00.7Z");
    await announce(
      "x",
      outbox(() => now),
    );
    expect(stampOf()).toBe(Math.floor(now / 1000));
  });
});

describe("what was left by processes that are gone", () => {
  /** As a killed process leaves everything that it can leave. */
  function leave(
    text: string,
    seq: number,
    nameOf: (label: string) => string,
    expiresMs = Date.now() + MINUTE,
  ): void {
    const file: AnnouncedFile = {
      seq,
      name: "core.db.tar.gz" as FileName,
      type: "db",
      size: text.length,
      sha256: sha256(text),
      for: undefined,
    };
    writeFileSync(join(folder.outbox, file.sha256), text);
    writeFileSync(join(folder.outbox, nameOf("copy.1")), text);
    writeFileSync(join(folder.outbox, nameOf("new.notification.2")), text);
    writeFileSync(join(folder.requests, nameOf(`request.${seq}`)), encodeRecord({ file, expiresMs }));
    writeFileSync(join(folder.requests, nameOf(`new.request.${seq}.4`)), "");
    writeFileSync(join(folder.requests, nameOf("claim.3")), "");
    writeFileSync(join(folder.inbox, answerName(file, "sig")), "");
    writeFileSync(join(folder.inbox, answerName(file, "refused")), "");
    writeFileSync(join(folder.inbox, uploadName(file, "0123456789abcdef")), "");
  }

  test("is cleared by whoever comes next, and no longer announced", async () => {
    const mine = await announce("mine");
    leave("theirs", 5, goneName);
    await outbox().clearUp();
    expect(folder.notification()?.requests).toEqual(mine);
    expect(folder.left()).toMatchObject({ outbox: [sha256("mine")], inbox: [] });
    expect(folder.left().requests).toEqual([recordName(mine[0]?.seq ?? 0)]);
  });

  test("is cleared too by one that announces something of its own", async () => {
    leave("theirs", 5, goneName);
    const mine = await announce("mine");
    expect(folder.notification()?.requests).toEqual(mine);
    expect(folder.left()).toMatchObject({ outbox: [sha256("mine")], inbox: [] });
  });

  test("stays where somebody who is there needs the same bytes", async () => {
    leave("same", 5, goneName);
    const mine = await announce("same");
    expect(folder.notification()?.requests).toEqual(mine);
    expect(folder.left()).toMatchObject({ outbox: [sha256("same")], inbox: [] });
  });

  test("of another container counts as needed until it has expired", async () => {
    const seq = Math.floor(Date.now() / 1000) - 100;
    leave("theirs", seq, elsewhereName, Date.now() + MINUTE);
    const mine = await announce("mine");
    expect(folder.notification()?.requests.map(({ seq }) => seq)).toEqual([seq, mine[0]?.seq]);
    expect(folder.left().inbox).toHaveLength(3);
    await outbox(() => Date.now() + 2 * MINUTE).clearUp();
    expect(folder.notification()?.requests).toEqual(mine);
    expect(folder.left().inbox).toEqual([]);
    expect(folder.left().outbox).toHaveLength(3); // what it was copying: nobody knows for how long
    await outbox(() => Date.now() + 26 * DAY).clearUp();
    expect(folder.left().outbox).toEqual([sha256("mine")]);
    expect(folder.left().requests).toHaveLength(1);
  });

  test("is cleared where it cannot be read, as after a power failure", async () => {
    writeFileSync(join(folder.requests, goneName("request.5")), "");
    writeFileSync(join(folder.requests, goneName("request.6")), Buffer.alloc(10_000));
    mkdirSync(join(folder.requests, "elsewhere"));
    await outbox().clearUp();
    expect(folder.left().requests).toEqual(["elsewhere"]);
  });

  test("nothing of it: no new notification is made, and nothing is written", async () => {
    await announce("mine");
    const before = folder.notification();
    const { mtimeMs } = statSync(join(folder.requests, "state"));
    await outbox().clearUp();
    expect(folder.notification()).toEqual(before);
    expect(statSync(join(folder.requests, "state")).mtimeMs).toBe(mtimeMs);
  });
});

test("a record whose number is not its name's, or that is of no form of ours, is announced to nobody", async () => {
  const [file] = await announce("mine");
  const record = encodeRecord({ file: file as AnnouncedFile, expiresMs: Date.now() + MINUTE });
  writeFileSync(join(folder.requests, recordName(1)), record);
  writeFileSync(join(folder.requests, recordName(2)), record.replace('"version":1', '"version":2'));
  writeFileSync(join(folder.requests, recordName(3)), record.replace("core.db", "../core.db"));
  symlinkSync(join(folder.requests, recordName(file?.seq ?? 0)), join(folder.requests, recordName(4)));
  await announce("more");
  expect(folder.notification()?.requests).toHaveLength(2);
});

test("answers and files that somebody waits for, and what is not ours, stay", async () => {
  const [file] = await announce("mine");
  const kept = [
    answerName(file as AnnouncedFile, "sig"),
    uploadName(file as AnnouncedFile, "0".repeat(16)),
    "README",
  ];
  for (const name of kept) writeFileSync(join(folder.inbox, name), "x");
  for (const name of ["README", ".hidden", `${sha256("x")}.txt`])
    writeFileSync(join(folder.outbox, name), "x");
  // The digest of a request and the number of another one, or the other way round: nobody's.
  writeFileSync(join(folder.inbox, answerName({ sha256: sha256("mine"), seq: 1 }, "sig")), "x");
  writeFileSync(join(folder.inbox, answerName({ sha256: sha256("x"), seq: file?.seq ?? 0 }, "sig")), "x");
  writeFileSync(join(folder.outbox, sha256("nobody's")), "x");
  mkdirSync(join(folder.inbox, answerName({ sha256: sha256("y"), seq: 1 }, "sig")));
  await outbox().clearUp();
  expect(folder.left().inbox.filter((name) => !statSync(join(folder.inbox, name)).isDirectory())).toEqual(
    kept.toSorted(),
  );
  expect(folder.left().outbox).toEqual(
    [".hidden", "README", sha256("mine"), `${sha256("x")}.txt`].toSorted(),
  );
});

test("a notification that cannot be signed announces nothing, and what others have announced stays", async () => {
  const mine = await announce("mine");
  const broken = new Outbox(openPullFolder(folder.folder), join(folder.folder, "missing"));
  const before = folder.notification();
  await expect(broken.announce([await asked("more")], MINUTE)).rejects.toMatchObject({
    code: "bad-configuration",
  });
  expect(folder.notification()).toEqual(before);
  expect(folder.left().outbox).toEqual([sha256("mine")]);
  expect(folder.left().requests).toEqual([recordName(mine[0]?.seq ?? 0)]);
});

describe("a copy", () => {
  const copy = (content: AsyncIterable<Uint8Array>, signal?: AbortSignal) =>
    copyIntoOutbox(openPullFolder(folder.folder), content, signal);

  test("of nothing is refused", async () => {
    expect(await copy(bytes())).toMatchObject({ code: "empty-input" });
    expect(await copy(bytes("", ""))).toMatchObject({ code: "empty-input" });
    expect(folder.left()).toEqual(NOTHING);
  });

  test("is not served before it is announced, and is gone where it is not", async () => {
    const made = await copy(bytes("on", "e"));
    if (isRefusal(made)) throw new Error(made.code);
    expect(made).toMatchObject({ size: 3, sha256: sha256("one") });
    expect(folder.left().outbox).toEqual([expect.stringMatching(/^copy\.\d+@/)]);
    made.discard();
    made.discard();
    expect(folder.left()).toEqual(NOTHING);
  });

  test("of what fails, or that is given up, leaves nothing", async () => {
    async function* failing() {
      yield Buffer.from("x");
      throw new Error("disk");
    }
    await expect(copy(failing())).rejects.toThrow("disk");
    await expect(copy(bytes("x"), AbortSignal.abort())).rejects.toThrow();
    expect(folder.left()).toEqual(NOTHING);
  });
});

describe("a folder that does not serve", () => {
  test.each(["outbox", "inbox", "requests"])(
    "without %s is said, with the commands that make it",
    async (part) => {
      rmSync(join(folder.folder, part), { recursive: true });
      let said = "";
      try {
        openPullFolder(folder.folder);
      } catch (error) {
        said = String(error);
        expect(error).toMatchObject({ code: "bad-configuration" });
      }
      expect(said).toContain(
        `expected the folder "${join(folder.folder, part)}", writable for this account (ENOENT)`,
      );
      // They work, and make what is missing.
      const commands = /as root: (.*) \(www-data/.exec(said)?.[1] ?? "";
      if (process.getuid?.() !== 0) return;
      await runOk("sh", ["-c", commands]);
      expect(() => openPullFolder(folder.folder)).not.toThrow();
      expect(statSync(folder.outbox).mode & 0o7777).toBe(0o2750);
      expect(statSync(folder.inbox).mode & 0o7777).toBe(0o2770);
      expect(statSync(folder.requests).mode & 0o7777).toBe(0o700);
    },
  );

  test("with a file in a folder's place is said", () => {
    rmSync(folder.inbox, { recursive: true });
    writeFileSync(folder.inbox, "");
    expect(() => openPullFolder(folder.folder)).toThrow(/ENOTDIR/);
  });
});
