import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer as createTcpServer } from "node:net";
import { hostname } from "node:os";
import { join } from "node:path";
import { createServer, type TLSSocket, type TlsOptions } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SyslogRemoteLog as SyslogSource } from "../../../src/config/config.ts";
import { openCheckpoint } from "../../../src/log/checkpoint.ts";
import type { Ledger } from "../../../src/log/ledger.ts";
import { checkCollector, SyslogConnection } from "../../../src/log/remote/syslog-connection.ts";
import { SyslogRemoteLog } from "../../../src/log/remote/syslog-remote-log.ts";
import { Fault } from "../../../src/outcome.ts";
import {
  type CertificateAuthority,
  type CertificateFiles,
  makeAuthority,
} from "../../support/certificates.ts";
import { Cleanup } from "../../support/cleanup.ts";
import { startRsyslog } from "../../support/rsyslog.ts";
import { at, faultCode, freshDirectory, freshLedger, linesOf, refused, reopen, sign } from "../fixture.ts";

const cleanup = new Cleanup();
let authority: CertificateAuthority;
let certificate: CertificateFiles;

beforeAll(async () => {
  authority = await makeAuthority(cleanup);
  certificate = await authority.issue();
});
afterAll(() => cleanup.run());

function collectorAt(port: number, wanted: Partial<SyslogSource> = {}): SyslogSource {
  return {
    kind: "syslog",
    name: "siem",
    host: "localhost",
    port,
    timeoutMs: 10_000,
    caFile: authority.caFile,
    certificateFile: undefined,
    keyFile: undefined,
    ...wanted,
  };
}

/** The remote log of that collector, over TLS. */
function syslogRemoteLog(source: SyslogSource, ledger: Ledger, maxEntries?: number): SyslogRemoteLog {
  const connect = (to: SyslogSource) => new SyslogConnection(to);
  return new SyslogRemoteLog(source, ledger, {
    connect,
    ...(maxEntries === undefined ? {} : { maxEntries }),
  });
}

/** What a collector of the test does with a connection. */
type Conduct = (socket: TLSSocket) => void;

/** A collector as the test wants it; the octets of each connection. Its port is free again after `stop`. */
async function startCollector(conduct: Conduct, files = certificate, tls: TlsOptions = {}) {
  const received: Buffer[] = [];
  const sockets = new Set<TLSSocket>();
  const options = { ...tls, cert: readFileSync(files.certificateFile), key: readFileSync(files.keyFile) };
  const server = createServer(options, (socket) => {
    const index = received.push(Buffer.alloc(0)) - 1;
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      received[index] = Buffer.concat([received[index] ?? Buffer.alloc(0), chunk]);
    });
    conduct(socket);
  });
  server.listen(0, "localhost");
  await once(server, "listening");
  const stop = async () => {
    for (const socket of sockets) socket.destroy();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  cleanup.add(stop);
  return { port: (server.address() as AddressInfo).port, received, sockets, stop };
}

const reads: Conduct = () => undefined;

