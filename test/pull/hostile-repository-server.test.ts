import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { connect } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { MAX_NOTIFICATION_BYTES } from "../../src/exchange/notification.ts";
import type { HttpsSource } from "../../src/pull/https-source.ts";
import { peerObjection } from "../../src/transport/mutual-tls.ts";
import { type CertificateAuthority, type CertificateFiles, makeAuthority } from "../support/certificates.ts";
import { Cleanup } from "../support/cleanup.ts";
import {
  type Asked,
  announced,
  bytesOf,
  closed,
  empty,
  type HostileServer,
  listen,
  NEVER,
  ok,
  reasonOf,
  sourceAt,
  startHostileServer,
} from "./https-fixture.ts";

// A server that has the right certificate, and does what it likes.

const cleanup = new Cleanup();
let authority: CertificateAuthority;
let certificate: CertificateFiles;
let server: CertificateFiles;

beforeAll(async () => {
  authority = await makeAuthority(cleanup, { algorithm: "ed25519" });
  certificate = await authority.issue({ commonName: "enclave", usage: "client" });
  server = await authority.issue({ usage: "server" });
});
afterAll(() => cleanup.run());

const SILENCE_MS = 250;
const FILE = announced(Buffer.from("0123456789"));

type Conduct = (asked: Asked) => string | Buffer | undefined | Promise<string | Buffer | undefined>;

async function against(
  conduct: Conduct,
  timeoutMs = 10_000,
): Promise<{ readonly source: HttpsSource; readonly there: HostileServer }> {
  const there = await startHostileServer(cleanup, { authority, server }, conduct);
  return { source: sourceAt(cleanup, there.url, { authority, certificate }, { timeoutMs }), there };
}

function notificationOf(source: HttpsSource, etag?: string) {
  return source.notification(etag, NEVER);
}

/** The reason why there is no notification where the server answers so. */
async function noNotification(conduct: Conduct, timeoutMs?: number): Promise<string> {
  return reasonOf(notificationOf((await against(conduct, timeoutMs)).source));
}

/** The reason why there is no file where the server answers so to a question for it from `from` on. */
async function noFile(conduct: Conduct, from = 0): Promise<string> {
  return reasonOf(bytesOf((await against(conduct)).source.download(FILE, from, NEVER)));
}

describe("what is sent", () => {
  it("is these octets and no others", async () => {
    const { source, there } = await against(({ head }) => {
      if (head.startsWith("GET /signer/outbox/notification")) return ok("x", ['ETag: "a-1"']);
      if (head.startsWith("GET")) {
        const [, from = "0"] = /Range: bytes=(\d+)-/.exec(head) ?? [];
        if (from === "0") return ok("0123456789", ['ETag: "f-a"']);
        return ok("456789", ["Content-Range: bytes 4-9/10", 'ETag: "f-a"'], "206 Partial Content");
      }
      return head.startsWith("HEAD")
        ? "HTTP/1.1 404 Not Found\r\nContent-Length: 146\r\n\r\n"
        : empty("201 Created");
    });
    const host = new URL(there.url).host;
    await notificationOf(source);
    await notificationOf(source, '"a-1"');
    for await (const chunk of source.download(FILE, 0, NEVER)) if (chunk.byteLength > 0) break;
    await bytesOf(source.download(FILE, 4, NEVER));
    await source.answered(FILE, NEVER);
    await source.upload(FILE, "sig", Buffer.from("abc"), NEVER);
    const { sha256, seq } = FILE;
    const nonce = /\.([0-9a-f]{16})\.part/.exec(there.heads.at(-1) ?? "")?.[1];
    expect(there.heads).toEqual([
      `GET /signer/outbox/notification HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
      `GET /signer/outbox/notification HTTP/1.1\r\nHost: ${host}\r\nIf-None-Match: "a-1"\r\n\r\n`,
      `GET /signer/outbox/${sha256} HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
      `GET /signer/outbox/${sha256} HTTP/1.1\r\nHost: ${host}\r\nRange: bytes=4-\r\nIf-Range: "f-a"\r\n\r\n`,
      `HEAD /signer/inbox/${sha256}.${seq}.sig HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
      `HEAD /signer/inbox/${sha256}.${seq}.refused HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
      `PUT /signer/inbox/${sha256}.${seq}.${nonce}.part HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 3\r\n\r\nabc`,
      `MOVE /signer/inbox/${sha256}.${seq}.${nonce}.part HTTP/1.1\r\nHost: ${host}\r\n` +
        `Destination: /signer/inbox/${sha256}.${seq}.sig\r\nOverwrite: F\r\n\r\n`,
    ]);
  });

  it("shows the certificate in every connection: none is resumed", async () => {
    const { source, there } = await against(({ socket }) => {
      setTimeout(() => socket.end(), 1);
      return ok("x", ["Connection: close"]);
    });
    await notificationOf(source);
    await notificationOf(source);
    expect(there.resumed).toEqual([false, false]);
  });
});

