import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { configText, makePullStory, type PullStory } from "../outbox/fixture.ts";
import { Cleanup } from "../support/cleanup.ts";
import { type Gpg, startGpg } from "../support/gpg.ts";
import { makePackage } from "../support/packages.ts";
import { type Sign, startPullEnclave } from "../support/pull-enclave.ts";
import { type Ended, type RunOptions, run } from "../support/run.ts";
import { collect } from "../support/signing-host.ts";
import { tempDir } from "../support/temp-dir.ts";

// The real repo-add, run by the real programs, whose signatures come by pull.

const cleanup = new Cleanup();
let story: PullStory;
let gpg: Gpg;
let config: string;

beforeAll(async () => {
  [story, gpg] = await Promise.all([makePullStory(cleanup), startGpg(cleanup)]);
  await gpg.importKey(readFileSync(story.publicKeyFile));
  config = join(await tempDir(cleanup), "client.toml");
  writeFileSync(config, configText(story));
});
afterAll(() => cleanup.run());

const NAME = "example.db.tar.gz";
const NOTHING = { outbox: [], inbox: [], requests: [] };
const ADD = resolve("bin/signer-repo-add");
const environment = (more: NodeJS.ProcessEnv = {}) => ({
  PATH: "/usr/bin:/bin",
  SIGNER_CLIENT_CONFIG: config,
  LC_ALL: "C",
  ...more,
});

async function makeFolder(...packages: readonly string[]): Promise<string> {
  const folder = join(await tempDir(cleanup), "served");
  mkdirSync(folder);
  for (const name of packages) await makePackage(folder, name);
  return folder;
}

function add(folder: string, args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  return run(ADD, ["-q", NAME, ...args], { cwd: folder, env: environment(), ...options });
}

/** Whether both databases are there with good signatures, and nothing else of ours. */
async function isWhole(folder: string): Promise<boolean> {
  const good = await Promise.all(
    [NAME, "example.files.tar.gz"].map(async (name) => {
      const [signature, database] = [`${name}.sig`, name].map((file) => readFileSync(join(folder, file)));
      return (await gpg.verify(signature ?? Buffer.of(), database ?? Buffer.of())).good;
    }),
  );
  const left = readdirSync(folder).filter((name) => name.startsWith(".") || name.endsWith(".lck"));
  return good.every(Boolean) && left.length === 0;
}

/** A signing host for one test. */
async function answering<T>(sign: Sign, work: () => Promise<T>): Promise<T> {
  const enclave = startPullEnclave(cleanup, story.folder, sign);
  try {
    return await work();
  } finally {
    await enclave.stop();
    expect(enclave.complaints).toEqual([]);
  }
}

test("packages are added, both databases are published with their signatures, and the outbox is empty again", async () => {
  const folder = await makeFolder("apple", "pear");
  await answering(story.sign, async () => {
    expect(await add(folder, ["apple-1.0-1-any.pkg.tar.zst"])).toMatchObject({ status: 0, stderr: "" });
    expect(await isWhole(folder)).toBe(true);
    const env = environment({ SIGNER_FOR: "alice" });
    expect(await add(folder, ["pear-1.0-1-any.pkg.tar.zst"], { env })).toMatchObject({
      status: 0,
      stderr: "",
    });
  });
  expect(await isWhole(folder)).toBe(true);
  expect(story.folder.left()).toEqual(NOTHING);
});

test("two repositories are updated at once, several times each", { timeout: 120_000 }, async () => {
  const folders = await Promise.all([makeFolder("apple", "pear"), makeFolder("plum", "fig")]);
  await answering(story.sign, async () => {
    const update = (folder: string, name: string) => add(folder, ["-w", `${name}-1.0-1-any.pkg.tar.zst`]);
    const [one = "", two = ""] = folders;
    const ended = await Promise.all([
      update(one, "apple"),
      update(one, "pear"),
      update(two, "plum"),
      update(two, "fig"),
    ]);
    expect(
      ended.map(({ status, stderr }) => [status, stderr.replace(/^signer-repo-add: waits for .*\n/, "")]),
    ).toEqual(Array.from({ length: 4 }, () => [0, ""]));
  });
  for (const folder of folders) {
    expect(await isWhole(folder)).toBe(true);
    const { stdout } = await run("bsdtar", ["-tf", join(folder, NAME)]);
    expect(stdout.toString().match(/\/desc\n/g)).toHaveLength(2);
  }
  expect(story.folder.left()).toEqual(NOTHING);
});

