import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeEnclave } from "../pull/enclave.ts";
import { makeAuthority } from "../support/certificates.ts";
import { Cleanup } from "../support/cleanup.ts";
import { startGpg } from "../support/gpg.ts";
import { makeImage } from "../support/image.ts";
import { makeNetworkNamespace, type NetworkNamespace } from "../support/network-namespace.ts";
import { startNginx } from "../support/nginx.ts";
import { makePackage } from "../support/packages.ts";
import { makePacmanClient, type PacmanClient } from "../support/pacman.ts";
import { makePullFolder, type PullFolderUnderTest } from "../support/pull-folder.ts";
import { type Ended, run, runOk } from "../support/run.ts";
import { rule, SIGNER } from "../support/signing-host.ts";
import { type SigningServiceUnderTest, startSigningService } from "../support/signing-service.ts";
import { tempDir } from "../support/temp-dir.ts";

// The second way round, all of it real: repo-add and nginx on a repository server, pacman on a user's machine, and a signing host
// in a network of its own into which nothing is let. What came in there was asked for: the kernel has counted.

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

let network: NetworkNamespace;
let service: SigningServiceUnderTest;
let folder: PullFolderUnderTest;
let served: string;
let env: NodeJS.ProcessEnv;
let pacman: PacmanClient;

beforeAll(async () => {
  network = await makeNetworkNamespace(cleanup);
  const rules = [
    rule({ id: "db", type: "db", names: ["example.db.tar.gz"], from: [network.hostAddress] }),
    rule({ id: "files", type: "files", names: ["example.files.tar.gz"], from: [network.hostAddress] }),
    rule({ id: "iso", type: "iso", limits: ["1 per month"] }),
  ];
  const [authority, gpg] = await Promise.all([
    makeAuthority(cleanup, { algorithm: "ed448" }),
    startGpg(cleanup),
  ]);
  folder = await makePullFolder(cleanup);
  chmodSync(folder.folder, 0o711); // nginx's workers are www-data
  chownSync(folder.inbox, Number(await runOk("id", ["-u", "www-data"])), 0);
  service = await startSigningService(cleanup, { rules: rules.join("") });
  const nginx = await startNginx(cleanup, {
    authority,
    folder: folder.folder,
    address: network.hostAddress,
    certificate: await authority.issue({ usage: "server", altName: `IP:${network.hostAddress}` }),
  });
  served = join(await tempDir(cleanup), "served");
  mkdirSync(served);
  const etc = await tempDir(cleanup);
  const publicKey = await service.host.publicKey();
  writeFileSync(join(etc, "repo.asc"), publicKey);
  writeFileSync(
    join(etc, "client.toml"),
    `via = "pull"
public_key = "${join(etc, "repo.asc")}"
pull = { folder = "${folder.folder}", key = "${folder.keyFile}", timeout = "1 min" }
`,
  );
  env = { PATH: "/usr/bin:/bin", LC_ALL: "C", SIGNER_CLIENT_CONFIG: join(etc, "client.toml") };
  await gpg.importKey(publicKey);
  const { stdout } = await gpg.run(["--with-colons", "--list-keys"]);
  const fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(stdout.toString())?.[1] ?? "";
  pacman = await makePacmanClient(cleanup, {
    repository: "example",
    folder: served,
    key: { armored: publicKey, fingerprint },
  });
  makeEnclave(cleanup, service.host, [
    {
      url: nginx.url,
      authority,
      certificate: await authority.issue({ usage: "client", commonName: "enclave" }),
      notificationKey: folder.publicKey,
    },
  ]);
  const [command, ...rest] = network.inside;
  const pull = spawn(command, [...rest, SIGNER, "--config", service.host.configFile, "pull"], {
    env: { PATH: "/usr/bin:/bin" },
    stdio: ["ignore", "inherit", "pipe"],
  });
  cleanup.add(async () => {
    const ended = once(pull, "exit");
    if (pull.exitCode === null && pull.kill()) await ended;
  });
  await once(pull.stderr, "data"); // it says what it watches
  pull.stderr.resume();
}, 60_000);

function publish(program: "add" | "remove", ...args: readonly string[]): Promise<Ended> {
  return run(resolve(`bin/signer-repo-${program}`), args, { cwd: served, env });
}

async function synchronised(): Promise<string> {
  expect(await pacman.sync()).toMatchObject({ status: 0 });
  expect(await pacman.syncFiles()).toMatchObject({ status: 0 });
  return (await pacman.run(["-Sl", "example"])).stdout.toString();
}

test("packages are added, updated and removed, and pacman accepts every state", async () => {
  await makePackage(served, "apple");
  const added = await publish("add", "--nocolor", "example.db.tar.gz", "apple-1.0-1-any.pkg.tar.zst");
  expect(added).toMatchObject({ status: 0, stderr: "" });
  expect(await synchronised()).toBe("example apple 1.0-1\n");

  const pear = await makePackage(served, "pear");
  expect(await publish("add", "-q", "example.db.tar.gz", pear)).toMatchObject({ status: 0, stderr: "" });
  expect(await synchronised()).toBe("example apple 1.0-1\nexample pear 1.0-1\n");
  expect(await publish("remove", "-q", "example.db.tar.gz", "apple")).toMatchObject({ status: 0 });
  expect(await synchronised()).toBe("example pear 1.0-1\n");
  expect(folder.left()).toEqual({ outbox: [], inbox: [], requests: [] });
  expect(existsSync(join(served, "example.db.tar.gz.lck"))).toBe(false);
  expect(service.host.requests().map(({ kind }) => kind)).toEqual(Array(6).fill("signed"));
}, 60_000);

test("what the rules refuse is refused with the signing host's own words, and nothing is published", async () => {
  const before = readFileSync(join(served, "example.db.tar.gz"));
  const foreign = join(served, "foreign.db.tar.gz");
  const client = (...files: readonly string[]) =>
    run(resolve("bin/signer-client"), ["sign", ...files], { cwd: served, env });
  expect(await publish("add", "-q", foreign, join(served, "pear-1.0-1-any.pkg.tar.zst"))).toMatchObject({
    status: 77,
    stderr: expect.stringContaining("not-permitted: no rule of this client allows the type db"),
  });
  expect(existsSync(foreign)).toBe(false);
  expect(readFileSync(join(served, "example.db.tar.gz"))).toEqual(before);

  for (const [day, status] of [
    ["01", 0],
    ["02", 75],
  ] as const) {
    const image = join(served, `archlinux-2026.11.${day}-x86_64.iso`);
    writeFileSync(image, await makeImage("no-pad", { createdAt: `2026-11-${day}T12:00:00Z` }));
    expect(await client(image)).toMatchObject({ status });
    expect(existsSync(`${image}.sig`)).toBe(status === 0);
  }
  expect(folder.left()).toEqual({ outbox: [], inbox: [], requests: [] });
}, 60_000);

test("all that came into the signing host's network were answers; nobody listens there, and nobody gets in", async () => {
  const before = await network.counts();
  expect(before.refused).toBe(0);
  expect(before.answers).toBeGreaterThan(0);
  expect(await network.listeners()).toEqual([]);
  for (const port of [22, 443, 8443]) {
    const socket = connect(port, network.address).setTimeout(300);
    expect(await Promise.race([once(socket, "connect"), once(socket, "timeout").then(() => "silence")])).toBe(
      "silence",
    );
    socket.destroy();
  }
  expect((await network.counts()).refused).toBeGreaterThanOrEqual(3);
});
