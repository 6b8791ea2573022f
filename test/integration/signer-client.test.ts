import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { type Gpg, startGpg } from "../support/gpg.ts";
import { type RunOptions, run } from "../support/run.ts";
import {
  collect,
  makeSigningHost,
  rule,
  type SigningHostUnderTest,
  serveOverSsh,
} from "../support/signing-host.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
const CLIENT = resolve("bin/signer-client");
const NAMES = ["core.db.tar.gz", "core.files.tar.gz"] as const;
let host: SigningHostUnderTest;
let gpg: Gpg;
let config: string;
let etc: string;

beforeAll(async () => {
  const rules = [
    rule({ id: "db", type: "db" }),
    rule({ id: "files", type: "files", names: ["core.files.tar.gz"], limits: ["50 per day"] }),
  ];
  host = await makeSigningHost(cleanup, { rules: rules.join("") });
  const [ssh, started] = await Promise.all([serveOverSsh(cleanup, host), startGpg(cleanup)]);
  gpg = started;
  await gpg.importKey(await host.publicKey());
  etc = await tempDir(cleanup);
  config = writeConfig("client.toml", ["ssh", "-F", ssh.clientConfig]);
  writeFileSync(join(etc, "repo.asc"), await host.publicKey());
});
afterAll(() => cleanup.run());

function writeConfig(name: string, command: readonly string[]): string {
  const path = join(etc, name);
  const key = JSON.stringify(join(etc, "repo.asc"));
  writeFileSync(path, `host = "signer"\nssh_command = ${JSON.stringify(command)}\npublic_key = ${key}\n`);
  return path;
}

function client(args: readonly string[], options: RunOptions & { readonly config?: string } = {}) {
  const env = { PATH: "/usr/bin:/bin", SIGNER_CLIENT_CONFIG: options.config ?? config };
  return run(CLIENT, args, { ...options, env });
}

/** A folder with both databases of a repository. */
async function repository(seed: number): Promise<string> {
  const folder = await tempDir(cleanup);
  for (const [index, kind] of (["db", "files"] as const).entries())
    writeFileSync(join(folder, NAMES[index] ?? ""), database(kind, seed));
  return folder;
}

function database(kind: "db" | "files", seed: number): Buffer {
  return buildDatabase({ kind, packages: 2, seed, compression: "gzip" });
}

async function isGood(file: string, signature = `${file}.sig`): Promise<boolean> {
  return (await gpg.verify(readFileSync(signature), readFileSync(file))).good;
}

/** A host that is `script`, a shell's: it has read everything, and NAME.sig of earlier runs lie beside it. */
function hostile(name: string, script: string): string {
  const program = join(etc, name);
  writeFileSync(program, `#!/bin/sh\ncat >/dev/null\n${script}\n`, { mode: 0o755 });
  return writeConfig(`${name}.toml`, [program]);
}

test("one file: the signature lies beside it, for everybody to read, and gpg finds it good", async () => {
  const folder = await repository(1);
  const file = join(folder, NAMES[0]);
  expect(await client(["sign", "--for", "alice", file])).toMatchObject({ status: 0, stderr: "" });
  expect(await isGood(file)).toBe(true);
  expect(statSync(`${file}.sig`).mode & 0o777).toBe(0o644);
  expect(readdirSync(folder).toSorted()).toEqual([NAMES[0], `${NAMES[0]}.sig`, NAMES[1]]);
});

test("several files go through one connection; the log has an entry for each", async () => {
  const folder = await repository(2);
  const before = host.requests().length;
  const files = NAMES.map((name) => join(folder, name));
  expect(await client(["sign", ...files])).toMatchObject({ status: 0, stderr: "" });
  expect(await Promise.all(files.map((file) => isGood(file)))).toEqual([true, true]);
  expect(host.requests().length).toBe(before + 2);
});

test("a refusal has the host's code and status, and leaves no signature of any file", async () => {
  const folder = await repository(3);
  writeFileSync(join(folder, "bad.db.tar.gz"), "no database");
  const ended = await client(["sign", join(folder, NAMES[0]), join(folder, "bad.db.tar.gz")]);
  expect(ended).toMatchObject({ status: 65 });
  expect(ended.stderr).toMatch(/^signer-client: not-recognised: bad\.db\.tar\.gz: [\x20-\x7e]+\n$/);
  expect(readdirSync(folder).filter((name) => name.includes("sig"))).toEqual([]);
});