test("what the signing host refuses is said in its words, with its exit status, and nothing is published", async () => {
  const folder = await makeFolder("apple");
  const before = readdirSync(folder);
  const ended = await answering(
    async () => ({ code: "over-limit", reason: "the next one tomorrow" }),
    () => add(folder, ["apple-1.0-1-any.pkg.tar.zst"]),
  );
  expect(ended).toMatchObject({
    status: 75,
    stderr: "signer-repo-add: over-limit: the next one tomorrow\n",
  });
  expect(readdirSync(folder)).toEqual(before);
  expect(story.folder.left()).toEqual(NOTHING);
});

test("a signature that is not good is not published, nor is anything without one", async () => {
  const folder = await makeFolder("apple");
  const before = readdirSync(folder);
  const ended = await answering(
    async (file, bytes) => (file.type === "db" ? await story.sign(file, bytes) : Buffer.from("no")),
    () => add(folder, ["apple-1.0-1-any.pkg.tar.zst"]),
  );
  expect(ended).toMatchObject({
    status: 69,
    stderr: expect.stringMatching(
      /^signer-repo-add: signing-failed: expected a good signature of example\.files/,
    ),
  });
  const own = join(await tempDir(cleanup), "client.toml");
  writeFileSync(own, configText(story).replace("60 s", "1 s"));
  const env = environment({ SIGNER_CLIENT_CONFIG: own });
  expect(await add(folder, ["apple-1.0-1-any.pkg.tar.zst"], { env })).toMatchObject({
    status: 69,
    stderr: expect.stringMatching(
      /^signer-repo-add: host-unreachable: no answer about example\.db\.tar\.gz and 1 more within 1 second: /,
    ),
  });
  expect(readdirSync(folder)).toEqual(before);
  expect(story.folder.left()).toEqual(NOTHING);
});

/** Starts it, and waits until both databases are announced. */
async function startWaiting(folder: string) {
  const child = spawn(ADD, ["-q", NAME, "apple-1.0-1-any.pkg.tar.zst"], {
    cwd: folder,
    env: environment(),
    stdio: "pipe",
  });
  cleanup.add(() => child.kill("SIGKILL"));
  const ended = collect(child);
  await expect.poll(() => story.folder.notification()?.requests.length).toBe(2);
  expect(existsSync(join(folder, `${NAME}.lck`))).toBe(true);
  return { child, ended };
}

test("ended by SIGTERM while it waits, it leaves nothing and says so", async () => {
  const folder = await makeFolder("apple");
  const before = readdirSync(folder);
  const { child, ended } = await startWaiting(folder);
  child.kill("SIGTERM");
  expect(await ended).toMatchObject({
    status: 1,
    stderr: "signer-repo-add: ended by a signal: nothing was published\n",
  });
  expect(readdirSync(folder)).toEqual(before);
  expect(story.folder.left()).toEqual(NOTHING);
  expect(story.folder.notification()?.requests).toEqual([]);
});

test("killed while it waits, the next run clears the outbox whatever repository it is of, and publishes", async () => {
  const folder = await makeFolder("apple");
  const { child, ended } = await startWaiting(folder);
  child.kill("SIGKILL");
  await ended;
  const [first] = story.folder.notification()?.requests ?? [];
  // Its answers come, and nobody is there for them.
  await answering(story.sign, async () => {
    await expect.poll(() => story.folder.left().inbox.length).toBe(2);
    const other = await makeFolder("pear");
    expect(await add(other, ["pear-1.0-1-any.pkg.tar.zst"])).toMatchObject({ status: 0, stderr: "" });
    expect(story.folder.left()).toEqual(NOTHING);
    expect(await add(folder, ["apple-1.0-1-any.pkg.tar.zst"])).toMatchObject({ status: 0 });
  });
  expect(await isWhole(folder)).toBe(true);
  expect(story.folder.left()).toEqual(NOTHING);
  expect(story.folder.notification()?.seq).toBeGreaterThan((first?.seq ?? 0) + 2);
});

