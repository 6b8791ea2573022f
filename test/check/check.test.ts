import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Ledger } from "../../src/log/ledger.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { GnupgHome } from "../support/gnupg.ts";
import { runOk } from "../support/run.ts";
import { makeSigningHost, outcome, rule, type SigningHostUnderTest } from "../support/signing-host.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** For tests that put everything back. */
let shared: SigningHostUnderTest;
const atEnd = new Cleanup();
beforeAll(async () => {
  shared = await makeSigningHost(atEnd);
});
afterAll(() => atEnd.run());

const isRoot = process.getuid?.() === 0;
const DAY = 86_400_000;

/** What `signer check` says, and how it ends. */
async function check(host: SigningHostUnderTest, ...args: readonly string[]) {
  const { status, stdout, stderr } = await host.signer(["check", "--sshd-config", "/nonexistent", ...args]);
  expect(stderr).toBe("");
  const lines = stdout.toString().split("\n");
  return { status, lines, errors: lines.filter((line) => line.startsWith("ERROR")), text: stdout.toString() };
}

/** The one error that is there, its exit status, and a warning's text. */
async function expectError(
  host: SigningHostUnderTest,
  status: number,
  ...texts: readonly (string | RegExp)[]
) {
  const found = await check(host);
  expect(found.errors).toEqual(texts.map((text) => expect.stringMatching(text)));
  expect(found.status).toBe(status);
}

test("a host that init made has no errors; what an administrator still has to do is there", async () => {
  const host = await makeSigningHost(cleanup);
  const { status, errors, text } = await check(host);
  expect({ status, errors }).toEqual({ status: 0, errors: [] });
  expect(text).toMatch(/^WARNING +key +.*repo\.key\.primary is still here/m);
  expect(text).toMatch(/^WARNING +key +.*repo\.key\.revocation is still here/m);
  expect(text).toMatch(/^WARNING +rules +any-db has no limits/m);
  expect(text).toMatch(/^note +rules +any-db has no from/m);
  expect(text).toMatch(/^ok +clock/m);
  expect(text).toMatch(
    /^note +sshd +standalone mode: SSH logs into \S+, which can read the keys; .*SPLIT\.md/m,
  );
  expect(text).toContain("\n0 errors, 5 warnings\n");
});

describe("files:", () => {
  test.each([
    ["the state directory", "state", 0o755, 78],
    ["the log", "state/log.db", 0o640, 78],
    ["the log key", "state/log.key", 0o604, 78],
    ["what is cached of keys", "state/key-cache", 0o750, 78],
    ["the key", "repo.key", 0o640, 69],
  ])("%s open to others is an error", async (_, path, mode, status) => {
    const file = join(shared.folder, path);
    const before = statSync(file).mode;
    chmodSync(file, mode);
    await expectError(shared, status, `${path} is open to others \\(mode 0${mode.toString(8)}\\)`);
    chmodSync(file, before);
  });

  test("the key open to everybody is an error, twice: it does not sign either", async () => {
    chmodSync(shared.keyFile, 0o644);
    await expectError(
      shared,
      69,
      "repo.key is open to others",
      "everybody on this machine may access the file",
    );
    chmodSync(shared.keyFile, 0o600);
  });

  test("a configuration that others may write is an error, and so is its folder", async () => {
    chmodSync(shared.configFile, 0o664);
    await expectError(shared, 78, "signer.toml may be written by others");
    chmodSync(shared.configFile, 0o644);
    chmodSync(shared.folder, 0o775);
    await expectError(shared, 78, "may be written by others");
    chmodSync(shared.folder, 0o700);
  });

  test("a missing log, state directory or key is an error", async () => {
    const host = await makeSigningHost(cleanup);
    renameSync(join(host.stateDirectory, "log.db"), join(host.folder, "log.db"));
    await expectError(host, 78, "log +the state directory holds a log key and no log");
    renameSync(host.keyFile, `${host.keyFile}.away`);
    await expectError(host, 69, "key .*cannot be read \\(ENOENT\\)", "log +the state directory holds");
    renameSync(host.stateDirectory, join(host.folder, "elsewhere"));
    await expectError(host, 78, "files +.*state is missing", "key .*ENOENT", "log .*no log");
  });

  test.runIf(isRoot).each([
    ["the log", "state/log.db", 78, ["belongs to account 12345, the folder to 0"]],
    ["the key", "repo.key", 69, ["belongs to account 12345, the state to 0"]],
    ["the configuration", "signer.toml", 78, ["belongs to account 12345: expected root or"]],
  ])("%s of another owner is an error", async (_, path, status, texts) => {
    chownSync(join(shared.folder, path), 12345, 12345);
    await expectError(shared, status, ...texts);
    chownSync(join(shared.folder, path), 0, 0);
  });

  test("metrics that have no folder are a warning, where a service would write them", async () => {
    const metrics = 'service = { metrics = "/nonexistent/signer.prom" }';
    const host = await makeSigningHost(cleanup, { settings: `mode = "split"\n${metrics}` });
    const { text } = await check(host);
    expect(text).toMatch(/^WARNING +files +\/nonexistent is missing: no metrics are written/m);
    const alone = await makeSigningHost(cleanup, { settings: metrics });
    expect((await check(alone)).text).not.toContain("no metrics");
  });

  test("a journal that cannot be kept is a warning", async () => {
    const host = await makeSigningHost(cleanup, { settings: 'journal = "/nonexistent/journal.jsonl"' });
    const { status, text } = await check(host);
    expect(text).toMatch(/^WARNING +files +\/nonexistent is missing: no journal is kept/m);
    expect(status).toBe(0);
  });
});

