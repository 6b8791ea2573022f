import { getEventListeners, once } from "node:events";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { HttpsRemoteLog } from "../../../src/config/config.ts";
import { connectHttps } from "../../../src/log/remote/https-connection.ts";
import { LogHost } from "../../../src/log/remote/log-host.ts";
import { UPGRADE_ANSWER } from "../../../src/log/remote/upgrade.ts";
import { Fault } from "../../../src/outcome.ts";
import { mutualTlsOptions } from "../../../src/transport/mutual-tls.ts";
import {
  type CertificateAuthority,
  type CertificateFiles,
  makeAuthority,
} from "../../support/certificates.ts";
import { Cleanup } from "../../support/cleanup.ts";
import { FakeLogHost } from "../../support/log-host.ts";
import { runOk } from "../../support/run.ts";
import { startTlsServer, type TlsServerUnderTest } from "../../support/tls-server.ts";
import { freshLedger } from "../fixture.ts";

// Whoever has the server's certificate, and does what it likes. The real nginx and receiver: integration/https-remote-log.test.ts.

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

let authority: CertificateAuthority;
let server: CertificateFiles;
let client: CertificateFiles;
beforeAll(async () => {
  authority = await makeAuthority(cleanup, { algorithm: "ed25519" });
  server = await authority.issue({ usage: "server" });
  client = await authority.issue({ usage: "client" });
});

const NEVER = new AbortController().signal;

const startServer = (serve: (socket: TLSSocket) => unknown, changed?: object) =>
  startTlsServer(cleanup, { authority, server }, serve, changed);

function remote(port: number, changed: Partial<HttpsRemoteLog> = {}): HttpsRemoteLog {
  return {
    kind: "https",
    name: "loghost",
    url: `https://localhost:${port}/signer`,
    timeoutMs: 10_000,
    caFile: authority.caFile,
    crlFile: authority.crlFile,
    ...client,
    proxy: undefined,
    witness: new FakeLogHost(freshVerifier()).witnessKey,
    required: true,
    ...changed,
  };
}

function freshVerifier() {
  return freshLedger().ledger.verifier;
}

async function faultOf(work: Promise<unknown>): Promise<Fault> {
  const error = await work.then(
    () => new Error("no fault"),
    (error: unknown) => error,
  );
  if (!(error instanceof Fault)) throw error;
  expect(error.code).toBe("remote-log-unavailable");
  return error;
}

/** Why there is no connection to who answers so. */
async function reasonFor(serve: (socket: TLSSocket) => void, changed?: object): Promise<string> {
  const { port, sockets } = await startServer(serve, changed);
  const { message } = await faultOf(connectHttps(remote(port), NEVER));
  await expect.poll(() => sockets.size).toBe(0); // nothing is left open
  expect(message).toContain(`the remote log loghost at localhost:${port} `);
  return message.replace(`the remote log loghost at localhost:${port} `, "");
}

const answering = (text: string) => (socket: TLSSocket) => void socket.write(Buffer.from(text, "latin1"));

test("asks for the url's path and host alone, and then both sides speak the remote log's protocol", async () => {
  const { ledger } = freshLedger();
  const fake = new FakeLogHost(ledger.verifier);
  const { port, asked } = await startServer((socket) => {
    socket.write(UPGRADE_ANSWER);
    void fake.serve(socket);
  });
  const host = await LogHost.connect(remote(port, { witness: fake.witnessKey }), ledger.verifier);
  expect(asked()).toBe(
    `GET /signer/log HTTP/1.1\r\nHost: localhost:${port}\r\nConnection: upgrade\r\nUpgrade: signer-log/1\r\n\r\n`,
  );
  expect(host.size).toBe(0);
  expect(Buffer.from(await host.rootOf(0))).toHaveLength(32);
  expect(host.isOpen).toBe(true);
  host.close();
});

test("what comes in one piece with the answer, or behind it byte by byte, is the protocol's", async () => {
  for (const isWhole of [true, false]) {
    const { ledger } = freshLedger();
    const fake = new FakeLogHost(ledger.verifier);
    const hello = `${JSON.stringify({ size: 0 })}\n`;
    const { port } = await startServer(async (socket) => {
      const bytes = Buffer.from(UPGRADE_ANSWER + hello);
      if (isWhole) socket.write(bytes);
      else
        for (const byte of bytes) {
          socket.write(Buffer.of(byte));
          await new Promise((resolve) => setImmediate(resolve));
        }
    });
    const { stream, close } = await connectHttps(remote(port, { witness: fake.witnessKey }), NEVER);
    let text = "";
    for await (const chunk of stream) {
      text += chunk;
      if (text.length >= hello.length) break;
    }
    expect(text).toBe(hello);
    close();
  }
});

