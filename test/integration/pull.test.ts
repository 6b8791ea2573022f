import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { type FetchingHost, startFetchingHost } from "../support/fetching-host.ts";
import { startGpg } from "../support/gpg.ts";
import { makeImage } from "../support/image.ts";
import { makePackage } from "../support/packages.ts";
import { makePacmanClient, type PacmanClient } from "../support/pacman.ts";
import { type Ended, run } from "../support/run.ts";
import { rule } from "../support/signing-host.ts";
import { tempDir } from "../support/temp-dir.ts";

// The second way round, all of it real: repo-add and nginx on a repository server, pacman on a user's machine, and a signing host
// in a network of its own into which nothing is let. What came in there was asked for: the kernel has counted.

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

let server: FetchingHost;
let served: string;
let env: NodeJS.ProcessEnv;
let pacman: PacmanClient;

beforeAll(async () => {
  const gpg = await startGpg(cleanup);
  server = await startFetchingHost(cleanup, {
    rules: (address) =>
      [
        rule({ id: "db", type: "db", names: ["example.db.tar.gz"], from: [address] }),
        rule({ id: "files", type: "files", names: ["example.files.tar.gz"], from: [address] }),
        rule({ id: "iso", type: "iso", limits: ["1 per month"] }),
      ].join(""),
  });
  served = join(await tempDir(cleanup), "served");
  mkdirSync(served);
  env = { PATH: "/usr/bin:/bin", LC_ALL: "C", SIGNER_CLIENT_CONFIG: server.clientConfig };
  await gpg.importKey(server.publicKey);
  const { stdout } = await gpg.run(["--with-colons", "--list-keys"]);
  const fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(stdout.toString())?.[1] ?? "";
  pacman = await makePacmanClient(cleanup, {
    repository: "example",
    folder: served,
    key: { armored: server.publicKey, fingerprint },
  });
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
  expect(server.folder.left()).toEqual({ outbox: [], inbox: [], requests: [] });
  expect(existsSync(join(served, "example.db.tar.gz.lck"))).toBe(false);
  expect(server.service.host.requests().map(({ kind }) => kind)).toEqual(Array(6).fill("signed"));
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
  expect(server.folder.left()).toEqual({ outbox: [], inbox: [], requests: [] });
}, 60_000);

test("all that came into the signing host's network were answers; nobody listens there, and nobody gets in", async () => {
  const { network } = server;
  const before = await network.counts();
  expect(before.refused.packets).toBe(0);
  expect(before.answers.packets).toBeGreaterThan(0);
  expect(await network.listeners()).toEqual([]);
  for (const port of [22, 443, 8443]) {
    const socket = connect(port, network.address).setTimeout(300);
    expect(await Promise.race([once(socket, "connect"), once(socket, "timeout").then(() => "silence")])).toBe(
      "silence",
    );
    socket.destroy();
  }
  expect((await network.counts()).refused.packets).toBeGreaterThanOrEqual(3);
});
