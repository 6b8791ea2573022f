import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { type ConnectionOptions, connect } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CertificateAuthority, type CertificateFiles, makeAuthority } from "../support/certificates.ts";
import { Cleanup } from "../support/cleanup.ts";
import { type Nginx, startNginx } from "../support/nginx.ts";
import { tempDir } from "../support/temp-dir.ts";
import { NEVER, reasonOf, sourceAt } from "./https-fixture.ts";

// The shipped configuration of nginx, as somebody sees it who writes octets to it.

const cleanup = new Cleanup();
let authority: CertificateAuthority;
let enclave: CertificateFiles;
let sender: CertificateFiles;
let other: CertificateFiles;
let nginx: Nginx;
let logSocket: string;
const SECRET = "not for anybody";

beforeAll(async () => {
  authority = await makeAuthority(cleanup, { algorithm: "ed25519" });
  enclave = await authority.issue({ commonName: "enclave", usage: "client" });
  sender = await authority.issue({ commonName: "log", usage: "client" });
  other = await authority.issue({ commonName: "somebody else", usage: "client" });
  logSocket = join(await tempDir(cleanup), "log.socket");
  nginx = await startNginx(cleanup, {
    authority,
    enclaves: ["CN=enclave", "CN=enclave-2"],
    logSenders: ["CN=log"],
    logSocket,
    user: "root", // of the log's socket, which is the test's
  });
  await writeFile(join(nginx.outbox, "notification"), "work\n");
  await writeFile(join(nginx.folder, "secret"), SECRET);
  await mkdir(join(nginx.folder, "requests"));
  await writeFile(join(nginx.folder, "requests", "last"), SECRET);
});
afterAll(() => cleanup.run());

/** What nginx answers to these octets over one connection, until it ends that; "" where it says nothing. */
function say(
  octets: string,
  certificate: CertificateFiles | "none" = enclave,
  tls: ConnectionOptions = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: "127.0.0.1",
      port: nginx.port,
      ca: readFileSync(authority.caFile),
      ...(certificate === "none"
        ? {}
        : { cert: readFileSync(certificate.certificateFile), key: readFileSync(certificate.keyFile) }),
      ...tls,
    });
    let said = "";
    socket.on("data", (data) => {
      said += data.toString("latin1");
    });
    socket.on("secureConnect", () => socket.write(octets, "latin1"));
    socket.on("error", reject);
    socket.on("close", () => resolve(said));
  });
}

/** The status of the answer to a request of this line and these headers. */
async function ask(
  line: string,
  headers: readonly string[] = [],
  as: CertificateFiles | "none" = enclave,
  body = "",
): Promise<number> {
  const length = body === "" ? [] : [`Content-Length: ${body.length}`];
  const head = [`${line} HTTP/1.1`, "Host: localhost", "Connection: close", ...length, ...headers, "", body];
  const said = await say(head.join("\r\n"), as);
  expect(said).not.toContain(SECRET);
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(said)?.[1]);
}

function digest(): string {
  return randomBytes(32).toString("hex");
}

const NONCE = "0123456789abcdef";

/** An answer that is uploaded, and not yet moved: its path but for what follows SHA256.SEQ. */
async function uploaded(content = "x"): Promise<string> {
  const path = `/signer/inbox/${digest()}.1`;
  expect(await ask(`PUT ${path}.${NONCE}.part`, [], enclave, content)).toBe(201);
  return path;
}

function move(
  path: string,
  destination: string | undefined,
  overwrite: string | undefined = "F",
  as = enclave,
) {
  return ask(
    `MOVE ${path}.${NONCE}.part`,
    [
      ...(destination === undefined ? [] : [`Destination: ${destination}`]),
      ...(overwrite === undefined ? [] : [`Overwrite: ${overwrite}`]),
    ],
    as,
  );
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return (await readdir(folder)).toSorted();
}

