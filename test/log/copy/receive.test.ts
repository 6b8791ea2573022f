import { PassThrough, Readable, Writable } from "node:stream";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseCheckpoint } from "../../../src/log/checkpoint.ts";
import { type Append, LogCopy } from "../../../src/log/copy/log-copy.ts";
import { RECEIVE_BOUNDS, type ReceiveBounds, receive } from "../../../src/log/copy/receive.ts";
import type { Ledger } from "../../../src/log/ledger.ts";
import { EMPTY_ROOT } from "../../../src/log/merkle.ts";
import { entryMessages } from "../../../src/log/remote/entry-messages.ts";
import { encodeMessage, type Message, parseMessage } from "../../../src/log/remote/message.ts";
import { encodeVerifierKey, parseSignedNote } from "../../../src/log/signed-note.ts";
import { Fault } from "../../../src/outcome.ts";
import { at, DAY, linesOf, tamper } from "../fixture.ts";
import {
  appendOf,
  copyVerdict,
  evidenceOf,
  fork,
  freshCopy,
  growLog,
  reopenCopy,
  sampleLog,
} from "./fixture.ts";

const NOW = at(DAY);
const EMPTY_ROOT_BASE64 = Buffer.from(EMPTY_ROOT).toString("base64");

/** The lines of an append. */
function appendLines({ entries, ...append }: Append): readonly string[] {
  const messages: Message[] = [
    { kind: "append", ...append },
    ...entries.flatMap((entry) => [...entryMessages(entry)]),
  ];
  return messages.map(encodeMessage);
}

function appendText(append: Append): string {
  return appendLines(append)
    .map((line) => `${line}\n`)
    .join("");
}

interface Said {
  readonly messages: readonly Message[];
  /** `end of stream`, or the code of the refusal or Fault. */
  readonly end: string;
}

/** What a receiver says to a sender that says all of `source`. */
async function talk(
  directory: string,
  source: Readable | string,
  bounds: Partial<ReceiveBounds> = {},
): Promise<Said> {
  const chunks: Buffer[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk);
      done();
    },
  });
  const end = await receive({
    open: () => LogCopy.open(directory),
    source: typeof source === "string" ? Readable.from([Buffer.from(source, "latin1")]) : source,
    sink,
    now: () => NOW,
    bounds: { ...RECEIVE_BOUNDS, ...bounds },
  }).then(
    (refused) => refused?.code ?? "end of stream",
    (error: unknown) => {
      if (error instanceof Fault) return error.code;
      throw error;
    },
  );
  const lines = Buffer.concat(chunks).toString().split("\n").slice(0, -1);
  const messages = lines.map((line) => parseMessage(line)).filter((message) => message !== undefined);
  expect(messages).toHaveLength(lines.length);
  return { messages, end };
}

const kinds = ({ messages }: Said) => messages.map(({ kind }) => kind);

/** The codes and sizes of answers, without hello: `cosigned 6`, `failed bad-request`. */
function answers({ messages }: Said): readonly string[] {
  return messages.slice(1).map((message) => {
    if (message.kind === "cosigned")
      return `cosigned ${parseCheckpoint(parseSignedNote(message.note)?.text ?? "")?.size}`;
    return message.kind === "failed" ? `failed ${message.code}` : message.kind;
  });
}

