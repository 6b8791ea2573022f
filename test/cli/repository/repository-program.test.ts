import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readRepositoryEnvironment } from "../../../src/cli/repository/repository-environment.ts";
import { runRepositoryProgram } from "../../../src/cli/repository/repository-program.ts";
import { chooseRequester } from "../../../src/cli/repository/requester.ts";
import { Fault, isRefusal, refusal } from "../../../src/outcome.ts";
import { freshFolder } from "../../repository/fixture.ts";

/** Runs the program with a repo-add that only knows its version. */
async function start(
  argv: readonly string[],
  version: string,
  folder = freshFolder(),
  env: NodeJS.ProcessEnv = {},
) {
  const bin = freshFolder();
  writeFileSync(
    join(bin, "repo-add"),
    `#!/bin/sh\n[ "$1" != --version ] || echo 'repo-add (pacman) ${version}'\n`,
    { mode: 0o755 },
  );
  const [said, written]: [string[], string[]] = [[], []];
  const environment = readRepositoryEnvironment(env);
  const status = runRepositoryProgram("repo-add", argv, {
    environment: { ...environment, programs: { PATH: `${bin}:/usr/bin:/bin` } },
    cwd: folder,
    write: (text) => written.push(text),
    say: (code, reason) => said.push(`${code}: ${reason}`),
    note: (text) => said.push(text),
    openSigning: async () => ({
      sign: async () => refusal("over-limit", "the next one tomorrow"),
      verify: async () => undefined,
    }),
    signal: new AbortController().signal,
  });
  return { status: await status, said, written: written.join(""), left: readdirSync(folder) };
}

describe("exit statuses", () => {
  test("a held lock is 1, and 2 from pacman 7.1 on, as with the repo-add installed", async () => {
    const folder = freshFolder();
    writeFileSync(join(folder, "core.db.tar.gz.lck"), "123\n");
    for (const [version, status] of [
      ["6.0.2", 1],
      ["7.0.0", 1],
      ["7.1.0", 2],
    ] as const)
      expect(await start(["core.db.tar.gz"], version, folder)).toMatchObject({
        status,
        said: [`busy: expected "${folder}/core.db.tar.gz.lck" to be free, process "123" holds it; -w waits`],
        left: ["core.db.tar.gz.lck"],
      });
  });

  test("what repo-add would not take either is 1, what it would and we do not has a status of its own", async () => {
    expect(await start([], "6.0.2")).toMatchObject({
      status: 1,
      written: expect.stringContaining("Usage: signer-repo-add"),
    });
    expect(await start(["--bogus", "core.db.tar.gz"], "7.1.0")).toMatchObject({ status: 1 });
    expect(await start(["core.tar.gz"], "7.1.0")).toMatchObject({ status: 1 });
    expect(await start(["missing/core.db.tar.gz"], "7.1.0")).toMatchObject({
      status: 1,
      said: [expect.stringMatching(/^bad-request: expected ".*\/missing" to be a directory$/)],
    });
    expect(await start(["core.db.tar.xz"], "7.1.0")).toMatchObject({ status: 65 });
    expect(await start(["--for", "al ice", "core.db.tar.gz"], "7.1.0")).toMatchObject({ status: 64 });
  });

  test("a repository that repo-add, with status 0, did not make is 74, and nothing is left", async () => {
    const missing = start(["core.db.tar.gz"], "6.0.2");
    await expect(missing).rejects.toThrow(Fault);
    await expect(missing).rejects.toMatchObject({
      code: "repository-failed",
      message: expect.stringMatching(/^expected to open ".*core.db.tar.gz": ENOENT$/),
    });
  });

  test("without pacman's repo-add there is no start", async () => {
    await expect(start(["core.db.tar.gz"], "six")).rejects.toMatchObject({ code: "bad-configuration" });
  });

  test("-k is ignored, and said to be", async () => {
    const { said } = await start(["-k", "0x1", "--recover", "core.db.tar.gz"], "6.0.2");
    expect(said).toEqual(["the signing host's rules choose the key: -k is ignored"]);
  });
});

test("under sudo, nothing of the caller chooses the configuration, the host, the way to it or the key", async () => {
  const variables = ["SIGNER_CLIENT_CONFIG", "SIGNER_HOST", "SIGNER_PUBLIC_KEY", "SIGNER_FOR", "SIGNER_VIA"];
  const env = Object.fromEntries(variables.map((name) => [name, "x"]));
  const chosen = (env: NodeJS.ProcessEnv) => {
    const { clientConfig, host, publicKey, requester, via } = readRepositoryEnvironment(env);
    return [clientConfig, host, publicKey, requester, via];
  };
  expect(chosen(env)).toEqual(["x", "x", "x", "x", "x"]);
  expect(chosen({ ...env, SUDO_USER: "alice" })).toEqual(variables.map(() => undefined));
  const folder = freshFolder();
  const argv = ["--config", "/tmp/mine", "core.db.tar.gz"];
  expect(await start(argv, "7.1.0", folder, { SUDO_USER: "alice" })).toMatchObject({ status: 64, left: [] });
});

describe("who asks", () => {
  const choose = (sudoUser?: string, option?: string, environment?: string) => {
    const requester = chooseRequester({ sudoUser, option, environment });
    return isRefusal(requester) ? requester.code : requester;
  };

  test("is who called sudo, and nobody can say otherwise", () => {
    expect(choose("alice")).toBe("alice");
    expect(choose("alice", "alice")).toBe("alice");
    expect(choose("alice", "bob")).toBe("bad-request");
    expect(choose("alice", undefined, "bob")).toBe("bad-request");
  });

  test("is the option, then the environment, where no sudo was", () => {
    expect(choose(undefined, "bob", "carol")).toBe("bob");
    expect(choose(undefined, undefined, "carol")).toBe("carol");
    expect(choose()).toBeUndefined();
  });

  test("is a name that the signing host takes, or nothing is asked for", () => {
    for (const name of ["", "-x", "a b", "a\n", "x".repeat(65)])
      expect(choose(undefined, name)).toBe("bad-request");
    // An account whose name the grammar does not have: nobody is named.
    expect(choose("_apt")).toBeUndefined();
  });
});

test("of the environment, repo-add gets a few names and a PATH that is always the same", () => {
  const environment = readRepositoryEnvironment({
    PATH: "/evil",
    GPGKEY: "1",
    LIBRARY: "/evil",
    COMPRESSGZ: "evil",
    GNUPGHOME: "/evil",
    BASH_ENV: "/evil",
    LANG: "de_DE.UTF-8",
    TMPDIR: "/var/tmp",
    HOME: "/home/alice",
    SSH_AUTH_SOCK: "/run/agent",
    SIGNER_FOR: "",
  });
  const PATH = "/usr/local/bin:/usr/bin:/bin";
  expect(environment).toMatchObject({
    programs: { PATH, LANG: "de_DE.UTF-8", TMPDIR: "/var/tmp" },
    requester: undefined,
  });
  expect(Object.keys(environment.programs)).toHaveLength(3);
});
