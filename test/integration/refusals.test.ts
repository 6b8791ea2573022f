import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync, zstdDecompressSync } from "node:zlib";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { EXIT } from "../../src/outcome.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase, packageEntries, samplePackage } from "../support/database-fixture.ts";
import { makePackage } from "../support/packages.ts";
import { makeRepository } from "../support/repository.ts";
import { type Ended, runOk } from "../support/run.ts";
import {
  codeOf,
  makeSigningHost,
  outcome,
  rule,
  type SigningHostUnderTest,
  type SshSigner,
  serveOverSsh,
} from "../support/signing-host.ts";
import { tarArchive } from "../support/tar-fixture.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const DB = "example.db.tar.gz";

/** Refused with the code and its status, nothing on stdout, one line on stderr, and an entry that says why. */
function expectRefused(host: SigningHostUnderTest, ended: Ended, code: keyof typeof EXIT): void {
  expect(outcome(ended)).toBe(`${code} ${EXIT[code]}`);
  const reason = ended.stderr.slice(`signer: ${code}: `.length, -1);
  expect(host.requests().at(-1)).toMatchObject({ kind: "refused", code, reason });
}

describe("offered as a database,", () => {
  let host: SigningHostUnderTest;
  let folder: string;
  beforeAll(async () => {
    folder = await tempDir(cleanup);
  });
  beforeEach(async () => {
    host = await makeSigningHost(cleanup);
  });

  async function offer(bytes: Uint8Array | string, code: keyof typeof EXIT, name = DB): Promise<void> {
    expectRefused(host, await host.accept({ command: name, stdin: bytes }), code);
    expect(host.requests(), "nothing but the refusal").toHaveLength(1);
  }

  test("a package is refused, under a database's name, its own, or none", async () => {
    const bytes = await readFile(await makePackage(folder, "apple"));
    const own = await host.accept({ command: "apple-1.0-1-any.pkg.tar.zst", stdin: bytes });
    expectRefused(host, own, "not-recognised");
    const named = await host.accept({ command: "example.db.tar.zst", stdin: bytes });
    expectRefused(host, named, "bad-compression"); // repo-add's zstd adds a checksum, bsdtar's does not
    const asRepoAddWould = gzipSync(zstdDecompressSync(bytes));
    for (const command of [DB, undefined]) {
      const ended = await host.accept({ ...(command && { command }), stdin: asRepoAddWould });
      expectRefused(host, ended, "bad-database");
      expect(ended.stderr).toContain("not a package");
    }
  });

  test("a git bundle is refused", async () => {
    const author = ["-c", "user.name=Example", "-c", "user.email=example@example.org"];
    const git = (...args: string[]) => runOk("git", ["-C", folder, ...author, ...args]);
    await git("init", "--quiet");
    await git("commit", "--quiet", "--allow-empty", "--message", "empty");
    await offer(await git("bundle", "create", "--quiet", "-", "HEAD"), "not-recognised");
  });

  test("an e-mail is refused", () =>
    offer("From: alice@example.org\r\nTo: bob@example.org\r\n\r\nPlease sign this.\r\n", "not-recognised"));

  test("a signature is refused", async () => {
    const bytes = buildDatabase({ packages: 1, kind: "db" });
    const { stdout } = await host.accept({ command: DB, stdin: bytes });
    expectRefused(host, await host.accept({ command: DB, stdin: stdout }), "not-recognised");
  });

  test("an empty stream is refused", () => offer("", "empty-input"));

  test("a files database is refused", () =>
    offer(buildDatabase({ packages: 2, kind: "files" }), "wrong-type"));

  test("a db is refused as files", () =>
    offer(buildDatabase({ packages: 2, kind: "db" }), "wrong-type", "example.files.tar.gz"));

  test("zstd is refused under a gzip's name", () =>
    offer(buildDatabase({ packages: 2, kind: "db", compression: "zstd" }), "name-mismatch"));

  test("a compression that is not read is refused by its name", async () => {
    const { db } = await makeRepository(await tempDir(cleanup), "example", ".xz");
    const bytes = await readFile(db);
    expectRefused(
      host,
      await host.accept({ command: "example.db.tar.xz", stdin: bytes }),
      "unsupported-compression",
    );
    const nameless = await host.accept({ stdin: bytes });
    expectRefused(host, nameless, "unsupported-compression");
    expect(nameless.stderr).toContain("xz");
  });

  test("half a database is refused, and one with a byte more", async () => {
    const bytes = buildDatabase({ packages: 20, kind: "db" });
    const half = bytes.subarray(0, bytes.length / 2);
    expectRefused(host, await host.accept({ command: DB, stdin: half }), "truncated");
    const longer = Buffer.concat([bytes, Buffer.of(0)]);
    expectRefused(host, await host.accept({ command: DB, stdin: longer }), "trailing-data");
  });

  test("a tar archive in a tar archive is refused", () =>
    offer(gzipSync(tarArchive([{ name: "a.tar", content: tarArchive([{ name: "b" }]) }])), "bad-database"));

  test("a database that expands a thousandfold is refused", async () => {
    const sample = samplePackage(0);
    const files = Array.from(
      { length: 2000 },
      (_, index) => `${"a".repeat(2000)}${String(index).padStart(4, "0")}`,
    );
    const bomb = tarArchive(packageEntries({ ...sample, files }, "files"));
    await offer(gzipSync(bomb), "expands-too-far", "example.files.tar.gz");
  });

  test("a database without packages is refused, unless the rule allows it", async () => {
    const empty = buildDatabase({ packages: 0, kind: "db" });
    await offer(empty, "empty-database");
    const lenient = await makeSigningHost(cleanup, {
      rules: rule({ id: "staging", type: "db", allow_empty: true }),
    });
    expect(outcome(await lenient.accept({ command: DB, stdin: empty }))).toBe("signed");
  });

  test("a database larger than the rule allows is refused", async () => {
    const small = await makeSigningHost(cleanup, {
      rules: rule({ id: "small", type: "db", max_size: "1 KiB" }),
    });
    const bytes = buildDatabase({ packages: 30, kind: "db" });
    expectRefused(small, await small.accept({ command: DB, stdin: bytes }), "too-large");
  });
});

