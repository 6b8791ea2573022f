import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { LogReader } from "../../src/log/log-reader.ts";
import { Cleanup } from "../support/cleanup.ts";
import { type Gpg, startGpg } from "../support/gpg.ts";
import { makePackage } from "../support/packages.ts";
import { makePacmanClient, type PacmanClient } from "../support/pacman.ts";
import { type Ended, type RunOptions, run, runOk } from "../support/run.ts";
import {
  collect,
  makeSigningHost,
  rule,
  type SigningHostUnderTest,
  type SshSigner,
  serveOverSsh,
} from "../support/signing-host.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
let host: SigningHostUnderTest;
let ssh: SshSigner;
let gpg: Gpg;
let folder: string;
let config: string;
let client: PacmanClient;

const NAME = "example.db.tar.gz";

beforeAll(async () => {
  const rules = [
    rule({ id: "db", type: "db", names: ["example.db.tar.gz"], allow_empty: true }),
    rule({ id: "files", type: "files", names: ["example.files.tar.gz"], allow_empty: true }),
    rule({ id: "none", type: "db", names: ["busy.db.tar.gz"], limits: ["1 per day"] }),
  ];
  host = await makeSigningHost(cleanup, { rules: rules.join("") });
  [ssh, gpg] = await Promise.all([serveOverSsh(cleanup, host), startGpg(cleanup)]);
  await gpg.importKey(await host.publicKey());
  folder = join(await tempDir(cleanup), "served");
  mkdirSync(folder);
  const etc = await tempDir(cleanup);
  config = join(etc, "client.toml");
  await writeFile(join(etc, "repo.asc"), await host.publicKey());
  const command = ["ssh", "-F", ssh.clientConfig];
  await writeFile(
    config,
    `host = "signer"\nssh_command = ${JSON.stringify(command)}\npublic_key = ${JSON.stringify(join(etc, "repo.asc"))}\n`,
  );
  const { stdout } = await gpg.run(["--with-colons", "--list-keys"]);
  const fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(stdout.toString())?.[1] ?? "";
  client = await makePacmanClient(cleanup, {
    repository: "example",
    folder,
    key: { armored: await host.publicKey(), fingerprint },
  });
});
afterAll(() => cleanup.run());

function start(program: "add" | "remove", args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const env = { PATH: "/usr/bin:/bin", SIGNER_CLIENT_CONFIG: config, LC_ALL: "C", ...options.env };
  return run(resolve(`bin/signer-repo-${program}`), args, { cwd: folder, ...options, env });
}

/** What pacman finds, with `SigLevel = Required`, in both databases. */
async function synchronised(): Promise<string> {
  expect(await client.sync()).toMatchObject({ status: 0 });
  expect(await client.syncFiles()).toMatchObject({ status: 0 });
  return (await client.run(["-Sl", "example"])).stdout.toString();
}

/** For whom the last signature was asked. */
function lastRequester(): unknown {
  const reader = LogReader.open(host.stateDirectory);
  try {
    return reader.privateRecord(reader.size - 1)?.for;
  } finally {
    reader.close();
  }
}

test("packages are added, updated and removed, down to the last, and pacman accepts every state", async () => {
  await makePackage(folder, "apple");
  const added = await start("add", ["--nocolor", NAME, "apple-1.0-1-any.pkg.tar.zst"]);
  expect(added).toMatchObject({ status: 0, stderr: "" });
  expect(added.stdout.toString()).toContain("==> Adding package 'apple-1.0-1-any.pkg.tar.zst'");
  expect(await synchronised()).toBe("example apple 1.0-1\n");

  await makePackage(folder, "apple", { version: "2.0-1" });
  await makePackage(folder, "pear");
  const packages = ["apple-2.0-1-any.pkg.tar.zst", join(folder, "pear-1.0-1-any.pkg.tar.zst")];
  expect(
    await start("add", ["-q", "-R", "-s", NAME, ...packages], { env: { SIGNER_FOR: "alice" } }),
  ).toMatchObject({
    status: 0,
    stderr: "",
  });
  expect(await synchronised()).toBe("example apple 2.0-1\nexample pear 1.0-1\n");
  expect(existsSync(join(folder, "apple-1.0-1-any.pkg.tar.zst"))).toBe(false);
  expect(lastRequester()).toBe("alice");

  expect(await start("remove", ["-q", NAME, "apple", "pear"])).toMatchObject({ status: 0 });
  expect(await synchronised()).toBe("");
  expect(await start("add", ["-q", NAME, packages[0] ?? ""])).toMatchObject({ status: 0 });
  expect(await synchronised()).toBe("example apple 2.0-1\n");
  expect(readdirSync(folder).filter((name) => name.startsWith(".") || name.endsWith(".lck"))).toEqual([]);
}, 60_000);

/** A package that the real makepkg has built; as another user, for it refuses root. */
async function buildPackage(name: string): Promise<string> {
  const build = await tempDir(cleanup);
  const lines = [`pkgname=${name}`, "pkgver=1.0", "pkgrel=1", "arch=(any)", "license=(CC0-1.0)"];
  lines.push(`package() { install -Dm644 /dev/null "$pkgdir/usr/share/${name}/README"; }`);
  writeFileSync(join(build, "PKGBUILD"), `${lines.join("\n")}\n`);
  const isRoot = process.getuid?.() === 0;
  if (isRoot) for (const path of [build, join(build, "PKGBUILD")]) chownSync(path, 65534, 65534); // nobody
  const nobody = isRoot ? ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] : [];
  const [command = "", ...args] = [...nobody, "makepkg", "--nodeps"];
  await runOk(command, args, { cwd: build, env: { ...process.env, HOME: build } });
  const file = readdirSync(build).find((file) => file.includes(".pkg.tar")) ?? "";
  copyFileSync(join(build, file), join(folder, file));
  return file;
}

