import { createPrivateKey, X509Certificate } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Authority } from "../../src/ca/authority.ts";
import { Openssl } from "../../src/ca/openssl.ts";
import { Cleanup } from "../support/cleanup.ts";
import { run, runOk } from "../support/run.ts";
import { tempDir } from "../support/temp-dir.ts";
import { DAY_MS, handshake, issueClient, issueServer, NOW, newAuthority } from "./fixture.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

/** openssl's own word about a certificate. */
async function textOf(file: string): Promise<string> {
  return (await runOk("openssl", ["x509", "-in", file, "-noout", "-text"])).toString();
}

async function verifies(authority: Authority, file: string, purpose: string): Promise<boolean> {
  const lists = ["-CAfile", authority.caFile, "-crl_check_all", "-CRLfile", authority.crlFile];
  return (await run("openssl", ["verify", ...lists, "-purpose", purpose, file])).status === 0;
}

async function revokedSerials({ crlFile }: Authority): Promise<readonly string[]> {
  const text = (await runOk("openssl", ["crl", "-in", crlFile, "-noout", "-text"])).toString();
  return [...text.matchAll(/Serial Number: ([0-9A-F]+)/g)].map(([, serial = ""]) => serial.toLowerCase());
}

async function contentsOf(directory: string): Promise<Readonly<Record<string, string>>> {
  const files = readdirSync(directory, { recursive: true, encoding: "utf8" }).toSorted();
  return Object.fromEntries(
    files
      .filter((file) => statSync(join(directory, file)).isFile())
      .map((file) => [file, readFileSync(join(directory, file), "latin1")]),
  );
}

describe.each(["ed448", "ed25519"] as const)("a CA with a key of %s", (algorithm) => {
  let authority: Authority;

  beforeAll(async () => {
    authority = await newAuthority(cleanup, { algorithm });
  });

  test("issues certificates of the same kind, each good for one use alone, also after openssl's own judgement", async () => {
    const server = issueServer(authority);
    const client = issueClient(authority);
    expect(await verifies(authority, server.certificateFile, "sslserver")).toBe(true);
    expect(await verifies(authority, server.certificateFile, "sslclient")).toBe(false);
    expect(await verifies(authority, client.certificateFile, "sslclient")).toBe(true);
    expect(await verifies(authority, client.certificateFile, "sslserver")).toBe(false);
    for (const file of [server.certificateFile, client.certificateFile]) {
      const { publicKey } = new X509Certificate(readFileSync(file));
      expect(publicKey.asymmetricKeyType).toBe(algorithm);
    }
  });

  test("says of itself and of them what they may do, and no more", async () => {
    const [ca, server, client] = await Promise.all(
      [authority.caFile, issueServer(authority).certificateFile, issueClient(authority).certificateFile].map(
        textOf,
      ),
    );
    expect(ca).toMatch(/Basic Constraints: critical\n +CA:TRUE, pathlen:0\n/);
    expect(ca).toMatch(/X509v3 Key Usage: critical\n +Certificate Sign, CRL Sign\n/);
    expect(ca).toContain("Subject Key Identifier");
    for (const leaf of [server, client]) {
      expect(leaf).toMatch(/Basic Constraints: critical\n +CA:FALSE\n/);
      expect(leaf).toMatch(/X509v3 Key Usage: critical\n +Digital Signature\n/);
      expect(leaf).toContain("Subject Key Identifier");
      expect(leaf).toContain("Authority Key Identifier");
    }
    expect(server).toMatch(/Extended Key Usage: \n +TLS Web Server Authentication\n/);
    expect(server).toMatch(/Alternative Name: \n +DNS:localhost, IP Address:127\.0\.0\.1\n/);
    expect(client).toMatch(/Extended Key Usage: \n +TLS Web Client Authentication\n/);
    expect(client).toContain("Subject: CN = enclave\n");
    expect(client).not.toContain("Alternative Name");
  });

  test("makes a mutual TLS connection possible with the restrictions of signer, each in its own place", async () => {
    const [server, client] = [issueServer(authority), issueClient(authority)];
    expect(await handshake(authority, server, client)).toEqual({ server: "ok", client: "ok" });
    expect((await handshake(authority, client, client)).client).toBe("INVALID_PURPOSE");
    expect((await handshake(authority, server, server)).server).toBe("INVALID_PURPOSE");
  });
});

