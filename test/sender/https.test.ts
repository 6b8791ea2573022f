import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { HttpsRemoteLog } from "../../src/config/config.ts";
import { UPGRADE_ANSWER } from "../../src/log/remote/upgrade.ts";
import { type CertificateAuthority, type CertificateFiles, makeAuthority } from "../support/certificates.ts";
import { Cleanup } from "../support/cleanup.ts";
import { newWitness } from "../support/log-host.ts";
import { startTlsServer } from "../support/tls-server.ts";
import { openLine, rawConnection, startSender } from "./fixture.ts";

// The sender, before a log host over HTTPS that does what it likes. With nginx: integration/https-remote-log.test.ts.

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const OPENED = '{"kind":"opened"}\n';

let authority: CertificateAuthority;
let server: CertificateFiles;
let client: CertificateFiles;
beforeAll(async () => {
  authority = await makeAuthority(cleanup, { algorithm: "ed25519" });
  server = await authority.issue({ usage: "server" });
  client = await authority.issue({ usage: "client" });
});

/** A sender whose remote log `loghost` is served so. */
async function senderTo(serve: (socket: TLSSocket) => unknown, changed: Partial<HttpsRemoteLog> = {}) {
  const there = await startTlsServer(cleanup, { authority, server }, serve);
  const source: HttpsRemoteLog = {
    kind: "https",
    name: "loghost",
    url: `https://localhost:${there.port}/signer`,
    timeoutMs: 10_000,
    caFile: authority.caFile,
    crlFile: authority.crlFile,
    ...client,
    proxy: undefined,
    witness: newWitness().key,
    required: true,
    ...changed,
  };
  const { path, said } = await startSender(cleanup, [source]);
  return { said, there, open: () => rawConnection(cleanup, path, openLine("loghost")) };
}

test("bytes are passed on both ways as they are, and the end is", async () => {
  const { open, said } = await senderTo((socket) => {
    socket.write(UPGRADE_ANSWER);
    socket.pipe(socket);
  });
  const bytes = randomBytes(3 * 1024 ** 2);
  const { socket, whole } = open();
  for (let at = 0; at < bytes.length; at += 65_536)
    if (!socket.write(bytes.subarray(at, at + 65_536))) await once(socket, "drain");
  socket.end();
  const came = Buffer.from(await whole(), "latin1");
  expect(came.subarray(0, OPENED.length).toString()).toBe(OPENED);
  const digest = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");
  expect(digest(came.subarray(OPENED.length))).toBe(digest(bytes));
  await expect.poll(() => said.at(-1)).toBe("loghost: the connection has ended");
});

test("nothing is opened before the upgrade is answered, and what is wrong with the answer is said in one line", async () => {
  const silent = await senderTo(() => undefined, { timeoutMs: 300 });
  const answers: string[] = [
    await silent.open().whole(),
    await (await senderTo((socket) => socket.write("HTTP/1.1 502 x\r\n\r\n"))).open().whole(),
    await (await senderTo((socket) => socket.write("HTTP/1.1 200 OK\r\n\r\n"))).open().whole(),
  ];
  expect(answers.map((answer) => JSON.parse(answer))).toMatchObject([
    { code: "remote-log-unavailable", reason: expect.stringMatching(/timed out|did not answer within/) },
    { code: "remote-log-unavailable", reason: expect.stringContaining("answers 502: signer-log receive") },
    {
      code: "remote-log-unavailable",
      reason: expect.stringContaining("answers 200: there is something else"),
    },
  ]);
  await expect.poll(() => silent.there.sockets.size).toBe(0);
});

test("a connection that breaks ends the service's, and the sender says why; one that the service ends is ended", async () => {
  const { open, said, there } = await senderTo((socket) => socket.write(UPGRADE_ANSWER));
  const broken = open();
  await broken.firstLine();
  there.reset();
  expect(await broken.whole()).toBe(OPENED);
  broken.socket.end();
  await expect
    .poll(() => said.at(-1))
    .toMatch(
      /^loghost: the connection has ended: the remote log loghost at localhost:\d+ closed the connection$/,
    );
  const ended = open();
  await ended.firstLine();
  ended.socket.destroy();
  await expect.poll(() => there.sockets.size).toBe(0);
});