describe("keys:", () => {
  /** A host whose key gpg made. */
  async function hostWithKey(options: { readonly expires?: string; readonly born?: string }) {
    const host = await makeSigningHost(cleanup);
    const gnupg = await GnupgHome.create(cleanup);
    const fingerprint = await gnupg.generate({ primary: ["ed25519", "sign"], ...options });
    writeFileSync(host.keyFile, await gnupg.secretKey(fingerprint));
    return { host, gnupg, fingerprint };
  }
  const dateIn = (days: number) => new Date(Date.now() + days * DAY).toISOString().slice(0, 10);

  test("an expired key is an error", async () => {
    const { host } = await hostWithKey({ born: "20200101T000000", expires: "2021-01-01" });
    await expectError(host, 69, "cannot sign: the key expired at 2021-01-01");
  });

  test("a key that expires within six weeks is a warning, a day or two more and it is none", async () => {
    const { host } = await hostWithKey({ expires: dateIn(41) }); // gpg means noon
    const soon = await check(host);
    expect(soon.text).toMatch(/^WARNING +key +repo: .*4[01] days left\): extend it/m);
    expect(soon.status).toBe(0);
    const { host: other } = await hostWithKey({ expires: dateIn(44) });
    expect((await check(other)).text).toMatch(/^ok +key +repo: .*days left\)$/m);
  });

  test("a key with a passphrase that nothing names is an error", async () => {
    const host = await makeSigningHost(cleanup);
    const gnupg = await GnupgHome.create(cleanup);
    const passphrase = "correct horse";
    const fingerprint = await gnupg.generate({ primary: ["ed25519", "sign"], passphrase });
    writeFileSync(host.keyFile, await gnupg.secretKey(fingerprint, "all", passphrase));
    await expectError(host, 69, "a passphrase protects it");
  });

  test("a revoked key is an error", async () => {
    const { host, gnupg, fingerprint } = await hostWithKey({});
    const revocation = readFileSync(join(gnupg.path, "openpgp-revocs.d", `${fingerprint}.rev`), "utf8");
    await gnupg.gpg(["--import"], revocation.replace(":-----BEGIN", "-----BEGIN"));
    writeFileSync(host.keyFile, await gnupg.secretKey(fingerprint));
    await expectError(host, 69, "cannot sign: .*revoked");
  });

  test("a credential is an error: sshd gives none", async () => {
    const host = await makeSigningHost(cleanup);
    const text = readFileSync(host.configFile, "utf8");
    writeFileSync(
      host.configFile,
      text.replace("\n\n[[rules]]", '\npassphrase_credential = "repo"\n\n[[rules]]'),
    );
    await expectError(host, 69, "passphrase_credential, and sshd provides no credentials");
  });
});

