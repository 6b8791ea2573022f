import { spawn } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { answerName, uploadName } from "../../src/exchange/answer.ts";
import { makeAccounts, type TestAccount } from "../support/accounts.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { installedProgram } from "../support/installation.ts";
import { type putAnswer, type Sign, startPullEnclave } from "../support/pull-enclave.ts";
import { run, runOk } from "../support/run.ts";
import { tempDir } from "../support/temp-dir.ts";
import { configText, makePullStory, type PullStory } from "./fixture.ts";

// With accounts of their own for the wrapper, another one of its group, and the web server.

const cleanup = new Cleanup();
afterAll(() => cleanup.run());
const isRoot = process.getuid?.() === 0;
const NOTHING = { outbox: [], inbox: [], requests: [] };

let accounts: Readonly<Record<"publish" | "second" | "web", TestAccount>>;
let program: string;
beforeAll(async () => {
  if (!isRoot) return;
  accounts = await makeAccounts(cleanup, ["publish", "second", "web"]);
  program = join(await installedProgram(cleanup, Object.values(accounts)), "bin", "signer-client");
});

let story: PullStory;
/** Where everybody may read. */
let open: string;
let seed = 0;
beforeEach(async (context) => {
  if (!isRoot) return context.skip("only root makes accounts");
  story = await makePullStory(cleanup);
  open = await tempDir(cleanup);
  chmodSync(open, 0o755);
  copyFileSync(story.publicKeyFile, join(open, "repo.asc"));
  copyFileSync(story.folder.keyFile, join(open, "key"));
  copyFileSync(`${story.folder.keyFile}.pub`, join(open, "key.pub"));
  const config = { ...story.config, publicKeyFile: join(open, "repo.asc") };
  const pull = { ...config.pull, keyFile: join(open, "key") };
  writeFileSync(join(open, "client.toml"), configText({ ...story, config: { ...config, pull } }));
});

/** Signs a new file as this account: the exit status and what was said. */
async function signAs(account: TestAccount, ...groups: readonly TestAccount[]) {
  const [command, ...args] = [...account.as(...groups), program];
  return await run(command ?? "", [...args, "--config", join(open, "client.toml"), "sign", newFile(account)]);
}

function newFile(account: TestAccount): string {
  const path = join(open, `r${++seed}.db.tar.gz`);
  writeFileSync(path, buildDatabase({ kind: "db", packages: 1, compression: "gzip", seed }));
  chownSync(open, account.uid, account.gid); // for the signature beside it
  chmodSync(open, 0o777);
  return path;
}

/** Uploads as nginx does: with the web server's account, group and umask. */
const putAs =
  (account: TestAccount, mode: string) =>
  async (...[{ inbox }, request, kind, content]: Parameters<typeof putAnswer>): Promise<void> => {
    const part = join(inbox, uploadName(request, "0123456789abcdef"));
    const script = `umask 077 && cat > "$1" && chmod ${mode} "$1" && mv -n "$1" "$2"`;
    const args = ["-c", script, "sh", part, join(inbox, answerName(request, kind))];
    const { status, stderr } = await account.run("sh", args, { stdin: content });
    if (status !== 0) throw new Error(stderr);
  };

/** What the web server's account reads of what is announced; so that only what it can read is signed. */
const readAs =
  (account: TestAccount): Sign =>
  async (file, bytes) => {
    const { folder } = story;
    for (const name of ["notification", file.sha256]) {
      const { stdout, stderr } = await account.run("cat", [join(folder.outbox, name)]);
      if (stdout.length === 0) throw new Error(stderr);
    }
    return await story.sign(file, bytes);
  };

