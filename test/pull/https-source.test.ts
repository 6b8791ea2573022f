import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { copyFile, readdir, readFile, rename, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { answerName } from "../../src/exchange/answer.ts";
import type { HttpsSource } from "../../src/pull/https-source.ts";
import { type CertificateAuthority, type CertificateFiles, makeAuthority } from "../support/certificates.ts";
import { Cleanup } from "../support/cleanup.ts";
import { type Nginx, startNginx } from "../support/nginx.ts";
import { tempDir } from "../support/temp-dir.ts";
import { announced, bytesOf, NEVER, reasonOf, sourceAt, startWire } from "./https-fixture.ts";

// A real nginx with the shipped configuration is the repository server.

const cleanup = new Cleanup();
let authority: CertificateAuthority;
let certificate: CertificateFiles;
let nginx: Nginx;

beforeAll(async () => {
  authority = await makeAuthority(cleanup, { algorithm: "ed25519" });
  certificate = await authority.issue({ commonName: "enclave", usage: "client" });
  nginx = await startNginx(cleanup, { authority });
});
afterAll(() => cleanup.run());

/** A signing host's connection to the nginx of all tests, or to another one. */
function source(settings: Parameters<typeof sourceAt>[3] = {}, server = nginx): HttpsSource {
  return sourceAt(cleanup, server.url, { authority, certificate }, settings);
}

/** A file of its own in the outbox, of `bytes` bytes. */
async function putFile(bytes: number) {
  const content = randomBytes(bytes);
  const file = announced(content);
  const path = join(nginx.outbox, file.sha256);
  await writeFile(path, content);
  return { content, file, path };
}

/** A request that nobody has answered yet. */
function request() {
  return announced(randomBytes(32), 3);
}

async function inboxOf(sha256: string): Promise<readonly (readonly [string, string])[]> {
  const names = (await readdir(nginx.inbox)).filter((name) => name.startsWith(sha256));
  return Promise.all(
    names.map(async (name) => [name.slice(65), await readFile(join(nginx.inbox, name), "latin1")] as const),
  );
}

describe("the notification", () => {
  it("is fetched when it is new, and costs a head when it is not, all over one connection", async () => {
    const before = (await nginx.requests()).length;
    const server = source();
    await rm(join(nginx.outbox, "notification"), { force: true });
    expect(server.address).toBeUndefined();
    expect(await server.notification(undefined, NEVER)).toEqual({ kind: "none" });
    expect(server.address).toBe("127.0.0.1");

    await writeFile(join(nginx.outbox, "notification"), "one\n");
    const first = await server.notification(undefined, NEVER);
    expect(first).toEqual({ kind: "document", document: Buffer.from("one\n"), etag: expect.any(String) });
    const etag = first.kind === "document" ? first.etag : undefined;
    expect(await server.notification(etag, NEVER)).toEqual({ kind: "unchanged" });
    expect(await server.notification(etag, NEVER)).toEqual({ kind: "unchanged" });

    await writeFile(join(nginx.outbox, "notification"), "another\n");
    expect(await server.notification(etag, NEVER)).toMatchObject({ document: Buffer.from("another\n") });

    const asked = (await nginx.requests()).slice(before);
    expect(asked.map(({ status }) => status)).toEqual([404, 200, 304, 304, 200]);
    expect(new Set(asked.map(({ connection }) => connection)).size).toBe(1);
    const unchanged = asked[2];
    expect(unchanged?.received).toBeLessThan(110);
    expect(unchanged?.sent).toBeLessThan(190);
  });

  it("is asked for again over a new connection where nginx has given up the kept one", async () => {
    const server = source();
    await server.notification(undefined, NEVER);
    await nginx.reload();
    await expect(server.notification(undefined, NEVER)).resolves.toBeDefined();
  });

  it("is there again when nginx is", async () => {
    const other = await startNginx(cleanup, { authority });
    const server = source({}, other);
    expect(await server.notification(undefined, NEVER)).toEqual({ kind: "none" });
    await other.stop();
    expect(await reasonOf(server.notification(undefined, NEVER))).toBe("does not listen");
    await other.start();
    expect(await server.notification(undefined, NEVER)).toEqual({ kind: "none" });
  });
});

describe("a file of the outbox", () => {
  it("comes whole, also one that is larger than any buffer", async () => {
    const { content, file } = await putFile(3_000_000);
    expect((await bytesOf(source().download(file, 0, NEVER))).equals(content)).toBe(true);
  });

  it("comes from where it was broken off, and only the rest does", async () => {
    const { content, file } = await putFile(3_000_000);
    const server = source();
    const first: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of server.download(file, 0, NEVER)) {
      first.push(chunk);
      bytes += chunk.byteLength;
      if (bytes > 100_000) break;
    }
    const rest = await bytesOf(server.download(file, bytes, NEVER));
    expect(Buffer.concat([...first, rest]).equals(content)).toBe(true);
    const last = (await nginx.requests()).at(-1);
    expect(last).toMatchObject({ status: 206, range: `bytes=${bytes}-` });
    expect((await bytesOf(server.download(file, file.size - 1, NEVER))).equals(content.subarray(-1))).toBe(
      true,
    );
  });

  it("comes from the middle also where this process knows nothing of the beginning", async () => {
    const { content, file } = await putFile(10_000);
    const rest = await bytesOf(source().download(file, 4000, NEVER));
    expect(rest.equals(content.subarray(4000))).toBe(true);
  });

  it("that was replaced meanwhile is a Fault, and not bytes of two versions", async () => {
    const { file, path } = await putFile(1_000_000);
    const server = source();
    for await (const chunk of server.download(file, 0, NEVER)) if (chunk.byteLength > 0) break;
    await writeFile(`${path}.new`, randomBytes(1_000_000));
    await utimes(`${path}.new`, 1, 1); // in another second: nginx's versions are times and sizes
    await rename(`${path}.new`, path);
    expect(await reasonOf(bytesOf(server.download(file, 1000, NEVER)))).toBe(
      "has another file than it announced: it sends all of it, asked for the rest",
    );
    // Then it is asked for as if nothing were known: the digest has the last word.
    expect(await bytesOf(server.download(file, 1000, NEVER))).toHaveLength(999_000);
  });

  it("of another size than announced is a Fault before the first byte", async () => {
    const { file } = await putFile(1000);
    for (const size of [999, 1001]) {
      const wrong = { ...file, size };
      const another = /^has another file than it announced: /;
      expect(await reasonOf(bytesOf(source().download(wrong, 0, NEVER)))).toMatch(another);
      expect(await reasonOf(bytesOf(source().download(wrong, 500, NEVER)))).toMatch(another);
    }
    expect(await reasonOf(bytesOf(source().download({ ...file, size: 5000 }, 4000, NEVER)))).toBe(
      "has another file than it announced: it ends before what was asked for",
    );
  });

  it("that is not there says so", async () => {
    const reason = await reasonOf(bytesOf(source().download(request(), 0, NEVER)));
    expect(reason).toBe("does not have the file that it announced: it is withdrawn, or was never there");
  });

  it("is never asked for from behind its end", async () => {
    const file = request();
    for (const from of [file.size, -1, 1.5])
      await expect(bytesOf(source().download(file, from, NEVER))).rejects.toThrow(RangeError);
  });

  it("can be fetched while the notification is asked for", async () => {
    const { content, file } = await putFile(500_000);
    const server = source();
    const all: Uint8Array[] = [];
    for await (const chunk of server.download(file, 0, NEVER)) {
      if (all.length === 0) await server.notification(undefined, NEVER);
      all.push(chunk);
    }
    expect(Buffer.concat(all).equals(content)).toBe(true);
  });
});