describe("a notification", () => {
  it("that is larger than one can be is cut one byte behind that, and the connection ended", async () => {
    const { source, there } = await against(() => ok(Buffer.alloc(MAX_NOTIFICATION_BYTES + 100_000, 120)));
    const answer = await notificationOf(source);
    expect(answer.kind === "document" && answer.document.byteLength).toBe(MAX_NOTIFICATION_BYTES + 1);
    await closed(there.sockets[0]);
  });

  it.each([
    ["compressed", ok("x", ["Content-Encoding: gzip"])],
    ["in pieces", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"],
  ])("that comes %s is not read", async (_, answer) => {
    expect(await noNotification(() => answer)).toBe(
      "sends an answer in pieces, or compressed: nginx is not configured as shipped",
    );
  });

  it("whose length is not said is not read", async () => {
    const reason = await noNotification(({ socket }) => void socket.end("HTTP/1.1 200 OK\r\n\r\nx"));
    expect(reason).toBe("does not say how long its answer is: nginx is not configured as shipped");
  });

  it.each([
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
    "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
  ])("whose length is said as in %j is not read", async (answer) => {
    expect(await noNotification(() => answer)).toBe("does not answer in HTTP/1.1");
  });

  it("that is said to be unchanged where none is known is a Fault", async () => {
    expect(await noNotification(() => "HTTP/1.1 304 Not Modified\r\n\r\n")).toBe("answers 304");
  });

  it("has a version only where that can be sent back", async () => {
    for (const etag of ["", "abc", '"a\x01b"', `"${"a".repeat(129)}"`, '"a" "b"']) {
      const { source } = await against(() => ok("x", [`ETag: ${etag}`]));
      expect(await notificationOf(source).catch(() => ({ etag: undefined }))).toMatchObject({
        etag: undefined,
      });
    }
  });

  it("that ends too early is a Fault", async () => {
    const reason = await noNotification(
      ({ socket }) => void socket.end("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"),
    );
    expect(reason).toBe("closed the connection");
  });
});

describe("a redirect", () => {
  it.each([301, 302, 303, 307, 308])("with %i is followed by nobody", async (status) => {
    const { source, there } = await against(() =>
      empty(`${status} Elsewhere`, ["Location: /signer/outbox/elsewhere"]),
    );
    const reason = `redirects to "/signer/outbox/elsewhere" (${status}), which is not followed`;
    expect(await reasonOf(notificationOf(source))).toBe(reason);
    expect(await reasonOf(bytesOf(source.download(FILE, 0, NEVER)))).toBe(reason);
    expect(await reasonOf(source.answered(FILE, NEVER))).toBe(reason);
    expect(await reasonOf(source.upload(FILE, "sig", Buffer.from("x"), NEVER))).toBe(reason);
    expect(there.heads).toHaveLength(4);
  });

  it("to text that is none of a terminal's says it escaped", async () => {
    const reason = await noNotification(() => empty("302 Found", ["Location: \x9b31m\xff"]));
    expect(reason).toBe(String.raw`redirects to "\x9b31m\xff" (302), which is not followed`);
  });
});

describe("a file", () => {
  const PART = "206 Partial Content";

  it("of another length than announced is not read", async () => {
    expect(await noFile(() => ok("01234567890"))).toBe(
      "has another file than it announced: it sends 11 bytes, of 10",
    );
    expect(await noFile(() => ok("012345678"))).toBe(
      "has another file than it announced: it sends 9 bytes, of 10",
    );
  });

  it.each([
    ["compressed", ok("0123456789", ["Content-Encoding: gzip"])],
    ["in pieces", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n"],
  ])("that comes %s is not read", async (_, answer) => {
    expect(await noFile(() => answer)).toMatch(/^sends an answer in pieces, or compressed/);
  });

  it.each([
    ["from another byte", "bytes 3-9/10"],
    ["to another byte", "bytes 4-8/10"],
    ["of another size", "bytes 4-9/11"],
    ["of a size that is not said", "bytes 4-9/*"],
    ["in another unit", "lines 4-9/10"],
  ])("asked for from its middle and sent %s is not read", async (_, range) => {
    const reason = await noFile(() => ok("456789", [`Content-Range: ${range}`], PART), 4);
    expect(reason).toBe(`has another file than it announced: it sends "${range}" of 10 bytes from 4 on`);
  });

  it("asked for from its middle and sent without a range, with two, or with too few bytes is not read", async () => {
    const another = /^has another file than it announced: /;
    expect(await noFile(() => ok("456789", [], PART), 4)).toMatch(another);
    const twice = ["Content-Range: bytes 4-9/10", "Content-Range: bytes 4-9/10"];
    expect(await noFile(() => ok("456789", twice, PART), 4)).toMatch(another);
    expect(await noFile(() => ok("45678", ["Content-Range: bytes 4-9/10"], PART), 4)).toMatch(another);
  });

  it("asked for whole and sent in part is not read", async () => {
    const answer = ok("0123456789", ["Content-Range: bytes 0-9/10"], PART);
    expect(await noFile(() => answer)).toBe("answers 206");
  });

  it("asked for from its middle and sent whole, or said to be shorter, is not read", async () => {
    expect(await noFile(() => ok("0123456789"), 4)).toMatch(/: it sends all of it, asked for the rest$/);
    const short = empty("416 Range Not Satisfiable", ["Content-Range: bytes */3"]);
    expect(await noFile(() => short, 4)).toMatch(/: it ends before what was asked for$/);
  });

  it("that is another one than it began with is not read, and asked for without a condition the next time", async () => {
    const { source, there } = await against(({ head }) =>
      head.includes("Range: ")
        ? ok("456789", ["Content-Range: bytes 4-9/10", 'ETag: "second"'], PART)
        : ok("0123456789", ['ETag: "first"']),
    );
    for await (const chunk of source.download(FILE, 0, NEVER)) if (chunk.byteLength > 0) break;
    expect(await reasonOf(bytesOf(source.download(FILE, 4, NEVER)))).toBe(
      "has another file than it announced: it is not the one that it began with",
    );
    expect((await bytesOf(source.download(FILE, 4, NEVER))).toString()).toBe("456789");
    expect(there.heads.map((head) => /If-Range: (.*)\r/.exec(head)?.[1])).toEqual([
      undefined,
      '"first"',
      undefined,
    ]);
  });

  it("that breaks off gives what came, then a Fault", async () => {
    const { source } = await against(({ socket }) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123");
      setTimeout(() => socket.destroy(), 20);
      return undefined;
    });
    const chunks: Uint8Array[] = [];
    const all = (async () => {
      for await (const chunk of source.download(FILE, 0, NEVER)) chunks.push(chunk);
    })();
    expect(await reasonOf(all)).toBe("closed the connection");
    expect(Buffer.concat(chunks).toString()).toBe("0123");
  });

  it("of which there is a byte now and then is given up", async () => {
    const content = Buffer.alloc(100_000);
    const { source } = await against(({ socket }) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${content.length}\r\n\r\n`);
      dribble(socket, "0");
      return undefined;
    }, SILENCE_MS);
    expect(await reasonOf(bytesOf(source.download(announced(content), 0, NEVER)))).toMatch(
      /^was silent, or too slow, /,
    );
  });

  it("is waited for as long as it comes, and as its reader takes", async () => {
    const timeoutMs = 800;
    const content = Buffer.alloc(200_000, 7);
    const { source } = await against(({ socket }) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${content.length}\r\n\r\n`);
      let sent = 0;
      const timer = setInterval(() => {
        socket.write(content.subarray(sent, sent + 20_000));
        sent += 20_000;
        if (sent >= content.length) clearInterval(timer);
      }, timeoutMs / 7); // for longer, altogether, than a silence may be
      return undefined;
    }, timeoutMs);
    let bytes = 0;
    for await (const chunk of source.download(announced(content), 0, NEVER)) {
      if (bytes === 0) await new Promise((resolve) => setTimeout(resolve, timeoutMs + 100));
      bytes += chunk.byteLength;
    }
    expect(bytes).toBe(content.length);
  });
});

