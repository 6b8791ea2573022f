import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { userInfo } from "node:os";
import { delimiter, join } from "node:path";
import type { Cleanup } from "./cleanup.ts";
import { type Ended, type RunOptions, run, runOk } from "./run.ts";
import { tempDir } from "./temp-dir.ts";

/** Debian keeps sshd where the PATH of ordinary users does not look, and sshd wants to be started by its whole path. */
const SBIN = ["/usr/sbin", "/usr/local/sbin"];

export interface SshdOptions {
  /** The authorized_keys file, given the client's public key: `ssh-ed25519 AAAA…`, without a comment. */
  readonly authorizedKeys: (publicKey: string) => string;
  /** Further lines of sshd_config, which come first and so win. */
  readonly config?: string;
}

/** A private sshd on a loopback port, and what an ssh client needs to reach it as the host `signer`. */
export interface SshServer {
  readonly port: number;
  /** The server's public key: `ssh-ed25519 AAAA…`, without a comment. */
  readonly hostKey: string;
  /** For `ssh -F CONFIG signer …` of scripts: knows the port, the user, the client's key and the host's. */
  readonly clientConfig: string;
  /** The client's private key, and the file with the public one beside it (`.pub`). */
  readonly identity: string;
  /** Runs `ssh signer COMMAND`, or `ssh signer` where there is none; `sshArgs` go before the host. */
  ssh(command?: string, options?: RunOptions & { readonly sshArgs?: readonly string[] }): Promise<Ended>;
  /** What sshd said so far, LogLevel VERBOSE. */
  log(): Promise<string>;
}

/** Starts the real sshd as the current user, who is also who logs in; `cleanup` ends it, by its process id. */
export async function startSshd(cleanup: Cleanup, options: SshdOptions): Promise<SshServer> {
  const folder = await tempDir(cleanup);
  const file = (name: string) => join(folder, name);
  for (const key of ["host", "client"]) {
    await runOk("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file(key)]);
  }
  const publicKey = async (name: string) => (await readFile(file(`${name}.pub`), "utf8")).trim();
  await writeFile(file("authorized_keys"), options.authorizedKeys(await publicKey("client")));
  if (userInfo().uid === 0) await mkdir("/run/sshd", { recursive: true, mode: 0o755 }); // sshd's own wish
  const port = await start(cleanup, folder, options.config ?? "");

  await writeFile(file("known_hosts"), `[127.0.0.1]:${port} ${await publicKey("host")}\n`);
  const client = [
    "Host signer",
    "HostName 127.0.0.1",
    `Port ${port}`,
    `User ${userInfo().username}`,
    `IdentityFile ${file("client")}`,
    "IdentitiesOnly yes",
    "IdentityAgent none",
    `UserKnownHostsFile ${file("known_hosts")}`,
    "GlobalKnownHostsFile none",
    "StrictHostKeyChecking yes",
    "BatchMode yes",
    "LogLevel ERROR",
  ];
  await writeFile(file("ssh_config"), client.join("\n"));
  return {
    port,
    hostKey: (await publicKey("host")).split(" ").slice(0, 2).join(" "),
    clientConfig: file("ssh_config"),
    identity: file("client"),
    ssh: (command, { sshArgs = [], ...options } = {}) => {
      const remote = command === undefined ? [] : ["--", command];
      return run("ssh", ["-F", file("ssh_config"), ...sshArgs, "signer", ...remote], options);
    },
    log: () => readFile(file("log"), "utf8"),
  };
}

/** The port may be taken between looking for it and using it: then another one. */
async function start(cleanup: Cleanup, folder: string, config: string): Promise<number> {
  const path = [process.env["PATH"], ...SBIN].join(delimiter);
  const sshd = (await runOk("/bin/sh", ["-c", "command -v sshd"], { env: { PATH: path } })).toString().trim();
  for (let attempt = 0; attempt < 5; attempt += 1) {
    const port = await freePort();
    const lines = [
      config,
      `Port ${port}`,
      "ListenAddress 127.0.0.1",
      `HostKey ${join(folder, "host")}`,
      `AuthorizedKeysFile ${join(folder, "authorized_keys")}`,
      "AuthenticationMethods publickey",
      "PidFile none",
      "UsePAM no",
      "StrictModes no",
      "ExposeAuthInfo yes",
      "AcceptEnv LANG LC_*", // Debian's default, so that tests see what it lets through
      "MaxStartups 500",
      "LogLevel VERBOSE",
    ];
    await writeFile(join(folder, "sshd_config"), lines.join("\n"));
    const args = ["-D", "-f", join(folder, "sshd_config"), "-E", join(folder, "log")];
    const server = spawn(sshd, args, { stdio: "ignore" });
    cleanup.add(() => stop(server));
    if (await isListening(server, join(folder, "log"), port)) return port;
  }
  throw new Error(`sshd did not start: ${await readFile(join(folder, "log"), "utf8").catch(String)}`);
}

async function isListening(server: ChildProcess, log: string, port: number): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < 10_000 && server.exitCode === null; waitedMs += 20) {
    const said = await readFile(log, "utf8").catch(() => "");
    if (said.includes(`Server listening on 127.0.0.1 port ${port}.`)) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
}

async function stop(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null || server.pid === undefined) return;
  const exit = once(server, "exit");
  server.kill("SIGTERM");
  await exit;
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  await once(probe, "close");
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}