describe("an answer", () => {
  it("is uploaded under a name of its own, and moved to its place", async () => {
    const server = source();
    const asked = request();
    expect(await server.answered(asked, NEVER)).toBeUndefined();
    expect(await server.upload(asked, "sig", Buffer.from("signature"), NEVER)).toBe("uploaded");
    expect(await server.answered(asked, NEVER)).toBe("sig");
    expect(await inboxOf(asked.sha256)).toEqual([["3.sig", "signature"]]);
    expect((await nginx.requests()).slice(-5).map(({ method }) => method)).toEqual([
      "HEAD",
      "HEAD",
      "PUT",
      "MOVE",
      "HEAD",
    ]);
  });

  it("can be no longer than an answer is", async () => {
    const server = source();
    expect(await server.upload(request(), "refused", Buffer.alloc(16_384, 120), NEVER)).toBe("uploaded");
    await expect(server.upload(request(), "sig", Buffer.alloc(16_385), NEVER)).rejects.toThrow(RangeError);
  });

  it("never replaces the one that is there, of whichever kind", async () => {
    const [one, other] = [source(), source()];
    const asked = request();
    expect(await one.upload(asked, "refused", Buffer.from("first"), NEVER)).toBe("uploaded");
    expect(await other.upload(asked, "refused", Buffer.from("second"), NEVER)).toBe("taken");
    expect(await other.upload(asked, "sig", Buffer.from("third"), NEVER)).toBe("taken");
    expect(await one.answered(asked, NEVER)).toBe("refused");
    const answers = (await inboxOf(asked.sha256)).filter(([name]) => !name.endsWith(".part"));
    expect(answers).toEqual([["3.refused", "first"]]);
  });

  it("of one of many that come at once is the one that stays, also where nginx has several workers", async () => {
    const busy = await startNginx(cleanup, { authority, workers: 4 });
    const sources = Array.from({ length: 8 }, () => source({}, busy));
    for (let round = 0; round < 20; round += 1) {
      const asked = request();
      const outcomes = await Promise.all(
        sources.map((each, index) => each.upload(asked, "sig", Buffer.from(`answer ${index}`), NEVER)),
      );
      expect(outcomes.filter((outcome) => outcome === "uploaded")).toHaveLength(1);
      const content = await readFile(join(busy.inbox, answerName(asked, "sig")), "latin1");
      expect(content).toBe(`answer ${outcomes.indexOf("uploaded")}`);
    }
  });

  it.each([
    { when: "after the PUT", isCut: (name: string) => name.endsWith(".part"), answered: undefined },
    { when: "after the MOVE", isCut: (name: string) => name.endsWith(".sig"), answered: "sig" },
  ])("whose connection was lost $when is asked for, and comes out right", async ({ isCut, answered }) => {
    const asked = request();
    let isWhole = false;
    const names = () => readdirSync(nginx.inbox).filter((name) => name.startsWith(asked.sha256));
    const wire = await startWire(cleanup, nginx.port, () => !isWhole && names().some(isCut));
    const url = `https://127.0.0.1:${wire.port}/signer`;
    const server = sourceAt(cleanup, url, { authority, certificate });
    expect(await reasonOf(server.upload(asked, "sig", Buffer.from("mine"), NEVER))).toBe(
      "closed the connection",
    );
    isWhole = true;
    expect(await server.answered(asked, NEVER)).toBe(answered);
    const again = await server.upload(asked, "sig", Buffer.from("mine"), NEVER);
    expect(again).toBe(answered === undefined ? "uploaded" : "taken");
    expect(await inboxOf(asked.sha256)).toContainEqual(["3.sig", "mine"]);
  });

  it("that nginx cannot write says where to look", async () => {
    const other = await startNginx(cleanup, { authority });
    await rm(other.inbox, { recursive: true });
    const reason = await reasonOf(source({}, other).upload(request(), "sig", Buffer.from("x"), NEVER));
    expect(reason).toBe(
      "answers 500: nginx cannot write into the inbox, or the disk is full; its error log says why",
    );
  });
});

