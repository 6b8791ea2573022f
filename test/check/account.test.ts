import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { findAccount, mayAccess } from "../../src/check/account.ts";
import { checkSshd } from "../../src/check/check-sshd.ts";
import { Cleanup } from "../support/cleanup.ts";
import { makeSigningHost, type SigningHostUnderTest } from "../support/signing-host.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const isRoot = process.getuid?.() === 0;
const nobody = { uid: 65534, gid: 65534 };

test("an account is found by name and by number, and nothing else is one", () => {
  expect(findAccount("root")).toMatchObject({ name: "root", uid: 0, gid: 0 });
  expect(findAccount("0")).toMatchObject({ name: "root", uid: 0, gid: 0 });
  for (const name of ["no-such-account-here", "", "-u", "root x"]) expect(findAccount(name)).toBeUndefined();
});

describe("what an account may do with a file", () => {
  test.runIf(isRoot)("is what the kernel says, the folders above included", async () => {
    const folder = await tempDir(cleanup);
    chmodSync(folder, 0o755);
    const inner = join(folder, "inner");
    mkdirSync(inner);
    chmodSync(inner, 0o755);
    const file = join(inner, "file");
    writeFileSync(file, "");
    const mayRead = (folderMode: number, fileMode: number) => {
      chmodSync(inner, folderMode);
      chmodSync(file, fileMode);
      return mayAccess(nobody, "read", file);
    };
    expect(mayRead(0o755, 0o644)).toBe(true);
    expect(mayRead(0o755, 0o600)).toBe(false);
    expect(mayRead(0o700, 0o644)).toBe(false);
    expect(mayRead(0o711, 0o604)).toBe(true);
    expect(mayAccess(nobody, "execute", file)).toBe(false);
    expect(mayAccess(nobody, "execute", "/bin/sh")).toBe(true);
    expect(mayAccess(nobody, "read", join(inner, "missing"))).toBe(false);
  });

  test.skipIf(isRoot)("is not known of another account, where this process may not become it", () => {
    expect(mayAccess({ uid: 0, gid: 0 }, "read", "/bin/sh")).toBeUndefined();
  });
});

describe.runIf(isRoot)("check --user", () => {
  /** The errors, and the exit status. */
  async function check(host: SigningHostUnderTest, user: string) {
    const { status, stdout } = await host.signer(["check", "--sshd-config", "/nonexistent", "--user", user]);
    const lines = stdout.toString().split("\n");
    return { status, errors: lines.filter((line) => line.startsWith("ERROR")).map((line) => line.slice(9)) };
  }

  test("an account that is none is an error", async () => {
    const { status, errors } = await check(await makeSigningHost(cleanup), "nosuch");
    expect(errors).toEqual([expect.stringMatching(/^sshd +there is no account "nosuch"/)]);
    expect(status).toBe(78);
  });

  test("an account that does not own the state is an error, and so is what it cannot read", async () => {
    const host = await makeSigningHost(cleanup);
    const [state, configuration] = (await check(host, "nobody")).errors;
    expect(state).toMatch(/^files +.*state belongs to account 0, SSH logs into nobody/);
    expect(configuration).toMatch(/^files +nobody cannot read .*signer\.toml/);
  });

  test("a configuration that the owner of the state cannot read is an error", async () => {
    const host = await makeSigningHost(cleanup);
    chmodSync(host.folder, 0o755);
    execFileSync("chown", ["-R", "nobody", host.stateDirectory, host.keyFile]);
    const aboutConfiguration = async () =>
      (await check(host, "nobody")).errors.filter((text) => text.includes("signer.toml"));
    expect(await aboutConfiguration()).toEqual([]);
    chmodSync(host.configFile, 0o600);
    expect(await aboutConfiguration()).toEqual([expect.stringMatching(/nobody cannot read/)]);
  });
});

test("a log or a folder that its owner cannot write is an error", async () => {
  const host = await makeSigningHost(cleanup);
  chmodSync(join(host.stateDirectory, "log.db"), 0o400);
  chmodSync(host.stateDirectory, 0o500);
  const { status, stdout } = await host.signer(["check", "--sshd-config", "/nonexistent"]);
  expect(stdout.toString()).toMatch(/^ERROR +files +.*state is closed to its owner \(mode 0500\)/m);
  expect(stdout.toString()).toMatch(/^ERROR +files +.*log\.db is closed to its owner \(mode 0400\)/m);
  expect(status).not.toBe(0);
  chmodSync(host.stateDirectory, 0o700);
});

test("a shell that runs nothing is an error: sshd starts the forced command with it", () => {
  const account = { name: "signer", uid: 12345, gid: 12345, home: "/nonexistent" };
  const errorsOf = (shell: string) =>
    checkSshd({ ...account, shell }, "/nonexistent", new Set(), "standalone").filter(
      ({ level }) => level === "error",
    );
  for (const shell of ["/usr/sbin/nologin", "/bin/false"])
    expect(errorsOf(shell)).toMatchObject([
      { text: expect.stringContaining(`the shell of signer is ${shell}`) },
    ]);
  for (const shell of ["/bin/sh", "/usr/bin/bash"]) expect(errorsOf(shell)).toEqual([]);
});
