import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { startGpg } from "../support/gpg.ts";
import { makeSigningHost, outcome, type SigningHostUnderTest } from "../support/signing-host.ts";

const cleanup = new Cleanup();
let host: SigningHostUnderTest;
beforeAll(async () => {
  host = await makeSigningHost(cleanup);
});
afterAll(() => cleanup.run());

async function stdoutOf(...args: readonly string[]): Promise<Buffer> {
  const ended = await host.signer(["key", ...args]);
  expect(ended).toMatchObject({ status: 0, stderr: "" });
  return ended.stdout;
}

test("key shows each key, what signs with it and until when, for people and as JSON", async () => {
  const text = (await stdoutOf()).toString();
  const json = JSON.parse((await stdoutOf("--json")).toString());
  expect(json).toEqual({
    name: "repo",
    userId: "Repository signing key <signer@signer.example.org>",
    primaryFingerprint: expect.stringMatching(/^[0-9A-F]{40}$/),
    fingerprint: expect.stringMatching(/^[0-9A-F]{40}$/),
    algorithm: "ed25519",
    createdAt: expect.any(String),
    expiresAt: null,
    problem: null,
  });
  expect(text).toContain(`fingerprint  ${json.primaryFingerprint}`);
  expect(text).toContain(`signs with   the subkey ${json.fingerprint}, ed25519`);
  expect(text).toContain("state        never expires");
});

test("key export prints the public key and nothing secret, armored and binary", async () => {
  const gpg = await startGpg(cleanup);
  const armored = await stdoutOf("export");
  const binary = await stdoutOf("export", "repo", "--binary");
  expect(armored.toString()).toMatch(/^-----BEGIN PGP PUBLIC KEY BLOCK-----/);
  for (const key of [armored, binary]) {
    await writeFile(join(gpg.home, "exported"), key);
    const { stdout } = await gpg.run(["--with-colons", "--show-keys", join(gpg.home, "exported")]);
    expect(stdout.toString()).toMatch(/^pub:.*^sub:/ms);
    expect(stdout.toString()).not.toMatch(/^(?:sec|ssb):/m);
  }
});

test("a key that is not there is said with the names of those that are", async () => {
  const ended = await host.signer(["key", "export", "\x1b[31mother"]);
  expect(outcome(ended)).toBe("bad-configuration 78");
  expect(ended.stderr).toContain("the configuration has repo");
});

test("of several keys one has to be named", async () => {
  const several = await makeSigningHost(cleanup);
  const text = await readFile(several.configFile, "utf8");
  const second = `[keys.iso]\nfile = "${join(several.folder, "iso.key")}"\n\n[[rules]]`;
  await writeFile(several.configFile, text.replace("[[rules]]", second));
  expect(await several.signer(["init"])).toMatchObject({ status: 0, stderr: "" });
  expect(outcome(await several.signer(["key", "export"]))).toBe("bad-configuration 78");
  const exported = await Promise.all(["repo", "iso"].map((name) => several.signer(["key", "export", name])));
  expect(new Set(exported.map(({ stdout }) => stdout.toString())).size).toBe(2);
  expect((await several.signer(["key"])).stdout.toString()).toMatch(/^repo\n.*^iso\n/ms);
});