/** A byte every few milliseconds, until the other side has had enough. */
function dribble(socket: Socket, text: string): void {
  const timer = setInterval(() => socket.write(text), SILENCE_MS / 10);
  socket.once("close", () => clearInterval(timer));
}

describe("a server that takes its time", () => {
  const LATE = `was silent, or too slow, for ${SILENCE_MS / 1000} s`;

  it("before the handshake is given up", async () => {
    const { port } = await listen(
      cleanup,
      createServer(() => undefined),
    );
    const url = `https://127.0.0.1:${port}/signer`;
    const source = sourceAt(cleanup, url, { authority, certificate }, { timeoutMs: SILENCE_MS });
    expect(await reasonOf(notificationOf(source))).toBe(`did not answer within ${SILENCE_MS / 1000} s`);
  });

  it("before its answer is given up", async () => {
    expect(await noNotification(() => undefined, SILENCE_MS)).toBe(LATE);
  });

  it("in the head of its answer is given up, also where a byte comes now and then", async () => {
    const conduct: Conduct = ({ socket }) => {
      socket.write("HTTP/1.1 200 OK\r\nX: ");
      dribble(socket, "x");
      return undefined;
    };
    expect(await noNotification(conduct, SILENCE_MS)).toBe(LATE);
  });

  it("in the body of its answer is given up", async () => {
    const head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx";
    expect(await noNotification(() => head, SILENCE_MS)).toBe(LATE);
  });

  it("with a notification of which a byte comes now and then is given up", async () => {
    const conduct: Conduct = ({ socket }) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx");
      dribble(socket, "x");
      return undefined;
    };
    expect(await noNotification(conduct, SILENCE_MS)).toBe(
      `was silent, or too slow, for ${(SILENCE_MS * 4) / 1000} s`,
    );
  });

  it("with what it says to an upload is given up", async () => {
    for (const silent of ["PUT", "MOVE"]) {
      const conduct: Conduct = ({ head }) => (head.startsWith(silent) ? undefined : empty("201 Created"));
      const { source } = await against(conduct, SILENCE_MS);
      expect(await reasonOf(source.upload(FILE, "sig", Buffer.from("x"), NEVER))).toBe(LATE);
    }
  });
});

