import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { GnupgHome } from "../support/gnupg.ts";
import { startGpg } from "../support/gpg.ts";
import { type Ended, run } from "../support/run.ts";
import {
  configText,
  makeSigningHost,
  ORIGIN,
  outcome,
  readLog,
  rule,
  SIGNER,
} from "../support/signing-host.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const isRoot = process.getuid?.() === 0;
const database = buildDatabase({ packages: 1, kind: "db" });

/** All files below a folder, to the last bit; of folders all but the time, which SQLite's passing files set. */
function everything(folder: string): readonly object[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .toSorted()
    .map((path) => {
      const found = lstatSync(join(folder, path));
      const { mode, uid, gid, mtimeMs, ino } = found;
      const file = found.isFile() ? { mtimeMs, bytes: readFileSync(join(folder, path), "base64") } : {};
      return { path, mode: mode.toString(8), uid, gid, ino, ...file };
    });
}

/** An empty folder, and `signer init` for a configuration in it that is not there yet. */
async function newPlace() {
  const folder = await tempDir(cleanup);
  const etc = join(folder, "etc", "signer");
  const state = join(folder, "state");
  const config = join(etc, "signer.toml");
  const init = (...args: string[]): Promise<Ended> =>
    run(SIGNER, ["--config", config, "init", "--state", state, "--origin", ORIGIN, ...args]);
  return { folder, etc, state, config, init };
}