describe("what it issues", () => {
  let authority: Authority;

  beforeAll(async () => {
    authority = await newAuthority(cleanup);
  });

  test("a certificate begins an hour ago, for clocks that are behind, and lasts as many days as were asked for", () => {
    const { from, until } = issueClient(authority, "enclave", 40);
    const second = (time: number) => Math.floor(time / 1000);
    expect(second(from.getTime())).toBe(second(NOW.getTime() - 3_600_000));
    expect(second(until.getTime())).toBe(second(NOW.getTime() + 40 * DAY_MS));
  });

  test("a serial number has 158 random bits", () => {
    const serials = Array.from({ length: 4 }, () => issueClient(authority).serial);
    expect(new Set(serials.map((serial) => serial.slice(-8))).size).toBe(4);
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9a-f]{39}$/);
  });

  test("everything is its owner's alone", () => {
    issueServer(authority);
    const all = readdirSync(authority.directory, { recursive: true, encoding: "utf8" });
    for (const name of [".", ...all]) {
      const { mode } = statSync(join(authority.directory, name));
      expect(mode & 0o077, name).toBe(0);
    }
  });

  test("a renewal leaves what was there as it is, the list of revoked ones excepted", async () => {
    issueServer(authority);
    const { "crl.pem": _, ...before } = await contentsOf(authority.directory);
    issueServer(authority);
    const { "crl.pem": __, ...after } = await contentsOf(authority.directory);
    expect(after).toMatchObject(before);
    expect(Object.keys(after)).toHaveLength(Object.keys(before).length + 2);
  });

  test("a certificate does not outlive the CA, and none comes from one that has ended", async () => {
    const short = await newAuthority(cleanup, { days: 20 });
    expect(issueClient(short, "enclave", 397).until).toEqual(short.until);
    const later = new Date(NOW.getTime() + 21 * DAY_MS);
    expect(() => issueClient(short, "enclave", 397, later)).toThrow("the CA has ended");
  });

  test("no two clients have the same name but for upper and lower case, which nginx takes for one", async () => {
    const authority = await newAuthority(cleanup, { algorithm: "ed25519" });
    issueClient(authority, "enclave");
    const before = readdirSync(authority.directory).toSorted();
    expect(() => issueClient(authority, "Enclave")).toThrow(
      expect.objectContaining({
        code: "bad-configuration",
        message: expect.stringMatching(/there is a client enclave, and nginx takes Enclave for it$/),
      }),
    );
    expect(readdirSync(authority.directory).toSorted()).toEqual(before);
    issueClient(authority, "enclave");
  });

  test("a folder with something in it does not become a CA", async () => {
    const before = await contentsOf(authority.directory);
    const create = (directory: string) =>
      Authority.create(directory, { name: "another", algorithm: "ed448", days: 1 }, Openssl.find(), NOW);
    expect(() => create(authority.directory)).toThrow("is there already, and nothing in it is overwritten");
    expect(await contentsOf(authority.directory)).toEqual(before);
    const folder = await tempDir(cleanup);
    expect(() => create(join(folder, "missing", "ca"))).toThrow("expected the folder");
    expect(create(folder).directory).toBe(folder);
    writeFileSync(`${folder}.file`, "");
    cleanup.add(() => rmSync(`${folder}.file`));
    expect(() => create(`${folder}.file`)).toThrow("cannot be used");
  });

  test("a folder's name may hold what means something to openssl, or to a shell", async () => {
    const directory = join(await tempDir(cleanup), "a $ENV::HOME #b\n[c] 'd' \\e");
    const odd = Authority.create(
      directory,
      { name: "odd", algorithm: "ed448", days: 10 },
      Openssl.find(),
      NOW,
    );
    const server = issueServer(odd);
    odd.revoke(issueClient(odd), NOW);
    expect(await handshake(odd, server, issueClient(odd))).toEqual({ server: "ok", client: "ok" });
  });

  test("what lies in the folder and is not this CA's stops it; what is not meant for it does not", async () => {
    const own = await newAuthority(cleanup);
    const issued = issueClient(own);
    mkdirSync(join(own.directory, "notes"));
    writeFileSync(join(own.directory, "README"), "");
    expect(own.certificates()).toEqual([issued]);
    const foreign = issueClient(await newAuthority(cleanup), "stranger");
    const folder = `stranger-${foreign.serial.slice(0, 8)}`;
    cpSync(join(foreign.certificateFile, ".."), join(own.directory, folder), { recursive: true });
    expect(() => own.certificates()).toThrow(`${folder} holds no certificate of this CA`);
    rmSync(join(own.directory, folder), { recursive: true });
    renameSync(
      join(own.directory, `enclave-${issued.serial.slice(0, 8)}`),
      join(own.directory, "enclave-00000000"),
    );
    expect(() => own.certificates()).toThrow("enclave-00000000 holds no certificate of this CA");
  });
});

