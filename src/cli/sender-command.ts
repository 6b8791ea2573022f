import { createServer } from "node:net";
import { dirname } from "node:path";
import type { Config } from "../config/config.ts";
import { readConfigFile } from "../config/config-file.ts";
import { Fault } from "../outcome.ts";
import { Sender } from "../sender/sender.ts";
import type { Environment } from "./environment.ts";
import { enterFence } from "./fence.ts";
import { type ListeningPlace, listen } from "./listening-socket.ts";
import { inheritedSockets } from "./systemd-sockets.ts";

/** `FileDescriptorName=` of the socket, where systemd opens it. */
const SOCKET_NAME = "sender";

/**
 * `signer sender`: connects the signing service of split mode with the remote logs, until it is told to stop. Returns the exit
 * status.
 * @param socketPath where to listen; undefined: as the configuration says
 */
export async function senderCommand(
  configFile: string,
  socketPath: string | undefined,
  environment: Environment,
): Promise<number> {
  const config = readConfigFile(configFile);
  const again = [
    "--config",
    configFile,
    "sender",
    ...(socketPath === undefined ? [] : ["--socket", socketPath]),
  ];
  const place = placeOf(config, socketPath, environment);
  enterFence(again, environment, {
    read: [configFile, "/etc/group", ...filesOf(config)],
    write: place.kind === "path" ? [dirname(place.path)] : [],
  });
  const stopped = stopSignal();
  const sender = new Sender(config, (line) => void process.stderr.write(`signer: sender: ${line}\n`));
  const server = createServer({ allowHalfOpen: true });
  sender.serve(server);
  await listen(server, place);
  process.stderr.write(`signer: sender: serving ${config.remoteLogs.length} remote logs\n`);
  await stopped;
  server.close();
  await sender.close();
  return 0;
}

function placeOf(
  { sender }: Pick<Config, "sender">,
  socketPath: string | undefined,
  environment: Environment,
): ListeningPlace {
  const inherited = inheritedSockets(environment);
  const fd = inherited.get(SOCKET_NAME);
  if (fd !== undefined) return { kind: "inherited", fd };
  if (inherited.size > 0)
    throw new Fault("bad-configuration", `expected FileDescriptorName=${SOCKET_NAME} in the socket unit`);
  return { kind: "path", path: socketPath ?? sender.socketPath, group: sender.group };
}

/** All that connecting reads, beside what the system's libraries do. */
function filesOf({ remoteLogs }: Pick<Config, "remoteLogs">): readonly string[] {
  return remoteLogs
    .flatMap((log) => (log.kind === "ssh" ? [log.keyFile] : [log.caFile, log.certificateFile, log.keyFile]))
    .filter((file) => file !== undefined);
}

function stopSignal(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => resolve());
  return promise;
}
