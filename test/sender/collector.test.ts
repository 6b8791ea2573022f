import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { createServer, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CollectorThroughSender } from "../../src/sender/through-sender.ts";
import { type CertificateAuthority, type CertificateFiles, makeAuthority } from "../support/certificates.ts";
import { Cleanup } from "../support/cleanup.ts";
import { openLine, rawConnection, startSender, syslogLog } from "./fixture.ts";

// A syslog collector through the sender: the half-close goes through, and how it ended comes back.

const cleanup = new Cleanup();
let authority: CertificateAuthority;
let certificate: CertificateFiles;
beforeAll(async () => {
  authority = await makeAuthority(cleanup);
  certificate = await authority.issue();
});
afterAll(() => cleanup.run());

/** A sender, and a collector behind it. */
async function scene(conduct: (socket: TLSSocket) => void, timeoutMs = 10_000) {
  const received: Buffer[] = [];
  const sockets: TLSSocket[] = [];
  const { certificateFile, keyFile } = certificate;
  const files = { cert: readFileSync(certificateFile), key: readFileSync(keyFile) };
  const server = createServer({ ...files, allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on("error", () => undefined);
    conduct(socket);
    socket.on("data", (chunk: Buffer) => received.push(chunk));
  }).listen(0, "localhost");
  await once(server, "listening");
  cleanup.add(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const source = syslogLog(port, authority.caFile, { timeoutMs });
  const { path } = await startSender(cleanup, [source]);
  return { path, source, sockets, text: () => Buffer.concat(received).toString() };
}

const endsToo = (socket: TLSSocket): void => void socket.on("end", () => socket.end());
const never = (): void => undefined;

/** The lines that the sender says, after a client has sent `bytes` and ended its side. */
async function linesFor(path: string, bytes: string): Promise<readonly { kind: string; reason?: string }[]> {
  const { socket, whole } = rawConnection(cleanup, path, openLine("siem"));
  socket.end(bytes);
  const text = await whole();
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
}

test("gets every byte, then the end; that it has ended too is said last", async () => {
  const { path, text, sockets } = await scene(endsToo);
  const bytes = "x".repeat(3_000_000);
  expect(await linesFor(path, bytes)).toEqual([{ kind: "opened" }, { kind: "sent" }]);
  expect(text()).toBe(bytes);
  expect(sockets[0]?.destroyed).toBe(true);
});

describe("what has not arrived is not said to be sent, where a collector", () => {
  test.each<[string, (socket: TLSSocket) => void, RegExp]>([
    ["never ends its side", never, /did not take everything within 400 ms/],
    [
      "reads nothing",
      (socket) => void socket.pause().on("resume", () => socket.pause()),
      /did not take everything/,
    ],
    ["ends in the middle", (socket) => void socket.once("data", () => socket.end()), /closed the connection/],
    [
      "breaks in the middle",
      (socket) => void socket.once("data", () => socket.destroy()),
      /closed the connection|cannot be talked to/,
    ],
  ])("%s", async (_, conduct, reason) => {
    const { path } = await scene(conduct, 400);
    const lines = await linesFor(path, "x".repeat(8_000_000));
    expect(lines.map(({ kind }) => kind)).toEqual(["opened", "failed"]);
    expect(lines[1]?.reason).toMatch(reason);
  });
});

test("that goes away while nothing is sent is said to have", async () => {
  const { path, sockets } = await scene(endsToo);
  const { whole, firstLine } = rawConnection(cleanup, path, openLine("siem"));
  await firstLine();
  await expect.poll(() => sockets.length).toBe(1);
  sockets[0]?.end();
  const [, last] = (await whole()).split("\n");
  expect(JSON.parse(last ?? "")).toMatchObject({
    kind: "failed",
    reason: expect.stringContaining("closed the connection"),
  });
});

test("that cannot be verified is refused before a byte", async () => {
  const { path, text } = await scene(endsToo);
  const other = await makeAuthority(cleanup);
  const { source } = await scene(endsToo);
  const stranger = await startSender(cleanup, [{ ...source, caFile: other.caFile }]);
  expect(await linesFor(stranger.path, "x")).toMatchObject([
    { kind: "failed", reason: expect.stringContaining("shows a certificate that none in") },
  ]);
  expect(path).not.toBe(stranger.path);
  expect(text()).toBe("");
});

test("may be connected to early, and waits; from the first byte on, the timeout counts", async () => {
  const { path, source } = await scene(never, 400);
  const connection = new CollectorThroughSender(path, source);
  await connection.opened();
  await sleep(800);
  expect(connection.isUsable).toBe(true);
  connection.limit();
  await expect(connection.send([Buffer.from("x")])).rejects.toThrow(/timed out|did not take everything/);
  connection.close();

  // Also where the sender itself never says how it ended.
  const patient = await startSender(cleanup, [{ ...source, timeoutMs: 60_000 }]);
  const alone = new CollectorThroughSender(patient.path, source);
  await alone.opened();
  await sleep(800);
  alone.limit();
  await expect(alone.send([Buffer.from("x")])).rejects.toThrow("timed out");
  alone.close();
});