test("a package that makepkg has built is published with its files", async () => {
  const file = await buildPackage("plum");
  expect(await start("add", ["-q", NAME, file])).toMatchObject({ status: 0, stderr: "" });
  expect(await synchronised()).toContain("example plum 1.0-1\n");
  const { stdout } = await client.run(["-Fl", "plum"]);
  expect(stdout.toString()).toContain("plum usr/share/plum/README\n");
});

test("what the signing host refuses is said in one line, with its exit status, and nothing is published", async () => {
  const before = readdirSync(folder);
  const refused = await start("add", ["-q", "other.db.tar.gz", "apple-2.0-1-any.pkg.tar.zst"]);
  expect(refused).toMatchObject({
    status: 77,
    stderr: expect.stringMatching(/^signer-repo-add: not-permitted: [\x20-\x7e]+\n$/),
  });
  expect(readdirSync(folder)).toEqual(before);
});

test("-v accepts what the signing host signed, and refuses a signature of another file", async () => {
  expect(await start("add", ["-v", NAME])).toMatchObject({ status: 0, stderr: "" });
  const signature = readFileSync(join(folder, `${NAME}.sig`));
  copyFileSync(join(folder, "example.files.tar.gz.sig"), join(folder, `${NAME}.sig`));
  expect(await start("add", ["-v", NAME, "plum-1.0-1-any.pkg.tar.gz"])).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(
      /^signer-repo-add: signing-failed: expected a good signature of example\.db/,
    ),
  });
  writeFileSync(join(folder, `${NAME}.sig`), signature);
});

test("a signing host that is gone, and one whose key is another, are failures of one line", async () => {
  const before = readFileSync(join(folder, NAME));
  const etc = await tempDir(cleanup);
  const key = join(etc, "key.asc");
  const other = await makeSigningHost(cleanup);
  writeFileSync(key, await other.publicKey());
  const cases = [
    [{ SIGNER_PUBLIC_KEY: key }, 69, "signing-failed"],
    [{ SIGNER_HOST: "nowhere.invalid" }, 69, "host-unreachable"],
    [{ SIGNER_PUBLIC_KEY: join(etc, "missing.asc") }, 78, "bad-configuration"],
    [{ SIGNER_CLIENT_CONFIG: join(etc, "missing.toml") }, 78, "bad-configuration"],
  ] as const;
  for (const [env, status, code] of cases) {
    expect(await start("add", ["-q", NAME], { env }), code).toMatchObject({
      status,
      stderr: expect.stringMatching(new RegExp(`^signer-repo-add: ${code}: [\\x20-\\x7e]+\n$`)),
    });
  }
  expect(readFileSync(join(folder, NAME))).toEqual(before);
  expect(readdirSync(folder).filter((name) => name.startsWith(".") || name.endsWith(".lck"))).toEqual([]);
});

test("ended by SIGTERM while it waits for the signing host, it leaves nothing and says so", async () => {
  const own = join(await tempDir(cleanup), "client.toml");
  const waits = 'ssh_command = ["/bin/sh", "-c", "exec sleep 60"]';
  writeFileSync(own, readFileSync(config, "utf8").replace(/^ssh_command = .*$/m, waits));
  const env = { PATH: "/usr/bin:/bin", SIGNER_CLIENT_CONFIG: own };
  const child = spawn(resolve("bin/signer-repo-add"), [NAME], { cwd: folder, env, stdio: "pipe" });
  cleanup.add(() => child.kill("SIGKILL"));
  const ended = collect(child);
  await once(child.stdout, "data"); // ==> Signing database …
  expect(existsSync(join(folder, `${NAME}.lck`))).toBe(true);
  child.kill("SIGTERM");
  expect(await ended).toMatchObject({
    status: 1,
    stderr: "signer-repo-add: ended by a signal: nothing was published\n",
  });
  expect(readdirSync(folder).filter((name) => name.startsWith(".") || name.endsWith(".lck"))).toEqual([]);
});

test("variables that choose keys or code for repo-add are dropped", async () => {
  const evil = await tempDir(cleanup);
  mkdirSync(join(evil, "util"));
  writeFileSync(join(evil, "util", "compress.sh"), `touch "${evil}/ran"\n`);
  const env = {
    LIBRARY: evil,
    MAKEPKG_LIBRARY: evil,
    COMPRESSGZ: "gzip -9",
    GPGKEY: "0xDEADBEEF",
    NODE_OPTIONS: "--require /missing.js",
    BASH_ENV: join(evil, "util", "compress.sh"),
  };
  expect(await start("add", ["-q", NAME, "apple-2.0-1-any.pkg.tar.zst"], { env })).toMatchObject({
    status: 0,
  });
  expect(existsSync(join(evil, "ran"))).toBe(false);
});

test("--help, --version and a wrong command line say what to do, and end as repo-add does", async () => {
  expect(await start("add", ["--help"])).toMatchObject({ status: 0, stderr: "" });
  expect((await start("remove", ["-V"])).stdout.toString()).toMatch(
    /^signer-repo-remove [\d.]+, runs repo-remove/,
  );
  expect(await start("add", [])).toMatchObject({ status: 1 });
  expect(await start("add", ["core.txt"])).toMatchObject({
    status: 1,
    stderr: 'signer-repo-add: bad-request: expected a database such as core.db.tar.gz, not "core.txt"\n',
  });
  expect(await start("add", ["--for", "bob", NAME], { env: { SUDO_USER: "alice" } })).toMatchObject({
    status: 64,
  });
  writeFileSync(join(folder, `${NAME}.lck`), "1\n");
  expect(await start("add", [NAME])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('process "1"'),
  });
  rmSync(join(folder, `${NAME}.lck`));
});
