import { chmod, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import {
  makeSigningHost,
  outcome,
  type SigningHostUnderTest,
  type SshSigner,
  serveOverSsh,
} from "../support/signing-host.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
let host: SigningHostUnderTest;
let ssh: SshSigner;
let folder: string;
beforeAll(async () => {
  host = await makeSigningHost(cleanup);
  ssh = await serveOverSsh(cleanup, host);
  folder = await tempDir(cleanup);
});
afterAll(() => cleanup.run());

const NAME = "core.db.tar.gz";
const database = buildDatabase({ packages: 1, kind: "db" });

test("variables that Node or a shell would act on do nothing", async () => {
  const evil = join(folder, "evil.cjs");
  const proof = join(folder, "proof");
  await writeFile(evil, `require("node:fs").writeFileSync(${JSON.stringify(proof)}, "pwned")`);
  await writeFile(join(folder, "node"), `#!/bin/sh\ntouch ${proof}\n`);
  await chmod(join(folder, "node"), 0o755);
  const env = {
    PATH: folder,
    NODE_OPTIONS: `--require ${evil}`,
    NODE_REPL_EXTERNAL_MODULE: evil,
    NODE_V8_COVERAGE: folder,
    NODE_COMPILE_CACHE: folder,
    NODE_DEBUG: "fs,module",
    ENV: evil,
    BASH_ENV: evil,
    OPENSSL_CONF: evil,
    TZ: "Pacific/Kiritimati",
    LC_ALL: "tr_TR.UTF-8",
  };
  expect(outcome(await host.accept({ command: NAME, stdin: database, env }))).toBe("signed");
  expect((await readdir(folder)).toSorted()).toEqual(["evil.cjs", "node"]);
});

test("variables that sshd lets the client set do nothing", async () => {
  const env = {
    ...process.env,
    LC_ALL: "C.UTF-8", // the login shell would complain of one that it does not know
    LC_NODE_OPTIONS: "--version",
    LC_SSH_ORIGINAL_COMMAND: "key",
    LANG: "$(touch pwned)",
  };
  const sshArgs = ["-o", "SendEnv=LC_* LANG"];
  const quiet = await ssh.ssh(NAME, { stdin: database });
  const ended = await ssh.ssh(NAME, { stdin: database, env, sshArgs });
  expect(outcome(ended)).toBe("signed");
  expect(ended).toEqual(quiet);
  const setEnv = ["-o", "SetEnv=NODE_OPTIONS=--version SSH_CONNECTION=192.0.2.1"];
  expect(outcome(await ssh.ssh(NAME, { stdin: database, sshArgs: setEnv }))).toBe("signed");
});

test("without what sshd sets, nothing is signed", async () => {
  for (const SSH_CONNECTION of [
    undefined,
    "",
    "127.0.0.1",
    "127.0.0.1 1 127.0.0.1 22 x",
    "localhost 1 127.0.0.1 22",
  ]) {
    const ended = await host.accept({ command: NAME, stdin: database, env: { SSH_CONNECTION } });
    expect(outcome(ended), SSH_CONNECTION).toBe("foreign-address 77");
  }
});
