import { mkdirSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { Readable } from "node:stream";
import { afterAll, describe, expect, test } from "vitest";
import { listen } from "../../src/cli/listening-socket.ts";
import { encodeStatusDocument } from "../../src/service/status-document.ts";
import { askService, statusServer, statusSocket } from "../../src/service/status-socket.ts";
import { Cleanup } from "../support/cleanup.ts";
import { tempDir } from "../support/temp-dir.ts";
import { servedStateOf } from "./served-state.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const DOCUMENT = encodeStatusDocument(servedStateOf());

/** A state directory where `server` answers. */
async function served(server: Server): Promise<string> {
  const directory = await tempDir(cleanup);
  await listen(server, { kind: "path", path: statusSocket(directory), group: undefined });
  cleanup.add(() => server.close());
  return directory;
}

/** Bytes until the connection ends. */
async function readAll(path: string): Promise<string> {
  const chunks: Buffer[] = [];
  const socket = connect(path);
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await new Promise((resolve) => socket.on("error", () => undefined).on("close", resolve));
  return Buffer.concat(chunks).toString();
}

/** What comes with these events of a server, when there were so many of them. */
function onEach(server: Server, events: readonly string[], count: number): Promise<readonly Socket[]> {
  const { promise, resolve } = Promise.withResolvers<readonly Socket[]>();
  const seen: Socket[] = [];
  for (const event of events)
    server.on(event, (socket: Socket) => {
      seen.push(socket);
      if (seen.length === count) resolve(seen);
    });
  return promise;
}

describe("the status socket", () => {
  test("gives whoever connects one document, and the end", async () => {
    const directory = await served(statusServer(async () => DOCUMENT));
    expect(await readAll(statusSocket(directory))).toBe(DOCUMENT);
    expect(await askService(directory)).toEqual(servedStateOf());
  });

  test("reads nothing: what a connection sends has no effect", async () => {
    const { promise, resolve } = Promise.withResolvers<string>();
    const server = statusServer(() => promise);
    const directory = await served(server);
    const accepted = onEach(server, ["connection"], 1);
    const socket = connect(statusSocket(directory));
    const closed = new Promise((done) => socket.on("error", () => undefined).on("close", done));
    socket.write(Buffer.alloc(1024 * 1024, "x"));
    const [first] = await accepted;
    // When a later connection has its answer, what the first one sent would long have been read.
    const second = readAll(statusSocket(directory));
    await onEach(server, ["connection"], 1);
    resolve(DOCUMENT);
    expect(await second).toBe(DOCUMENT);
    await closed;
    expect(first?.bytesRead).toBe(0);
  });

  test("is not held by those who do not read: there are eight at most, and each is ended soon", async () => {
    const large = `${"x".repeat(8 * 1024 * 1024)}\n`; // more than the kernel keeps
    let text = large;
    const server = statusServer(async () => text);
    const directory = await served(server);
    const arrived = onEach(server, ["connection", "drop"], 20);
    const silent = Array.from({ length: 20 }, () => connect(statusSocket(directory)));
    for (const socket of silent) socket.on("error", () => undefined).pause();
    await arrived;
    const held = await new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count)));
    expect(held).toBe(8);
    text = DOCUMENT;
    expect(await askService(directory)).toEqual(servedStateOf()); // waits for a place
    for (const socket of silent) socket.destroy();
  });

  test("makes one document for all that wait for it", async () => {
    let made = 0;
    const { promise, resolve } = Promise.withResolvers<string>();
    const server = statusServer(() => {
      made += 1;
      return promise;
    });
    void onEach(server, ["connection"], 5).then(() => resolve(DOCUMENT));
    const directory = await served(server);
    const asking = Array.from({ length: 5 }, () => readAll(statusSocket(directory)));
    expect(new Set(await Promise.all(asking))).toEqual(new Set([DOCUMENT]));
    expect(made).toBe(1);
  });

  test("survives a document that cannot be made", async () => {
    let text: string | undefined;
    const directory = await served(
      statusServer(async () => {
        if (text === undefined) throw new Error("a bug");
        return text;
      }),
    );
    expect(await readAll(statusSocket(directory))).toBe("");
    text = DOCUMENT;
    expect(await askService(directory)).toEqual(servedStateOf());
  });
});

describe("askService", () => {
  test("says that nobody answers: no socket, or one that a killed service left", async () => {
    const directory = await tempDir(cleanup);
    expect(await askService(directory)).toBeUndefined();
    mkdirSync(`${directory}/empty`);
    expect(await askService(`${directory}/empty`)).toBeUndefined();
  });

  test.each([
    ["another version", DOCUMENT.replace('"version":1', '"version":2')],
    ["no document", "hello\n"],
    ["more than a document has", `${"x".repeat(17 * 1024 * 1024)}\n`],
  ])("tells a service that says %s", async (_, text) => {
    const directory = await served(
      createServer((socket) => void socket.on("error", () => undefined).end(text)),
    );
    await expect(askService(directory)).rejects.toMatchObject({ code: "service-unavailable" });
  });

  test("does not read on and on", async () => {
    const directory = await served(
      createServer((socket) => {
        const more = Readable.from(
          (function* () {
            for (;;) yield Buffer.alloc(64 * 1024, "x");
          })(),
        );
        socket.on("error", () => undefined).on("close", () => more.destroy());
        more.pipe(socket);
      }),
    );
    await expect(askService(directory)).rejects.toThrow("another version");
  });
});