describe("over ssh,", () => {
  let host: SigningHostUnderTest;
  let ssh: SshSigner;
  const database = buildDatabase({ packages: 2, kind: "db" });
  beforeAll(async () => {
    const rules =
      rule({ id: "repos-db", type: "db", from: ["127.0.0.0/8"] }) +
      rule({ id: "elsewhere", client: "mirror", type: "db", from: ["192.0.2.10", "2001:db8::/64"] });
    host = await makeSigningHost(cleanup, { rules });
    ssh = await serveOverSsh(cleanup, host, ["repos", "mirror", "stranger"]);
  });

  test.each([
    `${DB}\n`,
    "-n",
    `--for -x ${DB}`,
    "\x1b[31mred\x1b[0m.db.tar.gz",
    "d\u00e4tei.db.tar.gz",
    `../${DB}`,
    `a=b ${DB}`,
    `${DB}; touch pwned`,
    "status now",
  ])("the command %j is a bad request", async (command) => {
    const ended = await ssh.ssh(command, { stdin: database });
    expect(outcome(ended)).toBe("bad-request 64");
    expect(host.entries().every(({ kind }) => kind !== "signed")).toBe(true);
  });

  test("a command of 100 KiB is a bad request that leaves a short entry", async () => {
    const ended = await ssh.ssh("x".repeat(100 * 1024), { stdin: database });
    expect(outcome(ended)).toBe("bad-request 64");
    expect(JSON.stringify(host.entries()).length).toBeLessThan(16 * 1024);
  });

  test("a client that no rule names is refused, and gets neither key nor state", async () => {
    for (const command of [DB, undefined, "key", "status"]) {
      const ended = await ssh.ssh(command, { client: "stranger", stdin: database });
      expectRefused(host, ended, "unknown-client");
    }
  });

  test("an address that no rule of the client allows is refused, and gets neither key nor state", async () => {
    for (const command of [DB, undefined, "key", "status"])
      expectRefused(host, await ssh.ssh(command, { client: "mirror", stdin: database }), "foreign-address");
    for (const [address, expected] of [
      ["192.0.2.10", "signed"],
      ["192.0.2.11", "foreign-address 77"],
      ["2001:db8::1:2", "signed"],
      ["2001:db9::1", "foreign-address 77"],
      ["::ffff:192.0.2.10", "signed"],
      ["", "foreign-address 77"],
    ] as const) {
      const ended = await host.accept({ client: "mirror", address, command: DB, stdin: database });
      expect(outcome(ended), address).toBe(expected);
    }
  });

  test("an unknown key of the client's is not there", async () => {
    expectRefused(host, await ssh.ssh("key other"), "not-permitted");
  });

  test.each([[DB], [undefined]])(
    "2 GiB of zeros as %s are refused before a few megabytes of them were taken",
    async (name) => {
      const args = ["-F", ssh.clientConfig, "signer", ...(name === undefined ? [] : [name])];
      const child = spawn("ssh", args, { stdio: "pipe" });
      const stderr: Buffer[] = [];
      child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
      const closed = once(child, "close");
      expect(await pour(child, 2 * 1024 ** 3)).toBeLessThan(8 * 1024 ** 2); // what ssh and sshd may hold on the way
      expect(await closed).toEqual([65, null]);
      expect(codeOf({ stderr: Buffer.concat(stderr).toString() })).toBe("not-recognised");
    },
  );
});

