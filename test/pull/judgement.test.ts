import { hash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeNotification, MAX_NOTIFICATION_BYTES } from "../../src/exchange/notification.ts";
import { type Judgement, judgeNotification } from "../../src/pull/judgement.ts";
import { NEW_SOURCE, type SourceState } from "../../src/pull/source-state.ts";
import { Cleanup } from "../support/cleanup.ts";
import { type Announcer, announced, makeAnnouncer } from "./announcer.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const TIME = new Date("2026-11-23T12:00:00Z");
const REQUEST = announced(7, { name: "core.db.tar.gz", bytes: Buffer.from("x"), for: "alice" });
const sha256 = (bytes: Uint8Array) => hash("sha256", bytes, "hex");
const lineOf = (document: Buffer) => document.subarray(0, document.indexOf("\n") + 1);

let announcer: Announcer;
let other: Announcer;
let document: Buffer;
/** Of one that has seen `document`. */
let seen: SourceState;
beforeAll(async () => {
  announcer = await makeAnnouncer(cleanup);
  other = await makeAnnouncer(cleanup);
  document = await announcer.document({ seq: 7, time: TIME, requests: [REQUEST] });
  seen = { newest: { seq: 7, sha256: sha256(lineOf(document)), settled: false }, refused: [] };
});

const judge = (bytes: Uint8Array, state: SourceState = NEW_SOURCE): Judgement =>
  judgeNotification(bytes, announcer.blob, state);

/** The code, where it is bad. */
function code(judged: Judgement): string {
  return judged.kind === "bad" ? judged.refusal.code : judged.kind;
}

test("the first notification is news, and so is each with a larger number", async () => {
  expect(judge(document)).toEqual({
    kind: "news",
    notification: { seq: 7, time: TIME, requests: [REQUEST] },
    sha256: sha256(lineOf(document)),
  });
  const next = await announcer.document({ seq: 8, time: TIME });
  expect(judge(next, seen)).toMatchObject({ kind: "news", notification: { seq: 8, requests: [] } });
  const later = await announcer.document({ seq: 2 ** 40, time: new Date(0) });
  expect(judge(later, seen)).toMatchObject({ kind: "news" });
});

test("the same once more is known, however its signature is wrapped", () => {
  expect(judge(document, seen)).toMatchObject({ kind: "known", notification: { seq: 7 } });
  const text = document.toString("latin1");
  const [begin, ...rest] = text.slice(lineOf(document).length).split("\n");
  const rewrapped = [begin, rest.slice(0, -2).join(""), ...rest.slice(-2)].join("\n");
  expect(rewrapped).not.toBe(text.slice(lineOf(document).length));
  expect(judge(Buffer.from(`${lineOf(document)}${rewrapped}`), seen)).toMatchObject({ kind: "known" });
});

describe("is rolled back, with", () => {
  test("a smaller number, which the reason names with the one that was seen", async () => {
    const older = await announcer.document({ seq: 6, time: TIME });
    expect(judge(older, seen)).toEqual({
      kind: "bad",
      refusal: {
        kind: "refusal",
        code: "notification-rolled-back",
        reason: "notification 6 was shown after 7",
      },
      sha256: sha256(older),
      isLogged: false,
    });
  });

  test("the same number and other requests, or another time", async () => {
    const others = [
      await announcer.document({ seq: 7, time: TIME }),
      await announcer.document({ seq: 7, time: new Date("2026-11-23T12:00:01Z"), requests: [REQUEST] }),
    ];
    expect(others.map((each) => code(judge(each, seen)))).toEqual(
      others.map(() => "notification-rolled-back"),
    );
  });

  test("the same number although all was settled", async () => {
    const newest = { seq: 7, sha256: sha256(lineOf(document)), settled: true };
    const again = await announcer.document({ seq: 7, time: TIME });
    expect(code(judge(again, { newest, refused: [] }))).toBe("notification-rolled-back");
  });
});

describe("is bad:", () => {
  test("nothing, no signature, one of another key, for another purpose, or of other bytes", async () => {
    const line = lineOf(document).toString();
    const bad = [
      "",
      line,
      `${line}\n`,
      line.slice(0, -1),
      `${line}${await other.sign(line)}`,
      `${line}${await announcer.sign(line, "file")}`,
      `${line.replace('"seq":7', '"seq":8')}${await announcer.sign(line)}`,
      `${document}x`,
      ` ${document}`,
      document.subarray(0, -1),
    ];
    expect(bad.map((bytes) => code(judge(Buffer.from(bytes))))).toEqual(bad.map(() => "bad-notification"));
  });

  test("one octet changed, anywhere in it", () => {
    for (let at = 0; at < document.length; at += 1) {
      const bent = Buffer.from(document);
      bent[at] = (bent[at] ?? 0) ^ 1;
      expect(["bad-notification", "known"]).toContain(code(judge(bent, seen)));
      expect(code(judge(bent))).not.toBe(at < lineOf(document).length ? "news" : "");
    }
  });

  test("what is signed, and no notification", async () => {
    const line = encodeNotification({ seq: 7, time: TIME, requests: [REQUEST] });
    for (const wrong of [
      line.replace('"version":1', '"version":2'),
      line.replace('"seq":7', '"seq":0'),
      "{}\n",
    ])
      expect(code(judge(Buffer.from(`${wrong}${await announcer.sign(wrong)}`)))).toBe("bad-notification");
  });

  test("more bytes than one may have, signed or not", async () => {
    const line = `{"padding":"${"x".repeat(MAX_NOTIFICATION_BYTES)}"}\n`;
    const judged = judge(Buffer.from(`${line}${await announcer.sign(line)}`));
    expect(judged).toMatchObject({
      refusal: { code: "bad-notification", reason: expect.stringMatching(/640 KiB/) },
    });
  });
});

test("what was refused and logged before is known as such, and a good one never", async () => {
  const older = await announcer.document({ seq: 6, time: TIME });
  const refused = [sha256(older), sha256(document)];
  expect(judge(older, { ...seen, refused })).toMatchObject({ kind: "bad", isLogged: true });
  expect(judge(document, { newest: undefined, refused })).toMatchObject({ kind: "news" });
});