describe("an answer that is none", () => {
  it("because its head does not end is given up", async () => {
    const conduct: Conduct = ({ socket }) => {
      socket.write("HTTP/1.1 200 OK\r\n");
      const timer = setInterval(() => socket.write(`X-${"x".repeat(50)}: y\r\n`.repeat(20)), 1);
      socket.once("close", () => clearInterval(timer));
      return undefined;
    };
    expect(await noNotification(conduct)).toBe("sends a head of more than 4096 bytes");
  });

  it("because one of its headers does not end is given up", async () => {
    expect(await noNotification(() => `HTTP/1.1 200 OK\r\nETag: "${"x".repeat(5000)}`)).toBe(
      "sends a head of more than 4096 bytes",
    );
  });

  it("because interim ones never end is given up", async () => {
    expect(await noNotification(() => "HTTP/1.1 102 Processing\r\n\r\n".repeat(100))).toBe(
      "sends interim answers and no answer",
    );
    expect(await noNotification(() => "HTTP/1.1 100 Continue\r\n\r\n".repeat(100))).toBe(
      "sends interim answers and no answer",
    );
  });

  it("because it changes the protocol is given up", async () => {
    const upgrade = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n";
    expect(await noNotification(() => upgrade)).toBe("changes the protocol, which was not asked for");
  });

  it.each([
    "SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "\0\0\0\0\0\0\0\0\0",
    "<html>",
    "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
  ])("because it begins with %j is given up", async (text) => {
    expect(await noNotification(({ socket }) => void socket.end(text))).toMatch(
      /^does not answer in HTTP\/1\.1$/,
    );
  });

  it.each([
    [500, "answers 500: nginx cannot write into the inbox, or the disk is full; its error log says why"],
    [503, "answers 503: too many connections, or it is being maintained"],
    [418, "answers 418"],
    [204, "answers 204"],
  ])("with status %i says so", async (status, reason) => {
    expect(await noNotification(() => empty(`${status} x`))).toBe(reason);
  });

  it("and whose text does not end is not listened to", async () => {
    const { source, there } = await against(({ socket }) => {
      socket.write("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n");
      const timer = setInterval(() => socket.write(`1000\r\n${"x".repeat(0x1000)}\r\n`), 1);
      socket.once("close", () => clearInterval(timer));
      return undefined;
    });
    expect(await notificationOf(source)).toEqual({ kind: "none" });
    await closed(there.sockets[0]);
  });
});