/** Writes zeros until `bytes` are written or nobody reads any more; how many were taken. */
async function pour(child: ChildProcessWithoutNullStreams, bytes: number): Promise<number> {
  child.stdin.on("error", () => undefined);
  const zeros = Buffer.alloc(64 * 1024);
  for (let sent = 0; sent < bytes; sent += zeros.length) {
    const error = await new Promise((resolve) => child.stdin.write(zeros, resolve));
    if (error) return sent;
  }
  child.stdin.end();
  return bytes;
}

describe("a host that is not whole", () => {
  const stdin = buildDatabase({ packages: 2, kind: "db" });

  test("does not sign without its log, and makes no other one", async () => {
    const host = await makeSigningHost(cleanup);
    await host.accept({ command: DB, stdin });
    await rename(join(host.stateDirectory, "log.db"), join(host.folder, "log.db"));
    expect(outcome(await host.accept({ command: DB, stdin }))).toBe("no-state 78");
    expect(await readdir(host.stateDirectory)).toEqual(["key-cache", "log.key"]);
    await rename(host.stateDirectory, join(host.folder, "elsewhere"));
    expect(outcome(await host.accept({ command: DB, stdin }))).toBe("no-state 78");
    expect(existsSync(host.stateDirectory)).toBe(false);
  });

  test("does not sign without its key, and says so in the log", async () => {
    const host = await makeSigningHost(cleanup);
    await rename(host.keyFile, `${host.keyFile}.away`);
    expectRefused(host, await host.accept({ command: DB, stdin }), "key-unavailable");
  });

  test("does not sign by a configuration with mistakes, and check names them all", async () => {
    const host = await makeSigningHost(cleanup);
    const good = await readFile(host.configFile, "utf8");
    const bad = good
      .replace('state = "/', 'state = "')
      .replace('type = "db"', 'type = "tar"')
      .replace('key = "repo"', 'key = "rep"')
      .replace('id = "any-iso"', 'id = "any-files"')
      .replace('type = "iso"', 'type = "iso"\nlimit = ["1 per month"]');
    await writeFile(host.configFile, bad);
    expect(outcome(await host.accept({ command: DB, stdin }))).toBe("bad-configuration 78");
    const { status, stdout } = await host.signer(["check"]);
    expect(status).toBe(78);
    expect(
      stdout
        .toString()
        .split("\n")
        .filter((line) => line.startsWith("ERROR")),
    ).toEqual([
      expect.stringContaining("state: expected an absolute path"),
      expect.stringContaining("rule 1, type: expected"),
      expect.stringContaining("rule 3, limit: unknown key"),
      expect.stringContaining('rule 1, key: there is no [keys] entry "rep"'),
      expect.stringContaining('rule 3, id: "any-files" stands twice'),
    ]);
    expect(stdout.toString()).toContain("5 errors");
  });
});
