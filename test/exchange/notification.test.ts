import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ArtefactType } from "../../src/artefact/artefact.ts";
import {
  type AnnouncedFile,
  encodeNotification,
  MAX_ANNOUNCED_BYTES,
  MAX_NOTIFICATION_BYTES,
  MAX_REQUESTS,
  type Notification,
  parseNotification,
  splitNotification,
} from "../../src/exchange/notification.ts";
import type { FileName, Requester } from "../../src/request/request.ts";

const DIGEST = "0123456789abcdef".repeat(4);
const TIME = new Date("2026-11-24T10:00:00Z");

function file(changed: Partial<AnnouncedFile> = {}): AnnouncedFile {
  const name = "core.db.tar.gz" as FileName;
  return { seq: 7, name, type: "db", size: 1470, sha256: DIGEST, for: undefined, ...changed };
}

/** A line with other members than it should have. */
function lineWith(document: object, first: object = {}): string {
  const sorted = (value: object) =>
    Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  const { for: _, ...plain } = file();
  const requests = [sorted({ ...plain, ...first })];
  const time = "2026-11-24T10:00:00Z";
  return `${JSON.stringify(sorted({ version: 1, seq: 8, time, requests, ...document }))}\n`;
}

const files = fc
  .record({
    stem: fc.stringMatching(/^[A-Za-z0-9@_+][A-Za-z0-9@_+-]{0,40}$/).filter((stem) => stem !== "local"),
    kind: fc.constantFrom<[string, ArtefactType]>(
      [".db.tar.gz", "db"],
      [".files.tar.zst", "files"],
      [".iso", "iso"],
      [".db.tar.xz", "db"],
    ),
    size: fc.integer({ min: 1, max: MAX_ANNOUNCED_BYTES }),
    sha256: fc.stringMatching(/^[0-9a-f]{64}$/),
    who: fc.option(fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9@._+-]{0,63}$/), { nil: undefined }),
    step: fc.integer({ min: 1, max: 1000 }),
  })
  .map(({ stem, kind: [suffix, type], size, sha256, who, step }) => ({
    step,
    file: { name: `${stem}${suffix}` as FileName, type, size, sha256, for: who as Requester | undefined },
  }));

const notifications = fc
  .record({
    first: fc.integer({ min: 0, max: 2 ** 40 }),
    files: fc.array(files, { maxLength: 4 }),
    above: fc.integer({ min: 0, max: 9 }),
    seconds: fc.integer({ min: 0, max: 4_000_000_000 }),
  })
  .map(({ first, files, above, seconds }): Notification => {
    let seq = first;
    const requests = files.map(({ step, file }) => {
      seq += step;
      return { ...file, seq };
    });
    return { seq: Math.max(seq + above, 1), time: new Date(seconds * 1000), requests };
  });

test("any notification comes back from its line, which is one of printable ASCII", () => {
  fc.assert(
    fc.property(notifications, (notification) => {
      const line = encodeNotification(notification);
      expect(line).toMatch(/^[\x20-\x7e]+\n$/);
      expect(parseNotification(line)).toEqual(notification);
    }),
  );
});

test("what is read would be written just so, whatever character of a line is another", () => {
  fc.assert(
    fc.property(notifications, fc.nat(), fc.integer({ min: 0x0a, max: 0x7e }), (notification, at, code) => {
      const line = encodeNotification(notification);
      const place = at % line.length;
      const bent = line.slice(0, place) + String.fromCharCode(code) + line.slice(place + 1);
      const read = parseNotification(bent);
      if (read !== undefined) expect(encodeNotification(read)).toBe(bent);
    }),
    { numRuns: 2000 },
  );
});

test("a line that is cut anywhere is none", () => {
  const line = encodeNotification({ seq: 9, time: TIME, requests: [file(), file({ seq: 8 })] });
  expect(parseNotification(line)).toBeDefined();
  for (let length = 0; length < line.length; length += 1)
    expect(parseNotification(line.slice(0, length))).toBeUndefined();
});

test("nothing to do is a notification too", () => {
  const line = encodeNotification({ seq: 1, time: TIME, requests: [] });
  expect(line).toBe('{"requests":[],"seq":1,"time":"2026-11-24T10:00:00Z","version":1}\n');
  expect(parseNotification(line)).toEqual({ seq: 1, time: TIME, requests: [] });
});

test("as many requests as there may be, of the longest kind, fit", () => {
  const name = `${"n".repeat(255 - ".files.tar.zst".length)}.files.tar.zst` as FileName;
  const who = "w".repeat(64) as Requester;
  const longest = (index: number) =>
    file({
      seq: Number.MAX_SAFE_INTEGER - MAX_REQUESTS + index,
      name,
      type: "files",
      size: MAX_ANNOUNCED_BYTES,
      for: who,
    });
  const requests = Array.from({ length: MAX_REQUESTS }, (_, index) => longest(index));
  const all = { seq: Number.MAX_SAFE_INTEGER, time: TIME, requests };
  const line = encodeNotification(all);
  expect(line.length + 1024).toBeLessThan(MAX_NOTIFICATION_BYTES);
  expect(parseNotification(line)?.requests).toHaveLength(MAX_REQUESTS);
  const more = { ...all, requests: [file({ seq: 1 }), ...requests] };
  expect(parseNotification(encodeNotification(more))).toBeUndefined();
});

