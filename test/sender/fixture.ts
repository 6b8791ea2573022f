import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { listen } from "../../src/cli/listening-socket.ts";
import type { RemoteLogSource, SshRemoteLog, SyslogRemoteLog } from "../../src/config/config.ts";
import { Sender } from "../../src/sender/sender.ts";
import { encodeSenderLine, SENDER_VERSION, type SenderLine } from "../../src/sender/sender-message.ts";
import type { Cleanup } from "../support/cleanup.ts";
import { newWitness } from "../support/log-host.ts";
import { startSshd } from "../support/sshd.ts";
import { tempDir } from "../support/temp-dir.ts";

/** A sender of this process, and what it says. */
export interface SenderUnderTest {
  readonly path: string;
  readonly said: string[];
  stop(): Promise<void>;
}

export async function startSender(
  cleanup: Cleanup,
  remoteLogs: readonly RemoteLogSource[],
  path?: string,
): Promise<SenderUnderTest> {
  const place = path ?? join(await tempDir(cleanup), "sender.sock");
  const said: string[] = [];
  const sender = new Sender({ remoteLogs }, (line) => void said.push(line));
  const server = createServer({ allowHalfOpen: true });
  sender.serve(server);
  await listen(server, { kind: "path", path: place, group: undefined });
  const stop = async () => {
    if (server.listening) server.close();
    await sender.close();
  };
  cleanup.add(stop);
  return { path: place, said, stop };
}

/** A log host whose forced command is this line of sh. */
export async function sshLog(
  cleanup: Cleanup,
  command: string,
  changed: Partial<SshRemoteLog> = {},
): Promise<SshRemoteLog> {
  const server = await startSshd(cleanup, {
    authorizedKeys: (key) => `restrict,command="${command.replaceAll('"', '\\"')}" ${key}\n`,
  });
  const [type = "", base64 = ""] = server.hostKey.split(" ");
  return {
    kind: "ssh",
    name: "loghost",
    host: "127.0.0.1",
    port: server.port,
    timeoutMs: 10_000,
    user: userInfo().username,
    keyFile: server.identity,
    hostKey: { type, blob: Buffer.from(base64, "base64") },
    witness: newWitness().key,
    required: true,
    ...changed,
  };
}

export function syslogLog(
  port: number,
  caFile: string,
  changed: Partial<SyslogRemoteLog> = {},
): SyslogRemoteLog {
  return {
    kind: "syslog",
    name: "siem",
    host: "localhost",
    port,
    timeoutMs: 10_000,
    caFile,
    certificateFile: undefined,
    keyFile: undefined,
    ...changed,
  };
}

/** The line that asks for a remote log. */
export function openLine(log: string, version = SENDER_VERSION): string {
  return `${encodeSenderLine({ kind: "open", log, version })}\n`;
}

/** A raw connection, and everything that comes over it. */
export interface RawConnection {
  readonly socket: Socket;
  /** What has come so far. */
  text(): string;
  /** The same once it is over. */
  whole(): Promise<string>;
  /** The first line once it is there, as JSON. */
  firstLine(): Promise<SenderLine>;
}

export function rawConnection(cleanup: Cleanup, path: string, first = ""): RawConnection {
  const socket = connect({ path, allowHalfOpen: true });
  cleanup.add(() => socket.destroy());
  socket.on("error", () => undefined);
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  if (first !== "") socket.write(first);
  const over = Promise.race([once(socket, "end"), once(socket, "close")]);
  const text = () => Buffer.concat(chunks).toString("latin1");
  return {
    socket,
    text,
    whole: async () => {
      await over;
      return text();
    },
    firstLine: async () => {
      while (!text().includes("\n")) await Promise.race([once(socket, "data"), over]);
      return JSON.parse(text().split("\n", 1)[0] ?? "");
    },
  };
}