test("killed while it announces or takes back, the next run publishes a matching pair", {
  timeout: 120_000,
}, async () => {
  // Renames: two files to their digests, the number, two requests, the notification; then number and notification again.
  const killAt = async (nth: number) => {
    const folder = await makeFolder("apple");
    const inject = ["-e", "trace=rename", "-e", `inject=rename:signal=KILL:when=${nth}`, "-o", "/dev/null"];
    const args = ["-q", NAME, "apple-1.0-1-any.pkg.tar.zst"];
    const killed = await run("strace", [...inject, ADD, ...args], { cwd: folder, env: environment() });
    expect(killed, `rename ${nth}`).toMatchObject({ signal: "SIGKILL" });
    expect(readdirSync(folder)).not.toContain(NAME);
    expect(existsSync(join(folder, `${NAME}.lck`))).toBe(true);
    expect(await add(folder, ["apple-1.0-1-any.pkg.tar.zst"])).toMatchObject({ status: 0 });
    expect(await isWhole(folder), `rename ${nth}`).toBe(true);
  };
  await answering(story.sign, async () => {
    await Promise.all([killAt(1), killAt(3)]);
    await Promise.all([killAt(5), killAt(6)]);
    await Promise.all([killAt(7), killAt(8)]);
  });
  expect(story.folder.left()).toEqual(NOTHING);
});

describe("which way is taken", () => {
  const client = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
    run(resolve("bin/signer-client"), args, { env: environment(env) });

  test("is the file's, unless the command line or the environment says otherwise", async () => {
    const both = join(await tempDir(cleanup), "client.toml");
    writeFileSync(
      both,
      configText(story).replace('via = "pull"', 'host = "nowhere.invalid"\nssh_config = "/dev/null"'),
    );
    const folder = await makeFolder("apple");
    const path = join(folder, "apple.db.tar.gz");
    await answering(story.sign, async () => {
      await add(folder, ["apple-1.0-1-any.pkg.tar.zst"]);
      writeFileSync(path, readFileSync(join(folder, NAME)));
      const env = { SIGNER_CLIENT_CONFIG: both };
      // Over SSH it gets no further than looking for a key to log in with.
      const bySsh = { status: 78, stderr: expect.stringContaining("no key to log in with") };
      expect(await client(["sign", path], env)).toMatchObject(bySsh);
      expect(await client(["sign", "--via", "pull", path], env)).toMatchObject({ status: 0, stderr: "" });
      expect(await client(["sign", path], { ...env, SIGNER_VIA: "pull" })).toMatchObject({ status: 0 });
      expect(await client(["sign", "--via", "ssh", path], { ...env, SIGNER_VIA: "pull" })).toMatchObject(
        bySsh,
      );
      expect(await add(folder, [], { env: environment({ ...env, SIGNER_VIA: "pull" }) })).toMatchObject({
        status: 0,
        stderr: "",
      });
      expect(await add(folder, [], { env: environment(env) })).toMatchObject(bySsh);
    });
    expect(await client(["sign", "--via", "post", path])).toMatchObject({
      status: 64,
      stderr: expect.stringMatching(/^signer-client: bad-request: .*expected one of ssh, pull/),
    });
    expect(await client(["sign", path], { SIGNER_VIA: "post" })).toMatchObject({
      status: 78,
      stderr: expect.stringContaining('SIGNER_VIA: expected ssh or pull, not "post"'),
    });
  });

  test("by pull there is nobody to ask for keys and limits, which is said, and where to ask", async () => {
    for (const command of ["key", "status"])
      expect(await client([command])).toMatchObject({
        status: 64,
        stderr:
          'signer-client: bad-request: with pull nothing leads to the signing host, so it cannot be asked: run "signer status" or "signer key export" there\n',
      });
  });

  test("from stdin a name is needed, and the signature goes to stdout", async () => {
    const folder = await makeFolder("apple");
    await answering(story.sign, async () => {
      await add(folder, ["apple-1.0-1-any.pkg.tar.zst"]);
      const database = readFileSync(join(folder, NAME));
      const options = { env: environment(), stdin: database };
      const program = resolve("bin/signer-client");
      const signed = await run(program, ["sign", "--name", NAME, "-"], options);
      expect(await gpg.verify(signed.stdout, database)).toMatchObject({ good: true });
      expect(await run(program, ["sign", "-"], options)).toMatchObject({ status: 64 });
    });
  });
});