describe("init", () => {
  test("makes configuration, key, log key and log, and with that the host signs", async () => {
    const { etc, state, config, init } = await newPlace();
    const ended = await init("--user-id", "Example <repo@example.org>", "--key-expires", "2099-12-31");
    expect(ended).toMatchObject({ status: 0, stderr: "" });
    const said = ended.stdout.toString();
    expect(said).toContain('"Example <repo@example.org>"');
    expect(said).toContain("valid until 2099-12-31");
    expect(said).toMatch(/move both to a medium that stays offline/);
    expect(said).toMatch(
      /^restrict,from="ADDRESS",command="\/usr\/bin\/signer accept --client repos --config .*" ssh-ed25519/m,
    );

    expect(readdirSync(etc).toSorted()).toEqual([
      "repo.key",
      "repo.key.primary",
      "repo.key.revocation",
      "signer.toml",
    ]);
    const mode = (path: string) => (lstatSync(path).mode & 0o777).toString(8);
    expect(
      [etc, config, join(etc, "repo.key"), state, join(state, "log.db"), join(state, "log.key")].map(mode),
    ).toEqual(["755", "644", "600", "700", "600", "600"]);
    expect(readLog(state)).toMatchObject([{ kind: "started", origin: ORIGIN }]);

    const env = { SSH_CONNECTION: "127.0.0.1 1 127.0.0.1 22", SSH_ORIGINAL_COMMAND: "core.db.tar.gz" };
    const accept = ["accept", "--client", "repos", "--config", config];
    expect(outcome(await run(SIGNER, accept, { env, stdin: database }))).toBe("signed");
  });

  test("makes a primary key that only certifies and is not in the key that signs", async () => {
    const { etc, init } = await newPlace();
    await init();
    const gpg = await startGpg(cleanup);
    const list = async (file: string) => {
      const { stdout } = await gpg.run(["--with-colons", "--show-keys", file]);
      return stdout
        .toString()
        .split("\n")
        .filter((line) => /^(?:sec|ssb|pub|sub)/.test(line))
        .map((line) => line.split(":"));
    };
    const [primary, subkey] = await list(join(etc, "repo.key"));
    expect([primary?.[0], primary?.[11]?.replace(/[A-Z]/g, "")]).toEqual(["sec", "c"]);
    expect([subkey?.[0], subkey?.[11]]).toEqual(["ssb", "s"]);
    const packets = async (name: string) =>
      (await gpg.run(["--list-packets", join(etc, name)])).stdout.toString();
    expect((await packets("repo.key")).match(/gnu-dummy/g)).toHaveLength(1);
    expect(await packets("repo.key.primary")).not.toContain("gnu-dummy");
  });

  test("run twice changes nothing, not even a time", async () => {
    const { folder, init } = await newPlace();
    await init();
    const before = everything(folder);
    const again = await init("--user-id", "Other <other@example.org>");
    expect(again).toMatchObject({ status: 0, stderr: "" });
    expect(again.stdout.toString()).not.toContain("made ");
    expect(everything(folder)).toEqual(before);
  });

  test("run twice changes nothing once the host has signed, and the log goes on", async () => {
    const host = await makeSigningHost(cleanup);
    await host.accept({ command: "core.db.tar.gz", stdin: database });
    const before = everything(host.folder);
    expect(await host.signer(["init"])).toMatchObject({ status: 0 });
    expect(everything(host.folder)).toEqual(before);
    expect(outcome(await host.accept({ command: "core.db.tar.gz", stdin: database }))).toBe("signed");
  });

  test("takes a key that gpg made, by naming its file, and leaves it as it is", async () => {
    const gnupg = await GnupgHome.create(cleanup);
    const fingerprint = await gnupg.generate({ primary: ["ed25519", "cert"], subkey: ["ed25519", "sign"] });
    const folder = await tempDir(cleanup);
    const keyFile = join(folder, "repo.key");
    const stateDirectory = join(folder, "state");
    const config = join(folder, "signer.toml");
    const secret = await gnupg.secretKey(fingerprint, "subkeys");
    writeFileSync(keyFile, secret, { mode: 0o600 });
    writeFileSync(config, configText({ stateDirectory, keyFile }));
    const ended = await run(SIGNER, ["--config", config, "init"]);
    expect(ended).toMatchObject({ status: 0, stderr: "" });
    expect(readFileSync(keyFile)).toEqual(secret);
    expect(readdirSync(folder).toSorted()).toEqual(["repo.key", "signer.toml", "state"]);

    const env = { SSH_CONNECTION: "127.0.0.1 1 127.0.0.1 22" };
    const accept = ["accept", "--client", "repos", "--config", config];
    const signed = await run(SIGNER, accept, { env, stdin: database });
    const gpg = await startGpg(cleanup);
    await gpg.importKey(await gnupg.gpg(["--armor", "--export", fingerprint]));
    expect(await gpg.verify(signed.stdout, database)).toMatchObject({ good: true, fingerprint });
  });

  test("takes a key with a passphrase, which it need not know", async () => {
    const gnupg = await GnupgHome.create(cleanup);
    const passphrase = "correct horse";
    const fingerprint = await gnupg.generate({ primary: ["ed25519", "sign"], passphrase });
    const folder = await tempDir(cleanup);
    const keyFile = join(folder, "repo.key");
    const config = join(folder, "signer.toml");
    writeFileSync(keyFile, await gnupg.secretKey(fingerprint, "all", passphrase), { mode: 0o600 });
    const text = configText({ stateDirectory: join(folder, "state"), keyFile });
    writeFileSync(config, text.replace("\n\n[[rules]]", '\npassphrase_credential = "repo"\n\n[[rules]]'));
    const signer = (...args: string[]) => run(SIGNER, ["--config", config, ...args]);
    expect(await signer("init")).toMatchObject({ status: 0, stderr: "" });
    expect((await signer("key")).stdout.toString()).toContain(fingerprint);

    const credentials = join(folder, "credentials");
    execFileSync("mkdir", [credentials]);
    writeFileSync(join(credentials, "repo"), passphrase, { mode: 0o600 });
    const env = { SSH_CONNECTION: "127.0.0.1 1 127.0.0.1 22" };
    const accept = ["accept", "--client", "repos", "--config", config];
    expect(outcome(await run(SIGNER, accept, { env, stdin: database }))).toBe("key-unavailable 69");
    const given = { ...env, CREDENTIALS_DIRECTORY: credentials };
    expect(outcome(await run(SIGNER, accept, { env: given, stdin: database }))).toBe("signed");
  });

  test.each([
    ["a log key without its log", "log.db"],
    ["a log without its key", "log.key"],
  ])("makes nothing beside %s", async (_, missing) => {
    const host = await makeSigningHost(cleanup);
    rmSync(join(host.stateDirectory, missing));
    const before = everything(host.folder);
    expect(outcome({ ...(await host.signer(["init"])), stdout: Buffer.alloc(0) })).toBe("log-broken 69");
    expect(everything(host.folder)).toEqual(before);
  });

  test("makes no second key where only the primary key is left", async () => {
    const host = await makeSigningHost(cleanup);
    const primary = readFileSync(`${host.keyFile}.primary`);
    rmSync(host.keyFile);
    const ended = await host.signer(["init"]);
    expect(ended).toMatchObject({
      status: 69,
      stderr: expect.stringMatching(/^signer: key-unavailable: .*primary/),
    });
    expect(existsSync(host.keyFile)).toBe(false);
    expect(readFileSync(`${host.keyFile}.primary`)).toEqual(primary);
  });

  test.each([
    [["--key-expires", "tomorrow"], "bad-configuration 78"],
    [["--key-expires", "2001-01-01"], "bad-configuration 78"],
    [["--user-id", "somebody"], "bad-configuration 78"],
    [["--owner", "no-such-account-here"], "bad-configuration 78"],
    [["--owner", "-u"], "bad-configuration 78"],
    [["--force"], "bad-request 64"],
  ])("refuses %j and makes neither key nor log", async (args, expected) => {
    const { etc, state, init } = await newPlace();
    const ended = await init(...args);
    expect(outcome({ ...ended, stdout: Buffer.alloc(0) })).toBe(expected);
    expect(existsSync(join(etc, "repo.key"))).toBe(false);
    expect(existsSync(state)).toBe(false);
  });
});

