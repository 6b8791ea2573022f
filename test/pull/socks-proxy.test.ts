import { createHook } from "node:async_hooks";
import { randomBytes } from "node:crypto";
import { lookup } from "node:dns/promises";
import { writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { HttpsSource } from "../../src/pull/https-source.ts";
import { type CertificateAuthority, type CertificateFiles, makeAuthority } from "../support/certificates.ts";
import { Cleanup } from "../support/cleanup.ts";
import { type Nginx, startNginx } from "../support/nginx.ts";
import { runOk } from "../support/run.ts";
import { type SocksProxy, startSocksProxy } from "../support/socks-proxy.ts";
import { announced, bytesOf, listen, NEVER, reasonOf, sourceAt } from "./https-fixture.ts";

// A real SOCKS5 server between the signing host and a real nginx; only the SOCKS5 server knows nginx's name.

const NAME = "repo.behind-the-proxy.test";

const cleanup = new Cleanup();
let authority: CertificateAuthority;
let certificate: CertificateFiles;
let nginx: Nginx;
let proxy: SocksProxy;

beforeAll(async () => {
  authority = await makeAuthority(cleanup, { algorithm: "ed25519" });
  certificate = await authority.issue({ commonName: "enclave", usage: "client" });
  const server = await authority.issue({ usage: "server", altName: `DNS:${NAME}` });
  nginx = await startNginx(cleanup, { authority, certificate: server });
  proxy = await startSocksProxy(cleanup, { hosts: `127.0.0.1 ${NAME} other.behind-the-proxy.test` });
});
afterAll(() => cleanup.run());

function sourceOver(settings: Parameters<typeof sourceAt>[3] = {}, host = NAME): HttpsSource {
  return sourceAt(
    cleanup,
    `https://${host}:${nginx.port}/signer`,
    { authority, certificate },
    { proxy: proxy.url, timeoutMs: 5000, ...settings },
  );
}

/** What this process asks of the system meanwhile: names looked up, connections begun. */
async function asked(work: () => Promise<unknown>): Promise<readonly string[]> {
  const seen: string[] = [];
  const hook = createHook({
    init: (_, type) => {
      if (/^(?:GETADDRINFO|GETNAMEINFO|QUERY|DNSCHANNEL|TCPCONNECT|UDP)/.test(type)) seen.push(type);
    },
  });
  hook.enable();
  try {
    await work();
  } finally {
    hook.disable();
  }
  return seen;
}

describe("through a SOCKS5 proxy", () => {
  it("everything goes, over one connection, and the proxy looks the name up", async () => {
    await expect(lookup(NAME)).rejects.toThrow();
    const content = randomBytes(2_000_000);
    const file = announced(content);
    await writeFile(join(nginx.outbox, file.sha256), content);
    await writeFile(join(nginx.outbox, "notification"), "work\n");
    const source = sourceOver();
    const before = (await nginx.requests()).length;
    const seen = await asked(async () => {
      expect(await source.notification(undefined, NEVER)).toMatchObject({ document: Buffer.from("work\n") });
      expect((await bytesOf(source.download(file, 0, NEVER))).equals(content)).toBe(true);
      expect(await source.answered(file, NEVER)).toBeUndefined();
      expect(await source.upload(file, "sig", Buffer.from("signature"), NEVER)).toBe("uploaded");
      expect(await source.answered(file, NEVER)).toBe("sig");
    });
    expect(seen).toEqual(["TCPCONNECTWRAP"]); // the proxy's
    expect(source.address).toBe("127.0.0.1");
    const requests = (await nginx.requests()).slice(before);
    expect(new Set(requests.map(({ connection }) => connection)).size).toBe(1);
    expect(proxy.said()).toContain(`connected to ${NAME}:${nginx.port}`);
  });

  it("the server has to be who it should be, just the same", async () => {
    const other = "other.behind-the-proxy.test";
    expect(await reasonOf(sourceOver({}, other).notification(undefined, NEVER))).toBe(
      "shows a certificate for another name",
    );
    const stranger = await makeAuthority(cleanup, { algorithm: "ed25519" });
    const unknown = sourceOver({ caFile: stranger.caFile, crlFile: undefined });
    expect(await reasonOf(unknown.notification(undefined, NEVER))).toMatch(
      /^shows a certificate that none in /,
    );
    const old = await startNginx(cleanup, {
      authority,
      certificate: await authority.issue({ altName: `DNS:${NAME}` }),
      edit: (site) =>
        site.replace("include signer/tls.conf;", "ssl_protocols TLSv1.2; ssl_verify_client on;"),
    });
    const source = sourceOver({ url: `https://${NAME}:${old.port}/signer` });
    expect(await reasonOf(source.notification(undefined, NEVER))).toBe("does not speak TLS 1.3");
  });

  it("a name that the proxy does not know, or where nobody listens, is a Fault that says so", async () => {
    const unknown = sourceOver({}, "nowhere.invalid");
    expect(await reasonOf(unknown.notification(undefined, NEVER))).toMatch(
      /^the proxy socks5h:\/\/127\.0\.0\.1:\d+ (?:finds no way to, or no address of,|could not connect to) nowhere\.invalid:\d+$/,
    );
    const nobody = sourceOver({ url: `https://${NAME}:1/signer` });
    expect(await reasonOf(nobody.notification(undefined, NEVER))).toBe(
      `the proxy ${proxy.url} says that nobody listens at ${NAME}:1`,
    );
  });

  it("a proxy that wants a password is a Fault that says so", async () => {
    const closed = await startSocksProxy(cleanup, { hosts: "", login: { user: "u", password: "p" } });
    expect(await reasonOf(sourceOver({ proxy: closed.url }).notification(undefined, NEVER))).toBe(
      `the proxy ${closed.url} asks for a user and a password`,
    );
  });

  it("a proxy that is gone is a Fault, and no reason to go without", async () => {
    const gone = await startSocksProxy(cleanup, { hosts: `127.0.0.1 ${NAME}` });
    await gone.stop();
    const seen = await asked(async () => {
      expect(await reasonOf(sourceOver({ proxy: gone.url }).notification(undefined, NEVER))).toBe(
        `the proxy ${gone.url} does not listen`,
      );
    });
    expect(seen).toEqual(["TCPCONNECTWRAP"]);
  });

  it("a proxy that goes away meanwhile is a Fault that says so", async () => {
    const first = await startSocksProxy(cleanup, { hosts: `127.0.0.1 ${NAME}` });
    const source = sourceOver({ proxy: first.url });
    await source.notification(undefined, NEVER);
    await first.stop();
    expect(await reasonOf(source.notification(undefined, NEVER))).toMatch(/does not listen$/);
  });

  it.each([
    ["that is a web server", (socket: Socket) => void socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")],
    ["that hangs up", (socket: Socket) => void socket.destroy()],
    [
      "that answers as SOCKS4 does",
      (socket: Socket) => void socket.end(Buffer.from("005a000000000000", "hex")),
    ],
  ])("a proxy %s is a Fault that says so", async (_, conduct) => {
    const { port } = await listen(
      cleanup,
      createServer((socket) => socket.once("data", () => conduct(socket))),
    );
    const url = `socks5h://127.0.0.1:${port}`;
    const reason = await reasonOf(sourceOver({ proxy: url }).notification(undefined, NEVER));
    expect(reason.replace(url, "URL")).toMatch(
      /^the proxy URL (?:does not answer as a SOCKS5 proxy|closed the connection)$/,
    );
  });

  it("a proxy that says nothing, or stops in the middle, is given up in time", async () => {
    for (const answers of [[], ["0500"], ["0500", "05000001"], ["0500", "05000001000000000000", ""]]) {
      const { port } = await listen(
        cleanup,
        createServer((socket) => {
          let questions = 0;
          socket.on("data", () => {
            const answer = answers[questions];
            questions += 1;
            if (answer !== undefined) socket.write(Buffer.from(answer, "hex"));
          });
        }),
      );
      const url = `socks5h://127.0.0.1:${port}`;
      const source = sourceOver({ proxy: url, timeoutMs: 200 });
      const late = "did not answer within 0.2 s"; // the last of them is through, to a server that says nothing
      expect(await reasonOf(source.notification(undefined, NEVER))).toBe(
        answers.length === 3 ? late : `the proxy ${url} ${late}`,
      );
    }
  });

  it("what a proxy sends behind its answer is no answer of the server", async () => {
    const { port } = await listen(
      cleanup,
      createServer((socket) => {
        let questions = 0;
        socket.on("data", () => {
          questions += 1;
          if (questions === 1) socket.write(Buffer.from("0500", "hex"));
          if (questions === 2)
            socket.write(
              Buffer.concat([
                Buffer.from("05000001000000000000", "hex"),
                Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nplanted"),
              ]),
            );
        });
      }),
    );
    const source = sourceOver({ proxy: `socks5h://127.0.0.1:${port}`, timeoutMs: 300 });
    expect(await reasonOf(source.notification(undefined, NEVER))).toMatch(
      /^(?:did not answer within 0\.3 s|does not speak TLS)$/,
    );
  });
});

describe("without a proxy", () => {
  it("the variables of an environment that names one count for nothing", async () => {
    const settings = {
      url: `https://127.0.0.1:${nginx.port}/signer`,
      caFile: authority.caFile,
      ...certificate,
      timeoutMs: 5000,
    };
    const script = `
      import { HttpsSource } from "./src/pull/https-source.ts";
      const source = new HttpsSource(${JSON.stringify(settings)});
      await source.notification(undefined, new AbortController().signal).catch(({ message }) => console.log(message));
    `;
    const proxied = {
      HTTPS_PROXY: "http://127.0.0.1:1",
      https_proxy: "http://127.0.0.1:1",
      NODE_USE_ENV_PROXY: "1",
    };
    const said = await runOk(process.execPath, ["--input-type=module", "-e", script], {
      env: { ...process.env, ...proxied },
    });
    expect(said.toString()).toMatch(/ shows a certificate for another name\n$/);
  });
});
