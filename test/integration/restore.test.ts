import { appendFile, copyFile, cp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readConfigFile } from "../../src/config/config-file.ts";
import { Ledger } from "../../src/log/ledger.ts";
import { ConflictFault, LogHost } from "../../src/log/remote/log-host.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { makeImage } from "../support/image.ts";
import { type LogHostUnderTest, startLogHost } from "../support/log-host-over-ssh.ts";
import { type Ended, run } from "../support/run.ts";
import {
  makeSigningHost,
  outcome,
  rule,
  SIGNER_LOG,
  type SigningHostUnderTest,
} from "../support/signing-host.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
const LOG_HOST = "loghost";
const RULES =
  rule({ id: "repos-db", type: "db" }) + rule({ id: "monthly-iso", type: "iso", limits: ["1 per month"] });
let first: Buffer;
let second: Buffer;

beforeAll(async () => {
  first = await makeImage();
  second = await makeImage("no-pad", { createdAt: "2026-11-02T12:00:00Z" });
});
afterAll(() => cleanup.run());

/** A signing host whose log goes to a real log host. */
async function makeHosts(required = true): Promise<{ host: SigningHostUnderTest; copy: LogHostUnderTest }> {
  const host = await makeSigningHost(cleanup, { rules: RULES });
  return { host, copy: await startLogHost(cleanup, host, { required }) };
}

function signDatabase(host: SigningHostUnderTest, seed: number): Promise<Ended> {
  return host.accept({ command: "core.db.tar.gz", stdin: buildDatabase({ packages: 2, kind: "db", seed }) });
}

function signImage(host: SigningHostUnderTest, image: Buffer): Promise<Ended> {
  return host.accept({ command: "archlinux.iso", stdin: image });
}

async function signerLog(host: SigningHostUnderTest, ...args: readonly string[]) {
  const { status, stdout, stderr } = await run(SIGNER_LOG, ["--config", host.configFile, ...args]);
  return { status, text: stdout.toString(), stderr };
}

/** The one log host that it knows. */
function remoteOf(host: SigningHostUnderTest) {
  const [remote] = readConfigFile(host.configFile).remoteLogs;
  if (remote?.kind !== "ssh") throw new Error("it knows no log host");
  return remote;
}

/** Puts a folder in the place of another. */
async function putBack(backup: string, directory: string): Promise<void> {
  await rm(directory, { recursive: true });
  await rename(backup, directory);
}

describe("yesterday's state directory in place of today's", () => {
  test("is recognised at the next request, refused, restored with one command, and no limit is free again", async () => {
    const { host } = await makeHosts();
    expect(outcome(await signDatabase(host, 1))).toBe("signed");
    const yesterday = join(await tempDir(cleanup), "state");
    await cp(host.stateDirectory, yesterday, { recursive: true });
    expect(outcome(await signImage(host, first))).toBe("signed");
    const today = host.entries();
    await putBack(yesterday, host.stateDirectory);

    const refused = await signImage(host, second);
    expect(outcome(refused)).toBe("log-broken 69");
    expect(refused.stderr).toMatch(/^signer: log-broken: .*signer-log restore/);
    const again = await signDatabase(host, 2);
    expect(outcome(again)).toBe("log-broken 69");
    expect(again.stderr).toMatch(/signing was stopped at .*"When the log is broken" in signer-log\(1\)/);
    expect((await host.signer(["check"])).stdout.toString()).toMatch(
      /^ERROR +log +.*signing was stopped at/m,
    );
    const compared = await signerLog(host, "compare");
    expect(compared).toMatchObject({
      status: 69,
      text: expect.stringMatching(/^verdict +the log is 1 entry short, and the beginning of the copy$/m),
    });
    expect(compared.stderr).toContain("signer-log restore");

    const restored = await signerLog(host, "restore", "--from", LOG_HOST);
    expect(restored).toMatchObject({ status: 0, stderr: "" });
    expect(restored.text).toMatch(/^entries +4, of which 2 signatures$/m);
    expect(host.entries().slice(0, -1)).toEqual(today);
    expect(host.entries().at(-1)).toMatchObject({ kind: "restored", size: 4, replaced: 3 });
    expect(outcome(await signImage(host, second))).toBe("over-limit 75");
    expect(outcome(await signDatabase(host, 2))).toBe("signed");
    expect((await signerLog(host, "verify", "--quiet")).status).toBe(0);
    expect(await signerLog(host, "push")).toMatchObject({ status: 0 });
    expect(await signerLog(host, "compare")).toMatchObject({
      status: 0,
      text: expect.stringMatching(/^verdict +the same$/m),
    });
  });

  test("is recognised by the request after next, where nobody waits for the log host", async () => {
    const { host } = await makeHosts(false);
    expect(outcome(await signDatabase(host, 1))).toBe("signed");
    const yesterday = join(await tempDir(cleanup), "state");
    await cp(host.stateDirectory, yesterday, { recursive: true });
    expect(outcome(await signDatabase(host, 2))).toBe("signed");
    await putBack(yesterday, host.stateDirectory);
    // Nobody waits for it: a signature may go out once, before the contradiction is seen.
    await signDatabase(host, 3);
    expect(outcome(await signDatabase(host, 4))).toBe("log-broken 69");
  });
});