/** The texts of the messages in a stream of frames. */
function textsOf(stream: Buffer): readonly string[] {
  const texts: string[] = [];
  let rest = stream.toString("latin1");
  while (rest !== "") {
    const [head, digits] = /^([1-9][0-9]*) /.exec(rest) ?? [];
    if (head === undefined) throw new Error(`expected a frame: ${rest.slice(0, 40)}`);
    const end = head.length + Number(digits);
    texts.push(rest.slice(head.length, end).replace(/^.*? - \{/, "{"));
    rest = rest.slice(end);
  }
  return texts;
}

function entriesIn(texts: readonly string[]): readonly string[] {
  return texts.filter((text) => !text.startsWith('{"checkpoint":'));
}

function checkpointsIn(texts: readonly string[], ledger: Ledger): readonly (number | undefined)[] {
  return texts
    .filter((text) => text.startsWith('{"checkpoint":'))
    .map((text) => openCheckpoint(JSON.parse(text).checkpoint, ledger.verifier)?.size);
}

/** A log of the first entry and `count` signatures. */
async function logOf(count: number) {
  const made = freshLedger();
  for (let index = 0; index < count; index += 1) await sign(made.ledger, at(index));
  return made;
}

describe("rsyslogd", () => {
  it.each(["ossl", "gtls"] as const)("(%s) gets each entry's line, then a checkpoint", async (driver) => {
    const { ledger, directory } = await logOf(3);
    await ledger.recordRefusal(at(10), refused());
    const server = await startRsyslog(cleanup, { ...certificate, caFile: authority.caFile, driver });
    const log = syslogRemoteLog(collectorAt(server.port), ledger);
    log.connect();
    await log.deliver(5);

    const texts = await server.texts(6);
    expect(texts.slice(0, -1)).toEqual(linesOf(directory));
    expect(JSON.parse(texts.at(-1) ?? "")).toEqual({ checkpoint: ledger.checkpoint() });
    await server.stop();
    expect(await server.headers()).toEqual([
      "85 2026-11-23T12:00:00.000Z signer started -",
      "86 2026-11-23T12:00:00.000Z signer signed -",
      "86 2026-11-23T12:00:00.001Z signer signed -",
      "86 2026-11-23T12:00:00.002Z signer signed -",
      "84 2026-11-23T12:00:00.010Z signer refused -",
      "85 2026-11-23T12:00:00.010Z signer checkpoint -",
    ]);
    expect(ledger.forwardedSize("siem")).toBe(5);
  });

  it("gets an entry of 16 KiB whole", async () => {
    const { ledger, directory } = freshLedger();
    const summary = ["x".repeat(16_384 - 400)];
    await ledger.transact(at(1), (tx) => tx.append({ kind: "configured", rules: "0".repeat(64), summary }));
    const server = await startRsyslog(cleanup, { ...certificate, caFile: authority.caFile });
    await syslogRemoteLog(collectorAt(server.port), ledger).deliver(2);
    expect((await server.texts(3)).slice(0, 2)).toEqual(linesOf(directory));
  });

  it("that asks for a certificate takes this host's, and refuses it without", async () => {
    const { ledger } = await logOf(1);
    const files = { ...certificate, caFile: authority.caFile };
    const server = await startRsyslog(cleanup, { ...files, asksForCertificate: true });
    const own = await authority.issue({ altName: "DNS:signer.example.org" });

    expect((await checkCollector(collectorAt(server.port)))?.message).toContain(
      "refuses this host's certificate, or asks for one",
    );
    const without = syslogRemoteLog(collectorAt(server.port), ledger);
    expect(await faultCode(() => without.deliver(2))).toBe("remote-log-unavailable");
    expect(ledger.forwardedSize("siem")).toBe(0);

    expect(await checkCollector(collectorAt(server.port, own))).toBeUndefined();
    await syslogRemoteLog(collectorAt(server.port, own), ledger).deliver(2);
    expect(ledger.forwardedSize("siem")).toBe(2);
  });
});

describe("delivery", () => {
  it("goes on where the last one ended, and sends nothing twice", async () => {
    const { ledger, directory } = await logOf(1);
    const collector = await startCollector(reads);
    const source = collectorAt(collector.port);
    await syslogRemoteLog(source, ledger).deliver(2);
    await sign(ledger, at(5));
    await syslogRemoteLog(source, ledger).deliver(3);
    await syslogRemoteLog(source, ledger).deliver(3);

    const texts = collector.received.map(textsOf);
    expect(texts.map((some) => entriesIn(some).length)).toEqual([2, 1]);
    expect(texts.flatMap(entriesIn)).toEqual(linesOf(directory));
    expect(texts.map((some) => checkpointsIn(some, ledger))).toEqual([[2], [3]]);
  });

  it("is bounded: what is left is said, and comes next time", async () => {
    const { ledger, directory } = await logOf(4);
    const collector = await startCollector(reads);
    const log = syslogRemoteLog(collectorAt(collector.port), ledger, 3);
    await expect(log.deliver(5)).rejects.toThrow("2 entries are still to be sent");
    expect(ledger.forwardedSize("siem")).toBe(3);
    await log.deliver(5);
    const texts = collector.received.flatMap(textsOf);
    expect(entriesIn(texts)).toEqual(linesOf(directory));
    expect(checkpointsIn(texts, ledger)).toEqual([3, 5]);
  });

  it("counts for each collector by its name", async () => {
    const { ledger } = await logOf(1);
    const collector = await startCollector(reads);
    await syslogRemoteLog(collectorAt(collector.port), ledger).deliver(2);
    expect(ledger.forwardedSize("other")).toBe(0);
  });

  it("leaves no entry out where two send at once", async () => {
    const { ledger, directory } = await logOf(20);
    const collector = await startCollector(reads);
    const logs = [ledger, reopen(directory), reopen(directory)].map((each) =>
      syslogRemoteLog(collectorAt(collector.port), each, 7),
    );
    for (let turn = 0; turn < 3; turn += 1) await Promise.allSettled(logs.map((log) => log.deliver(21)));
    const seen = new Set(entriesIn(collector.received.flatMap(textsOf)));
    expect([...linesOf(directory)].filter((line) => !seen.has(line))).toEqual([]);
    expect(ledger.forwardedSize("siem")).toBe(21);
  });

  it("never lowers the number of entries sent", async () => {
    const { ledger } = freshLedger();
    await ledger.recordForwarded("siem", 7);
    await ledger.recordForwarded("siem", 3);
    expect(ledger.forwardedSize("siem")).toBe(7);
  });

  it("keeps what is about people here", async () => {
    const { ledger } = freshLedger();
    await sign(ledger, at(1), { extra: { private: { for: "alice", address: "192.0.2.77" } } });
    const collector = await startCollector(reads);
    await syslogRemoteLog(collectorAt(collector.port), ledger).deliver(2);
    const sent = Buffer.concat(collector.received).toString();
    expect(sent).toContain('"private":"');
    expect(sent).not.toMatch(/alice|192\.0\.2\.77/);
  });

  it("names the host and the process", async () => {
    const { ledger } = freshLedger();
    const collector = await startCollector(reads);
    await syslogRemoteLog(collectorAt(collector.port), ledger).deliver(1);
    expect(collector.received.join("")).toContain(` ${hostname()} signer ${process.pid} started - `);
  });

  it("uses the connection that was begun early", async () => {
    const { ledger } = freshLedger();
    const collector = await startCollector(reads);
    const log = syslogRemoteLog(collectorAt(collector.port), ledger);
    log.connect();
    log.connect();
    await log.deliver(1);
    expect(collector.received).toHaveLength(1);
  });

  it("connects anew where the collector ended an idle connection", async () => {
    const { ledger, directory } = freshLedger();
    let closed = Promise.resolve<unknown>(undefined);
    const collector = await startCollector((socket) => {
      if (collector.received.length > 1) return;
      closed = once(socket, "close");
      socket.end();
    });
    const log = syslogRemoteLog(collectorAt(collector.port), ledger);
    log.connect();
    await expect.poll(() => collector.received.length).toBe(1);
    await closed;
    await expect.poll(() => faultCode(() => log.deliver(1)), { timeout: 5000 }).toBe("no fault");
    expect(entriesIn(collector.received.flatMap(textsOf))).toEqual(linesOf(directory));
  });

  it("of a log that is smaller than what was sent is a broken log", async () => {
    const { ledger } = freshLedger();
    await ledger.recordForwarded("siem", 9);
    const collector = await startCollector(reads);
    const log = syslogRemoteLog(collectorAt(collector.port), ledger);
    expect(await faultCode(() => log.deliver(10))).toBe("log-broken");
  });
});

describe("a collector", () => {
  /** What a delivery comes to, and what `signer check` says. */
  async function outcome(source: SyslogSource): Promise<string> {
    const { ledger } = freshLedger();
    const fault = await checkCollector(source);
    const log = syslogRemoteLog(source, ledger);
    log.connect();
    await log.ready();
    try {
      await log.deliver(1);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      expect(error.code).toBe("remote-log-unavailable");
      expect(fault?.message).toBe(error.message);
      expect(ledger.forwardedSize("siem")).toBe(0);
      return error.message.replace(/localhost:[0-9]+/, "HOST").replace(/\/\S*\//g, "");
    }
    expect(fault).toBeUndefined();
    return "sent";
  }

  it("is known by its name or its address", async () => {
    const collector = await startCollector(reads);
    expect(await outcome(collectorAt(collector.port))).toBe("sent");
    const { port } = await startCollector(reads);
    const server = createTcpServer((socket) => {
      const inner = connect(port, "localhost");
      for (const each of [socket, inner]) each.on("error", () => undefined);
      socket.pipe(inner).pipe(socket);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    cleanup.add(() => server.close());
    const address = { host: "127.0.0.1" };
    expect(await outcome(collectorAt((server.address() as AddressInfo).port, address))).toBe("sent");
  });

  it("of another CA gets nothing", async () => {
    const other = await makeAuthority(cleanup);
    const collector = await startCollector(reads, await other.issue());
    expect(await outcome(collectorAt(collector.port))).toBe(
      "the syslog collector HOST shows a certificate that none in ca.pem vouches for",
    );
    expect(collector.received.join("")).toBe("");
  });

  it("with an expired certificate gets nothing", async () => {
    const collector = await startCollector(reads, await authority.issue({ expiredDays: 1 }));
    expect(await outcome(collectorAt(collector.port))).toBe(
      "the syslog collector HOST shows a certificate that has expired",
    );
    expect(collector.received.join("")).toBe("");
  });

  it.each(["DNS:logs.example.org", "IP:127.0.0.1", "DNS:localhost.example.org"])(
    "with a certificate for %s is not localhost and gets nothing",
    async (altName) => {
      const collector = await startCollector(reads, await authority.issue({ altName }));
      expect(await outcome(collectorAt(collector.port))).toBe(
        "the syslog collector HOST shows a certificate for another name",
      );
      expect(collector.received.join("")).toBe("");
    },
  );

  it("that speaks TLS 1.2 is spoken to, with authenticated encryption only", async () => {
    const outcomes: string[] = [];
    for (const ciphers of ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256"]) {
      const { port } = await startCollector(reads, certificate, { maxVersion: "TLSv1.2", ciphers });
      outcomes.push(await outcome(collectorAt(port)));
    }
    expect(outcomes).toEqual([
      "sent",
      "the syslog collector HOST refuses the handshake: it asks for a certificate, or has no cipher in common with this host",
    ]);
  });

  it("that is down is said to be", async () => {
    const collector = await startCollector(reads);
    await collector.stop();
    expect(await outcome(collectorAt(collector.port))).toBe("the syslog collector HOST does not listen");
  });

  it("that speaks no TLS, or stays silent, is given up", async () => {
    for (const hello of ["220 mail\r\n", undefined]) {
      const server = createTcpServer((socket) => {
        socket.on("error", () => undefined);
        if (hello !== undefined) socket.write(hello);
      }).listen(0, "localhost");
      await once(server, "listening");
      cleanup.add(() => server.close());
      const source = collectorAt((server.address() as AddressInfo).port, { timeoutMs: 200 });
      expect(await outcome(source)).toMatch(/HOST (does not speak TLS|did not answer within 200 ms)/);
    }
  });

  it("that takes the connection and reads nothing is given up", async () => {
    const { ledger } = await logOf(1);
    const long = ["x".repeat(15_000)];
    for (let index = 0; index < 400; index += 1)
      await ledger.transact(at(index), (tx) =>
        tx.append({ kind: "configured", rules: "0".repeat(64), summary: long }),
      );
    const collector = await startCollector((socket) => socket.pause());
    const log = syslogRemoteLog(collectorAt(collector.port, { timeoutMs: 500 }), ledger);
    await expect(log.deliver(402)).rejects.toThrow("did not take everything within 500 ms");
    expect(ledger.forwardedSize("siem")).toBe(0);
  });

  it("that never ends its side is given up", async () => {
    const { ledger } = freshLedger();
    const { certificateFile, keyFile } = certificate;
    const options = { cert: readFileSync(certificateFile), key: readFileSync(keyFile), allowHalfOpen: true };
    const server = createServer(options, (socket) => {
      socket.on("error", () => undefined);
      socket.resume();
      cleanup.add(() => socket.destroy());
    }).listen(0, "localhost");
    await once(server, "listening");
    cleanup.add(() => server.close());
    const { port } = server.address() as AddressInfo;
    const log = syslogRemoteLog(collectorAt(port, { timeoutMs: 300 }), ledger);
    await expect(log.deliver(1)).rejects.toThrow("did not take everything within 300 ms");
    expect(ledger.forwardedSize("siem")).toBe(0);
  });

  it.each(["ends", "breaks"])("that %s the connection once it has read all gets it again", async (how) => {
    const { ledger, directory } = freshLedger();
    const collector = await startCollector((socket) => {
      if (collector.received.length === 1)
        socket.once("data", () => (how === "ends" ? socket.end() : socket.destroy()));
    });
    const source = collectorAt(collector.port);
    await expect(syslogRemoteLog(source, ledger).deliver(1)).rejects.toThrow("closed the connection");
    expect(ledger.forwardedSize("siem")).toBe(0);
    await syslogRemoteLog(source, ledger).deliver(1);
    expect(entriesIn(textsOf(collector.received[1] ?? Buffer.alloc(0)))).toEqual(linesOf(directory));
  });

  it.each(["ends", "breaks"])("that %s the connection in the middle gets all of it again", async (how) => {
    const { ledger, directory } = await logOf(1);
    const long = ["x".repeat(15_000)];
    for (let index = 0; index < 400; index += 1)
      await ledger.transact(at(index), (tx) =>
        tx.append({ kind: "configured", rules: "0".repeat(64), summary: long }),
      );
    const collector = await startCollector((socket) => {
      if (collector.received.length === 1)
        socket.once("data", () => (how === "ends" ? socket.end() : socket.destroy()));
    });
    const source = collectorAt(collector.port);
    expect(await faultCode(() => syslogRemoteLog(source, ledger).deliver(402))).toBe(
      "remote-log-unavailable",
    );
    expect(ledger.forwardedSize("siem")).toBe(0);
    await syslogRemoteLog(source, ledger).deliver(402);
    expect(entriesIn(textsOf(collector.received[1] ?? Buffer.alloc(0)))).toEqual(linesOf(directory));
    expect(ledger.forwardedSize("siem")).toBe(402);
  });
});

describe("the files of a collector", () => {
  it("are said to be missing or wrong, and an empty CA file trusts nobody", async () => {
    const { ledger } = freshLedger();
    const collector = await startCollector(reads);
    const folder = freshDirectory();
    const file = (name: string, text: string) => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    const cases: readonly [Partial<SyslogSource>, string][] = [
      [{ caFile: join(folder, "none.pem") }, "none.pem cannot be read"],
      [{ caFile: file("empty.pem", "") }, "empty.pem holds no certificate"],
      [
        { caFile: file("key.pem", readFileSync(certificate.keyFile, "utf8")) },
        "key.pem holds no certificate",
      ],
      [{ caFile: file("broken.pem", broken) }, "broken.pem holds something that is no certificate"],
      [{ certificateFile: authority.caFile, keyFile: certificate.keyFile }, "are no certificate and its key"],
    ];
    for (const [wanted, message] of cases) {
      const source = collectorAt(collector.port, wanted);
      const log = syslogRemoteLog(source, ledger);
      expect(() => log.connect()).not.toThrow();
      await expect(log.deliver(1)).rejects.toThrow(message);
      expect((await checkCollector(source))?.message).toContain(message);
      await log.close();
    }
    expect(collector.received).toEqual([]);
  });
});