describe("an upload whose place somebody else is just taking", () => {
  it.each([
    ["is one that is taken, where the other's is there", "200 OK"],
    ["is a Fault, where it is not", "404 Not Found"],
  ])("%s", async (_, there) => {
    const { source } = await against(({ head }) => {
      if (head.startsWith("PUT")) return empty("201 Created");
      return head.startsWith("MOVE") ? empty("503 Busy") : `HTTP/1.1 ${there}\r\nContent-Length: 3\r\n\r\n`;
    });
    const upload = source.upload(FILE, "sig", Buffer.from("x"), NEVER);
    if (there.startsWith("200")) expect(await upload).toBe("taken");
    else expect(await reasonOf(upload)).toBe("answers 503: too many connections, or it is being maintained");
  });
});

describe("a connection that is kept", () => {
  it("and that the server has given up is replaced without a word", async () => {
    const { source, there } = await against(({ socket, connection, question }) => {
      if (connection > 1 || question === 1) return ok(`${connection}`);
      socket.destroy();
      return undefined;
    });
    await notificationOf(source);
    expect(await notificationOf(source)).toMatchObject({ document: Buffer.from("2") });
    expect(there.heads).toHaveLength(3);
  });

  it("is replaced once, not for ever", async () => {
    const { source, there } = await against(({ socket, connection, question }) => {
      if (connection === 1 && question === 1) return ok("x");
      socket.destroy();
      return undefined;
    });
    await notificationOf(source);
    expect(await reasonOf(notificationOf(source))).toBe("closed the connection");
    expect(there.sockets).toHaveLength(2);
  });

  it("is not replaced for a MOVE, which may have been done", async () => {
    const { source, there } = await against(({ head, socket }) => {
      if (head.startsWith("PUT")) return empty("201 Created");
      socket.destroy();
      return undefined;
    });
    expect(await reasonOf(source.upload(FILE, "sig", Buffer.from("x"), NEVER))).toBe("closed the connection");
    expect(there.heads.map((head) => head.split(" ")[0])).toEqual(["PUT", "MOVE"]);
  });

  it("carries no answer to a question that was not asked", async () => {
    const { source, there } = await against(({ connection, question }) =>
      Buffer.concat([ok(`${connection}.${question}`), ok("planted"), Buffer.from("and more")]),
    );
    for (const expected of ["1.1", "2.1", "3.1"])
      expect(await notificationOf(source)).toMatchObject({ document: Buffer.from(expected) });
    expect(there.sockets).toHaveLength(3);
  });

  it("carries no answer that came while nothing was asked", async () => {
    const { source } = await against(({ connection, socket }) => {
      setTimeout(() => socket.write(ok("planted")), 20);
      return ok(`${connection}`);
    });
    expect(await notificationOf(source)).toMatchObject({ document: Buffer.from("1") });
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(await notificationOf(source)).toMatchObject({ document: Buffer.from("2") });
  });

  it("is closed with the source", async () => {
    const { source, there } = await against(() => ok("x"));
    await notificationOf(source);
    source.close();
    await closed(there.sockets[0]);
  });
});