describe("says in one line why there is no connection:", () => {
  test.each([
    ["200 OK", "answers 200: there is something else than a log host at this url"],
    ["204 No Content", "answers 204"],
    [
      "403 Forbidden",
      "answers 403: this host's certificate is not one of those that its configuration names for the log",
    ],
    [
      "404 Not Found",
      "answers 404: there is no log host at this url, or log.conf is not included in nginx's configuration",
    ],
    [
      "426 Upgrade Required",
      "answers 426: it speaks another version of the protocol, or nginx's configuration is not the shipped one",
    ],
    [
      "502 Bad Gateway",
      "answers 502: signer-log receive --http does not run there, or nginx may not connect to its socket",
    ],
    ["503 Service Unavailable", "answers 503: too many connections, or it is being maintained"],
    ["100 Continue", "answers 100"],
    ["103 Early Hints", "answers 103"],
    ["304 Not Modified", "answers 304"],
    ["418", "answers 418"],
  ])("%s", async (status, reason) => {
    expect(await reasonFor(answering(`HTTP/1.1 ${status}\r\nContent-Length: 5\r\n\r\nhello`))).toBe(reason);
  });

  test("a certificate that nginx does not accept", async () => {
    expect(await reasonFor(answering("HTTP/1.1 400 Bad Request\r\n\r\n"))).toBe(
      "does not accept this host's certificate (400): it is revoked, of another CA, or not valid by the clock there; nginx's error log says which",
    );
  });

  test("a redirect, which is not followed, and whose words reach no terminal", async () => {
    const elsewhere = await startServer(() => undefined);
    const location = `https://localhost:${elsewhere.port}/signer/log`;
    for (const status of [301, 302, 307, 308])
      expect(await reasonFor(answering(`HTTP/1.1 ${status} x\r\nLocation: ${location}\r\n\r\n`))).toBe(
        `redirects to "${location}" (${status}), which is not followed`,
      );
    expect(await reasonFor(answering("HTTP/1.1 302 x\r\nLocation: \x9b31m\r\n\r\n"))).toBe(
      'redirects to "\\x9b31m" (302), which is not followed',
    );
    expect(await reasonFor(answering("HTTP/1.1 302 x\r\n\r\n"))).toBe(
      "redirects (302), which is not followed",
    );
    expect(elsewhere.asked()).toBe("");
  });

  test.each([
    ["garbage", "garbage\r\n\r\n"],
    ["SSH", "SSH-2.0-OpenSSH_9.2\r\n\r\n"],
    ["HTTP/2", UPGRADE_ANSWER.replace("HTTP/1.1", "HTTP/2.0")],
    ["HTTP/1.0", "HTTP/1.0 101 x\r\nConnection: upgrade\r\nUpgrade: signer-log/1\r\n\r\n"],
    ["an upgrade to something else", "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"],
    ["another version", "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: signer-log/2\r\n\r\n"],
    ["101 without an upgrade", "HTTP/1.1 101 x\r\n\r\n"],
    ["an upgrade that is not the connection's", "HTTP/1.1 101 x\r\nUpgrade: signer-log/1\r\n\r\n"],
    ["two upgrades", "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: signer-log/1\r\nUpgrade: x\r\n\r\n"],
    ["LF alone", UPGRADE_ANSWER.replaceAll("\r\n", "\n")],
    ["a folded field", UPGRADE_ANSWER.replace("Upgrade", "X: y\r\n z\r\nUpgrade")],
    ["no status", UPGRADE_ANSWER.replace("101", "1010")],
    ["a broken field", "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade : signer-log/1\r\n\r\n"],
  ])("%s", async (_, text) => {
    expect(await reasonFor(answering(text))).toBe(
      "does not answer as a log host: it does not speak HTTP/1.1 with signer-log/1",
    );
  });

  test("a head without end, in one field or in many", async () => {
    for (const piece of ["X: y\r\n", "x"]) {
      const reason = await reasonFor((socket) => {
        socket.write("HTTP/1.1 101 x\r\n");
        const more = () => {
          while (!socket.destroyed && socket.write(piece.repeat(1000)));
        };
        socket.on("drain", more);
        more();
      });
      expect(reason).toBe("does not answer as a log host: its answer's head has more than 4096 bytes");
    }
  });

  test("a head that is too long, and otherwise right", async () => {
    const head = UPGRADE_ANSWER.replace("Upgrade", `X: ${"y".repeat(4096)}\r\nUpgrade`);
    expect(await reasonFor(answering(head))).toBe(
      "does not answer as a log host: its answer's head has more than 4096 bytes",
    );
  });

  test("an end, or a break, in place of an answer", async () => {
    expect(await reasonFor((socket) => socket.end())).toBe("ended the connection without an answer");
    expect(await reasonFor((socket) => socket.end("HTTP/1.1 101 x\r\nUpgr"))).toBe(
      "ended the connection without an answer",
    );
    const there: TlsServerUnderTest = await startServer(() => there.reset());
    expect((await faultOf(connectHttps(remote(there.port), NEVER))).message).toMatch(
      /closed the connection$/,
    );
  });

  test("silence, or a byte now and then, at the latest after the timeout", async () => {
    const { ledger } = freshLedger();
    for (const serve of [
      () => undefined,
      (socket: TLSSocket) => {
        socket.write("HTTP/1.1 101 ");
        setInterval(() => socket.write("x"), 50).unref();
      },
      answering(UPGRADE_ANSWER), // and no hello
    ]) {
      const { port, sockets } = await startServer(serve);
      const { message } = await faultOf(LogHost.connect(remote(port, { timeoutMs: 400 }), ledger.verifier));
      expect(message).toMatch(/timed out$/);
      await expect.poll(() => sockets.size).toBe(0);
    }
  });

  test("another CA, another name, a certificate that is not a server's, TLS 1.2", async () => {
    const { port, asked } = await startServer(() => undefined);
    const stranger = await makeAuthority(cleanup, { algorithm: "ed25519" });
    const at = (changed: Partial<HttpsRemoteLog>) => faultOf(connectHttps(remote(port, changed), NEVER));
    expect((await at({ caFile: stranger.caFile, crlFile: undefined })).message).toContain(
      `shows a certificate that none in ${stranger.caFile} vouches for`,
    );
    expect((await at({ url: `https://127.0.0.2:${port}/signer` })).message).toMatch(
      /does not listen|another name/,
    );
    const files = { certificateFile: client.certificateFile, keyFile: server.keyFile };
    expect((await at(files)).message).toBe(`${server.keyFile} is not the key of ${client.certificateFile}`);
    expect((await at({ keyFile: join(authority.caFile, "nothing") })).message).toContain("cannot be read");
    const options = mutualTlsOptions(
      { caFile: authority.caFile, crlFile: undefined, ...client },
      "remote-log-unavailable",
    );
    expect(await reasonFor(() => undefined, options)).toBe("shows a certificate that is not for servers");
    expect(
      await reasonFor(() => undefined, { minVersion: "TLSv1.2", maxVersion: "TLSv1.2", ciphers: undefined }),
    ).toMatch(/does not speak TLS 1\.3/);
    expect(asked()).toBe(""); // nothing was sent to any of them
  });

  test("nothing there, and what does not speak TLS", async () => {
    expect((await faultOf(connectHttps(remote(1), NEVER))).message).toBe(
      "the remote log loghost at localhost:1 does not listen",
    );
    const plain = createTcpServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")).listen(0);
    await once(plain, "listening");
    cleanup.add(() => plain.close());
    const { port } = plain.address() as AddressInfo;
    expect((await faultOf(connectHttps(remote(port), NEVER))).message).toMatch(/does not speak TLS$/);
  });
});

