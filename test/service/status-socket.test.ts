import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
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

describe("the status socket", () => {
  test("gives whoever connects one document, and the end", async () => {
    const directory = await served(statusServer(async () => DOCUMENT));
    expect(await readAll(statusSocket(directory))).toBe(DOCUMENT);
    expect(await askService(directory)).toEqual(servedStateOf());
  });

  test("reads nothing: what a connection sends has no effect", async () => {
    const server = statusServer(async () => DOCUMENT);
    const accepted: Socket[] = [];
    server.on("connection", (socket) => accepted.push(socket));
    const directory = await served(server);
    const socket = connect(statusSocket(directory));
    const closed = new Promise((resolve) => socket.on("error", () => undefined).on("close", resolve));
    socket.write(Buffer.alloc(1024 * 1024, "x"));
    await closed;
    expect(accepted.map(({ bytesRead }) => bytesRead)).toEqual([0]);
    expect(await askService(directory)).toEqual(servedStateOf());
  });

  test("is not held by those who do not read: there are eight at most, and each is ended soon", async () => {
    const large = `${"x".repeat(8 * 1024 * 1024)}\n`; // more than the kernel keeps
    let text = large;
    const server = statusServer(async () => text);
    const directory = await served(server);
    const silent = Array.from({ length: 20 }, () => connect(statusSocket(directory)));
    for (const socket of silent) socket.on("error", () => undefined).pause();
    await Promise.all(silent.map((socket) => once(socket, "connect")));
    const held = await new Promise<number>((resolve) => server.getConnections((_, count) => resolve(count)));
    expect(held).toBeLessThanOrEqual(8);
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
    let waiting = 0;
    server.on("connection", () => {
      waiting += 1;
      if (waiting === 5) resolve(DOCUMENT);
    });
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
});