describe("what is given up from outside", () => {
  const REASON = new Error("given up");

  it("before the handshake, before the answer and in it ends with the reason for that", async () => {
    const { port } = await listen(
      cleanup,
      createServer(() => undefined),
    );
    const mute = sourceAt(cleanup, `https://127.0.0.1:${port}/signer`, { authority, certificate });
    const silent = (await against(() => undefined)).source;
    const half = (await against(() => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")).source;
    for (const source of [mute, silent, half]) {
      const controller = new AbortController();
      const asked = source.notification(undefined, controller.signal);
      setTimeout(() => controller.abort(REASON), 60);
      await expect(asked).rejects.toBe(REASON);
      await expect(source.notification(undefined, controller.signal)).rejects.toBe(REASON);
    }
  });

  it("in the middle of a file ends with the reason, and the connection", async () => {
    const { source, there } = await against(() => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx");
    const controller = new AbortController();
    const all = (async () => {
      for await (const _ of source.download(FILE, 0, controller.signal)) controller.abort(REASON);
    })();
    await expect(all).rejects.toBe(REASON);
    await closed(there.sockets[0]);
  });
});

describe("a server that is another one", () => {
  it("that does not speak TLS says so", async () => {
    const { port } = await listen(
      cleanup,
      createServer((socket) => void socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")),
    );
    const source = sourceAt(cleanup, `https://127.0.0.1:${port}/signer`, { authority, certificate });
    expect(await reasonOf(notificationOf(source))).toBe("does not speak TLS");
  });

  it.each(["p256", "rsa"] as const)("with a %s key finds nobody to shake hands with", async (algorithm) => {
    const there = await startHostileServer(
      cleanup,
      { authority, server: await authority.issue({ algorithm, usage: "server" }) },
      () => ok("x"),
    );
    const source = sourceAt(cleanup, there.url, { authority, certificate });
    expect(await reasonOf(notificationOf(source))).toMatch(
      /^refuses the handshake: it has no Ed25519 or Ed448/,
    );
    expect(there.heads).toEqual([]);
  });

  it("is offered TLS 1.3 with these ciphers, groups and signatures, and nothing else", async () => {
    const hello = await new Promise<Buffer>((resolve) => {
      void listen(
        cleanup,
        createServer((socket) => socket.once("data", resolve)),
      ).then(async ({ port }) => {
        const url = `https://127.0.0.1:${port}/signer`;
        const source = sourceAt(cleanup, url, { authority, certificate }, { timeoutMs: 200 });
        await source.notification(undefined, NEVER).catch(() => undefined);
      });
    });
    const { ciphers, extensions } = parseClientHello(hello);
    expect(ciphers.filter((cipher) => cipher !== "00ff")).toEqual(["1303", "1302"]); // 00ff is no cipher: RFC 5746
    expect(extensions.get(43)).toBe("020304"); // supported_versions
    expect(extensions.get(10)).toBe("0004001e001d"); // supported_groups: X448, X25519
    expect(extensions.get(13)).toBe("000408080807"); // signature_algorithms: Ed448, Ed25519
    expect(extensions.has(41)).toBe(false); // pre_shared_key
  });

  it("that accepts this host's certificate only after its date, or of another CA, says so by an alert", async () => {
    const there = await startHostileServer(cleanup, { authority, server }, () => ok("x"));
    const asked = async (own: CertificateFiles) =>
      reasonOf(notificationOf(sourceAt(cleanup, there.url, { authority, certificate: own })));
    const refused = /^(?:does not accept this host's certificate|closed the connection)/;
    expect(await asked(await authority.issue({ expiredDays: 1 }))).toMatch(refused);
    const other = await makeAuthority(cleanup, { algorithm: "ed25519" });
    expect(await asked(await other.issue())).toMatch(refused);
    expect(there.heads).toEqual([]);
  });

  it("is looked at beyond what TLS does: no certificate, or another kind of key", async () => {
    const rsa = await authority.issue({ algorithm: "rsa" });
    const there = await startHostileServer(cleanup, { authority, server: rsa }, () => undefined, {
      requestCert: false,
    });
    const objectionTo = async (options: { ca?: string; rejectUnauthorized: boolean }) => {
      const socket = connect({ host: "127.0.0.1", port: there.port, ...options });
      await once(socket, "secureConnect");
      const objection = peerObjection(socket);
      socket.destroy();
      return objection;
    };
    const ca = readFileSync(authority.caFile, "latin1");
    expect(await objectionTo({ ca, rejectUnauthorized: true })).toBe(
      "its certificate has a key of the type rsa, not Ed25519 or Ed448",
    );
    expect(await objectionTo({ rejectUnauthorized: false })).toBe("it shows no certificate of the site's CA");
  });
});

/** A ClientHello in one record (RFC 8446 §4.1.2): its ciphers, and its extensions' content by number, in hex. */
function parseClientHello(record: Buffer) {
  let at = 5 + 4 + 2 + 32; // record, handshake, version, random
  const take = (bytes: number) => {
    at += bytes;
    return record.subarray(at - bytes, at);
  };
  take(take(1).readUInt8());
  const ciphers = take(take(2).readUInt16BE()).toString("hex").match(/.{4}/g) ?? [];
  take(take(1).readUInt8());
  const extensions = new Map<number, string>();
  const end = take(2).readUInt16BE() + at;
  while (at < end) {
    const type = take(2).readUInt16BE();
    extensions.set(type, take(take(2).readUInt16BE()).toString("hex"));
  }
  return { ciphers, extensions };
}
