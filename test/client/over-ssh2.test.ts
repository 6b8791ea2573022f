import { spawn } from "node:child_process";
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { signFiles } from "../../src/client/sign-files.ts";
import { LogReader } from "../../src/log/log-reader.ts";
import { parseFileName } from "../../src/request/request.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { GnupgHome } from "../support/gnupg.ts";
import { type Gpg, startGpg } from "../support/gpg.ts";
import { type RunOptions, run, runOk } from "../support/run.ts";
import { makeSigningHost, rule, SIGNER, type SigningHostUnderTest } from "../support/signing-host.ts";
import { type SshServer, startSshd } from "../support/sshd.ts";
import { tempDir } from "../support/temp-dir.ts";
import { clientOf } from "./fixture.ts";

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const CLIENT = resolve("bin/signer-client");
const DB = "core.db.tar.gz";
const FILES = "core.files.tar.gz";
let host: SigningHostUnderTest;
let server: SshServer;
let gpg: Gpg;
let etc: string;
let config: string;

/** The forced command, which a test replaces for a while. */
const forced = () => join(etc, "forced");
const accept = () => `exec ${SIGNER} --config ${host.configFile} accept --client repos`;

beforeAll(async () => {
  etc = await tempDir(cleanup);
  const rules = [
    rule({ id: "db", type: "db", names: ["core.db.tar.gz", "*-testing.db.tar.gz"] }),
    rule({ id: "files", type: "files", limits: ["100 per day"] }),
    rule({ id: "rare", type: "db", names: ["rare.db.tar.gz"], limits: ["1 per day"] }),
  ];
  host = await makeSigningHost(cleanup, { rules: rules.join("") });
  await runOk("ssh-keygen", ["-q", "-t", "rsa", "-N", "", "-C", "", "-f", join(etc, "rsa")]);
  const rsa = readFileSync(`${join(etc, "rsa")}.pub`, "utf8").trim();
  server = await startSshd(cleanup, {
    authorizedKeys: (key) =>
      [key, rsa].map((line) => `restrict,command="/bin/sh ${forced()}" ${line}\n`).join(""),
  });
  writeFileSync(forced(), accept());
  gpg = await startGpg(cleanup);
  await gpg.importKey(await host.publicKey());
  writeFileSync(join(etc, "repo.asc"), await host.publicKey());
  config = clientToml();
});

/** A client.toml that names the server's ssh_config, and with it the alias `signer`. */
function clientToml(...lines: string[]): string {
  const path = join(etc, `client-${Math.random()}.toml`);
  const common = [
    'host = "signer"',
    `ssh_config = ${JSON.stringify(server.clientConfig)}`,
    `public_key = ${JSON.stringify(join(etc, "repo.asc"))}`,
  ];
  writeFileSync(path, `${[...common, ...lines].join("\n")}\n`);
  return path;
}

function client(args: readonly string[], options: RunOptions & { readonly config?: string } = {}) {
  const env = { PATH: "/usr/bin:/bin", SIGNER_CLIENT_CONFIG: options.config ?? config, ...options.env };
  return run(CLIENT, args, { ...options, env });
}

let seed = 0;
function database(kind: "db" | "files" = "db"): Buffer {
  seed += 1;
  return buildDatabase({ kind, packages: 2, seed, compression: "gzip" });
}

/** A folder with both databases, like no other. */
async function repository(): Promise<string> {
  const folder = await tempDir(cleanup);
  writeFileSync(join(folder, DB), database());
  writeFileSync(join(folder, FILES), database("files"));
  return folder;
}

async function isGood(file: string, signature = `${file}.sig`): Promise<boolean> {
  return (await gpg.verify(readFileSync(signature), readFileSync(file))).good;
}

/** As long as `work` lasts the host runs `script`, a shell's, for each command. */
async function behaving<T>(script: string, work: () => Promise<T>): Promise<T> {
  writeFileSync(forced(), script);
  try {
    return await work();
  } finally {
    writeFileSync(forced(), accept());
  }
}