describe("a session", () => {
  test("begins with hello: version, both keys, the size, and the newest cosigned head where there is one", async () => {
    const { ledger } = await sampleLog(3);
    const { copy, directory } = freshCopy(ledger);
    const keys = { verifier: encodeVerifierKey(ledger.verifier), witness: encodeVerifierKey(copy.witness) };
    expect(await talk(directory, "")).toEqual({
      messages: [{ kind: "hello", version: 1, ...keys, size: 0 }],
      end: "end of stream",
    });
    copy.append(appendOf(ledger, 0, 3), NOW);
    const note = copy.newest().acknowledgement?.note;
    expect((await talk(directory, "")).messages).toEqual([
      { kind: "hello", version: 1, ...keys, size: 3, note },
    ]);
  });

  test("answers each question in order, byte by byte as well as at once", async () => {
    const { ledger, directory: original } = await sampleLog(11);
    const question = { kind: "root-of", size: 4 } as const;
    const text = `${appendText(appendOf(ledger, 0, 4))}${encodeMessage(question)}\n${appendText(appendOf(ledger, 2, 11))}`;
    const bytes = function* () {
      for (const byte of Buffer.from(text, "latin1")) yield Buffer.of(byte);
    };
    for (const source of [Readable.from([Buffer.from(text, "latin1")]), Readable.from(bytes())]) {
      const { directory } = freshCopy(ledger);
      const said = await talk(directory, source);
      expect(answers(said)).toEqual(["cosigned 4", "root", "cosigned 11"]);
      expect(said.end).toBe("end of stream");
      expect(linesOf(directory)).toEqual(linesOf(original));
      expect(copyVerdict(directory)).toBe("sound");
    }
  });

  test("gives back what it got, private records and package lists included, and the roots of all sizes", async () => {
    const { ledger } = await sampleLog(9);
    const { copy, directory } = freshCopy(ledger);
    const all = appendOf(ledger, 0, 9);
    copy.append(all, NOW);
    const questions: Message[] = [
      { kind: "fetch", from: 0, to: 9 },
      { kind: "fetch", from: 3, to: 4 },
      { kind: "root-of", size: 0 },
      { kind: "root-of", size: 5 },
    ];
    const said = await talk(directory, questions.map((message) => `${encodeMessage(message)}\n`).join(""));
    const source = ledger.source();
    expect(said.messages.slice(1)).toEqual([
      ...all.entries.flatMap((entry) => [...entryMessages(entry)]),
      ...all.entries.slice(3, 4).flatMap((entry) => [...entryMessages(entry)]),
      { kind: "root", size: 0, root: Buffer.from(source.rootAt(0)).toString("base64") },
      { kind: "root", size: 5, root: Buffer.from(source.rootAt(5)).toString("base64") },
    ]);
    source.close();
  });

  test("ends with the conflict, which it states and keeps", async () => {
    const { ledger, directory: state } = await sampleLog(3);
    const other = fork(state);
    await growLog(ledger, 6);
    await growLog(other, 8, "extra.db.tar.gz");
    const { copy, directory } = freshCopy(ledger);
    copy.append(appendOf(ledger, 0, 6), NOW);
    const said = await talk(
      directory,
      appendText(appendOf(other, 0, 8)) + appendText(appendOf(ledger, 0, 6)),
    );
    expect(said.messages[1]).toEqual({
      kind: "conflict",
      reason: "entry 3 is another one in the head of 8 entries that the log signed",
      note: copy.newest().acknowledgement?.note,
    });
    expect(said).toMatchObject({ end: "bad-proof", messages: { length: 2 } });
    expect(evidenceOf(directory)).toHaveLength(1);
  });
});

describe("what is no question is answered with failed, and nothing after it is read:", () => {
  const root = encodeMessage({ kind: "root-of", size: 0 });
  test.each([
    ["garbage", "garbage\n"],
    ["an empty line", "\n"],
    ["another spelling", `${root.replace(":", ": ")}\n`],
    ["bytes that are no text", "\u00ff\u0000\n"],
    ["an endless line", "x".repeat(200_000)],
    ["a line without its end", root],
    ["an entry without an append", `${encodeMessage({ kind: "entry", line: "x" })}\n`],
    ["a receiver's message", `${encodeMessage({ kind: "root", size: 0, root: EMPTY_ROOT_BASE64 })}\n`],
    ["a root beyond the end", `${encodeMessage({ kind: "root-of", size: 4 })}\n`],
    ["entries beyond the end", `${encodeMessage({ kind: "fetch", from: 2, to: 4 })}\n`],
    ["257 entries", '{"from":0,"kind":"fetch","to":257}\n'],
    ["no entries", '{"from":1,"kind":"fetch","to":1}\n'],
    ["a number that is none", '{"from":0.5,"kind":"fetch","to":1}\n'],
  ])("%s", async (_, text) => {
    const { ledger } = await sampleLog(3);
    const { copy, directory } = freshCopy(ledger);
    copy.append(appendOf(ledger, 0, 3), NOW);
    const said = await talk(directory, `${text}${text.endsWith("\n") ? `${root}\n` : ""}`);
    expect(said.end).toBe("bad-request");
    expect(answers(said)).toEqual(["failed bad-request"]);
  });

  test.each([
    ["a question in the middle of an append", () => encodeMessage({ kind: "root-of", size: 0 })],
    ["a line of more than 16 KiB", () => `{"kind":"entry","line":"${"x".repeat(16 * 1024 + 1)}"}`],
    ["a package list of nobody", () => encodeMessage({ kind: "packages", text: "acl 1 -\n", more: false })],
  ])("%s", async (_, line) => {
    const { ledger } = await sampleLog(3);
    const { directory } = freshCopy(ledger);
    const lines = [...appendLines(appendOf(ledger, 0, 3))];
    lines[2] = line();
    expect(answers(await talk(directory, `${lines.join("\n")}\n`))).toEqual(["failed bad-request"]);
    expect(reopenCopy(directory).newest().size).toBe(0);
  });

  test("more bytes in an append than may be", async () => {
    const { ledger } = await sampleLog(6);
    const { directory } = freshCopy(ledger);
    const first = appendText(appendOf(ledger, 0, 3));
    const text = first + appendText(appendOf(ledger, 3, 6));
    const bytes = Readable.from(Array.from(text, (character) => Buffer.from(character, "latin1")));
    const said = await talk(directory, bytes, { maxAppendBytes: text.length - first.length - 1 });
    expect(answers(said)).toEqual(["cosigned 3", "failed bad-request"]);
  });
});