describe("one account and the web server's", () => {
  beforeEach(async () => {
    if (!isRoot) return;
    const { folder } = story.folder;
    const { publish, web } = accounts;
    // As the program itself says, and docs/REPOSITORY.md.
    const made = (mode: string, group: TestAccount, part: string) =>
      runOk("install", ["-d", "-m", mode, "-o", publish.name, "-g", group.name, join(folder, part)]);
    await made("0750", web, "");
    await made("2750", web, "outbox");
    await made("2770", web, "inbox");
    await made("0700", publish, "requests");
    chownSync(join(open, "key"), publish.uid, publish.gid);
  });

  test("need no more rights: files are signed, and all is cleared", async () => {
    const { publish, web } = accounts;
    const enclave = startPullEnclave(cleanup, story.folder, readAs(web), putAs(web, "644"));
    expect(await signAs(publish)).toMatchObject({ status: 0, stderr: "" });
    await enclave.stop();
    expect(enclave.complaints).toEqual([]);
    expect(story.folder.left()).toEqual(NOTHING);
    const { uid, gid, mode } = statSync(join(story.folder.outbox, "notification"));
    expect([uid, gid, mode & 0o777]).toEqual([publish.uid, web.gid, 0o640]);
  });

  test("the web server cannot write what is announced, nor see who waits; and nobody else sees anything", async () => {
    const { publish, second, web } = accounts;
    const enclave = startPullEnclave(cleanup, story.folder, readAs(web), putAs(web, "644"));
    await signAs(publish);
    await enclave.stop();
    const { outbox, requests, inbox } = story.folder;
    const can = async (account: TestAccount, flag: string, path: string) =>
      (await account.run("test", [flag, path])).status === 0;
    expect(await can(web, "-r", join(outbox, "notification"))).toBe(true);
    expect(await can(web, "-w", outbox)).toBe(false);
    expect(await can(web, "-w", join(outbox, "notification"))).toBe(false);
    expect(await can(web, "-x", requests)).toBe(false);
    expect(await can(web, "-w", inbox)).toBe(true);
    for (const path of [outbox, join(outbox, "notification"), inbox, requests])
      expect(await can(second, "-r", path), path).toBe(false);
  });

  test("an answer that the wrapper may not read is said, and what nginx needs", async () => {
    const { publish, web } = accounts;
    const enclave = startPullEnclave(cleanup, story.folder, readAs(web), putAs(web, "600"));
    expect(await signAs(publish)).toMatchObject({
      status: 78,
      stderr: expect.stringMatching(
        /^signer-client: bad-configuration: expected ".*\.sig" to be readable for this account: nginx needs dav_access user:rw group:r all:r\n$/,
      ),
    });
    await enclave.stop();
    expect(story.folder.left()).toEqual(NOTHING);
  });

  test("root may sign by hand, and be killed: the account goes on", async () => {
    const { publish, web } = accounts;
    const args = ["--config", join(open, "client.toml"), "sign"];
    const env = { PATH: "/usr/bin:/bin" };
    const killed = spawn(program, [...args, newFile(publish)], { env });
    cleanup.add(() => killed.kill("SIGKILL"));
    await expect.poll(() => story.folder.notification()?.requests.length).toBe(1);
    killed.kill("SIGKILL");
    await new Promise((resolve) => killed.once("close", resolve));
    const enclave = startPullEnclave(cleanup, story.folder, readAs(web), putAs(web, "644"));
    expect(await signAs(publish)).toMatchObject({ status: 0, stderr: "" });
    expect(await run(program, [...args, newFile(publish)], { env })).toMatchObject({ status: 0, stderr: "" });
    expect(await signAs(publish)).toMatchObject({ status: 0, stderr: "" });
    await enclave.stop();
    expect(enclave.complaints).toEqual([]);
    expect(story.folder.left()).toEqual(NOTHING);
  });

  test("another account is told whose the folder is, and not how to take it away", async () => {
    const { stderr, status } = await signAs(accounts.second);
    const whose = `is account ${accounts.publish.uid}'s: run this as that account\n`;
    expect([status, stderr.toString()]).toEqual([78, expect.stringContaining(whose)]);
    expect(stderr.toString()).toMatch(
      /expected the folder ".*outbox", writable for this account \(EACCES\); /,
    );
    expect(stderr.toString()).not.toContain("install -d");
  });
});

describe("two accounts of a group, and the web server's", () => {
  beforeEach(async () => {
    if (!isRoot) return;
    const { folder, outbox, inbox, requests } = story.folder;
    const { publish, web } = accounts;
    const made = (mode: string, owner: string, group: string, path: string) =>
      runOk("install", ["-d", "-m", mode, "-o", owner, "-g", group, path]);
    await made("0755", "root", "root", folder);
    await made("2775", "root", publish.name, outbox);
    await made("2770", web.name, publish.name, inbox);
    await made("2770", "root", publish.name, requests);
    // ssh-keygen minds who else may read a key only where it is one's own.
    chownSync(join(open, "key"), 0, publish.gid);
    chmodSync(join(open, "key"), 0o640);
  });

  test("share it, one after the other and at once", async () => {
    const { publish, second, web } = accounts;
    const enclave = startPullEnclave(cleanup, story.folder, readAs(web), putAs(web, "644"));
    expect(await signAs(publish)).toMatchObject({ status: 0, stderr: "" });
    expect(await signAs(second, publish)).toMatchObject({ status: 0, stderr: "" });
    const both = await Promise.all([signAs(publish), signAs(second, publish)]);
    expect(both.map(({ status, stderr }) => [status, stderr])).toEqual([
      [0, ""],
      [0, ""],
    ]);
    await enclave.stop();
    expect(enclave.complaints).toEqual([]);
    expect(story.folder.left()).toEqual(NOTHING);
  });

  test("clear up after each other, locks included", async () => {
    const { publish, second, web } = accounts;
    const [command = "", ...args] = [
      ...second.as(publish),
      program,
      "--config",
      join(open, "client.toml"),
      "sign",
    ];
    const child = spawn(command, [...args, newFile(second)], { env: { PATH: "/usr/bin:/bin" } });
    cleanup.add(() => child.kill("SIGKILL"));
    await expect.poll(() => story.folder.notification()?.requests.length).toBe(1);
    child.kill("SIGKILL");
    await new Promise((resolve) => child.once("close", resolve));
    // As if it had been killed with the lock.
    const [record = ""] = story.folder.left().requests;
    const claim = join(story.folder.requests, record.replace(/^request\.\d+@/, "claim.1@"));
    writeFileSync(claim, "");
    chownSync(claim, second.uid, publish.gid);
    await runOk("ln", [claim, join(story.folder.requests, "lock")]);
    const enclave = startPullEnclave(cleanup, story.folder, readAs(web), putAs(web, "644"));
    expect(await signAs(publish)).toMatchObject({ status: 0, stderr: "" });
    await enclave.stop();
    expect(story.folder.left()).toEqual(NOTHING);
    expect(readdirSync(story.folder.requests)).toEqual(["state"]);
    expect(readFileSync(join(story.folder.requests, "state"), "utf8")).toMatch(/^\{"seq":\d+,/);
  });
});