describe("what signer-client does over ssh2", () => {
  test("one file, several by one batch, stdin, armor, another name", async () => {
    const folder = await repository();
    const [db, files] = [join(folder, DB), join(folder, FILES)];
    expect(await client(["sign", "--for", "alice", db])).toMatchObject({ status: 0, stderr: "" });
    expect(await isGood(db)).toBe(true);
    const log = LogReader.open(host.stateDirectory);
    expect(log.privateRecord(log.size - 1)?.for).toBe("alice");
    log.close();
    expect(await client(["sign", db, files])).toMatchObject({ status: 0, stderr: "" });
    expect(await Promise.all([isGood(db), isGood(files)])).toEqual([true, true]);
    const stdin = readFileSync(db);
    const armored = await client(["sign", "--armor", "--name", DB, "-"], { stdin });
    expect(armored.stdout.toString()).toMatch(/^-----BEGIN PGP SIGNATURE-----\n/);
    expect((await gpg.verify(armored.stdout, stdin)).good).toBe(true);
    const other = join(folder, "other");
    expect(await client(["sign", "-o", other, db])).toMatchObject({ status: 0, stderr: "" });
    expect(await isGood(db, other)).toBe(true);
    expect(readdirSync(folder).toSorted()).toEqual([DB, `${DB}.sig`, FILES, `${FILES}.sig`, "other"]);
  });

  test("key and status, as a table and as JSON", async () => {
    expect((await client(["key"])).stdout.toString()).toBe(await host.publicKey());
    expect((await client(["status"])).stdout.toString()).toMatch(/^client repos, .*\n\nRULE +TYPE/);
    const json = JSON.parse((await client(["status", "--json"])).stdout.toString());
    expect(json).toMatchObject({ client: "repos", keys: [{ name: "repo" }] });
  });

  test("a refusal of one file in a batch has the host's code, and no file gets a signature", async () => {
    const folder = await repository();
    writeFileSync(join(folder, "other.db.tar.gz"), database());
    const ended = await client(["sign", join(folder, DB), join(folder, "other.db.tar.gz")]);
    expect(ended).toMatchObject({
      status: 77,
      stderr: expect.stringMatching(/^signer-client: not-permitted: other\.db\.tar\.gz: [\x20-\x7e]+\n$/),
    });
    expect(readdirSync(folder).filter((name) => name.includes("sig"))).toEqual([]);
  });

  test("an RSA key in a file, and the same key in an agent", async () => {
    const rsa = clientToml(`identities = [${JSON.stringify(join(etc, "rsa"))}]`);
    expect(await client(["status"], { config: rsa })).toMatchObject({ status: 0, stderr: "" });
    const socket = join(etc, "agent.sock");
    const agent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: ["ignore", "pipe", "ignore"] });
    cleanup.add(() => agent.kill());
    await new Promise((done) => agent.stdout.once("data", done));
    const env = { ...process.env, SSH_AUTH_SOCK: socket };
    await runOk("ssh-add", ["-q", join(etc, "rsa")], { env });
    const by = (agent: string) =>
      clientToml(
        `agent = ${JSON.stringify(agent)}`,
        `identities = [${JSON.stringify(`${join(etc, "rsa")}.pub`)}]`,
      );
    expect(await client(["status"], { config: by(socket) })).toMatchObject({ status: 0, stderr: "" });
  });

  test("a limit that is used up until tomorrow is said at once, also with --wait", async () => {
    const file = join(await tempDir(cleanup), "rare.db.tar.gz");
    writeFileSync(file, database());
    expect(await client(["sign", file])).toMatchObject({ status: 0 });
    writeFileSync(file, database());
    expect(await client(["sign", "--wait", file])).toMatchObject({
      status: 75,
      stderr: expect.stringMatching(/^signer-client: over-limit: [\x20-\x7e]+\n$/),
    });
  });
});