test("a sender that goes away leaves what was whole, wherever it stops", async () => {
  const { ledger } = await sampleLog(7);
  const texts = [appendText(appendOf(ledger, 0, 3)), appendText(appendOf(ledger, 3, 7))];
  const text = texts.join("");
  const boundaries = [...text].flatMap((character, index) => (character === "\n" ? [index, index + 1] : []));
  for (const length of [1, 40, ...boundaries]) {
    const { directory } = freshCopy(ledger);
    const said = await talk(directory, text.slice(0, length));
    const whole = length === text.length ? 7 : length >= (texts[0]?.length ?? 0) ? 3 : 0;
    expect(reopenCopy(directory).newest().size, `${length} bytes`).toBe(whole);
    if (length === text.length || length === texts[0]?.length) expect(said.end).toBe("end of stream");
    else expect(["truncated", "bad-request"], `${length} bytes`).toContain(said.end);
    expect(evidenceOf(directory)).toEqual([]);
  }
});

test("a sender that says nothing is waited for so long, in the middle of an append less long", async () => {
  const { ledger } = await sampleLog(3);
  const { directory } = freshCopy(ledger);
  const silent = new PassThrough();
  const said = await talk(directory, silent, { idleMs: 20 });
  expect(said.end).toBe("timed-out");
  expect(answers(said)).toEqual(["failed timed-out"]);
  expect(silent.destroyed).toBe(true);
  const stopping = new PassThrough();
  stopping.write(
    appendLines(appendOf(ledger, 0, 3))
      .slice(0, 2)
      .join("\n"),
  );
  expect((await talk(directory, stopping, { messageMs: 20 })).end).toBe("timed-out");
});

test("a sender that takes no answer is waited for so long, once", async () => {
  const { ledger } = await sampleLog(1);
  const { directory } = freshCopy(ledger);
  const written: number[] = [];
  const deaf = new Writable({ write: (chunk: Buffer) => void written.push(chunk.length) });
  const refused = await receive({
    open: () => LogCopy.open(directory),
    source: new PassThrough(),
    sink: deaf,
    now: () => NOW,
    bounds: { ...RECEIVE_BOUNDS, messageMs: 20 },
  });
  expect(refused?.code).toBe("timed-out");
  expect([deaf.writableLength], "nothing is behind the hello").toEqual(written);
});

test("a sender that is gone is no bug", async () => {
  const { ledger } = await sampleLog(1);
  const { directory } = freshCopy(ledger);
  const gone = new Writable({ write: (_chunk, _encoding, done) => done(new Error("EPIPE")) });
  const session = receive({
    open: () => LogCopy.open(directory),
    source: new PassThrough(),
    sink: gone,
    now: () => NOW,
  });
  await expect(session).rejects.toMatchObject({ code: "reply-not-delivered" });
  const broken = new PassThrough();
  broken.destroy(new Error("ECONNRESET"));
  expect((await talk(directory, broken)).end).toBe("truncated");
});