describe("what it takes back", () => {
  test("a revoked certificate is accepted nowhere any more; the one that took its place is", async () => {
    const authority = await newAuthority(cleanup);
    const server = issueServer(authority);
    const old = issueClient(authority);
    const renewed = issueClient(authority);
    authority.revoke(old, NOW);
    expect((await handshake(authority, server, old)).server).toBe("CERT_REVOKED");
    expect(await handshake(authority, server, renewed)).toEqual({ server: "ok", client: "ok" });
    const otherServer = issueServer(authority);
    authority.revoke(server, NOW);
    expect((await handshake(authority, server, renewed)).client).toBe("CERT_REVOKED");
    expect((await handshake(authority, otherServer, renewed)).client).toBe("ok");
    expect(authority.isListed(old.serial)).toBe(true);
    expect(authority.isListed(renewed.serial)).toBe(false);
  });

  test("the list has a certificate whose files are gone, and never forgets one", async () => {
    const authority = await newAuthority(cleanup);
    const [first, second] = [issueClient(authority), issueClient(authority)];
    authority.revoke(first, NOW);
    rmSync(join(first.certificateFile, ".."), { recursive: true });
    authority.revoke(second, NOW);
    authority.revoke(second, NOW);
    issueClient(authority);
    expect(await revokedSerials(authority)).toEqual([first.serial, second.serial].toSorted());
    rmSync(join(authority.directory, "revoked"), { recursive: true });
    expect(() => issueClient(authority)).toThrow("it says what is revoked");
  });

  test("a revocation that cannot be read stops everything that would make a list without it", async () => {
    const authority = await newAuthority(cleanup);
    const client = issueClient(authority);
    authority.revoke(client, NOW);
    writeFileSync(join(authority.directory, "revoked", client.serial), "yesterday\n");
    expect(() => authority.renewCrl(NOW)).toThrow("is no revocation");
  });

  test("a list lasts as long as any certificate, and 397 days at least", async () => {
    const authority = await newAuthority(cleanup);
    const daysOf = () => Math.round((authority.crl().until.getTime() - NOW.getTime()) / DAY_MS);
    expect(daysOf()).toBe(397);
    const { until } = issueClient(authority, "enclave", 800);
    expect(authority.crl().until).toEqual(until);
    issueServer(authority, 30);
    expect(authority.crl().until).toEqual(until);
    authority.renewCrl(NOW, 7);
    expect(daysOf()).toBe(7);
  });

  test("a list begins an hour ago, for clocks that are behind", async () => {
    const authority = await newAuthority(cleanup);
    const said = (
      await runOk("openssl", ["crl", "-in", authority.crlFile, "-noout", "-lastupdate"])
    ).toString();
    const from = new Date(said.replace("lastUpdate=", "")).getTime();
    expect(from).toBe(Math.floor(NOW.getTime() / 1000) * 1000 - 3_600_000);
  });

  test("a list that another run has made incomplete meanwhile is made again", async () => {
    const authority = await newAuthority(cleanup);
    const [own, others] = [issueClient(authority), issueClient(authority)];
    const folder = await tempDir(cleanup);
    const waiting = join(folder, "waiting");
    // While the list is made, another run revokes one, and is about to make its own.
    const script = `#!/bin/sh
case " $* " in *" -gencrl "*) [ ! -e '${waiting}' ] || mv '${waiting}' '${authority.directory}/revoked/${others.serial}' ;; esac
exec /usr/bin/openssl "$@"
`;
    writeFileSync(join(folder, "openssl"), script, { mode: 0o755 });
    writeFileSync(waiting, "2026-12-01T00:00:00Z 2028-01-01T00:00:00Z\n");
    Authority.open(authority.directory, Openssl.find(`${folder}:/usr/bin:/bin`)).revoke(own, NOW);
    expect(await revokedSerials(authority)).toEqual([own.serial, others.serial].toSorted());
  });

  test("the number of a list grows, also where the clock steps back or the list before is broken", async () => {
    const authority = await newAuthority(cleanup);
    const first = authority.crl().number;
    expect(first).toBe(Math.floor(NOW.getTime() / 1000));
    expect(authority.renewCrl(new Date(NOW.getTime() - 5 * DAY_MS)).number).toBe(first + 1);
    expect(authority.renewCrl(new Date(NOW.getTime() + DAY_MS)).number).toBe(first + 86_400);
    writeFileSync(authority.crlFile, "nothing");
    expect(() => authority.crl()).toThrow("openssl crl failed");
    expect(authority.renewCrl(new Date(NOW.getTime() + DAY_MS)).number).toBe(first + 86_400);
  });

  test("a list past its end lets nobody in: neither server nor client is believed by Node", async () => {
    const authority = await newAuthority(cleanup);
    const [server, client] = [issueServer(authority), issueClient(authority)];
    authority.renewCrl(new Date(NOW.getTime() - 3 * DAY_MS), 2);
    expect((await handshake(authority, server, client)).client).toBe("CRL_HAS_EXPIRED");
  });

  test("two CAs work side by side, with both certificates and both lists in one file each", async () => {
    const [old, next] = [await newAuthority(cleanup), await newAuthority(cleanup, { algorithm: "ed25519" })];
    const folder = await tempDir(cleanup);
    const both = (kind: "caFile" | "crlFile"): string => {
      const file = join(folder, kind);
      writeFileSync(file, [old, next].map((authority) => readFileSync(authority[kind])).join(""));
      return file;
    };
    const [server, client] = [issueServer(old), issueClient(next)];
    const files = () => ({ caFile: both("caFile"), crlFile: both("crlFile") });
    expect(await handshake(files(), server, client)).toEqual({ server: "ok", client: "ok" });
    expect(await handshake(files(), issueServer(next), client)).toEqual({ server: "ok", client: "ok" });
    next.revoke(client, NOW);
    expect((await handshake(files(), server, client)).server).toBe("CERT_REVOKED");
  });
});

