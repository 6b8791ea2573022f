import { createServer } from "node:net";
import { dirname } from "node:path";
import { type Config, remoteLogFiles } from "../config/config.ts";
import { readConfigFile } from "../config/config-file.ts";
import { Fault, quoted } from "../outcome.ts";
import { Sender } from "../sender/sender.ts";
import type { Environment } from "./environment.ts";
import { enterFence, type Fence } from "./fence.ts";
import { type ListeningPlace, listen } from "./listening-socket.ts";
import { openServiceManager } from "./service-manager.ts";
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
  enterFence(again, environment, fenceOf(config, configFile, place, environment));
  const stopped = stopSignal();
  process.stderr.on("error", () => undefined); // a line that nobody takes is lost, and nothing else
  const say = (line: string): void => void process.stderr.write(`signer: sender: ${line}\n`);
  const sender = new Sender(config, say);
  const server = createServer({ allowHalfOpen: true });
  sender.serve(server);
  const manager = openServiceManager(environment);
  try {
    process.on("SIGHUP", () => {
      manager.tell("RELOADING=1");
      reload(sender, configFile, say);
      manager.tell("READY=1");
    });
    await listen(server, place);
    manager.watch(() => undefined);
    manager.tell("READY=1");
    say(`ready for ${config.remoteLogs.map(({ name }) => name).join(", ") || "no remote log"}`);
    await stopped;
    manager.tell("STOPPING=1");
    server.close();
    await sender.close();
    return 0;
  } finally {
    manager.close();
  }
}

/** A configuration that is wrong changes nothing. Its socket, and folders of keys that are new, take a restart. */
function reload(sender: Sender, configFile: string, say: (line: string) => void): void {
  try {
    sender.configure(readConfigFile(configFile));
    say("the configuration was read again");
  } catch (error) {
    say(`nothing was changed: ${error instanceof Fault ? error.message : quoted(String(error), 300)}`);
  }
}

function fenceOf(
  config: Config,
  configFile: string,
  place: ListeningPlace,
  { notifyPipe }: Environment,
): Fence {
  return {
    read: [configFile, "/etc/group", ...config.remoteLogs.flatMap(remoteLogFiles)],
    write: [
      ...(place.kind === "path" ? [dirname(place.path)] : []),
      ...(notifyPipe === undefined ? [] : [notifyPipe]),
    ],
  };
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

function stopSignal(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => resolve());
  return promise;
}