describe("after the upgrade", () => {
  test.each([
    ["garbage", "garbage\n", "it does not speak the remote log's protocol"],
    ["a line without end", "x".repeat(200_000), "it does not speak the remote log's protocol"],
    [
      "another version",
      '{"kind":"hello","size":0,"verifier":"a","version":2,"witness":"b"}\n',
      "it speaks version 2 of the protocol, not 1",
    ],
  ])("%s is no log host", async (_, text, reason) => {
    const { port, sockets } = await startServer(answering(UPGRADE_ANSWER + text));
    const { message } = await faultOf(LogHost.connect(remote(port), freshVerifier()));
    expect(message).toBe(`the remote log loghost did not answer as expected: ${reason}`);
    await expect.poll(() => sockets.size).toBe(0);
  });

  test("a break is noticed at once, and says so", async () => {
    const { port, reset } = await startServer(answering(UPGRADE_ANSWER));
    const { broken, stream } = await connectHttps(remote(port), NEVER);
    const end = once(broken, "abort");
    stream.resume();
    reset();
    await end;
    expect((broken.reason as Fault).message).toMatch(/loghost at localhost:\d+ closed the connection$/);
  });

  test("the kernel asks a silent peer whether it is there, so that a dead one is noticed in seconds", async () => {
    const { port } = await startServer(answering(UPGRADE_ANSWER));
    const { close, stream } = await connectHttps(remote(port), NEVER);
    const { localPort } = stream as unknown as { localPort: number };
    const sockets = (await runOk("ss", ["-Htno", "sport", "=", `:${localPort}`])).toString();
    expect(sockets).toMatch(/timer:\(keepalive,[0-5](?:\.\d+ms|sec)/); // ss writes 4.9 s as 4.900ms
    close();
  });
});

test("gives up when it is told to, while it connects and later", async () => {
  const fault = new Fault("remote-log-unavailable", "enough");
  const { port: silent } = await startServer(() => undefined);
  const early = new AbortController();
  const connecting = faultOf(connectHttps(remote(silent), early.signal));
  setTimeout(() => early.abort(fault), 100);
  expect(await connecting).toBe(fault);
  expect(await faultOf(connectHttps(remote(silent), early.signal))).toBe(fault);
  const { port, sockets } = await startServer(answering(UPGRADE_ANSWER));
  const late = new AbortController();
  const { broken } = await connectHttps(remote(port), late.signal);
  late.abort(fault);
  expect(broken.reason).toBe(fault);
  await expect.poll(() => sockets.size).toBe(0);
});

test("leaves nothing behind at a signal that lives longer than the connection", async () => {
  const { signal } = new AbortController();
  const { port } = await startServer(answering(UPGRADE_ANSWER));
  const { close } = await connectHttps(remote(port), signal);
  close();
  await faultOf(connectHttps(remote(1), signal));
  await expect.poll(() => getEventListeners(signal, "abort")).toEqual([]);
});
