import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import {
  HTTP_RECEIVER_BOUNDS,
  HttpReceiver,
  type HttpReceiverBounds,
} from "../../../src/log/copy/http-receiver.ts";
import { LogCopy } from "../../../src/log/copy/log-copy.ts";
import { entryMessages } from "../../../src/log/remote/entry-messages.ts";
import { encodeMessage, type Message } from "../../../src/log/remote/message.ts";
import { UPGRADE_ANSWER } from "../../../src/log/remote/upgrade.ts";
import { upgradeRequest } from "../../support/upgrade-request.ts";
import { at, DAY, freshDirectory, freshLedger } from "../fixture.ts";
import { appendOf, fork, freshCopy, growLog, sampleLog } from "./fixture.ts";

// The receiver at its socket, as nginx meets it, with a real copy.

const REQUEST = upgradeRequest();
const ROOT_OF_NOTHING = `${encodeMessage({ kind: "root-of", size: 0 })}\n`;

function emptyCopy(): string {
  return freshCopy(freshLedger().ledger).directory;
}

interface ReceiverUnderTest {
  readonly path: string;
  readonly said: string[];
  readonly receiver: HttpReceiver;
  /** A connection that has sent this, and all that has come over it. */
  open(first?: string | Uint8Array): Client;
}

interface Client {
  readonly socket: Socket;
  readonly text: () => string;
  /** Resolves with all that came when the other side has ended. */
  readonly whole: () => Promise<string>;
  /** Resolves when so many lines of the protocol have come. */
  readonly lines: (count: number) => Promise<readonly Message[]>;
}

async function startReceiver(
  directory: string,
  bounds: Partial<HttpReceiverBounds> = {},
): Promise<ReceiverUnderTest> {
  const path = join(freshDirectory(), "http.socket");
  const said: string[] = [];
  const receiver = new HttpReceiver({
    open: () => LogCopy.open(directory),
    now: () => at(DAY),
    say: (line) => void said.push(line),
    bounds: { ...HTTP_RECEIVER_BOUNDS, ...bounds },
  });
  receiver.server.listen(path);
  await once(receiver.server, "listening");
  onTestFinished(() => receiver.close());
  return { path, said, receiver, open: (first) => openClient(path, first) };
}

function openClient(path: string, first: string | Uint8Array = ""): Client {
  const socket = connect({ path, allowHalfOpen: true });
  let text = "";
  socket.on("error", () => undefined);
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
  });
  const ended = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.on("end", () => socket.end());
  onTestFinished(() => void socket.destroy());
  if (first.length > 0) socket.write(first);
  const protocol = () =>
    text
      .slice(text.indexOf("\r\n\r\n") + 4)
      .split("\n")
      .slice(0, -1);
  return {
    socket,
    text: () => text,
    whole: () => ended.then(() => text),
    lines: async (count) => {
      await expect.poll(() => text.includes("\r\n\r\n") && protocol().length).toBe(count);
      return protocol().map((line) => JSON.parse(line));
    },
  };
}