test("a copy that is broken, busy or missing is a failure that the sender is told", async () => {
  const { ledger } = await sampleLog(3);
  const { copy, directory } = freshCopy(ledger);
  expect(await talk(`${directory}-missing`, "")).toMatchObject({
    end: "no-state",
    messages: [{ kind: "failed", code: "no-state" }],
  });
  copy.append(appendOf(ledger, 0, 3), NOW);
  tamper(directory, "DELETE FROM acknowledgements");
  const said = await talk(directory, "");
  expect(said).toMatchObject({ end: "log-broken", messages: [{ kind: "failed", code: "log-broken" }] });
});

describe("however a good session is bent,", () => {
  /** Lines of a session of three appends. */
  async function goodSession(): Promise<{
    ledger: Ledger;
    original: readonly string[];
    lines: readonly string[];
  }> {
    const { ledger, directory } = await sampleLog(9);
    const ranges = [
      [0, 2],
      [1, 6],
      [6, 9],
    ] as const;
    return {
      ledger,
      original: linesOf(directory),
      lines: ranges.flatMap(([from, to]) => appendLines(appendOf(ledger, from, to))),
    };
  }

  type Bend = (lines: readonly string[]) => string;
  const index = fc.nat(1000);
  const join = (lines: readonly string[]) => lines.map((line) => `${line}\n`).join("");
  const bend: fc.Arbitrary<Bend> = fc.oneof(
    fc.tuple(index, index).map(
      ([a, b]): Bend =>
        (lines) => {
          const bent = [...lines];
          const [x, y] = [a % lines.length, b % lines.length];
          [bent[x], bent[y]] = [lines[y] ?? "", lines[x] ?? ""];
          return join(bent);
        },
    ),
    index.map(
      (a): Bend =>
        (lines) =>
          join(lines.toSpliced(a % lines.length, 1)),
    ),
    fc.tuple(index, index).map(
      ([a, b]): Bend =>
        (lines) =>
          join(lines.toSpliced(a % lines.length, 0, lines[b % lines.length] ?? "")),
    ),
    fc.tuple(fc.nat(), fc.nat(255)).map(
      ([at, byte]): Bend =>
        (lines) => {
          const bytes = Buffer.from(join(lines), "latin1");
          bytes[at % bytes.length] = byte;
          return bytes.toString("latin1");
        },
    ),
    fc.tuple(fc.nat(), fc.nat(20)).map(
      ([at, length]): Bend =>
        (lines) => {
          const text = join(lines);
          const start = at % text.length;
          return text.slice(0, start) + text.slice(start + length);
        },
    ),
    fc.tuple(index, index).map(
      ([a, b]): Bend =>
        (lines) => {
          // Members of one message in another.
          const [one, other] = [lines[a % lines.length], lines[b % lines.length]].map((line) =>
            JSON.parse(line ?? ""),
          );
          const key = Object.keys(other)[b % Object.keys(other).length] ?? "";
          return join(lines.with(a % lines.length, JSON.stringify({ ...one, [key]: other[key] })));
        },
    ),
  );

  test("the copy is a sound beginning of the log, and every head that it cosigned is one of the log", async () => {
    const { ledger, original, lines } = await goodSession();
    const source = ledger.source();
    await fc.assert(
      fc.asyncProperty(bend, async (bent) => {
        const { directory } = freshCopy(ledger);
        const said = await talk(directory, bent(lines));
        const { size } = reopenCopy(directory).newest();
        expect([0, 2, 6, 9]).toContain(size);
        expect(linesOf(directory)).toEqual(original.slice(0, size));
        if (size > 0) expect(copyVerdict(directory)).toBe("sound");
        for (const message of said.messages) {
          if (message.kind !== "cosigned") continue;
          const checkpoint = parseCheckpoint(parseSignedNote(message.note)?.text ?? "");
          expect(checkpoint && source.isHead(checkpoint)).toBe(true);
        }
        expect(kinds(said)[0]).toBe("hello");
        if (said.end !== "end of stream") expect(["failed", "conflict"]).toContain(kinds(said).at(-1));
      }),
      { numRuns: 60 },
    );
    source.close();
  });
});