test("init --mode split writes a configuration of split mode, the same but for that", async () => {
  const { etc, config, init } = await newPlace();
  const ended = await init("--mode", "split");
  expect(ended).toMatchObject({ status: 0, stderr: "" });
  expect(ended.stdout.toString()).toMatch(/^authorized_keys of each client's account, signer-CLIENT/m);
  const text = readFileSync(config, "utf8");
  const other = await newPlace();
  await other.init();
  const standalone = readFileSync(other.config, "utf8").replaceAll(other.folder, dirname(dirname(etc)));
  expect(text).toBe(standalone.replace('# mode = "standalone"', 'mode = "split"'));
  expect((await other.init("--mode", "both")).status).toBe(64);
});

test.each([
  [["--origin", "x y"], "origin: expected a name"],
  [["--origin", "x"], "notation_domain: missing"],
  [["--state", "relative"], "state: expected an absolute path"],
])("init with %j, which no configuration may say, writes none", async (args, expected) => {
  const { etc, init } = await newPlace();
  const ended = await init(...args);
  expect(ended.stderr).toMatch(/^signer: bad-configuration: [ -~]+\n$/);
  expect(ended.stderr).toContain(expected);
  expect(existsSync(etc)).toBe(false);
});

test("init says that an origin of the command line changes no configuration", async () => {
  const { init } = await newPlace();
  expect((await init()).stdout.toString()).not.toContain("--origin");
  const again = await init("--origin", "other.example.org/repo");
  expect(again.stdout.toString()).toContain(`its origin is ${ORIGIN}: --origin is for a new configuration`);
});

describe.runIf(isRoot)("init --owner", () => {
  const owner = "nobody";
  const uid = Number(execFileSync("id", ["-u", owner], { encoding: "utf8" }));

  test("leaves a host on which that account signs, and with which check finds nothing wrong", async (context) => {
    const { folder, etc, state, config, init } = await newPlace();
    chmodSync(folder, 0o755);
    expect(await init("--owner", owner)).toMatchObject({ status: 0, stderr: "" });
    const ownerOf = (path: string) => lstatSync(path).uid;
    expect(
      [
        state,
        join(state, "log.db"),
        join(state, "log.key"),
        join(state, "key-cache"),
        join(etc, "repo.key"),
      ].map(ownerOf),
    ).toEqual(Array(5).fill(uid));
    expect([etc, config].map(ownerOf)).toEqual([0, 0]);

    const asOwner = ["--reuid", owner, "--regid", String(uid), "--clear-groups"];
    const canRun = await run("setpriv", [...asOwner, SIGNER, "--version"]);
    if (canRun.status !== 0) return context.skip("that account may not enter the folder of this checkout");
    const check = await run(SIGNER, ["--config", config, "check", "--sshd-config", "/nonexistent"]);
    const errors = check.stdout
      .toString()
      .split("\n")
      .filter((line) => line.startsWith("ERROR"));
    // That account has no shell, and check says so; all else is as it should be.
    expect(errors.filter((line) => !line.includes("the shell of nobody"))).toEqual([]);

    const env = { PATH: process.env["PATH"], SSH_CONNECTION: "127.0.0.1 1 127.0.0.1 22" };
    const accept = [...asOwner, SIGNER, "accept", "--client", "repos", "--config", config];
    expect(outcome(await run("setpriv", accept, { env, stdin: database }))).toBe("signed");
    const before = everything(state);

    // Root looks after it, and it still signs; nothing of root's is left there.
    await run(SIGNER, ["--config", config, "check"]);
    for (const args of [["key"], ["init"], ["clock", "accept"], ["init", "--owner", owner]])
      expect(await run(SIGNER, ["--config", config, ...args]), args.join(" ")).toMatchObject({ status: 0 });
    expect(everything(state)).toEqual(before);
    expect(outcome(await run("setpriv", accept, { env, stdin: database }))).toBe("signed");
  });

  test("gives away what it makes in a folder that was the account's before", async () => {
    const { state, init } = await newPlace();
    mkdirSync(state, { mode: 0o700 });
    chownSync(state, uid, 0);
    expect(await init("--owner", owner)).toMatchObject({ status: 0, stderr: "" });
    const owners = readdirSync(state, { recursive: true, encoding: "utf8" }).map(
      (name) => lstatSync(join(state, name)).uid,
    );
    expect(owners.length).toBeGreaterThan(1);
    expect(new Set(owners)).toEqual(new Set([uid]));
  });

  test("follows no link that the account has put into its folder", async () => {
    const { folder, state, init } = await newPlace();
    await init("--owner", owner);
    const target = join(folder, "target");
    const targets = join(folder, "targets");
    writeFileSync(target, "root's own");
    execFileSync("mkdir", [targets]);
    writeFileSync(join(targets, "one"), "root's own");
    symlinkSync(target, join(state, "link"));
    symlinkSync(targets, join(state, "links"));
    linkSync(target, join(state, "another-name"));
    expect(await init("--owner", owner)).toMatchObject({ status: 0 });
    expect([target, targets, join(targets, "one")].map((path) => lstatSync(path).uid)).toEqual([0, 0, 0]);
  });
});

test("the configuration that init writes is the shipped example, and rules of its own are printed for authorized_keys", async () => {
  const { config, init } = await newPlace();
  await init();
  const rules =
    rule({ id: "a", type: "db", from: ["192.0.2.10", "2001:db8::/64"] }) +
    rule({ id: "b", client: "releng", type: "iso", from: ["192.0.2.11"] });
  const text = readFileSync(config, "utf8");
  const example = readFileSync(join(import.meta.dirname, "../../signer.toml.example"), "utf8");
  const withoutPaths = (toml: string) => toml.replace(/^(state|journal|file) = .*$/gm, "$1");
  expect(withoutPaths(text)).toBe(withoutPaths(example));
  writeFileSync(config, `${text.slice(0, text.indexOf("[[rules]]"))}${rules}`);
  const said = (await init()).stdout.toString();
  expect(said).toMatch(/^restrict,from="192.0.2.10,2001:db8::\/64",command=".* --client repos .*repos$/m);
  expect(said).toMatch(/^restrict,from="192.0.2.11",command=".* --client releng .*releng$/m);
});