describe("a connection that is lost", () => {
  /** Ends sshd's process of this session, which is the parent of the forced command's shell. */
  const LOSE = "kill -KILL $PPID; exit 1";

  test("once is tried again, and the file is signed", async () => {
    const file = join(await repository(), DB);
    const once = join(etc, `lost-${seed}`);
    const script = `if mkdir ${once} 2>/dev/null; then head -c 10 >/dev/null; ${LOSE}; fi\n${accept()}`;
    const ended = await behaving(script, () => client(["sign", file]));
    expect(ended).toMatchObject({ status: 0, stderr: "" });
    expect(await isGood(file)).toBe(true);
  });

  test("a stream cannot be sent again: 69 at once, and nothing on stdout", async () => {
    const ended = await behaving(`head -c 10 >/dev/null; ${LOSE}`, () =>
      client(["sign", "--name", DB, "-"], { stdin: database() }),
    );
    expect(ended).toMatchObject({
      status: 69,
      stderr: expect.stringMatching(/^signer-client: host-unreachable: [\x20-\x7e]+\n$/),
    });
    expect(ended.stdout.length).toBe(0);
  });

  test("each time is a failure in the end, which leaves nothing", async () => {
    const folder = await repository();
    const ended = await behaving(LOSE, () => client(["sign", join(folder, DB)]));
    expect(ended).toMatchObject({ status: 69 });
    expect(readdirSync(folder).toSorted()).toEqual([DB, FILES]);
  });
});

describe("a file that is changed while it is being sent", () => {
  test.each([
    ["grows", (file: string) => appendFileSync(file, "x")],
    ["shrinks", (file: string) => writeFileSync(file, "x")],
    ["has other bytes", (file: string) => writeFileSync(file, Buffer.alloc(4_000_000, 1), { flag: "r+" })],
  ])("and %s gets no signature", async (_, change) => {
    const file = join(await tempDir(cleanup), DB);
    writeFileSync(file, Buffer.alloc(4_000_000));
    const name = parseFileName(DB);
    if (name === undefined) throw new Error("no name");
    let isChanged = false;
    const onProgress = () => {
      if (!isChanged) change(file);
      isChanged = true;
    };
    const settings = clientOf(server, { publicKeyFile: join(etc, "repo.asc") });
    const result = await behaving("cat >/dev/null; echo x", () =>
      signFiles(settings, [{ path: file, name }], { onProgress }).catch((error: unknown) => error),
    );
    expect(result).toMatchObject({
      code: "bad-request",
      reason: expect.stringMatching(/^expected ".*" to stay as it is while it is being sent$/),
    });
  });
});

describe("the host's own key", () => {
  test.each([
    ["RSA-4096", "rsa4096"],
    ["ECDSA over P-256", "nistp256"],
  ])("may be %s", async (_, algorithm) => {
    const home = await GnupgHome.create(cleanup);
    const fingerprint = await home.generate({ primary: [algorithm, "sign,cert"] });
    const folder = await tempDir(cleanup);
    const key = join(folder, "repo.key");
    writeFileSync(key, await home.gpg(["--export-secret-keys", fingerprint]), { mode: 0o600 });
    const toml = join(folder, "signer.toml");
    const text = readFileSync(host.configFile, "utf8")
      .replace(host.keyFile, key)
      .replace(host.stateDirectory, join(folder, "state"));
    writeFileSync(toml, text);
    await runOk(SIGNER, ["--config", toml, "init"]);
    const certificate = join(folder, "repo.asc");
    writeFileSync(certificate, await home.gpg(["--armor", "--export", fingerprint]));
    const files = await repository();
    const pinned = { SIGNER_PUBLIC_KEY: certificate };
    const ended = await behaving(`exec ${SIGNER} --config ${toml} accept --client repos`, () =>
      client(["sign", join(files, DB), join(files, FILES)], { env: pinned }),
    );
    expect(ended).toMatchObject({ status: 0, stderr: "" });
    await gpg.importKey(readFileSync(certificate));
    expect(await Promise.all([DB, FILES].map((name) => isGood(join(files, name))))).toEqual([true, true]);
    // The same signatures are nobody's under the first key.
    const wrong = await behaving(`exec ${SIGNER} --config ${toml} accept --client repos`, () =>
      client(["sign", join(files, DB)]),
    );
    expect(wrong).toMatchObject({ status: 69, stderr: expect.stringContaining("signing-failed") });
  });
});

