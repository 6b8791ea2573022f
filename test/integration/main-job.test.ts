import { copyFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LogReader } from "../../src/log/log-reader.ts";
import { parseLogNotations } from "../../src/log/notations.ts";
import { isPacketProblem } from "../../src/openpgp/packet-problem.ts";
import { parseSignature } from "../../src/openpgp/signature.ts";
import { Cleanup } from "../support/cleanup.ts";
import { type Gpg, startGpg } from "../support/gpg.ts";
import { makePacmanClient } from "../support/pacman.ts";
import { makeRepository, type Repository } from "../support/repository.ts";
import { run, runOk } from "../support/run.ts";
import {
  makeSigningHost,
  rule,
  SIGNER_LOG,
  type SigningHostUnderTest,
  type SshSigner,
  serveOverSsh,
} from "../support/signing-host.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
let host: SigningHostUnderTest;
let ssh: SshSigner;
let gpg: Gpg;
let repository: Repository;
let fingerprint: string;

beforeAll(async () => {
  const rules = ["db", "files"].map((type) => rule({ id: `repos-${type}`, type, from: ["127.0.0.1"] }));
  host = await makeSigningHost(cleanup, { rules: rules.join("") });
  [ssh, gpg, repository] = await Promise.all([
    serveOverSsh(cleanup, host),
    startGpg(cleanup),
    makeRepository(await tempDir(cleanup), "example"),
  ]);
  await gpg.importKey(await host.publicKey());
  const { stdout } = await gpg.run(["--with-colons", "--list-keys"]);
  fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(stdout.toString())?.[1] ?? "";
});
afterAll(() => cleanup.run());

/** As a repository server does it, with nothing but ssh and a shell. */
async function signInShell(repository: Repository, name: string): Promise<Buffer> {
  const command = `ssh -F "$0" signer ${name} < ${name} > ${name}.sig.new && mv ${name}.sig.new ${name}.sig`;
  const { folder } = repository;
  expect(await run("/bin/sh", ["-c", command, ssh.clientConfig], { cwd: folder })).toMatchObject({
    status: 0,
    stderr: "",
  });
  return readFile(join(folder, `${name}.sig`));
}

describe("a repository that repo-add made", () => {
  test("is signed over ssh, accepted by gpg, and pacman synchronises both databases under SigLevel Required", async () => {
    const { folder } = repository;
    for (const type of ["db", "files"]) {
      const name = `example.${type}.tar.gz`;
      const signature = await signInShell(repository, name);
      expect(await gpg.verify(signature, await readFile(join(folder, name)))).toMatchObject({
        good: true,
        fingerprint,
      });
      await copyFile(join(folder, `${name}.sig`), join(folder, `example.${type}.sig`));
    }
    const key = { armored: await host.publicKey(), fingerprint };
    const client = await makePacmanClient(cleanup, { repository: "example", folder, key });
    expect(await client.sync()).toMatchObject({ status: 0 });
    expect(await client.syncFiles()).toMatchObject({ status: 0 });
    expect((await client.run(["-Sl", "example"])).stdout.toString()).toBe(
      "example apple 1.0-1\nexample pear 1:2.0-3\n",
    );

    await writeFile(join(folder, "example.db.sig"), await readFile(join(folder, "example.files.sig")));
    const other = await makePacmanClient(cleanup, { repository: "example", folder, key });
    expect((await other.sync()).status, "the signature of another file").not.toBe(0);
  });

  test("is signed without a name, too: the type comes from the bytes", async () => {
    for (const type of ["db", "files"] as const) {
      const bytes = await readFile(repository[type]);
      const ended = await ssh.ssh(undefined, { stdin: bytes });
      expect(ended).toMatchObject({ status: 0, stderr: "" });
      expect(await gpg.verify(ended.stdout, bytes)).toMatchObject({ good: true });
      expect(host.entries().at(-1)).toMatchObject({ kind: "signed", type, rule: `repos-${type}` });
      expect(host.entries().at(-1)).not.toHaveProperty("name");
    }
  });

  test.each([".zst", ""] as const)("is signed with the suffix %j as well", async (suffix) => {
    const { db } = await makeRepository(await tempDir(cleanup), "other", suffix);
    const bytes = await readFile(db);
    const { stdout, stderr } = await ssh.sign(`other.db.tar${suffix}`, bytes);
    expect(stderr).toBe("");
    expect(await gpg.verify(stdout, bytes)).toMatchObject({ good: true });
  });
});

test("a signature names its entry and the head of the log before it, in words that gpg shows", async () => {
  const name = "example.files.tar.gz";
  const bytes = await readFile(repository.files);
  const packet = await signInShell(repository, name);
  const reader = LogReader.open(host.stateDirectory);
  cleanup.add(() => reader.close());
  const signature = parseSignature(packet);
  if (isPacketProblem(signature)) throw new Error(signature.reason);
  const notations = parseLogNotations(signature.notations);
  expect(notations).toMatchObject({ domain: "signer.example.org", type: "files", name });
  const seq = notations?.tree.size ?? -1;
  expect(notations?.tree.root).toEqual(reader.rootAt(seq));
  expect(reader.entry(seq)).toMatchObject({
    kind: "signed",
    seq,
    client: "repos",
    name,
    type: "files",
    size: bytes.length,
    key: signature.issuerFingerprint,
    signature: packet.toString("base64"),
    facts: { compression: "gzip", packages: 2, newest_build_date: 1_793_534_400 },
  });
  expect(reader.privateRecord(seq)).toEqual({
    address: "127.0.0.1",
    sshKey: expect.stringMatching(/^SHA256:[A-Za-z0-9+/]{43}$/),
  });

  const { status } = await gpg.verify(packet, bytes);
  for (const key of ["type", "name", "index", "tree"])
    expect(status).toContain(`NOTATION_NAME ${key}@signer.example.org`);
  expect(status).toContain(`NOTATION_DATA ${seq}`);
});

test("who asked is noted beside the entry, and nowhere in it", async () => {
  const { db } = await makeRepository(await tempDir(cleanup), "asked");
  const ended = await ssh.ssh("sign --for alice asked.db.tar.gz", { stdin: await readFile(db) });
  expect(ended).toMatchObject({ status: 0 });
  const reader = LogReader.open(host.stateDirectory);
  cleanup.add(() => reader.close());
  const seq = reader.size - 1;
  expect(reader.privateRecord(seq)).toMatchObject({ for: "alice", address: "127.0.0.1" });
  expect(reader.line(seq)).not.toMatch(/alice|127\.0\.0\.1/);
});

test("a client gets the public key and its own state, and signer-log finds the log sound", async () => {
  const key = await ssh.ssh("key");
  expect(key).toMatchObject({ status: 0, stderr: "" });
  expect(key.stdout.toString()).toBe(await host.publicKey());
  const status = await ssh.ssh("status");
  expect(status).toMatchObject({ status: 0, stderr: "" });
  expect(status.stdout.toString()).toMatch(/^client repos, .*repos-db: db, .*repos-files: files/s);

  const verified = await runOk(SIGNER_LOG, ["--config", host.configFile, "verify"]);
  expect(verified.toString()).toContain(
    "entries, tree, checkpoint, signatures and what is kept beside them agree",
  );
});