describe("is none:", () => {
  const digits = "9".repeat(20);
  test.each<[string, object, object?]>([
    ["another version", { version: 2 }],
    ["no version", { version: undefined }],
    ["a member that is not its own", { more: 1 }],
    ["no number", { seq: undefined }],
    ["zero as number", { seq: 0, requests: [] }],
    ["a number that is text", { seq: "8" }],
    ["requests that are no list", { requests: {} }],
    ["a request that is none", { requests: [null] }],
    ["a request that is a list", { requests: [[]] }],
    ["a time with milliseconds", { time: "2026-11-24T10:00:00.000Z" }],
    ["a time of another zone", { time: "2026-11-24T10:00:00+01:00" }],
    ["a day that does not exist", { time: "2026-02-30T10:00:00Z" }],
    ["an hour that belongs to the next day", { time: "2026-11-24T24:00:00Z" }],
    ["a month that does not exist", { time: "2026-13-01T10:00:00Z" }],
    ["a time that is a number", { time: 1 }],
    ["a request with a larger number", { seq: 6 }],
    ["a request with a member that is not its own", {}, { more: 1 }],
    ["a request without a number", {}, { seq: undefined }],
    ["a name that is a path", {}, { name: "a/core.db.tar.gz" }],
    ["a name that is an option", {}, { name: "-core.db.tar.gz" }],
    ["a name that promises nothing", {}, { name: "core.txt" }],
    ["a name that is a number", {}, { name: 1 }],
    ["a type that the name does not have", {}, { type: "files" }],
    ["a type that there is not", {}, { type: "package" }],
    ["a size of nothing", {}, { size: 0 }],
    ["a negative size", {}, { size: -1 }],
    ["a size past the limit", {}, { size: MAX_ANNOUNCED_BYTES + 1 }],
    ["a size that is text", {}, { size: "1" }],
    ["a digest in capitals", {}, { sha256: DIGEST.toUpperCase() }],
    ["a digest with one digit more", {}, { sha256: `${DIGEST}0` }],
    ["a digest with one digit less", {}, { sha256: DIGEST.slice(1) }],
    ["a digest with a newline behind", {}, { sha256: `${DIGEST}\n` }],
    ["no digest", {}, { sha256: undefined }],
    ["somebody with a blank in the name", {}, { for: "a b" }],
    ["somebody who is nobody", {}, { for: "" }],
    ["somebody who is a number", {}, { for: 1 }],
  ])("%s", (_what, document, first) => {
    expect(parseNotification(lineWith({}))).toBeDefined();
    expect(parseNotification(lineWith(document, first))).toBeUndefined();
  });

  test("a fraction, a power or too many digits as a number", () => {
    for (const number of ["8.5", "8e0", "08", "+8", "-8", digits])
      expect(parseNotification(lineWith({}).replace('"seq":8', `"seq":${number}`)), number).toBeUndefined();
  });

  test("requests that are not in the order of their numbers, or have one twice", () => {
    const of = (...seqs: number[]) =>
      encodeNotification({ seq: 9, time: TIME, requests: seqs.map((seq) => file({ seq })) });
    expect(parseNotification(of(7, 8, 9))).toBeDefined();
    expect(parseNotification(of(8, 7))).toBeUndefined();
    expect(parseNotification(of(7, 7))).toBeUndefined();
  });

  test("a line without its end, with two, or with blanks", () => {
    const line = lineWith({});
    for (const bent of [
      line.trimEnd(),
      `${line}\n`,
      ` ${line}`,
      line.replace(":", ": "),
      line.replace("\n", "\r\n"),
    ])
      expect(parseNotification(bent)).toBeUndefined();
  });

  test("one that is too long", () => {
    expect(parseNotification(`${" ".repeat(MAX_NOTIFICATION_BYTES)}\n`)).toBeUndefined();
  });
});

test("the line ends at the first newline, and everything behind it is the signature", () => {
  const split = (text: string) => splitNotification(Buffer.from(text, "latin1"));
  expect(split("{}\nSIGNATURE\n")).toEqual({ line: "{}\n", signature: "SIGNATURE\n" });
  expect(split("{}\n")).toEqual({ line: "{}\n", signature: "" });
  expect(split("{}")).toBeUndefined();
  expect(split("")).toBeUndefined();
  // A view into a larger buffer, as networks deliver it.
  const whole = Buffer.from("xx{}\nSyy");
  expect(splitNotification(whole.subarray(2, 6))).toEqual({ line: "{}\n", signature: "S" });
  expect(split("\xe9\n\xff")).toEqual({ line: "\xe9\n", signature: "\xff" });
});