describe("a hostile status", () => {
  const RULE = { id: "a", type: "db", max_size: 1, limits: [{ limit: "1 per day", left: 0 }], key: "repo" };
  const STATUS = { client: "repos", time: "2026-01-01T00:00:00.000Z", rules: [RULE], keys: [] };
  const answered = async (text: string, ...options: string[]) => {
    const file = join(etc, "status");
    writeFileSync(file, text);
    return await behaving(`cat ${file}`, () => client(["status", ...options]));
  };

  test("shows no control character, of which the terminal would make something", async () => {
    const evil = "\u001b]0;x\u0007\u009b2J\r\n\u202e\u{1f600}";
    const rule = { ...RULE, id: evil, type: evil, key: evil, limits: [{ limit: evil, left: 1 }] };
    const names = [{ name: evil, limits: rule.limits }];
    const key = { name: evil, algorithm: evil, fingerprint: evil, problem: evil };
    const status = { ...STATUS, client: evil, rules: [{ ...rule, per_name: names }], keys: [key] };
    const table = await answered(JSON.stringify(status));
    expect(table).toMatchObject({ status: 0, stderr: "" });
    expect(table.stdout.toString()).toMatch(/^[\n\x20-\x7e]+$/);
    expect(table.stdout.toString().split("\n").length).toBeLessThan(10);
    const json = await answered(JSON.stringify(status), "--json");
    expect(json.stdout.toString()).toMatch(/^[\x20-\x7e]+\n$/);
    expect(JSON.parse(json.stdout.toString())).toMatchObject({ client: evil });
  });

  test.each([
    ["empty", ""],
    ["of no JSON", "hello"],
    ["an array", "[]"],
    ["nested too deeply", "[".repeat(500_000)],
    ["larger than 1 MiB", `${JSON.stringify(STATUS)}${" ".repeat(1024 * 1024)}`],
    ["with a count that is none", JSON.stringify({ ...STATUS, rules: [{ ...RULE, max_size: -1 }] })],
    ["with a time that is none", JSON.stringify({ ...STATUS, time: "tomorrow" })],
  ])("%s is no signing host", async (_, text) => {
    const ended = await answered(text);
    expect(ended).toMatchObject({
      status: 69,
      stderr: expect.stringMatching(/^signer-client: host-unreachable: [\x20-\x7e]+\n$/),
    });
    expect(ended.stdout.length).toBe(0);
  });
});

describe("the progress bar", () => {
  /** A host that takes more than a second, and then refuses. */
  const SLOW = `for i in 1 2 3 4 5 6; do head -c 2000000 >/dev/null; sleep 0.4; done
cat >/dev/null; echo 'signer: not-recognised: no' >&2; exit 65`;
  const large = async () => {
    const file = join(await tempDir(cleanup), DB);
    writeFileSync(file, Buffer.alloc(20_000_000));
    return file;
  };

  test("is there on a terminal for what takes more than a second, and erased at the end", async () => {
    const command = `${CLIENT} sign ${await large()}`;
    const env = { PATH: "/usr/bin:/bin", TERM: "xterm", SIGNER_CLIENT_CONFIG: config };
    const { stdout } = await behaving(SLOW, () => run("script", ["-qec", command, "/dev/null"], { env }));
    expect(stdout.toString()).toMatch(
      /\r\[#+-+\] +\d+% [\d.]+ MiB of 19\.1 MiB, [\d.]+ [MK]iB\/s, .* left\u001b\[K/,
    );
    expect(stdout.toString()).toMatch(/\r\u001b\[Ksigner-client: not-recognised: no\r\n$/);
  });

  test("is not there in a pipe", async () => {
    const file = await large();
    const ended = await behaving(SLOW, () => client(["sign", file], { env: { TERM: "xterm" } }));
    expect(ended).toMatchObject({ status: 65, stderr: "signer-client: not-recognised: no\n" });
    expect(ended.stdout.length).toBe(0);
  });
});
