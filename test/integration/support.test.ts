import { readFile, writeFile } from "node:fs/promises";
import { afterEach, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { startGpg } from "../support/gpg.ts";
import { makePacmanClient } from "../support/pacman.ts";
import { makeRepository } from "../support/repository.ts";
import { startSshd } from "../support/sshd.ts";
import { tempDir } from "../support/temp-dir.ts";

// What the other tests rest on: were pacman to accept anything, or ssh to run anything, they would show nothing.

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

test("the pacman of the tests accepts a database signed by a key that it trusts, and no other", async () => {
  const gpg = await startGpg(cleanup);
  const fingerprint = await gpg.generateKey("Example Repository <repo@example.org>");
  const armored = (await gpg.run(["--armor", "--export", fingerprint])).stdout.toString();
  const repository = await makeRepository(await tempDir(cleanup), "example");
  const { folder } = repository;
  const client = await makePacmanClient(cleanup, {
    repository: "example",
    folder,
    key: { armored, fingerprint },
  });
  expect((await client.sync()).status, "unsigned").not.toBe(0);

  for (const file of [repository.db, repository.files]) {
    const { stdout } = await gpg.run(["--detach-sign", "--output", "-", file]);
    expect(await gpg.verify(stdout, await readFile(file))).toMatchObject({ good: true, fingerprint });
    expect(await gpg.verify(stdout, Buffer.from("other bytes"))).toMatchObject({ good: false });
    await writeFile(file.replace(/\.tar\.gz$/, ".sig"), stdout);
  }
  expect(await client.sync()).toMatchObject({ status: 0 });
  expect(await client.syncFiles()).toMatchObject({ status: 0 });
  expect((await client.run(["-Sl", "example"])).stdout.toString()).toBe(
    "example apple 1.0-1\nexample pear 1:2.0-3\n",
  );
  expect((await client.run(["-Fl", "apple"])).stdout.toString()).toContain("apple usr/share/apple/README\n");

  const stranger = await makePacmanClient(cleanup, { repository: "example", folder });
  expect((await stranger.sync()).status, "unknown key").not.toBe(0);
});

test("the sshd of the tests runs the forced command, with what the client asked for beside it", async () => {
  const forced = String.raw`command="printf '%s|' \"$SSH_ORIGINAL_COMMAND\" \"$LC_TEST\"; cat; echo oops >&2; exit 65"`;
  const server = await startSshd(cleanup, {
    authorizedKeys: (key) => `restrict,from="127.0.0.1",${forced} ${key}\n`,
  });
  const env = { ...process.env, LC_TEST: "let through" };
  const bytes = Buffer.from([0, 255, 10, 13]);
  const ended = await server.ssh("a command\nof two lines", {
    stdin: bytes,
    env,
    sshArgs: ["-o", "SendEnv=LC_TEST"],
  });
  const stdout = Buffer.concat([Buffer.from("a command\nof two lines|let through|"), bytes]);
  expect(ended).toEqual({ status: 65, signal: undefined, stdout, stderr: "oops\n" });
  expect(await server.log()).toContain("Accepted publickey for");
});
