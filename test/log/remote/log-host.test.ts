import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { cosign } from "../../../src/log/cosignature.ts";
import type { StoredEntry } from "../../../src/log/log-source.ts";
import { LogHost } from "../../../src/log/remote/log-host.ts";
import { encodeMessage, type Message } from "../../../src/log/remote/message.ts";
import { encodeVerifierKey } from "../../../src/log/signed-note.ts";
import { Fault } from "../../../src/outcome.ts";
import { FakeLogHost, type Instead, newWitness, type Twist } from "../../support/log-host.ts";
import { at, freshLedger, sign } from "../fixture.ts";

/** A log of some entries, and a log host that has the first `held` of them. */
async function logAndHost(size: number, held: number) {
  const { ledger } = freshLedger();
  for (let seq = 1; seq < size; seq++) {
    const extra = { private: { address: "192.0.2.10" }, packages: { text: `a ${seq}-1 -\n`, sha256: "" } };
    await sign(ledger, at(seq), seq % 2 === 1 ? {} : { extra: { private: extra.private } });
  }
  const host = new FakeLogHost(ledger.verifier);
  const source = ledger.source();
  const entries: readonly StoredEntry[] = [...source.entries(0, size)];
  const notes = Array.from({ length: size + 1 }, (_, at) => source.checkpointAt(at));
  source.close();
  const noteOf = (at: number): string => notes[at] ?? "";
  if (held > 0) host.take(entries.slice(0, held), noteOf(held));
  const connect = (timeoutMs = 5000) =>
    LogHost.over(host.connect(), {
      name: "loghost",
      verifier: ledger.verifier,
      witness: host.witnessKey,
      timeoutMs,
    });
  const append = (to: LogHost, from: number, until: number) =>
    to.append(noteOf(until), from, until, entries.slice(from, until));
  return { ledger, host, entries, noteOf, connect, append };
}

/** An entry as it can be compared. */
function plain({ seq, line, private: secret, packages }: StoredEntry) {
  const salt = secret && Buffer.from(secret.salt).toString("hex");
  return { seq, line, record: secret?.record, salt, packages };
}

async function collect<T>(source: AsyncIterable<T>): Promise<readonly T[]> {
  const all: T[] = [];
  for await (const each of source) all.push(each);
  return all;
}

/** The message of the Fault; its code must be the one of remote logs. */
async function faultOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => "no fault",
    (error: unknown) => error,
  );
  if (!(error instanceof Fault)) throw error;
  expect(error.code).toBe("remote-log-unavailable");
  expect(error.message).toMatch(/^[\x20-\x7e]+$/);
  return error.message;
}

describe("a log host", () => {
  test("that has nothing yet gets entries, and its acknowledgement is of as many", async () => {
    const { host, connect, append, entries } = await logAndHost(5, 0);
    const to = await connect();
    expect({ size: to.size, newest: to.newest }).toEqual({ size: 0, newest: undefined });
    expect((await append(to, 0, 3)).checkpoint.size).toBe(3);
    expect((await append(to, 3, 5)).checkpoint.size).toBe(5);
    expect(host.entries.map(plain)).toEqual(entries.map(plain));
    to.close();
  });

  test("says what it has, and gives it back whole, private records and package lists included", async () => {
    const { connect, entries, host } = await logAndHost(5, 4);
    const long = { ...entries[3], packages: `${"p".repeat(70_000)} 1-1 -\n` } as StoredEntry;
    host.entries[3] = long;
    const to = await connect();
    expect(to.size).toBe(4);
    expect(to.newest?.checkpoint.size).toBe(4);
    expect((await collect(to.fetch(0, 4))).map(plain)).toEqual([...entries.slice(0, 3), long].map(plain));
    expect(await to.rootOf(2)).toEqual(Buffer.from(host.root(2)));
    to.close();
  });

  test("may have had the entries from somebody else meanwhile: a larger acknowledgement is one", async () => {
    const { connect, append } = await logAndHost(5, 0);
    const [one, other] = [await connect(), await connect()];
    expect((await append(other, 0, 5)).checkpoint.size).toBe(5);
    expect((await append(one, 0, 3)).checkpoint.size).toBe(5);
  });
});