describe("openssl", () => {
  const fake = async (script: string): Promise<string> => {
    const folder = await tempDir(cleanup);
    writeFileSync(join(folder, "openssl"), `#!/bin/sh\n${script}\n`);
    chmodSync(join(folder, "openssl"), 0o755);
    return folder;
  };

  test("is missed by its name", async () => {
    const folder = await tempDir(cleanup);
    expect(() => Openssl.find(folder)).toThrow(
      `expected the program openssl, version 3.0 or newer, in ${folder}: ENOENT`,
    );
  });

  test.each(["OpenSSL 1.1.1w  11 Sep 2023", "LibreSSL 3.8.2", "OpenSSL", ""])(
    "%j is not good enough",
    async (version) => {
      const folder = await fake(`echo '${version}'`);
      expect(() => Openssl.find(folder)).toThrow(
        `expected OpenSSL 3.0 or newer in ${folder}, found "${version}"`,
      );
    },
  );

  test.each(["OpenSSL 3.0.0 7 sep 2021", "OpenSSL 3.5.2 5 Aug 2025", "OpenSSL 10.0.0"])(
    "%j is",
    async (version) => {
      const folder = await fake(`echo '${version}'`);
      expect(Openssl.find(folder)).toBeInstanceOf(Openssl);
    },
  );

  test("sees nothing of this process's environment", async () => {
    const folder = await fake('case $1 in version) echo "OpenSSL 3.0.0" ;; *) env ;; esac');
    process.env["OPENSSL_MODULES"] = "/tmp";
    try {
      const seen = Openssl.find(`${folder}:/usr/bin:/bin`).run(["x"], "/");
      const names = seen.split("\n").map((line) => line.replace(/=.*/, ""));
      expect(seen).toContain("OPENSSL_CONF=/dev/null\n");
      expect(names.filter((name) => !["PWD", "_", "SHLVL", "OLDPWD", ""].includes(name)).toSorted()).toEqual([
        "LC_ALL",
        "OPENSSL_CONF",
        "PATH",
      ]);
    } finally {
      delete process.env["OPENSSL_MODULES"];
    }
  });

  test("that fails is quoted in a Fault", async () => {
    const folder = await fake(
      'case $1 in version) echo "OpenSSL 3.0.0" ;; *) echo "an error: \\033[31mred" >&2; exit 1 ;; esac',
    );
    expect(() => Openssl.find(`${folder}:/bin`).run(["ca"], "/")).toThrow(
      /^openssl ca failed: "an error: \\x1b\[31mred"$/,
    );
  });
});

