import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import type { Client, ClientChannel, ConnectConfig } from "ssh2";
import type { SshRemoteLog } from "../../config/config.ts";
import { type Fault, quoted } from "../../outcome.ts";
import { sshAlgorithms } from "../../transport/ssh-algorithms.ts";
import { sshFailure } from "../../transport/ssh-failure.ts";
import type { Connection } from "./connection.ts";
import { noAnswer } from "./remote-log-fault.ts";

/** What is asked for; the forced command takes its place, and nothing else may run. */
const COMMAND = "receive";
/** Characters that are kept of what the other side writes to stderr. */
const MAX_SAID = 500;
/** How long the last packets may take to leave, in ms. */
const LINGER_MS = 250;
/** Three without an answer and the connection counts as broken. In ms. */
const KEEPALIVE_MS = 5_000;

/**
 * Logs into a log host and starts its forced command. The host key must be the pinned one, to the last byte; the key is the
 * file's, and no agent, password or other key is tried. Faults `remote-log-unavailable`.
 * @param signal gives up when it aborts, also later on; its reason MUST be a Fault
 */
export async function connectSsh(remote: SshRemoteLog, signal: AbortSignal): Promise<Connection> {
  const privateKey = readPrivateKey(remote);
  const ssh2 = await import("ssh2"); // 40 ms, which only who has such a remote log pays
  signal.throwIfAborted();
  const socket = connect({ host: remote.host, port: remote.port, noDelay: true });
  const client = new ssh2.Client();
  const broken = new AbortController();
  const { promise, resolve, reject } = Promise.withResolvers<ClientChannel>();
  const fail = (fault: Fault): void => {
    broken.abort(fault);
    socket.destroy();
    reject(fault);
  };
  const giveUp = () => fail(signal.reason as Fault);
  signal.addEventListener("abort", giveUp, { once: true });
  let hostKey: "unseen" | "pinned" | "another" = "unseen";
  client.on("error", (error) => fail(noAnswer(remote.name, reasonOf(error, hostKey), error)));
  // Once there is a channel, that ends too, after everything that arrived was read from it.
  client.on("close", () => {
    signal.removeEventListener("abort", giveUp); // a signal may live longer than many connections
    reject(noAnswer(remote.name, "it ended the connection"));
  });
  client.on("ready", () => {
    client.exec(COMMAND, (error, channel) => {
      if (error) fail(noAnswer(remote.name, "it starts no command for this key", error));
      else resolve(channel);
    });
  });
  try {
    client.connect({
      sock: socket,
      username: remote.user,
      privateKey,
      authHandler: ["publickey"],
      hostVerifier: (blob: Buffer) => {
        hostKey = Buffer.compare(blob, remote.hostKey.blob) === 0 ? "pinned" : "another";
        return hostKey === "pinned";
      },
      algorithms: sshAlgorithms([remote.hostKey.type]),
      readyTimeout: 0, // `signal` is the deadline of it all
      keepaliveInterval: KEEPALIVE_MS,
    } as ConnectConfig);
  } catch (error) {
    fail(noAnswer(remote.name, refusalOf(error, remote), error));
  }
  try {
    return connection(await promise, client, socket, broken.signal);
  } catch (error) {
    signal.removeEventListener("abort", giveUp);
    throw error;
  }
}

function connection(channel: ClientChannel, client: Client, socket: Socket, broken: AbortSignal): Connection {
  let said = "";
  channel.stderr.on("data", (chunk: Buffer) => {
    if (said.length < MAX_SAID) said = (said + chunk.toString("latin1")).slice(0, MAX_SAID);
  });
  return {
    stream: channel,
    broken,
    said: () => (said === "" ? undefined : quoted(said.trim(), MAX_SAID)),
    close: () => {
      channel.end();
      client.end();
      socket.destroySoon();
      setTimeout(() => socket.destroy(), LINGER_MS).unref();
    },
  };
}

function readPrivateKey({ name, keyFile }: SshRemoteLog): Buffer {
  try {
    return readFileSync(keyFile);
  } catch (error) {
    throw noAnswer(name, "the key that logs into it cannot be read", error);
  }
}

/** Why ssh2 did not even begin. */
function refusalOf(error: unknown, { hostKey }: SshRemoteLog): string {
  if (/privateKey/.test(String(error)))
    return "the key that logs into it is no OpenSSH key without a passphrase";
  return `host keys of type ${quoted(hostKey.type)} are not supported`;
}

/** What an error of ssh2 means, without the other side's words. */
function reasonOf(error: Error, hostKey: string): string {
  const failure = hostKey === "another" ? ({ kind: "host-key" } as const) : sshFailure(error);
  switch (failure.kind) {
    case "host-key":
      return "its host key is not the pinned one";
    case "login":
      return "it refused the key";
    case "connection":
      return failure.reason;
  }
}