describe("who is let in", () => {
  const notification = "GET /signer/outbox/notification";

  it("is a signing host by its certificate's name, one of several", async () => {
    expect(await ask(notification)).toBe(200);
    expect(await ask(notification, [], await authority.issue({ commonName: "enclave-2" }))).toBe(200);
  });

  it("is nobody without a certificate of the CA, with a revoked one, or one past its date", async () => {
    expect(await ask(notification, [], "none")).toBe(400);
    expect(
      await say("GET /signer/outbox/notification HTTP/1.1\r\nHost: localhost\r\n\r\n", "none"),
    ).not.toContain("work");
    const stranger = await makeAuthority(cleanup, { algorithm: "ed25519" });
    expect(await ask(notification, [], await stranger.issue({ commonName: "enclave" }))).toBe(400);
    expect(
      await ask(notification, [], await authority.issue({ commonName: "enclave", expiredDays: 1 })),
    ).toBe(400);
    expect(
      await ask(notification, [], await authority.issue({ commonName: "enclave", validInDays: 1 })),
    ).toBe(400);
    expect(
      await ask(notification, [], await authority.issue({ commonName: "enclave", usage: "server" })),
    ).toBe(400);
    const revoked = await authority.issue({ commonName: "enclave" });
    expect(await ask(notification, [], revoked)).toBe(200);
    await authority.revoke(revoked);
    await nginx.reload();
    expect(await ask(notification, [], revoked)).toBe(400);
  });

  it("is nobody whose certificate has another name, whatever it asks for", async () => {
    const path = await uploaded();
    for (const as of [other, sender, await authority.issue({ commonName: "enclave/CN=enclave" })]) {
      expect(await ask(notification, [], as)).toBe(403);
      expect(await ask(`HEAD ${path}.sig`, [], as)).toBe(403);
      expect(await ask(`PUT ${path}.${NONCE}.part`, [], as, "y")).toBe(403);
      expect(await move(path, `${path}.sig`, "F", as)).toBe(403);
    }
    expect(await readFile(join(nginx.inbox, `${path.slice(14)}.${NONCE}.part`), "latin1")).toBe("x");
  });

  it.each([
    ["TLS 1.2", { maxVersion: "TLSv1.2" }],
    ["another cipher", { ciphers: "TLS_AES_128_GCM_SHA256" }],
    ["another key exchange", { ecdhCurve: "P-256:P-384" }],
    ["another kind of signature", { sigalgs: "ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256" }],
  ] as const)("is nobody with %s", async (_, tls) => {
    await expect(say("GET / HTTP/1.1\r\n\r\n", enclave, tls)).rejects.toThrow(/alert/i);
  });

  it("shows a certificate with an Ed25519 or Ed448 key", async () => {
    const rsa = await authority.issue({ commonName: "enclave", algorithm: "rsa" });
    await expect(ask(notification, [], rsa)).resolves.toBe(400);
  });

  it("is shown a certificate with an Ed25519 or Ed448 key, or none", async () => {
    const rsa = await authority.issue({ algorithm: "rsa", usage: "server" });
    const wrong = await startNginx(cleanup, { authority, certificate: rsa });
    await expect(say("GET / HTTP/1.1\r\n\r\n", enclave, { port: wrong.port })).rejects.toThrow(/alert/i);
  });

  it("gets nothing that a later connection could go on from", async () => {
    const sessions: Buffer[] = [];
    await new Promise<void>((resolve, reject) => {
      const socket = connect({
        host: "127.0.0.1",
        port: nginx.port,
        ca: readFileSync(authority.caFile),
        cert: readFileSync(enclave.certificateFile),
        key: readFileSync(enclave.keyFile),
      });
      socket.on("session", (session) => sessions.push(session));
      socket.on("secureConnect", () =>
        socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
      );
      socket
        .on("error", reject)
        .on("close", () => resolve())
        .resume();
    });
    for (const session of sessions) {
      const resumed = await new Promise<boolean>((resolve, reject) => {
        const socket = connect({
          host: "127.0.0.1",
          port: nginx.port,
          ca: readFileSync(authority.caFile),
          session,
        });
        socket.on("secureConnect", () => {
          resolve(socket.isSessionReused());
          socket.destroy();
        });
        socket.on("error", reject);
      });
      expect(resumed).toBe(false);
    }
  });
});

