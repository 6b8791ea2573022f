import { once } from "node:events";
import { chmodSync, chownSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { dirname, join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { checkClients } from "../../src/check/check-clients.ts";
import { checkKeys } from "../../src/check/check-keys.ts";
import { checkServiceLogin } from "../../src/check/check-sshd.ts";
import { readConfigFile } from "../../src/config/config-file.ts";
import { Cleanup } from "../support/cleanup.ts";
import { runOk } from "../support/run.ts";
import { rule } from "../support/signing-host.ts";
import { startSigningService } from "../support/signing-service.ts";
import { tempDir } from "../support/temp-dir.ts";

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

// Accounts that every Linux system has stand for those that SSH logs into; they have no shell, which is left out here.
const GROUPS = 'groups = { repos = "daemon", releng = "bin" }';
const RULES = rule({ id: "a", type: "db" }) + rule({ id: "b", client: "releng", type: "iso" });

describe.runIf(process.getuid?.() === 0)("check in split mode:", () => {
  /** A service whose clients' sockets have these groups, and what check says of it. */
  async function start(service = GROUPS) {
    const running = await startSigningService(cleanup, { rules: RULES, service });
    const { host } = running;
    // As it is in /etc: everybody may read the configuration.
    chmodSync(host.folder, 0o755);
    const check = (user?: string) =>
      checkClients({
        config: readConfigFile(host.configFile),
        configFile: host.configFile,
        sshdConfig: "/nonexistent",
        user,
      })
        .filter(({ text }) => !/the shell of|sshd -T says nothing/.test(text))
        .map(({ level, area, text }) => `${level} ${area}: ${text}`);
    return { ...running, host, check, socket: running.socket, stop: running.stop };
  }

  test("nothing is wrong where each client has its own socket, group and account", async () => {
    const { check, socket } = await start();
    expect(check()).toEqual([
      `ok sockets: repos: daemon may connect to ${socket("repos")}`,
      `ok sockets: releng: bin may connect to ${socket("releng")}`,
      "ok files: daemon can read neither keys nor log",
      "ok files: bin can read neither keys nor log",
    ]);
  });

  test("the account of a client that can read a key, the log, or the state is an error, by each of them", async () => {
    const { check, host } = await start();
    chmodSync(host.keyFile, 0o644);
    chmodSync(host.stateDirectory, 0o755);
    chmodSync(join(host.stateDirectory, "log.db"), 0o604);
    expect(check("daemon").filter((line) => line.startsWith("error"))).toEqual([
      expect.stringMatching(/^error files: daemon can read .*repo\.key, and SSH logs into it/),
      expect.stringMatching(/^error files: daemon can read .*log\.db/),
      expect.stringMatching(/^error files: daemon can enter .*state/),
    ]);
    chownSync(host.keyFile, 1, 1); // daemon
    chmodSync(host.keyFile, 0o600);
    const errors = check().filter((line) => line.includes("repo.key"));
    expect(errors).toEqual([expect.stringMatching(/^error files: daemon can read /)]);
  });

  test("an account that cannot read the configuration is an error", async () => {
    const { check, host } = await start();
    chmodSync(host.folder, 0o700);
    expect(check()).toContainEqual(expect.stringMatching(/^error files: daemon cannot read .*signer\.toml/));
  });

  test("the account that signs is an error as one that SSH logs into, and so is one that is none", async () => {
    const { check, host } = await start();
    await runOk("chown", ["-R", "daemon", host.stateDirectory]);
    expect(check("daemon")).toContainEqual(
      expect.stringMatching(
        /^error files: SSH logs into daemon, which owns .*state: that is standalone mode/,
      ),
    );
    expect(check("no-such-account")).toContainEqual(
      expect.stringMatching(/^error sshd: there is no account "no-such-account"/),
    );
  });

  test.each([
    ["is open to everybody", (path: string) => chmodSync(path, 0o666)],
    ["is closed to its group", (path: string) => chmodSync(path, 0o600)],
    ["belongs to group 3: expected daemon", (path: string) => chownSync(path, 0, 3)],
    ["belongs to account 3, the state to 0", (path: string) => chownSync(path, 3, 1)],
    [
      "is no socket",
      (path: string) => {
        rmSync(path);
        writeFileSync(path, "");
      },
    ],
  ])("a socket that %s is an error", async (what, spoil) => {
    const { check, socket } = await start();
    spoil(socket("repos"));
    expect(check().filter((line) => line.startsWith("error sockets"))).toEqual([
      expect.stringContaining(`${socket("repos")} ${what}`),
    ]);
  });

  test("a client without a socket is an error where another one has one, a note where none has", async () => {
    const { check, socket, stop } = await start();
    rmSync(socket("releng"));
    expect(check()).toContainEqual(`error sockets: releng has none: expected ${socket("releng")}`);
    await stop();
    expect(check()[0]).toMatch(/^note sockets: there are none in .*: the service does not run/);
  });

  test("a socket that nobody listens at is a note", async () => {
    const { check, socket, stop } = await start();
    await stop("SIGKILL");
    expect(check()[0]).toBe(
      `note sockets: nobody listens at ${socket("repos")}: signer serve does not run here`,
    );
  });

  test("a connection that goes on is nobody who listens", async () => {
    const { check, socket, stop } = await start();
    await stop();
    const path = socket("repos");
    const server = createServer({ pauseOnConnect: true }).listen(path);
    await once(server, "listening");
    const client = connect(path);
    cleanup.add(() => client.destroy());
    const [accepted] = await once(server, "connection");
    cleanup.add(() => accepted.destroy());
    chmodSync(path, 0o660);
    chownSync(path, 0, 1);
    renameSync(path, `${path}.away`); // Node would remove it
    server.close();
    renameSync(`${path}.away`, path);
    expect(check()[0]).toMatch(/^note sockets: nobody listens at /);
  });

  test("a folder of sockets that others may write is an error: somebody could answer in the service's place", async () => {
    const { check, socket } = await start();
    const folder = dirname(socket());
    chmodSync(folder, 0o777);
    expect(check()).toContainEqual(expect.stringMatching(/^error sockets: .* may be written by others/));
    chmodSync(folder, 0o1777);
    expect(check()).not.toContainEqual(expect.stringMatching(/may be written by others/));
  });

  test("clients that share a group, or an account, are a warning", async () => {
    const { check } = await start('groups = { repos = "daemon", releng = "daemon" }');
    expect(check()).toContainEqual(
      expect.stringMatching(/^warning sockets: repos and releng share daemon: who captures it can be either/),
    );
    const { check: ofNobody } = await start('groups = { repos = "tty", releng = "tty" }');
    expect(ofNobody()).toContainEqual(expect.stringMatching(/^warning sockets: .* share the group tty: /));
    expect((await start()).check("daemon")).toContainEqual(
      expect.stringMatching(/^warning sockets: .* share daemon/),
    );
  });

  test("a client whose group has no account is a warning", async () => {
    const { check } = await start('groups = { repos = "54321", releng = "bin" }');
    expect(check()).toContainEqual(expect.stringMatching(/^warning sockets: no account is in group 54321/));
  });

  test("a passphrase that the service manager gives is no error, as it is in standalone mode", async () => {
    const { host } = await start();
    const config = readConfigFile(host.configFile);
    const [[name, key] = []] = config.keys;
    if (name === undefined || key === undefined) throw new Error("no key");
    const keys = new Map([[name, { ...key, passphraseCredential: "repo" }]]);
    const levels = async (mode: "split" | "standalone") =>
      (await checkKeys({ ...config, mode, keys }, new Date())).map(({ level }) => level);
    expect(await levels("split")).toEqual(["ok"]);
    expect(await levels("standalone")).toEqual(["ok", "error"]);
  });

  test("an SSH key that logs into the account that signs is an error", async () => {
    mkdirSync("/run/sshd", { recursive: true, mode: 0o755 });
    const folder = await tempDir(cleanup);
    const hostKey = join(folder, "host");
    await runOk("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", hostKey]);
    const config = join(folder, "sshd_config");
    writeFileSync(config, `HostKey ${hostKey}\nAuthorizedKeysFile ${folder}/%u\n`);
    const account = { name: "daemon", uid: 1, gid: 1, home: "/nonexistent", shell: "/usr/sbin/nologin" };
    expect(checkServiceLogin(account, config)).toMatchObject([{ level: "ok" }]);
    writeFileSync(join(folder, "daemon"), "# nobody\n");
    expect(checkServiceLogin(account, config)).toMatchObject([{ level: "ok" }]);
    writeFileSync(
      join(folder, "daemon"),
      'restrict,command="signer accept --client repos" ssh-ed25519 AAAA x\n',
    );
    expect(checkServiceLogin(account, config)).toMatchObject([
      { level: "error", text: expect.stringContaining("SSH keys log into daemon, the account that signs") },
    ]);
  });
});

test("to look whether somebody listens does not connect", async () => {
  const running = await startSigningService(cleanup, { rules: RULES });
  await running.stop();
  let connections = 0;
  const server = createServer(() => {
    connections += 1;
  });
  cleanup.add(() => server.close());
  await new Promise<void>((resolve) => server.listen(running.socket("repos"), resolve));
  const config = readConfigFile(running.host.configFile);
  checkClients({ config, configFile: running.host.configFile, sshdConfig: "/nonexistent", user: undefined });
  await new Promise((resolve) => setImmediate(resolve));
  expect(connections).toBe(0);
});