describe("a run that is killed", () => {
  /** Kills what has started it the nth time that it is called. */
  const deadly = async (): Promise<{ readonly path: string; readonly arm: (call: number) => void }> => {
    const folder = await tempDir(cleanup);
    const count = join(folder, "count");
    const script = `#!/bin/sh
read -r left < '${count}'
left=$((left - 1))
echo "$left" > '${count}'
[ "$left" != 0 ] || kill -9 "$PPID"
exec /usr/bin/openssl "$@"
`;
    writeFileSync(join(folder, "openssl"), script, { mode: 0o755 });
    return { path: `${folder}:/usr/bin:/bin`, arm: (call) => writeFileSync(count, `${call}\n`) };
  };
  const source = join(import.meta.dirname, "../../src/ca");
  const child = (path: string, work: string) =>
    run(process.execPath, [
      "--input-type=module-typescript",
      "--disable-warning=ExperimentalWarning",
      "-e",
      `import { Authority } from "${source}/authority.ts"; import { Openssl } from "${source}/openssl.ts";
       const openssl = Openssl.find(${JSON.stringify(path)}); const now = new Date(${NOW.getTime()}); ${work}`,
    ]);

  test("leaves no half CA, at whatever step of init", async () => {
    const { path, arm } = await deadly();
    const parent = await tempDir(cleanup);
    const directory = join(parent, "ca");
    const create = `Authority.create(${JSON.stringify(directory)}, { name: "x", algorithm: "ed448", days: 9 }, openssl, now);`;
    let call = 2; // the first asks for the version
    for (; call < 20; call++) {
      arm(call);
      const { status } = await child(path, create);
      if (status === 0) break;
      expect(existsSync(directory), `call ${call}`).toBe(false);
    }
    expect(call).toBeGreaterThan(4);
    expect(call).toBeLessThan(20);
    expect(readdirSync(parent)).toEqual(["ca"]);
    expect(issueClient(Authority.open(directory, Openssl.find())).name).toBe("enclave");
  });

  test("leaves no half certificate, at whatever step of issue and revoke, and the next run clears up", async () => {
    const { path, arm } = await deadly();
    const authority = await newAuthority(cleanup);
    const first = issueClient(authority, "first");
    const open = `const authority = Authority.open(${JSON.stringify(authority.directory)}, openssl);`;
    const issue = `${open} authority.issue({ name: "next", use: "client", hosts: [], days: 9 }, now);`;
    const revoke = `${open} authority.revoke(authority.certificates().find(({ name }) => name === "first"), now);`;
    for (const work of [issue, revoke]) {
      for (let call = 2; call < 20; call++) {
        arm(call);
        const { status } = await child(path, work);
        if (status === 0) break;
        for (const { certificateFile, keyFile } of authority.certificates()) {
          const key = readFileSync(keyFile);
          expect(
            new X509Certificate(readFileSync(certificateFile)).checkPrivateKey(createPrivateKey(key)),
          ).toBe(true);
        }
        authority.crl();
      }
    }
    expect(readdirSync(authority.directory).filter((name) => name.startsWith("."))).toEqual([]);
    expect(await revokedSerials(authority)).toEqual([first.serial]);
  });

  test("and runs at the same time lose no revocation", async () => {
    const authority = await newAuthority(cleanup);
    const issued = Array.from({ length: 4 }, (_, i) => issueClient(authority, `client${i}`));
    const open = `const authority = Authority.open(${JSON.stringify(authority.directory)}, openssl);`;
    const ended = await Promise.all(
      issued.map(({ name }) =>
        child(
          "/usr/bin:/bin",
          `${open} authority.revoke(authority.certificates().find((one) => one.name === "${name}"), now);`,
        ),
      ),
    );
    expect(ended.map(({ stderr }) => stderr)).toEqual(["", "", "", ""]);
    expect(await revokedSerials(authority)).toEqual(issued.map(({ serial }) => serial).toSorted());
  });
});