describe("a host that is lost", () => {
  test("goes on elsewhere with the log from the log host and the backup of the log key", async () => {
    const { host, copy } = await makeHosts();
    expect(outcome(await signDatabase(host, 1))).toBe("signed");
    expect(outcome(await signImage(host, first))).toBe("signed");
    const before = host.entries();
    const backup = join(host.folder, "log.key.backup");
    await copyFile(join(host.stateDirectory, "log.key"), backup);
    await rm(host.stateDirectory, { recursive: true });

    const withoutKey = await signerLog(host, "restore", "--from", LOG_HOST);
    expect(withoutKey).toMatchObject({ status: 78, stderr: expect.stringContaining("--log-key") });
    expect(await signerLog(host, "restore", "--from", LOG_HOST, "--log-key", backup)).toMatchObject({
      status: 0,
    });
    expect(host.entries().slice(0, -1)).toEqual(before);
    expect(outcome(await signImage(host, second))).toBe("over-limit 75");
    expect(outcome(await signImage(host, first))).toBe("signed");
    expect(host.entries().at(-1)?.kind).toBe("reissued");
    expect(await readdir(copy.directory)).not.toContain("conflicts");
  });

  test("goes on from a folder that was brought over from the log host", async () => {
    const { host, copy } = await makeHosts();
    expect(outcome(await signDatabase(host, 1))).toBe("signed");
    const brought = join(host.folder, "brought");
    await cp(copy.directory, brought, { recursive: true });
    await rm(join(host.stateDirectory, "log.db"));
    const refused = await signDatabase(host, 2);
    expect(outcome(refused)).toBe("no-state 78");
    expect(refused.stderr).toContain("signer-log restore");
    expect(await signerLog(host, "restore", "--copy", brought)).toMatchObject({ status: 0 });
    expect(outcome(await signDatabase(host, 2))).toBe("signed");
  });
});

test("of two log hosts the one that holds less is not restored from", async () => {
  const { host } = await makeHosts();
  await startLogHost(cleanup, host, { name: "other" });
  expect(outcome(await signDatabase(host, 1))).toBe("signed");
  const both = await readFile(host.configFile, "utf8");
  await writeFile(host.configFile, both.slice(0, both.lastIndexOf("[[remote_log]]")));
  expect(outcome(await signDatabase(host, 2))).toBe("signed");
  await writeFile(host.configFile, both);
  await rm(join(host.stateDirectory, "log.db"));
  expect(await signerLog(host, "restore", "--from", "other")).toMatchObject({
    status: 69,
    stderr: expect.stringMatching(/loghost holds 4 entries of the log, other 3: expected --from loghost$/m),
  });
  expect(await signerLog(host, "restore", "--from", LOG_HOST)).toMatchObject({ status: 0 });
  expect(outcome(await signDatabase(host, 2))).toBe("signed");
});

describe("the log key in a thief's hands", () => {
  test("makes no other history that the log host takes: it refuses, keeps the evidence, and goes on with the real one", async () => {
    const { host, copy } = await makeHosts();
    expect(outcome(await signDatabase(host, 1))).toBe("signed");
    const thief = join(await tempDir(cleanup), "state");
    await cp(host.stateDirectory, thief, { recursive: true });
    expect(outcome(await signDatabase(host, 2))).toBe("signed");

    // The thief goes on with the older log, without the log host, and then shows it the result.
    const alone = await makeSigningHost(cleanup, { rules: RULES });
    await putBack(thief, alone.stateDirectory);
    for (const seed of [3, 4, 5]) expect(outcome(await signDatabase(alone, seed))).toBe("signed");
    const config = await readFile(host.configFile, "utf8");
    await appendFile(alone.configFile, config.slice(config.indexOf("[[remote_log]]")));
    expect(await signerLog(alone, "push")).toMatchObject({
      status: 69,
      stderr: expect.stringMatching(/^signer-log: log-broken: .* two histories/),
    });
    expect((await signerLog(alone, "compare")).stderr).toMatch(/entry 3 of the log is another one/);
    expect(await readdir(copy.directory)).not.toContain("conflicts");

    // With a program that does not look, either.
    await rm(join(alone.stateDirectory, "halted"));
    const ledger = Ledger.open(alone.stateDirectory);
    const source = ledger.source();
    const logHost = await LogHost.connect(remoteOf(alone), ledger.verifier);
    const fork = logHost.append(source.checkpointAt(6), 3, 6, source.entries(3, 6));
    await expect(fork).rejects.toBeInstanceOf(ConflictFault);
    source.close();
    ledger.close();
    expect((await readdir(join(copy.directory, "conflicts"))).length).toBe(1);

    // What the log host has is what the real host has: it goes on.
    expect(outcome(await signDatabase(host, 6))).toBe("signed");
    expect((await signerLog(host, "compare")).status).toBe(0);
  });
});
