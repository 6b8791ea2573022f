import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { startGpg } from "../support/gpg.ts";
import { makePackage } from "../support/packages.ts";
import { makePacmanClient, type PacmanClient } from "../support/pacman.ts";
import { run } from "../support/run.ts";
import { makeSigningHost, rule, serveOverSsh } from "../support/signing-host.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const NAME = "example.db.tar.gz";
let etc: string;
let folder: string;
let sshConfig: string;
let pacman: PacmanClient;

beforeAll(async () => {
  const rules = ["db", "files"].map((type) => rule({ id: type, type, allow_empty: true }));
  const host = await makeSigningHost(cleanup, { rules: rules.join("") });
  const [ssh, gpg] = await Promise.all([serveOverSsh(cleanup, host), startGpg(cleanup)]);
  sshConfig = ssh.clientConfig;
  etc = await tempDir(cleanup);
  folder = join(await tempDir(cleanup), "served");
  mkdirSync(folder);
  const armored = await host.publicKey();
  writeFileSync(join(etc, "repo.asc"), armored);
  await gpg.importKey(armored);
  const { stdout } = await gpg.run(["--with-colons", "--list-keys"]);
  const fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(stdout.toString())?.[1] ?? "";
  pacman = await makePacmanClient(cleanup, { repository: "example", folder, key: { armored, fingerprint } });
});

/** Runs the wrapper with a client.toml of no ssh_command. */
function start(program: "add" | "remove", args: readonly string[], ...lines: string[]) {
  const config = join(etc, "client.toml");
  const common = [
    'host = "signer"',
    `ssh_config = ${JSON.stringify(sshConfig)}`,
    `public_key = ${JSON.stringify(join(etc, "repo.asc"))}`,
  ];
  writeFileSync(config, `${[...common, ...lines].join("\n")}\n`);
  const env = { PATH: "/usr/bin:/bin", SIGNER_CLIENT_CONFIG: config, LC_ALL: "C" };
  return run(resolve(`bin/signer-repo-${program}`), ["-q", NAME, ...args], { cwd: folder, env });
}

/** What pacman finds with SigLevel = Required. */
async function synchronised(): Promise<string> {
  expect(await pacman.sync()).toMatchObject({ status: 0 });
  expect(await pacman.syncFiles()).toMatchObject({ status: 0 });
  return (await pacman.run(["-Sl", "example"])).stdout.toString();
}

test("over ssh2, packages are added and removed, and pacman accepts every state", async () => {
  await makePackage(folder, "apple");
  await makePackage(folder, "pear");
  const packages = ["apple", "pear"].map((name) => `${name}-1.0-1-any.pkg.tar.zst`);
  expect(await start("add", packages)).toMatchObject({ status: 0, stderr: "" });
  expect(await synchronised()).toBe("example apple 1.0-1\nexample pear 1.0-1\n");
  expect(await start("remove", ["apple"])).toMatchObject({ status: 0, stderr: "" });
  expect(await synchronised()).toBe("example pear 1.0-1\n");
});

test("a host that shows another key is not trusted: one line, 77, nothing published, no lock left", async () => {
  const before = readFileSync(join(folder, NAME));
  const foreign = "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
  expect(await start("add", [], `host_key = "ssh-ed25519 ${foreign}"`)).toMatchObject({
    status: 77,
    stderr: expect.stringMatching(/^signer-repo-add: host-not-trusted: [\x20-\x7e]+\n$/),
  });
  expect(readFileSync(join(folder, NAME))).toEqual(before);
  expect(existsSync(join(folder, `${NAME}.lck`))).toBe(false);
  expect(readdirSync(folder).filter((name) => name.startsWith("."))).toEqual([]);
});