describe("a sender", () => {
  test("that asks for the upgrade is answered, greeted and served, what it sent early included", async () => {
    const directory = emptyCopy();
    const { open, said } = await startReceiver(directory);
    const early = open(REQUEST + ROOT_OF_NOTHING);
    const messages = await early.lines(2);
    expect(early.text().startsWith(UPGRADE_ANSWER)).toBe(true);
    expect(messages).toMatchObject([{ kind: "hello", size: 0 }, { kind: "root" }]);
    early.socket.write(ROOT_OF_NOTHING);
    expect(await early.lines(3)).toMatchObject([{}, {}, { kind: "root" }]);
    early.socket.end();
    await early.whole();
    await expect.poll(() => said).toEqual(["a sender: connected", "a sender: ended"]);
  });

  test("may send byte by byte, and end its side before the answer", async () => {
    const { open } = await startReceiver(emptyCopy());
    const slow = open();
    for (const byte of Buffer.from(REQUEST + ROOT_OF_NOTHING)) {
      slow.socket.write(Buffer.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    slow.socket.end();
    expect((await slow.whole()).replace(UPGRADE_ANSWER, "")).toMatch(/^\{.*"hello".*\n\{.*"root".*\n$/);
  });

  test("may be one of several at the same time; each sees what the others have sent", async () => {
    const { ledger } = await sampleLog(5);
    const { copy, directory } = freshCopy(ledger);
    copy.close();
    const { open } = await startReceiver(directory);
    const [first, second] = [open(REQUEST), open(REQUEST)];
    await Promise.all([first.lines(1), second.lines(1)]);
    const append = appendOf(ledger, 0, 3);
    const lines = [
      { kind: "append", ...without(append) } as Message,
      ...append.entries.flatMap((e) => [...entryMessages(e)]),
    ];
    for (const line of lines) first.socket.write(`${encodeMessage(line)}\n`);
    expect(await first.lines(2)).toMatchObject([{}, { kind: "cosigned" }]);
    second.socket.write(`${encodeMessage({ kind: "fetch", from: 0, to: 1 })}\n`);
    await expect.poll(() => second.text()).toContain('"kind":"entry"');
  });

  test("that contradicts the copy is told so before the connection ends, and somebody is told who it was", async () => {
    const { ledger, directory: state } = await sampleLog(3);
    const other = fork(state);
    await growLog(ledger, 5);
    await growLog(other, 5, "extra.db.tar.gz");
    const { copy, directory } = freshCopy(ledger);
    copy.append(appendOf(ledger, 0, 5), at(DAY));
    const { open, said } = await startReceiver(directory);
    const append = appendOf(other, 0, 5);
    const lines = [
      { kind: "append", ...without(append) } as Message,
      ...append.entries.flatMap((e) => [...entryMessages(e)]),
    ];
    const text = lines.map((line) => `${encodeMessage(line)}\n`).join("");
    const client = open(
      REQUEST.replace("Host", "Signer-Certificate: CN=enclave\r\nHost") + text + ROOT_OF_NOTHING,
    );
    expect(await client.whole()).toContain('"kind":"conflict"');
    expect(said).toEqual(['"CN=enclave": connected', expect.stringMatching(/^"CN=enclave": bad-proof: /)]);
  });

  test("whose copy cannot be opened is told why", async () => {
    const { open, said } = await startReceiver(join(freshDirectory(), "nothing"));
    expect(await open(REQUEST).whole()).toMatch(/"code":"no-state".*"kind":"failed"/);
    expect(said[1]).toMatch(/^a sender: no-state: /);
  });
});

describe("who is no sender", () => {
  const request = (from: string, to: string) => {
    expect(REQUEST).toContain(from);
    return REQUEST.replace(from, to);
  };

  test.each([
    ["another path", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400],
    ["an upgrade at another path", request("/log", "/logs"), 400],
    ["no upgrade", "GET /signer/log HTTP/1.1\r\nHost: a\r\n\r\n", 426],
    ["an upgrade that is not the connection's", request("Connection: upgrade", "Connection: close"), 426],
    ["a word that begins like it", request("Connection: upgrade", "Connection: upgraded"), 426],
    ["no connection's field", request("Connection: upgrade\r\n", ""), 426],
    ["another version", request("signer-log/1", "signer-log/2"), 426],
    ["two upgrades", request("Upgrade:", "Upgrade: h2c\r\nUpgrade:"), 426],
    ["two hosts", request("Host:", "Host: b\r\nHost:"), 400],
    ["no host", request("Host: log.example.org\r\n", ""), 400],
    ["neither host nor upgrade", "GET /signer/log HTTP/1.1\r\n\r\n", 400],
    [
      "two hosts, one behind more fields than node:http shows",
      request("Upgrade: signer-log/1\r\n", `Upgrade: signer-log/1\r\n${"X:\r\n".repeat(2001)}Host: b\r\n`),
      400,
    ],
    ["a body", request("Upgrade", "Content-Length: 4\r\nUpgrade"), 400],
    ["a body in chunks", request("Upgrade", "Transfer-Encoding: chunked\r\nUpgrade"), 400],
    ["lengths", request("Upgrade", "Content-Length: 0\r\nContent-Length: 0\r\nUpgrade"), 400],
    ["POST", request("GET", "POST"), 400],
    ["a body that is announced", "POST /log HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", 400],
    ["something expected", "GET /log HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", 426],
    ["CONNECT", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400],
    ["a method in lower case", request("GET", "get"), 400],
    ["HTTP/1.0", request("HTTP/1.1", "HTTP/1.0"), 400],
    ["HTTP/2", request("HTTP/1.1", "HTTP/2"), 400],
    ["garbage", "garbage\r\n\r\n", 400],
    ["TLS", "\x16\x03\x01\x02\x00\x01\x00\x01", 400],
    ["a folded field", request("Upgrade", "X: y\r\n z\r\nUpgrade"), 400],
    ["a space before the colon", request("Host:", "Host :"), 400],
    ["no colon", request("Upgrade", "bad header\r\nUpgrade"), 400],
    ["LF alone", REQUEST.replaceAll("\r\n", "\n"), 400],
    ["LF alone in one line", request("org\r\n", "org\n"), 400],
    ["CR alone", request("org\r\n", "org\rx\r\n"), 400],
    ["NUL", request("org", "o\0g"), 400],
    ["a path with other bytes", request("/signer", "/signer\x80"), 400],
    ["a long field", request("Upgrade", `X: ${"y".repeat(4096)}\r\nUpgrade`), 400],
    ["many fields", request("Upgrade", `${"X: y\r\n".repeat(2048)}Upgrade`), 400],
    ["two requests, the second a sender's", `GET / HTTP/1.1\r\nHost: a\r\n\r\n${REQUEST}`, 400],
    ["a sender's behind garbage", `garbage\r\n\r\n${REQUEST}`, 400],
  ])("is refused, once: %s", async (_, text, status) => {
    const directory = emptyCopy();
    const { open, said } = await startReceiver(directory);
    const answer = await open(Buffer.from(`${text}${ROOT_OF_NOTHING}`, "latin1")).whole();
    expect(answer.match(/^HTTP\/1\.1 .*/gm)).toEqual([expect.stringContaining(` ${status} `)]);
    expect(answer).toMatch(/^Content-Length: 0\r\nConnection: close(, upgrade)?\r\n\r\n$/m); // and nothing behind it
    expect(said).toEqual([`refused a request that is none of a log's sender (${status})`]);
  });

  test("and ends in the middle of a head is refused; at its beginning, let go", async () => {
    const { open, said } = await startReceiver(emptyCopy());
    const [cut, mute] = [open(REQUEST.slice(0, -2)), open()];
    for (const { socket } of [cut, mute]) socket.end();
    expect(await cut.whole()).toMatch(/^HTTP\/1\.1 400 /);
    expect(await mute.whole()).toBe("");
    expect(said).toHaveLength(1);
  });

  test("and says nothing, or too little, is cut off in time", async () => {
    const directory = emptyCopy();
    const { open } = await startReceiver(directory, { askMs: 200 });
    expect(await Promise.all([open().whole(), open(REQUEST.slice(0, -2)).whole()])).toEqual(["", ""]);
    const asked = open(REQUEST);
    await asked.lines(1);
    await new Promise((resolve) => setTimeout(resolve, 300)); // it has longer, once it is served
    asked.socket.write(ROOT_OF_NOTHING);
    expect(await asked.lines(2)).toMatchObject([{}, { kind: "root" }]);
  }, 10_000); // the default of node:http would be to look every 30 s

  test("and is gone before the refusal harms nobody", async () => {
    const { open, said } = await startReceiver(emptyCopy());
    const { socket } = open(request("signer-log/1", "signer-log/2"));
    socket.end(() => socket.destroy());
    await expect.poll(() => said).toHaveLength(1);
    expect(await open(REQUEST).lines(1)).toMatchObject([{ kind: "hello" }]);
  });

  test("and goes on sending after the refusal is cut off", async () => {
    const directory = emptyCopy();
    const { open } = await startReceiver(directory);
    const client = open("garbage\r\n\r\n");
    client.socket.removeAllListeners("end");
    const more = setInterval(() => client.socket.write("x".repeat(10_000)), 20);
    onTestFinished(() => clearInterval(more));
    expect(await client.whole()).toMatch(/^HTTP\/1\.1 400 /);
  });
});

test("of too many connections the one that was silent the longest goes, so that idle ones stop nobody", async () => {
  const directory = emptyCopy();
  const { open } = await startReceiver(directory, { maxConnections: 3 });
  const served = open(REQUEST);
  await served.lines(1);
  const idle = open(REQUEST);
  await idle.lines(1);
  const mute = open();
  await once(mute.socket, "connect");
  served.socket.write(ROOT_OF_NOTHING); // it was there first, and was heard last
  await served.lines(2);
  const next = open(REQUEST);
  expect(await next.lines(1)).toMatchObject([{ kind: "hello" }]);
  await idle.whole();
  const another = open(REQUEST);
  await another.lines(1);
  expect(await mute.whole()).toBe("");
  served.socket.write(ROOT_OF_NOTHING);
  await served.lines(3);
});

test("an end that it is told brings what was answered, and takes no second from who does not listen", async () => {
  const directory = emptyCopy();
  const { open, receiver, said } = await startReceiver(directory);
  const [polite, deaf, mute] = [open(REQUEST), open(REQUEST), open()];
  await Promise.all([polite.lines(1), deaf.lines(1), once(mute.socket, "connect")]);
  deaf.socket.removeAllListeners("end");
  polite.socket.write(ROOT_OF_NOTHING);
  await polite.lines(2);
  await receiver.close();
  await Promise.all([polite.whole(), mute.whole()]);
  await expect
    .poll(() => said.slice(2))
    .toEqual(["a sender: ended", "a sender: truncated: the connection to the sender broke"]);
});

function without({ entries: _, ...append }: { entries: unknown; from: number; to: number; note: string }) {
  return append;
}