test("stdin to stdout, armored or not, and -o", async () => {
  const stdin = database("db", 4);
  const binary = await client(["sign", "--name", NAMES[0], "-"], { stdin });
  const armored = await client(["sign", "--name", NAMES[0], "--armor", "-"], { stdin });
  expect((await gpg.verify(binary.stdout, stdin)).good).toBe(true);
  expect(armored.stdout.toString()).toMatch(/^-----BEGIN PGP SIGNATURE-----\n/);
  expect((await gpg.verify(armored.stdout, stdin)).good).toBe(true);
  const folder = await repository(4);
  const other = join(folder, "other");
  expect(await client(["sign", "-o", other, join(folder, NAMES[0])])).toMatchObject({ status: 0 });
  expect(await isGood(join(folder, NAMES[0]), other)).toBe(true);
});

test("key and status", async () => {
  expect((await client(["key"])).stdout.toString()).toBe(await host.publicKey());
  const status = (await client(["status"])).stdout.toString();
  expect(status).toMatch(/^client repos, /);
  expect(status).toMatch(/files +files +\S+ MiB +\d+ of 50 per day +core\.files\.tar\.gz\n/);
  const json = JSON.parse((await client(["status", "--json"])).stdout.toString());
  expect(json).toMatchObject({ client: "repos", keys: [{ name: "repo" }] });
});

test.each([
  ["empty", "true", 69, "signing-failed"],
  ["garbage", "echo hello", 69, "signing-failed"],
  ["truncated", 'head -c 100 "$0.sig"', 69, "signing-failed"],
  ["trailing", 'cat "$0.sig"; echo', 69, "signing-failed"],
  ["two", 'cat "$0.sig" "$0.sig"', 69, "signing-failed"],
  ["other-bytes", 'cat "$0.other"', 69, "signing-failed"],
  ["other-name", 'cat "$0.named"', 69, "signing-failed"],
  ["somebody", 'cat "$0.foreign"', 69, "signing-failed"],
  ["lies", "echo 'signer: over-limit: x' >&2; exit 77", 69, "host-unreachable"],
  ["internal", "echo 'signer: internal: oops' >&2; exit 70", 70, "internal"],
])("a host that answers %s gets nowhere", async (name, script, status, code) => {
  const folder = await repository(5);
  const file = join(folder, NAMES[0]);
  const bytes = readFileSync(file);
  const made = (signed: string, stdin: Buffer) => client(["sign", "--name", signed, "-"], { stdin });
  const beside = join(etc, name);
  writeFileSync(`${beside}.sig`, (await made(NAMES[0], bytes)).stdout);
  if (name === "other-bytes")
    writeFileSync(`${beside}.other`, (await made(NAMES[0], database("db", 6))).stdout);
  if (name === "other-name") writeFileSync(`${beside}.named`, (await made("extra.db.tar.gz", bytes)).stdout);
  if (name === "somebody") {
    const others = await makeSigningHost(cleanup);
    writeFileSync(
      `${beside}.foreign`,
      (await others.accept({ command: `sign ${NAMES[0]}`, stdin: bytes })).stdout,
    );
  }
  const quick = name === "lies" ? ["sign", "--name", NAMES[0], "-"] : ["sign", file]; // what is read once is not tried again
  const ended = await client(quick, { config: hostile(name, script), stdin: bytes });
  expect(ended.stderr).toContain(`signer-client: ${code}: `);
  expect(ended.status).toBe(status);
  expect(readdirSync(folder).toSorted()).toEqual([...NAMES]);
});

test("the same answer, not tampered with, is taken: a signature of these bytes that was made before", async () => {
  const folder = await repository(5);
  const file = join(folder, NAMES[0]);
  writeFileSync(
    join(etc, "honest.sig"),
    (await client(["sign", "--name", NAMES[0], "-"], { stdin: readFileSync(file) })).stdout,
  );
  expect(await client(["sign", file], { config: hostile("honest", 'cat "$0.sig"') })).toMatchObject({
    status: 0,
  });
  expect(await isGood(file)).toBe(true);
});

test.each(["SIGINT", "SIGTERM", "SIGKILL"] as const)("ended by %s, it leaves nothing", async (signal) => {
  const folder = await repository(7);
  const file = join(folder, NAMES[0]);
  const slow = hostile(`slow-${signal}`, 'touch "$0.began"; exec sleep 20');
  const child = spawn(CLIENT, ["--config", slow, "sign", file], {
    env: { PATH: "/usr/bin:/bin" },
    stdio: "pipe",
  });
  const ended = collect(child);
  while (!existsSync(join(etc, `slow-${signal}.began`)))
    await new Promise((resolve) => setTimeout(resolve, 20));
  child.kill(signal);
  const { status } = await ended;
  expect(status).toBe({ SIGINT: 130, SIGTERM: 143, SIGKILL: undefined }[signal]);
  expect(readdirSync(folder).toSorted()).toEqual([...NAMES]);
});