describe("of the outbox", () => {
  it("the notification and files by their digest can be read, and nothing else", async () => {
    const sha256 = digest();
    await writeFile(join(nginx.outbox, sha256), "content");
    await writeFile(join(nginx.outbox, "other"), SECRET);
    await mkdir(join(nginx.outbox, digest()));
    expect(await ask(`GET /signer/outbox/${sha256}`)).toBe(200);
    expect(await ask(`HEAD /signer/outbox/${sha256}`)).toBe(200);
    for (const path of [
      "",
      "other",
      "notification/",
      "notification?x",
      "notification#x",
      "%6eotification",
      "./notification",
      "../outbox/notification",
      "/notification",
      "../secret",
      "..%2fsecret",
      "%2e%2e/secret",
      "%2e%2e%2fsecret",
      "..\\secret",
      "....//secret",
      "../requests/last",
      `${sha256}/../../secret`,
      `${sha256}%00`,
      `${sha256}%0a`,
      `${sha256.toUpperCase()}`,
      `${sha256}0`,
      sha256.slice(1),
    ])
      expect([path, [400, 403, 404].includes(await ask(`GET /signer/outbox/${path}`))]).toEqual([path, true]);
  });

  it("nothing behind a symbolic link can be read", async () => {
    const [file, folder] = [digest(), digest()];
    await symlink(join(nginx.folder, "secret"), join(nginx.outbox, file));
    await symlink(nginx.folder, join(nginx.outbox, folder));
    expect(await ask(`GET /signer/outbox/${file}`)).toBe(403);
    expect(await ask(`GET /signer/outbox/${folder}/secret`)).toBe(403);
    await symlink(join(nginx.folder, "secret"), join(nginx.inbox, `${file}.1.sig`));
    expect(await ask(`GET /signer/inbox/${file}.1.sig`)).toBe(403);
  });

  it.each([
    "PUT",
    "POST",
    "DELETE",
    "MKCOL",
    "COPY",
    "MOVE",
    "PROPFIND",
    "PROPPATCH",
    "LOCK",
    "OPTIONS",
    "TRACE",
    "PATCH",
    "get",
  ])("nothing can be had with %s", async (method) => {
    const sha256 = digest();
    const headers = [`Destination: /signer/outbox/${sha256}`, "Overwrite: F"];
    for (const name of ["notification", sha256])
      expect([400, 403, 405]).toContain(await ask(`${method} /signer/outbox/${name}`, headers, enclave, "x"));
    expect(await readFile(join(nginx.outbox, "notification"), "latin1")).toBe("work\n");
    expect(await namesIn(nginx.outbox)).not.toContain(sha256);
  });

  it("a part is one part, not two", async () => {
    const sha256 = digest();
    await writeFile(join(nginx.outbox, sha256), "0123456789");
    expect(await ask(`GET /signer/outbox/${sha256}`, ["Range: bytes=2-3"])).toBe(206);
    expect(await ask(`GET /signer/outbox/${sha256}`, ["Range: bytes=0-1,5-6"])).toBe(200);
  });
});

