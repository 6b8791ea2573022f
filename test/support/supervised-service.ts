import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Cleanup } from "./cleanup.ts";
import { type Ended, type RunOptions, run } from "./run.ts";
import { makeSigningHost, rule, SIGNER, type SigningHostUnderTest } from "./signing-host.ts";
import { waitFor } from "./signing-service.ts";
import { tempDir } from "./temp-dir.ts";

/** Two clients in split mode, `repos` for databases and `releng` for images; nothing listens at its sockets yet. */
export async function makeSplitHost(cleanup: Cleanup): Promise<SigningHostUnderTest> {
  const sockets = await tempDir(cleanup);
  const settings = `mode = "split"\nservice = { sockets = ${JSON.stringify(sockets)} }`;
  const rules = rule({ id: "a", type: "db" }) + rule({ id: "b", client: "releng", type: "iso" });
  return await makeSigningHost(cleanup, { rules, settings });
}

export interface SupervisedOptions {
  /** In the order of their sockets. */
  readonly clients: readonly string[];
  /** What becomes the launcher, in the same process: `strace -D …`. */
  readonly tracer?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Arguments of the launcher; left out: `--config FILE serve`. */
  readonly args?: readonly string[];
}

/** `bin/signer serve` as systemd would run it: sockets and a notification socket are there before it is. */
export interface SupervisedService {
  /** What arrived at the notification socket so far, in order. */
  notified(): readonly string[];
  accept(client: string, call: RunOptions & { readonly command?: string }): Promise<Ended>;
  signal(signal: NodeJS.Signals): void;
  /** Ends it: its exit status, or the signal that killed it. */
  stop(signal?: NodeJS.Signals): Promise<number | string>;
}

/** A datagram socket, which Node does not have; each message is a line of the file, but for systemd-notify's own. */
const RECEIVER = `
import socket, sys
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.bind(sys.argv[1])
with open(sys.argv[2], "a", buffering=1) as file:
    while True:
        message = receiver.recv(4096).decode().strip()
        if message != "BARRIER=1":
            file.write(message.replace("\\n", " ") + "\\n")
`;

/** Starts the service through the real systemd-socket-activate; it begins with the first connection to a socket. */
export async function startService(
  cleanup: Cleanup,
  host: SigningHostUnderTest,
  { clients, tracer = [], env = {}, args = ["--config", host.configFile, "serve"] }: SupervisedOptions,
): Promise<SupervisedService> {
  const folder = await tempDir(cleanup);
  const notifySocket = join(folder, "notify");
  const messages = join(folder, "messages");
  writeFileSync(messages, "");
  const receiver = spawn("python3", ["-c", RECEIVER, notifySocket, messages], { stdio: "ignore" });
  cleanup.add(() => receiver.kill("SIGKILL"));
  const socket = (client: string) => join(folder, `${client}.sock`);
  await waitFor(() => existsSync(notifySocket));

  const variables = { NOTIFY_SOCKET: notifySocket, RUNTIME_DIRECTORY: folder, ...env };
  const activate = [
    ...clients.flatMap((client) => ["--listen", socket(client)]),
    `--fdname=${clients.join(":")}`,
    ...Object.entries(variables).map(([name, value]) => `--setenv=${name}=${value}`),
    ...tracer,
    SIGNER,
    ...args,
  ];
  const child = spawn("systemd-socket-activate", activate, {
    env: { PATH: "/usr/bin:/bin", ...variables },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const exited = once(child, "exit");
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  const stop = async (signal: NodeJS.Signals = "SIGTERM") => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill(signal);
      await exited;
    }
    return child.exitCode ?? child.signalCode ?? "";
  };
  cleanup.add(() => stop("SIGKILL"));
  await waitFor(() => {
    if (child.exitCode !== null) throw new Error(`systemd-socket-activate ended: ${said}`);
    return clients.every((client) => existsSync(socket(client)));
  });
  return {
    notified: () => readFileSync(messages, "utf8").split("\n").slice(0, -1),
    accept: (client, { command, ...options }) => {
      const args = ["accept", "--client", client, "--socket", socket(client)];
      const request = command === undefined ? {} : { SSH_ORIGINAL_COMMAND: command };
      const SSH_CONNECTION = "127.0.0.1 40000 127.0.0.1 22";
      return run(SIGNER, args, { ...options, env: { PATH: "/usr/bin:/bin", SSH_CONNECTION, ...request } });
    },
    signal: (signal) => void child.kill(signal),
    stop,
  };
}
