import { Readable } from "node:stream";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  encodeMessage,
  MAX_ENTRIES_PER_MESSAGE,
  MAX_MESSAGE_BYTES,
  MAX_PIECE_BYTES,
  type Message,
  parseMessage,
} from "../../../src/log/remote/message.ts";
import { readMessages } from "../../../src/log/remote/message-stream.ts";
import { Fault } from "../../../src/outcome.ts";

const HASH = Buffer.alloc(32, 7).toString("base64");
const SALT = Buffer.alloc(16, 7).toString("base64");

const SAMPLES: readonly Message[] = [
  { kind: "hello", version: 1, verifier: "log+00000000+AA==", witness: "w+00000000+BA==", size: 0 },
  {
    kind: "hello",
    version: 1,
    verifier: "log+1+A",
    witness: "w+2+B",
    size: 3,
    note: "log\n3\nroot\n\n\u2014 log AA==\n",
  },
  { kind: "append", from: 0, to: MAX_ENTRIES_PER_MESSAGE, note: "a note" },
  { kind: "entry", line: '{"seq":0}' },
  { kind: "entry", line: '{"seq":0}', record: "{}", salt: SALT },
  { kind: "entry", line: '{"seq":0}', packages: true },
  { kind: "packages", text: "a 1-1 -\n", more: false },
  { kind: "packages", text: "", more: false },
  { kind: "cosigned", note: "a note" },
  { kind: "conflict", reason: "another root" },
  { kind: "conflict", reason: "another root", note: "a note" },
  { kind: "failed", code: "busy", reason: "try again" },
  { kind: "root-of", size: 0 },
  { kind: "root", size: 12, root: HASH },
  { kind: "fetch", from: 5, to: 6 },
];

describe("a message", () => {
  test.each(SAMPLES.map((message) => [message.kind, message] as const))(
    "%s comes back as it was sent",
    (_, message) => {
      expect(parseMessage(encodeMessage(message))).toEqual(message);
    },
  );

  test.each(SAMPLES.map((message) => [message.kind, message] as const))(
    "%s is refused without any one of its required members, and with one more",
    (_, message) => {
      for (const key of Object.keys(message)) {
        const { [key as "kind"]: _left, ...rest } = message;
        const line = JSON.stringify(Object.fromEntries(Object.entries(rest).sort()));
        const parsed = parseMessage(line);
        // Without its note, a conflict is still one; an entry need not have a package list.
        const optional = message.kind === "conflict" ? "note" : message.kind === "entry" ? "packages" : "";
        if (key === optional) expect(parsed?.kind).toBe(message.kind);
        else expect(parsed).toBeUndefined();
      }
      const more = Object.fromEntries(Object.entries({ ...message, zzz: 1 }).sort());
      expect(parseMessage(JSON.stringify(more))).toBeUndefined();
    },
  );

  test.each([
    ["a kind that every object has", '{"kind":"constructor"}'],
    ["an unknown kind", '{"kind":"delete"}'],
    ["no object", "[]"],
    ["white space", '{"kind": "root-of","size":1}'],
    ["members out of order", '{"size":1,"kind":"root-of"}'],
    ["a member twice", '{"kind":"root-of","size":1,"size":2}'],
    ["a negative size", '{"kind":"root-of","size":-1}'],
    ["a fraction", '{"kind":"root-of","size":1.5}'],
    ["a size beyond 2^53", '{"kind":"root-of","size":9007199254740993}'],
    ["a null", '{"kind":"root-of","size":null}'],
    ["an empty range", '{"from":5,"kind":"fetch","to":5}'],
    ["a backward range", '{"from":5,"kind":"fetch","to":4}'],
    ["a range that is too long", `{"from":0,"kind":"fetch","to":${MAX_ENTRIES_PER_MESSAGE + 1}}`],
    ["a record without its salt", '{"kind":"entry","line":"x","record":"{}"}'],
    ["no package list spelled out", '{"kind":"entry","line":"x","packages":false}'],
    ["a salt without its record", `{"kind":"entry","line":"x","salt":"${SALT}"}`],
    ["a salt of another length", '{"kind":"entry","line":"x","record":"{}","salt":"AAAA"}'],
    ["a root of another length", '{"kind":"root","root":"AAAA","size":1}'],
    ["a root in another spelling", `{"kind":"root","root":"${HASH.slice(0, -1)}","size":1}`],
    ["an entry with a newline", '{"kind":"entry","line":"a\\nb"}'],
    ["an escape sequence in a reason", '{"kind":"conflict","reason":"\\u001b[31m"}'],
    [
      "a hello of entries without a head",
      '{"kind":"hello","size":3,"verifier":"a","version":1,"witness":"b"}',
    ],
    [
      "a piece that is too long",
      `{"kind":"packages","more":false,"text":"${"x".repeat(MAX_PIECE_BYTES + 1)}"}`,
    ],
  ])("is refused with %s", (_, line) => {
    expect(parseMessage(line)).toBeUndefined();
  });

  test("that would be refused is never sent", () => {
    expect(() => encodeMessage({ kind: "fetch", from: 2, to: 1 })).toThrow(TypeError);
    expect(() => encodeMessage({ kind: "failed", code: "x", reason: "a\nb" })).toThrow(TypeError);
  });
});

async function read(chunks: readonly (string | Uint8Array)[]): Promise<readonly Message[] | string> {
  const messages: Message[] = [];
  try {
    for await (const message of readMessages(
      Readable.from(
        chunks.map((chunk) => Buffer.from(chunk)),
        { objectMode: false },
      ),
    ))
      messages.push(message);
  } catch (error) {
    if (error instanceof Fault) return error.code;
    throw error;
  }
  return messages;
}

describe("a stream of messages", () => {
  const text = SAMPLES.map((message) => `${encodeMessage(message)}\n`).join("");

  test("is the same whole, byte by byte, and cut anywhere", async () => {
    expect(await read([text])).toEqual(SAMPLES);
    expect(await read([...text])).toEqual(SAMPLES);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(text.length), { maxLength: 8 }), async (cuts) => {
        const places = [0, ...cuts.toSorted((a, b) => a - b), text.length];
        const chunks = places.slice(1).map((end, i) => text.slice(places[i], end));
        expect(await read(chunks)).toEqual(SAMPLES);
      }),
      { numRuns: 50 },
    );
  });

  test.each([
    ["a last line without its newline", '{"kind":"root-of","size":1}'],
    ["an empty line", "\n"],
    ["a carriage return", '{"kind":"root-of","size":1}\r\n'],
    ["a byte beyond ASCII", Uint8Array.of(0xff, 0x0a)],
    ["a line beyond the bound", "x".repeat(MAX_MESSAGE_BYTES + 1)],
    ["a line beyond the bound, with its newline", `${"x".repeat(MAX_MESSAGE_BYTES + 1)}\n`],
  ])("ends in a fault at %s", async (_, bytes) => {
    expect(await read([bytes])).toBe("remote-log-unavailable");
  });

  test("never holds more than a line: an endless one is given up", async () => {
    let asked = 0;
    const endless = new Readable({
      read() {
        asked++;
        this.push(Buffer.alloc(64 * 1024, 0x78));
      },
    });
    await expect(readMessages(endless).next()).rejects.toMatchObject({ code: "remote-log-unavailable" });
    expect(asked).toBeLessThan(10);
  });
});
