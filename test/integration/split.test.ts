import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeAccounts, type TestAccount } from "../support/accounts.ts";
import { Cleanup } from "../support/cleanup.ts";
import { buildDatabase } from "../support/database-fixture.ts";
import { startGpg } from "../support/gpg.ts";
import { installedProgram } from "../support/installation.ts";
import { type Ended, run, runOk } from "../support/run.ts";
import { codeOf, configText, outcome, readLog, rule } from "../support/signing-host.ts";
import { waitFor } from "../support/signing-service.ts";
import { type SshServer, startSshd } from "../support/sshd.ts";
import { tempDir } from "../support/temp-dir.ts";

// Split mode as it is installed: the service in an account of its own, each SSH client in another, the real sshd between.

const isRoot = process.geteuid?.() === 0;
const cleanup = new Cleanup();
afterAll(() => cleanup.run());

const NAME = "core.db.tar.gz";
const database = buildDatabase({ packages: 2, kind: "db" });

interface Host {
  readonly accounts: Readonly<Record<"signer" | "repos" | "releng", TestAccount>>;
  readonly program: string;
  readonly folder: string;
  readonly service: ChildProcess;
  readonly server: SshServer;
  ssh(client: "repos" | "releng", command?: string, stdin?: Uint8Array): Promise<Ended>;
}

let host: Host;
beforeAll(async () => {
  if (isRoot) host = await startHost();
});

async function startHost(): Promise<Host> {
  const accounts = await makeAccounts(cleanup, ["signer", "repos", "releng"]);
  const { signer, repos, releng } = accounts;
  const program = await installedProgram(cleanup, Object.values(accounts));
  const folder = await tempDir(cleanup);
  chmodSync(folder, 0o755);
  const path = (name: string) => join(folder, name);
  mkdirSync(path("run"));
  mkdirSync(path("keys"));
  for (const name of ["run", "keys"]) chmodSync(path(name), 0o755);
  await runOk("chown", [signer.name, path("run")]);
  const text = configText({
    stateDirectory: path("state"),
    keyFile: path("repo.key"),
    rules:
      rule({ id: "db", type: "db" }) +
      rule({ id: "iso", client: "releng", type: "iso", limits: ["1 per month"] }),
    settings: `mode = "split"
journal = "${path("state")}/journal.jsonl"
service = { sockets = "${path("run")}", groups = { repos = "${repos.name}", releng = "${releng.name}" } }`,
  });
  writeFileSync(path("signer.toml"), text);
  chmodSync(path("signer.toml"), 0o644);
  const bin = join(program, "bin", "signer");
  await runOk(bin, ["--config", path("signer.toml"), "init", "--owner", signer.name]);

  const [command, ...args] = signer.as(repos, releng);
  const service = spawn(command, [...args, bin, "--config", path("signer.toml"), "serve"], {
    stdio: ["ignore", "inherit", "inherit"],
    env: { PATH: "/usr/bin:/bin" },
  });
  cleanup.add(() => service.kill("SIGKILL"));
  await waitFor(() => existsSync(path("run/repos.sock")) && existsSync(path("run/releng.sock")));

  const server = await startSshd(cleanup, {
    authorizedKeys: () => "",
    config: `AuthorizedKeysFile ${path("keys")}/%u`,
  });
  const publicKey = readFileSync(`${server.identity}.pub`, "utf8");
  for (const client of ["repos", "releng"] as const) {
    const line = `restrict,command="${bin} --config ${path("signer.toml")} accept --client ${client}" ${publicKey}`;
    writeFileSync(path(`keys/${accounts[client].name}`), line);
    chmodSync(path(`keys/${accounts[client].name}`), 0o644);
  }
  const ssh: Host["ssh"] = (client, name, stdin) =>
    server.ssh(name, {
      sshArgs: ["-l", accounts[client].name],
      ...(stdin === undefined ? {} : { stdin }),
    });
  return { accounts, program, folder, service, server, ssh };
}

describe.skipIf(!isRoot)("over the real sshd, in accounts of their own", () => {
  test("a client gets its signature, gpg takes it, and the log says which SSH key asked", async () => {
    const signed = await host.ssh("repos", `--for alice ${NAME}`, database);
    expect(outcome(signed)).toBe("signed");
    const gpg = await startGpg(cleanup);
    await gpg.importKey((await host.ssh("repos", "key")).stdout.toString());
    expect((await gpg.verify(signed.stdout, database)).good).toBe(true);
    const state = join(host.folder, "state");
    const entry = readLog(state).at(-1);
    expect(entry).toMatchObject({
      kind: "signed",
      client: "repos",
      signature: signed.stdout.toString("base64"),
    });
    const shown = await run(join(host.program, "bin", "signer-log"), [
      ...["--config", join(host.folder, "signer.toml"), "show", "--private", String(entry?.seq)],
    ]);
    const fingerprint = (await runOk("ssh-keygen", ["-lf", `${host.server.identity}.pub`])).toString();
    expect(shown.stdout.toString()).toContain(fingerprint.split(" ")[1]);
    expect(shown.stdout.toString()).toContain("alice");
  });

  test("each account is the client of its own socket, whatever it calls itself", async () => {
    expect(codeOf(await host.ssh("releng", NAME, database))).toBe("not-permitted");
    const { repos, releng } = host.accounts;
    for (const [account, client, expected] of [
      [repos, "releng", "service-unavailable"],
      [releng, "repos", "service-unavailable"],
    ] as const) {
      const socket = join(host.folder, "run", `${client}.sock`);
      const ended = await account.run(
        join(host.program, "bin", "signer"),
        ["accept", "--client", client, "--socket", socket],
        {
          stdin: database,
          env: {
            PATH: "/usr/bin:/bin",
            SSH_CONNECTION: "127.0.0.1 1 127.0.0.1 22",
            SSH_ORIGINAL_COMMAND: NAME,
          },
        },
      );
      expect(codeOf(ended)).toBe(expected);
    }
  });

  test("the account that SSH logs into can read neither key nor log nor the service's memory, nor stop it", async () => {
    const { repos } = host.accounts;
    const state = join(host.folder, "state");
    const { pid } = host.service;
    const readable = async (path: string) => (await repos.run("cat", [path])).status === 0;
    expect(await readable(join(host.folder, "signer.toml")), "what it may read").toBe(true);
    for (const path of [
      join(host.folder, "repo.key"),
      join(host.folder, "repo.key.primary"),
      ...["log.db", "log.db-wal", "log.db-shm", "log.key", "journal.jsonl"].map((name) => join(state, name)),
      `/proc/${pid}/mem`,
      `/proc/${pid}/environ`,
    ]) {
      expect(existsSync(path), path).toBe(true);
      expect(await readable(path), path).toBe(false);
    }
    expect((await repos.run("ls", [state])).status).not.toBe(0);
    expect((await repos.run("sh", ["-c", `kill -9 ${pid}`])).status).not.toBe(0);
    expect((await repos.run("rm", ["-f", join(host.folder, "run", "repos.sock")])).status).not.toBe(0);
    const { mode, gid } = statSync(join(host.folder, "run", "repos.sock"));
    expect([(mode & 0o777).toString(8), gid]).toEqual(["660", repos.gid]);
    expect(outcome(await host.ssh("repos", NAME, buildDatabase({ packages: 3, kind: "db" })))).toBe("signed");
  });
});