describe("a greeting is refused", () => {
  const hello = (change: (host: FakeLogHost) => object): ((host: FakeLogHost) => Twist) => {
    return (host) => (message) => ({ ...message, ...change(host) }) as Instead;
  };
  test.each<[string, RegExp, (host: FakeLogHost) => Twist]>([
    ["of another version", /version 2 of the protocol, not 1/, hello(() => ({ version: 2 }))],
    [
      "for another log",
      /copy of another log/,
      hello(() => ({ verifier: encodeVerifierKey(freshLedger().ledger.verifier) })),
    ],
    [
      "of another witness",
      /witness key is not the configured one/,
      hello(() => ({ witness: encodeVerifierKey(newWitness().key) })),
    ],
    ["whose head is of another size", /newest checkpoint is not/, hello(() => ({ size: 2 }))],
    [
      "whose head another witness cosigned",
      /newest checkpoint is not/,
      hello(({ note = "" }) => ({
        note: cosign(note.replace(/\u2014 loghost.*\n/, ""), newWitness(), new Date()),
      })),
    ],
    [
      "whose head nobody cosigned",
      /newest checkpoint is not/,
      hello(({ note = "" }) => ({ note: note.replace(/\u2014 loghost.*\n/, "") })),
    ],
    [
      "whose head was changed",
      /newest checkpoint is not/,
      hello(({ note = "" }) => ({
        note: note.replace(/[A-Za-z0-9+/]{40}=\n/, (root) => root.toLowerCase()),
      })),
    ],
    [
      "that is none",
      /it sent root/,
      () => () => ({ kind: "root", size: 0, root: Buffer.alloc(32).toString("base64") }),
    ],
    ["that is garbage", /does not speak the remote log's protocol/, () => () => Buffer.from("SSH-2.0-x\r\n")],
    ["that never ends", /does not speak the remote log's protocol/, () => () => "endless"],
    ["that does not come", /timed out/, () => () => "silence"],
    ["where the log host ends it", /ended the connection/, () => () => "end"],
    [
      "that says why there is none",
      /it failed, "no-state": "there is no copy"/,
      () => () => ({ kind: "failed", code: "no-state", reason: "there is no copy" }),
    ],
  ])("%s", async (_, text, twist) => {
    const { host, connect } = await logAndHost(3, 3);
    host.twist = twist(host);
    expect(await faultOf(connect(200))).toMatch(text);
  });
});

describe("an acknowledgement is refused", () => {
  test.each<[string, RegExp, (log: Awaited<ReturnType<typeof logAndHost>>, other: FakeLogHost) => Instead]>([
    [
      "of fewer entries: an old one",
      /acknowledges 2 entries of the 4/,
      ({ noteOf, host }) => ({
        kind: "cosigned",
        note: cosign(noteOf(2), host.witness, new Date()),
      }),
    ],
    [
      "of another witness",
      /not of this log, or not cosigned/,
      ({ noteOf }) => ({
        kind: "cosigned",
        note: cosign(noteOf(4), newWitness(), new Date()),
      }),
    ],
    [
      "of another log",
      /not of this log, or not cosigned/,
      ({ host }, other) => ({
        kind: "cosigned",
        note: cosign(other.note ?? "", host.witness, new Date()),
      }),
    ],
    [
      "without a cosignature",
      /not of this log, or not cosigned/,
      ({ noteOf }) => ({
        kind: "cosigned",
        note: noteOf(4),
      }),
    ],
    [
      "with a cosignature of another head",
      /not of this log, or not cosigned/,
      ({ noteOf, host }) => ({
        kind: "cosigned",
        note: `${noteOf(4)}${cosign(noteOf(3), host.witness, new Date()).split("\n").at(-2)}\n`,
      }),
    ],
    ["that is no note", /not of this log, or not cosigned/, () => ({ kind: "cosigned", note: "yes" })],
    [
      "that is another answer",
      /it sent root/,
      () => ({
        kind: "root",
        size: 4,
        root: Buffer.alloc(32).toString("base64"),
      }),
    ],
    ["that is garbage", /does not speak/, () => Buffer.from("ok\n")],
    ["that never ends", /does not speak/, () => "endless"],
    ["that does not come", /timed out/, () => "silence"],
    ["that is an end", /ended the connection/, () => "end"],
    ["that is half a line", /does not speak|timed out/, () => Buffer.from('{"kind":"cosi')],
    [
      "that is a failure",
      /it failed, "log-not-durable": "the disk is full"/,
      () => ({
        kind: "failed",
        code: "log-not-durable",
        reason: "the disk is full",
      }),
    ],
    [
      "that is a conflict",
      /it sees a contradiction, "entry 3 is another"/,
      () => ({
        kind: "conflict",
        reason: "entry 3 is another",
      }),
    ],
  ])("%s", async (_, text, instead) => {
    const log = await logAndHost(4, 0);
    const { host: other } = await logAndHost(4, 4);
    const to = await log.connect(200);
    log.host.twist = () => instead(log, other);
    expect(await faultOf(log.append(to, 0, 4))).toMatch(text);
    expect(to.isOpen).toBe(false);
    // And that is the end of it.
    expect(await faultOf(to.rootOf(1))).toMatch(text);
  });

  test("where the log host goes after any number of messages", async () => {
    for (let messages = 0; messages < 5; messages++) {
      const { host, connect, append } = await logAndHost(4, 0);
      host.endsAfterReading = messages;
      const to = await connect(1000);
      expect(await faultOf(append(to, 0, 4)), `after ${messages}`).toMatch(/ended the connection/);
    }
  });

  test("where it came before the entries", async () => {
    const { host, connect, append, noteOf, entries } = await logAndHost(4, 0);
    host.twist = (message) =>
      message.kind === "hello"
        ? Buffer.from(
            [message, { kind: "cosigned" as const, note: cosign(noteOf(4), host.witness, new Date()) }]
              .map((each) => `${encodeMessage(each)}\n`)
              .join(""),
          )
        : message;
    const to = await connect();
    await new Promise((resolve) => setImmediate(resolve));
    expect(to.isOpen).toBe(false);
    expect(await faultOf(append(to, 0, 4))).toMatch(/spoke without being asked/);
    expect(entries).toHaveLength(4);
  });
});

describe("who sends", () => {
  /** A log host that reads what is there first of an append, answers, and reads no more. */
  async function answerInTheMiddle(answer: (log: Awaited<ReturnType<typeof logAndHost>>) => Message) {
    const log = await logAndHost(3, 0);
    const { host, entries, noteOf } = log;
    host.serve = async (stream) => {
      stream.write(`${encodeMessage(host.hello())}\n`);
      await once(stream, "readable");
      stream.read();
      stream.write(`${encodeMessage(answer(log))}\n`);
    };
    const to = await log.connect(60_000);
    const big = entries.map((entry) => ({ ...entry, packages: "x".repeat(2 * 1024 ** 2) }));
    return await faultOf(to.append(noteOf(3), 0, 3, big));
  }

  test("is told of a conflict in the middle of an append, though nobody reads the rest", async () => {
    const conflict: Message = { kind: "conflict", reason: "another root" };
    expect(await answerInTheMiddle(() => conflict)).toMatch(/contradiction, "another root"/);
  });

  test("believes no acknowledgement in the middle of an append", async () => {
    const cosigned = ({ noteOf, host }: Awaited<ReturnType<typeof logAndHost>>): Message => ({
      kind: "cosigned",
      note: cosign(noteOf(3), host.witness, new Date()),
    });
    expect(await answerInTheMiddle(cosigned)).toMatch(/answered before it had the question/);
  });

  test("gives up when the connection breaks, with the reason that there is", async () => {
    const { host, ledger } = await logAndHost(3, 3);
    const connection = host.connect();
    const expected = {
      name: "loghost",
      verifier: ledger.verifier,
      witness: host.witnessKey,
      timeoutMs: 60_000,
    };
    const to = await LogHost.over(connection, expected);
    host.twist = () => "silence";
    const waiting = faultOf(to.rootOf(1));
    connection.break(new Fault("remote-log-unavailable", "the cable was cut"));
    expect(await waiting).toBe("the cable was cut");
    expect(await faultOf(to.rootOf(1))).toBe("the cable was cut");
  });

  test.each<[string, RegExp, Instead]>([
    ["another number", /sent entry where entry 0 was expected/, { kind: "entry", line: "{}" }],
    [
      "no entry",
      /sent root where entry 0/,
      { kind: "root", size: 0, root: Buffer.alloc(32).toString("base64") },
    ],
    ["nothing", /timed out/, "silence"],
    ["an end", /ended the connection/, "end"],
  ])("believes no copy that sends %s for an entry", async (_, text, instead) => {
    const { host, connect } = await logAndHost(3, 3);
    const to = await connect(200);
    host.twist = () => instead;
    expect(await faultOf(collect(to.fetch(0, 3)))).toMatch(text);
  });

  test("believes no root of another size", async () => {
    const { host, connect } = await logAndHost(3, 3);
    const to = await connect(200);
    host.twist = (message) => ({ ...message, size: 2 }) as Instead;
    expect(await faultOf(to.rootOf(1))).toMatch(/it sent root/);
  });
});