describe("the log:", () => {
  const stdin = buildDatabase({ packages: 1, kind: "db" });

  test("a log that contradicts itself is an error", async () => {
    const host = await makeSigningHost(cleanup);
    await host.accept({ stdin });
    const log = new DatabaseSync(join(host.stateDirectory, "log.db"));
    log.exec(
      "DROP TRIGGER nodes_delete; DELETE FROM nodes WHERE position = (SELECT max(position) FROM nodes)",
    );
    log.close();
    await expectError(host, 69, "log .*signer-log verify");
    expect(outcome(await host.accept({ stdin }))).toBe("log-broken 69");
  });

  test("a file that is no log is an error", async () => {
    const host = await makeSigningHost(cleanup);
    writeFileSync(join(host.stateDirectory, "log.db"), "x".repeat(10_000));
    await expectError(host, 69, "log ");
  });

  test("another log's key is an error", async () => {
    const [host, other] = [await makeSigningHost(cleanup), await makeSigningHost(cleanup)];
    copyFileSync(join(other.stateDirectory, "log.key"), join(host.stateDirectory, "log.key"));
    await expectError(host, 69, "the log key is not the one that the log began with");
  });

  test("another origin than the log's is an error", async () => {
    const host = await makeSigningHost(cleanup);
    const text = readFileSync(host.configFile, "utf8");
    writeFileSync(host.configFile, text.replace(/origin = .*/, 'origin = "other.example.org/repo"'));
    await expectError(host, 78, "origin is not the one that the log began with");
  });

  test("a clock behind the log is an error, for accept as for check, until it is accepted", async () => {
    const host = await makeSigningHost(cleanup, {
      rules: rule({ id: "once", type: "db", limits: ["1 per 90 days"] }),
    });
    expect(outcome(await host.accept({ stdin }))).toBe("signed");
    expect((await host.signer(["clock", "accept"])).stdout.toString()).toMatch(/^the clock is not behind/);
    // What a process of a year hence would have written, were this machine's clock that far ahead for a while.
    const ledger = Ledger.open(host.stateDirectory);
    const ahead = new Date(Date.now() + 365 * DAY);
    await ledger.recordRefusal(ahead, { kind: "refused", client: "repos", code: "bad-request", reason: "x" });
    ledger.close();

    await expectError(host, 69, /clock +now is .* set the clock, or signer clock accept/);
    expect(outcome(await host.accept({ stdin }))).toBe("clock-behind 69");
    const size = host.entries().length;
    const accepted = await host.signer(["clock", "accept"]);
    expect(accepted).toMatchObject({ status: 0, stderr: "" });
    expect(accepted.stdout.toString()).toMatch(/^accepted as entry \d+: limits count from /);
    expect(host.entries().slice(size)).toMatchObject([
      { kind: "clock-accepted", previous: ahead.toISOString() },
    ]);
    await expectError(host, 0);
    expect(outcome(await host.accept({ stdin }))).toBe("signed");
    const other = buildDatabase({ packages: 2, kind: "db" });
    expect(outcome(await host.accept({ stdin: other }))).toBe("over-limit 75");
  });

  test("a rule that signed within the month and is gone is a warning", async () => {
    const host = await makeSigningHost(cleanup);
    expect(outcome(await host.accept({ stdin }))).toBe("signed");
    expect((await check(host)).text).not.toContain("is no rule any more");
    const text = readFileSync(host.configFile, "utf8");
    writeFileSync(
      host.configFile,
      text.replace('"any-db"', '"every-db"').replace('"any-iso"', '"every-iso"'),
    );
    const { status, text: said } = await check(host);
    expect(said).toMatch(/^WARNING +rules +any-db signed within the last 31 days and is no rule any more/m);
    expect(said).not.toMatch(/any-iso .* no rule/);
    expect(status).toBe(0);
  });
});

describe.runIf(isRoot)("sshd:", () => {
  async function checkSshd(...lines: readonly string[]) {
    mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
    const folder = await tempDir(cleanup);
    const hostKey = join(folder, "host");
    await runOk("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", hostKey]);
    const file = join(folder, "sshd_config");
    writeFileSync(file, [`HostKey ${hostKey}`, "AuthorizedKeysFile none", ...lines, ""].join("\n"));
    return await check(shared, "--user", "root", "--sshd-config", file);
  }

  test("a ForceCommand that replaces command= and names no client is an error", async () => {
    const { status, errors } = await checkSshd("Match User root", "ForceCommand /usr/bin/signer accept");
    expect(errors).toEqual([
      expect.stringContaining("ForceCommand replaces command= of authorized_keys for root"),
    ]);
    expect(status).toBe(78);
  });

  test("a ForceCommand for somebody else, or none, is as it should be", async () => {
    const { errors, text } = await checkSshd("Match User nobody", "ForceCommand /bin/false");
    expect(errors).toEqual([]);
    expect(text).toMatch(/^ok +sshd +no ForceCommand replaces command= for root/m);
  });

  test("a ForceCommand with a client is a warning: one client for every key", async () => {
    const { errors, text } = await checkSshd("ForceCommand /usr/bin/signer accept --client repos");
    expect(errors).toEqual([]);
    expect(text).toMatch(/^WARNING +sshd .*command= of authorized_keys is ignored/m);
  });

  test("what is advised and not set is noted, and what is set is not", async () => {
    const { text } = await checkSshd("ExposeAuthInfo yes", "PermitTTY no", "PermitUserRC no");
    expect(text).toMatch(/^note +sshd +disableforwarding yes is advised/m);
    expect(text).not.toMatch(/exposeauthinfo|permittty|permituserrc/);
  });

  test("a configuration that sshd does not take is noted with sshd's words", async () => {
    const { text } = await checkSshd("NoSuchThing yes");
    expect(text).toMatch(/^note +sshd +sshd -T says nothing about root: ".*NoSuchThing/m);
  });
});

test("everything that is wrong is said at once", async () => {
  const host = await makeSigningHost(cleanup);
  chmodSync(host.configFile, 0o666);
  chmodSync(join(host.stateDirectory, "log.db"), 0o644);
  writeFileSync(host.keyFile, "no key");
  writeFileSync(join(host.stateDirectory, "log.key"), "no key");
  const { status, errors } = await check(host);
  expect(errors.map((line) => line.slice(9, 24).trim())).toEqual(["files", "files", "key", "log"]);
  expect(status).toBe(78);
});