describe("into the inbox", () => {
  it("answers can be uploaded and moved to their place, and looked at", async () => {
    for (const kind of ["sig", "refused"]) {
      const path = await uploaded(kind);
      expect(await ask(`HEAD ${path}.${kind}`)).toBe(404);
      expect(await move(path, `${path}.${kind}`)).toBe(204);
      expect(await ask(`HEAD ${path}.${kind}`)).toBe(200);
      expect(await ask(`GET ${path}.${kind}`)).toBe(200);
    }
  });

  it("files come under names that are used once, and no others", async () => {
    const before = await namesIn(nginx.inbox);
    const sha256 = digest();
    for (const name of [
      `${sha256}.1.sig`,
      `${sha256}.1.refused`,
      `${sha256}.1.part`,
      `${sha256}.1.0123456789abcde.part`,
      `${sha256}.1.0123456789abcdef0.part`,
      `${sha256}.1.0123456789ABCDEF.part`,
      `${sha256}.01.${NONCE}.part`,
      `${sha256}.0.${NONCE}.part`,
      `${sha256}.12345678901234567.${NONCE}.part`,
      `${sha256}.1.${NONCE}.part/`,
      `${sha256}.1.${NONCE}.part?x`,
      `${sha256}.1.${NONCE}.par%74`,
      `x/../${sha256}.1.${NONCE}.part`,
      `../outbox/${sha256}`,
      `%2e%2e/${sha256}.1.${NONCE}.part`,
      "x",
      "",
    ])
      expect([
        name,
        [400, 403, 404].includes(await ask(`PUT /signer/inbox/${name}`, [], enclave, "x")),
      ]).toEqual([name, true]);
    expect(await namesIn(nginx.inbox)).toEqual(before);
  });

  it("go no larger ones than answers are, however their length is said", async () => {
    const path = `/signer/inbox/${digest()}.1`;
    expect(await ask(`PUT ${path}.${NONCE}.part`, [], enclave, "x".repeat(16_385))).toBe(413);
    const pieces = `${(16_385).toString(16)}\r\n${"x".repeat(16_385)}\r\n0\r\n\r\n`;
    const head = `PUT ${path}.${NONCE}.part HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n`;
    expect(await say(head + pieces)).toMatch(/^HTTP\/1\.1 413 /);
    expect((await namesIn(nginx.inbox)).join()).not.toContain(path.slice(14));
    expect(await ask(`PUT ${path}.${NONCE}.part`, [], enclave, "x".repeat(16_384))).toBe(201);
  });

  it("none moves to another name than its own, another folder, or another host", async () => {
    const path = await uploaded();
    const before = await namesIn(nginx.inbox);
    const moved = /^(?<digest>[0-9a-f]{64})\.1$/.exec(path.slice(14))?.groups?.["digest"] ?? "";
    for (const destination of [
      `/signer/inbox/${digest()}.1.sig`,
      `/signer/inbox/${moved}.2.sig`,
      `/signer/inbox/${moved}.11.sig`,
      `${path}.sig.sig`,
      `${path}.sig/`,
      `${path}.sig?x`,
      `${path}.part`,
      `${path}.fedcba9876543210.part`,
      `${path}.SIG`,
      `${path}.si%67`,
      `//signer/inbox/${moved}.1.sig`,
      `/signer/inbox/../inbox/${moved}.1.sig`,
      `/signer/inbox/../outbox/${moved}`,
      `/signer/outbox/notification`,
      `/signer/outbox/${moved}`,
      `/x`,
      `x`,
      `${path.slice(1)}.sig`,
      `https://localhost${path}.sig`,
      `https://localhost/signer/outbox/notification`,
      `https://other.example.org${path}.sig`,
      `http://localhost${path}.sig`,
      `${path}.sig, ${path}.refused`,
      `${path}.sig x`,
      undefined,
    ])
      expect([destination, await move(path, destination)]).toEqual([destination, 403]);
    expect(await namesIn(nginx.inbox)).toEqual(before);
    expect(await readFile(join(nginx.outbox, "notification"), "latin1")).toBe("work\n");
  });

  it("none moves where two destinations are named", async () => {
    const path = await uploaded();
    const headers = ["Overwrite: F", "Destination: /signer/outbox/notification", `Destination: ${path}.sig`];
    expect([400, 403]).toContain(await ask(`MOVE ${path}.${NONCE}.part`, headers));
    const turned = ["Overwrite: F", `Destination: ${path}.sig`, "Destination: /signer/outbox/notification"];
    await ask(`MOVE ${path}.${NONCE}.part`, turned);
    expect(await readFile(join(nginx.outbox, "notification"), "latin1")).toBe("work\n");
  });

  it("none moves that may overwrite", async () => {
    const path = await uploaded();
    for (const overwrite of ["T", "f", "F ,T", "", "FF"])
      expect([overwrite, await move(path, `${path}.sig`, overwrite)]).toEqual([overwrite, 403]);
    const head = `MOVE ${path}.${NONCE}.part HTTP/1.1\r\nHost: x\r\nConnection: close\r\nDestination: ${path}.sig\r\n`;
    expect(await say(`${head}\r\n`)).toMatch(/^HTTP\/1\.1 403 /);
    await say(`${head}Overwrite: F\r\nOverwrite: T\r\n\r\n`);
    await say(`${head}Overwrite: T\r\nOverwrite: F\r\n\r\n`);
    const present = (await namesIn(nginx.inbox)).filter((name) => name.startsWith(path.slice(14)));
    expect(present.length).toBe(1);
  });

  it("the first answer stays, also against one of the other kind, and against a copy of itself", async () => {
    const path = await uploaded("first");
    expect(await move(path, `${path}.sig`)).toBe(204);
    expect(await ask(`PUT ${path}.${NONCE}.part`, [], enclave, "second")).toBe(201);
    expect(await move(path, `${path}.sig`)).toBe(412);
    expect(await move(path, `${path}.refused`)).toBe(412);
    expect(await ask(`PUT ${path}.sig`, [], enclave, "third")).toBe(403);
    expect(await ask(`COPY ${path}.${NONCE}.part`, [`Destination: ${path}.sig`, "Overwrite: F"])).toBe(403);
    expect(await readFile(join(nginx.inbox, `${path.slice(14)}.sig`), "latin1")).toBe("first");
  });

  it.each(["DELETE", "COPY", "MKCOL", "PROPFIND", "POST", "OPTIONS", "LOCK"])(
    "nothing is done by %s",
    async (method) => {
      const path = await uploaded();
      await move(path, `${path}.sig`);
      const before = await namesIn(nginx.inbox);
      const headers = [`Destination: ${path}.refused`, "Overwrite: F"];
      for (const target of [
        `${path}.sig`,
        `${path}.${NONCE}.part`,
        "/signer/inbox/",
        `/signer/inbox/${digest()}/`,
      ])
        expect([403, 405]).toContain(await ask(`${method} ${target}`, headers));
      expect(await namesIn(nginx.inbox)).toEqual(before);
    },
  );

  it("nothing is listed, and uploads on their way cannot be read", async () => {
    const path = await uploaded();
    expect(await ask(`GET ${path}.${NONCE}.part`)).toBe(403);
    expect(await ask(`HEAD ${path}.${NONCE}.part`)).toBe(403);
    for (const folder of ["/signer/inbox/", "/signer/inbox", "/signer/outbox/", "/signer/", "/signer", "/"])
      expect([folder, [301, 403, 404].includes(await ask(`GET ${folder}`))]).toEqual([folder, true]);
  });

  it("what comes can be read by other accounts", async () => {
    const path = await uploaded();
    const { mode } = await stat(join(nginx.inbox, `${path.slice(14)}.${NONCE}.part`));
    expect(mode & 0o777).toBe(0o644);
  });
});