describe("certificates", () => {
  it("of both sides can be renewed without a restart", async () => {
    const folder = await tempDir(cleanup);
    const files = { certificateFile: join(folder, "own.pem"), keyFile: join(folder, "own.key") };
    const put = (from: CertificateFiles) =>
      Promise.all([
        copyFile(from.certificateFile, files.certificateFile),
        copyFile(from.keyFile, files.keyFile),
      ]);
    const first = await authority.issue({ commonName: "enclave" });
    await put(first);
    const server = source(files);
    await server.notification(undefined, NEVER);
    await put(await authority.issue({ commonName: "enclave" }));
    await server.notification(undefined, NEVER); // over the kept connection, with the first
    await authority.revoke(first);
    await nginx.reload();
    await server.notification(undefined, NEVER);
  });

  it.each(["ed25519", "ed448"] as const)(
    "of an authority with %s are good for both sides",
    async (algorithm) => {
      const other = await makeAuthority(cleanup, { algorithm });
      const server = await startNginx(cleanup, { authority: other });
      const own = await other.issue({ commonName: "enclave", usage: "client" });
      const there = sourceAt(cleanup, server.url, { authority: other, certificate: own });
      expect(await there.notification(undefined, NEVER)).toEqual({ kind: "none" });
    },
  );

  it.each([
    {
      title: "that has expired",
      issue: { expiredDays: 1 },
      says: /^shows a certificate that has expired, by this host's clock \(2/,
    },
    {
      title: "that is not valid yet",
      issue: { validInDays: 1 },
      says: /^shows a certificate that is not valid yet, by this host's clock \(2/,
    },
    {
      title: "for another name",
      issue: { altName: "DNS:other.example.org" },
      says: /^shows a certificate for another name$/,
    },
    {
      title: "that is the signing host's",
      issue: { usage: "client" as const },
      says: /^shows a certificate that is not for servers$/,
    },
    {
      title: "with a P-256 key",
      issue: { algorithm: "p256" as const },
      says: /^refuses the handshake: it has no Ed25519 or Ed448 certificate/,
    },
    {
      title: "with an RSA key",
      issue: { algorithm: "rsa" as const },
      says: /^refuses the handshake: it has no Ed25519 or Ed448 certificate/,
    },
  ])("of a server $title are not accepted", async ({ issue, says }) => {
    const other = await startNginx(cleanup, { authority, certificate: await authority.issue(issue) });
    expect(await reasonOf(source({}, other).notification(undefined, NEVER))).toMatch(says);
    expect(await other.requests()).toEqual([]);
  });

  it("of a server that are revoked are not accepted", async () => {
    const shown = await authority.issue();
    const other = await startNginx(cleanup, { authority, certificate: shown });
    const server = source({}, other);
    await server.notification(undefined, NEVER);
    server.close();
    await authority.revoke(shown);
    const reason = await reasonOf(server.notification(undefined, NEVER));
    expect(reason).toBe(`shows a certificate that is revoked (${authority.crlFile})`);
  });

  it("of another authority are not accepted", async () => {
    const stranger = await makeAuthority(cleanup, { algorithm: "ed25519" });
    const reason = await reasonOf(
      source({ caFile: stranger.caFile, crlFile: undefined }).notification(undefined, NEVER),
    );
    expect(reason).toBe(`shows a certificate that none in ${stranger.caFile} vouches for`);
  });

  it("are not accepted while the list of revoked ones is past its date", async () => {
    const other = await makeAuthority(cleanup, { algorithm: "ed25519" });
    const server = await startNginx(cleanup, { authority: other });
    const own = await other.issue({ commonName: "enclave" });
    await other.outdateList(1);
    const there = sourceAt(cleanup, server.url, { authority: other, certificate: own });
    expect(await reasonOf(there.notification(undefined, NEVER))).toMatch(
      /^cannot be trusted: the list of revoked certificates \S+ is past its date, by this host's clock \(2/,
    );
  });

  it("of this host that nginx does not accept are a Fault that says what to look at", async () => {
    const asked = async (own: CertificateFiles) =>
      reasonOf(sourceAt(cleanup, nginx.url, { authority, certificate: own }).notification(undefined, NEVER));
    const refused = "does not accept this host's certificate (400)";

    const expired = await authority.issue({ commonName: "enclave", expiredDays: 1 });
    expect(await asked(expired)).toMatch(
      /^does not accept this host's certificate \(400\): \S+ expired at 2/,
    );
    const early = await authority.issue({ commonName: "enclave", validInDays: 1 });
    expect(await asked(early)).toMatch(/\(400\): \S+ is valid from 2\S+, by this host's clock it is 2\S+Z$/);
    const revoked = await authority.issue({ commonName: "enclave" });
    await authority.revoke(revoked);
    await nginx.reload();
    expect(await asked(revoked)).toBe(
      `${refused}: it is revoked, of another CA, or not valid by the clock there; nginx's error log says which`,
    );
    const other = await makeAuthority(cleanup, { algorithm: "ed25519" });
    expect(await asked(await other.issue({ commonName: "enclave" }))).toContain(refused);
    expect(await asked(await authority.issue({ commonName: "other" }))).toBe(
      "answers 403: this host's certificate is not one of those that its configuration names, or nginx may not read the file",
    );
  });

  it("and keys that are none are a Fault that names the file", async () => {
    const folder = await tempDir(cleanup);
    await writeFile(join(folder, "empty"), "");
    const empty = join(folder, "empty");
    const asked = (settings: Parameters<typeof source>[0]) =>
      reasonOf(source(settings).notification(undefined, NEVER));
    expect(await asked({ caFile: empty })).toBe(`${empty} holds no certificate`);
    expect(await asked({ certificateFile: empty })).toBe(`${empty} holds no certificate`);
    expect(await asked({ keyFile: join(folder, "none") })).toBe(`${join(folder, "none")} cannot be read`);
    const { certificateFile } = await authority.issue();
    expect(await asked({ certificateFile })).toBe(
      `${certificate.keyFile} is not the key of ${certificateFile}`,
    );
    expect(await asked({ keyFile: empty })).toBe(`${empty} holds no private key without a passphrase`);
    const rsa = await authority.issue({ algorithm: "rsa" });
    expect(await asked(rsa)).toBe(`${rsa.keyFile} is a key of the type rsa, not Ed25519 or Ed448`);
    expect(await asked({ crlFile: empty })).toBe(`${empty} is no list of revoked certificates`);
  });
});

describe("a server", () => {
  it("that speaks TLS 1.2 at most is not talked to", async () => {
    const other = await startNginx(cleanup, {
      authority,
      edit: (site) =>
        site.replace("include signer/tls.conf;", "ssl_protocols TLSv1.2; ssl_verify_client on;"),
    });
    expect(await reasonOf(source({}, other).notification(undefined, NEVER))).toBe("does not speak TLS 1.3");
  });

  it.each([
    [
      "another cipher",
      /ssl_conf_command Ciphersuites .*;/,
      "ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;",
    ],
    ["another key exchange", /ssl_ecdh_curve .*;/, "ssl_ecdh_curve secp384r1;"],
  ])("that insists on %s is not talked to", async (_, from, to) => {
    const other = await startNginx(cleanup, {
      authority,
      edit: (site) => site.replace("include signer/tls.conf;", "include signer/other.conf;"),
      files: {
        "signer/other.conf": (await readFile("contrib/nginx/signer/tls.conf", "utf8")).replace(from, to),
      },
    });
    expect(await reasonOf(source({}, other).notification(undefined, NEVER))).toMatch(
      /^refuses the handshake: /,
    );
  });

  it("whose name is not known says so", async () => {
    const reason = await reasonOf(
      source({ url: "https://nowhere.invalid:8443/signer" }).notification(undefined, NEVER),
    );
    expect(reason).toMatch(/^has no address/);
  });

  it("without the path of the url says so for what is uploaded, and has no notification", async () => {
    const server = source({ url: `https://127.0.0.1:${nginx.port}` });
    expect(await server.notification(undefined, NEVER)).toEqual({ kind: "none" });
    expect(await reasonOf(server.upload(request(), "sig", Buffer.from("x"), NEVER))).toMatch(
      /^answers 404: /,
    );
  });
});