describe("a request", () => {
  it.each(["GET /signer/outbox/notification\r\n", "GET /signer/outbox/notification HTTP/1.0\r\n\r\n"])(
    "in an older protocol, %j, gets nothing",
    async (octets) => {
      expect(await say(octets)).not.toContain("work");
    },
  );

  it("with a whole address for its path is one for that path, and for no other", async () => {
    expect(await ask("GET https://other.example.org/signer/outbox/notification")).toBe(200);
    expect(await ask("GET https://localhost/signer/outbox/../secret")).toBe(404);
    expect([400, 404]).toContain(await ask("GET https://localhost/signer/outbox/../../secret"));
  });

  it("whose host is another one moves nothing to there", async () => {
    const path = await uploaded();
    const head = `MOVE ${path}.${NONCE}.part HTTP/1.1\r\nHost: other.example.org\r\nConnection: close\r\nOverwrite: F\r\n`;
    expect(await say(`${head}Destination: https://other.example.org${path}.sig\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 403 /,
    );
    expect(await say(`${head}Destination: ${path}.sig\r\n\r\n`)).toMatch(/^HTTP\/1\.1 204 /);
  });

  it("with a longer line or header than any of ours is not read", async () => {
    expect(await ask(`GET /signer/${"x".repeat(2000)}`)).toBe(414);
    expect(await ask("GET /signer/outbox/notification", [`X: ${"x".repeat(2000)}`])).toBe(400);
  });

  it("for anything else, encoded or not, gets nothing", async () => {
    for (const path of [
      "/",
      "/signer/secret",
      "/signer/outbox",
      "/secret",
      "/outbox/notification",
      "/signer/log/",
    ])
      expect([path, await ask(`GET ${path}`)]).toEqual([path, 404]);
  });

  it("of a certificate that has sixteen under way already waits for none of them", async () => {
    const busy = await authority.issue({ commonName: "enclave-2" });
    const sockets = await Promise.all(
      Array.from({ length: 16 }, async () => {
        const socket = connect({
          host: "127.0.0.1",
          port: nginx.port,
          ca: readFileSync(authority.caFile),
          cert: readFileSync(busy.certificateFile),
          key: readFileSync(busy.keyFile),
        });
        cleanup.add(() => socket.destroy());
        socket.on("error", () => undefined);
        await once(socket, "secureConnect");
        const part = `/signer/inbox/${digest()}.1.${NONCE}.part`;
        socket.write(`PUT ${part} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n`);
        await once(socket, "data"); // it is at work
        return socket;
      }),
    );
    expect(await ask("GET /signer/outbox/notification", [], busy)).toBe(503);
    expect(await ask("GET /signer/outbox/notification", [], enclave)).toBe(200);
    for (const socket of sockets) socket.destroy();
    await expect.poll(() => ask("GET /signer/outbox/notification", [], busy)).toBe(200);
  });

  it("says neither nginx's version nor a name of this machine", async () => {
    const said = await say("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    expect(said).toMatch(/^Server: nginx\r$/m);
  });
});

describe("the log's connection", () => {
  const UPGRADE = ["Connection: upgrade", "Upgrade: signer-log/1"];

  it("is for the senders' certificates, and goes to the socket with their name", async () => {
    const heads: string[] = [];
    const receiver = createServer((socket) => {
      socket.on("error", () => undefined);
      socket.on("data", (data) => {
        const text = data.toString("latin1");
        if (heads.push(text) > 1) socket.end(`you said ${text}`);
        else
          socket.write(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: signer-log/1\r\n\r\n",
          );
      });
    });
    await new Promise<void>((resolve) => receiver.listen(logSocket, resolve));
    cleanup.add(() => receiver.close());
    const said = await new Promise<string>((resolve, reject) => {
      const socket = connect({
        host: "127.0.0.1",
        port: nginx.port,
        ca: readFileSync(authority.caFile),
        cert: readFileSync(sender.certificateFile),
        key: readFileSync(sender.keyFile),
      });
      let text = "";
      socket.write(
        `GET /signer/log HTTP/1.1\r\nHost: x\r\n${UPGRADE.join("\r\n")}\r\nSigner-Certificate: CN=other\r\n\r\n`,
      );
      socket.on("data", (data) => {
        text += data.toString("latin1");
        if (text.endsWith("\r\n\r\n")) socket.write("hello");
      });
      socket.on("error", reject);
      socket.on("close", () => resolve(text));
    });
    expect(said).toMatch(/^HTTP\/1\.1 101 [\s\S]*\r\n\r\nyou said hello$/);
    expect(heads[0]?.match(/^Signer-Certificate: .*$/gim)).toEqual(["Signer-Certificate: CN=log"]);
    expect(heads[0]).toMatch(/^GET \/signer\/log HTTP\/1\.1\r$/m);
    expect(heads[0]).toMatch(/^Upgrade: signer-log\/1\r$/m);
  });

  it("is for nobody else, and for nothing else", async () => {
    expect(await ask("GET /signer/log", UPGRADE, enclave)).toBe(403);
    expect(await ask("GET /signer/log", UPGRADE, other)).toBe(403);
    expect(await ask("GET /signer/log", [], sender)).toBe(403);
    expect(await ask("GET /signer/log", ["Upgrade: websocket"], sender)).toBe(403);
    expect(await ask("POST /signer/log", UPGRADE, sender, "x")).toBe(403);
    expect(await ask("GET /signer/log?x", UPGRADE, sender)).toBe(403);
  });
});

describe("the configuration", () => {
  it("is not open where the log's part is left out", async () => {
    const without = await startNginx(cleanup, { authority });
    const source = sourceAt(cleanup, without.url, { authority, certificate: enclave });
    expect(await source.notification(undefined, NEVER)).toEqual({ kind: "none" });
    await without.stop();
    expect(await reasonOf(source.notification(undefined, NEVER))).toBe("does not listen");
  });

  it("keeps two signing hosts with the same answer apart from one another's connections", async () => {
    const second = await authority.issue({ commonName: "enclave-2" });
    const path = await uploaded("from the first");
    expect(await move(path, `${path}.sig`)).toBe(204);
    expect(await ask(`PUT ${path}.fedcba9876543210.part`, [], second, "from the second")).toBe(201);
    const headers = [`Destination: ${path}.sig`, "Overwrite: F"];
    expect(await ask(`MOVE ${path}.fedcba9876543210.part`, headers, second)).toBe(412);
    expect(await readFile(join(nginx.inbox, `${path.slice(14)}.sig`), "latin1")).toBe("from the first");
  });
});
