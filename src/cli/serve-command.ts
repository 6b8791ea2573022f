import { dirname } from "node:path";
import type { Config } from "../config/config.ts";
import { readConfigFile } from "../config/config-file.ts";
import { ConfigFault } from "../config/parse-config.ts";
import { openServiceJournal } from "../journal.ts";
import { Fault } from "../outcome.ts";
import { clientSocket } from "../service/client-socket.ts";
import { type ServiceWorld, SigningService } from "../service/signing-service.ts";
import type { Environment } from "./environment.ts";
import { enterFence } from "./fence.ts";
import { listen } from "./listening-socket.ts";
import { loadKey } from "./open-host.ts";
import { openRemoteLogs } from "./open-remote-logs.ts";
import { openReports } from "./open-reports.ts";
import { openServiceManager, type ServiceManager } from "./service-manager.ts";
import { inheritedSockets } from "./systemd-sockets.ts";

/**
 * `signer serve`: the signing service of split mode, until it is told to stop. Returns the exit status. A Fault that ends it while
 * it runs, `log-not-durable`, may be over when it is started again.
 */
export async function serveCommand(configFile: string, environment: Environment): Promise<number> {
  const config = readSplitConfig(configFile);
  enterFence(["--config", configFile, "serve"], environment, fenceOf(config, configFile, environment));
  // Before there is anything to stop: a signal that comes early must not end it half begun.
  const stopped = stopSignal();
  let hangUp: () => void = () => undefined; // what starts now reads the configuration as it is
  process.on("SIGHUP", () => hangUp());
  const manager = openServiceManager(environment);
  try {
    const service = await SigningService.start(worldOf(configFile, environment));
    const reports = await openReports(service);
    let reloaded: Promise<void> = Promise.resolve();
    hangUp = () => {
      reloaded = reloaded.then(() => reload(service, manager)).then(() => reports.refresh());
    };
    manager.watch(() => service.ledger.queries.newest());
    manager.tell("READY=1");
    const lost = await Promise.race([stopped, service.ledger.lost]);
    if (lost !== undefined) service.journal.error({ code: lost.code, err: lost }, `it ends: ${lost.message}`);
    hangUp = () => undefined;
    await reloaded;
    manager.tell("STOPPING=1");
    await reports.close(() => service.stop());
    if (lost !== undefined) throw lost;
    return 0;
  } finally {
    manager.close();
  }
}

function readSplitConfig(configFile: string): Config {
  const config = readConfigFile(configFile);
  if (config.mode === "split") return config;
  throw new Fault("bad-configuration", 'expected mode = "split": in standalone mode there is no service');
}

function worldOf(configFile: string, environment: Environment): ServiceWorld {
  const inherited = inheritedSockets(environment);
  return {
    readConfig: () => readSplitConfig(configFile),
    loadKey: (config, name, now) => loadKey(config, name, now, environment.credentialsDirectory),
    openJournal: (config) => openServiceJournal(config.journalFile),
    openRemoteLogs: (config, ledger, journal) =>
      openRemoteLogs(config, ledger, journal, { via: { sender: config.sender.socketPath } }),
    listen: async ({ service }, client, server) => {
      const fd = inherited.get(client);
      if (fd === undefined && inherited.size > 0) return false;
      const path = clientSocket(service, client);
      await listen(
        server,
        fd === undefined
          ? { kind: "path", path, group: service.groups.get(client) }
          : { kind: "inherited", fd },
      );
      return true;
    },
    now: () => new Date(),
  };
}

/** A configuration that is wrong changes nothing, and the journal says what is wrong. */
async function reload(service: SigningService, manager: ServiceManager): Promise<void> {
  manager.tell("RELOADING=1");
  try {
    await service.reload();
  } catch (error) {
    const problems = error instanceof ConfigFault ? { problems: error.problems } : {};
    const [code, why] = error instanceof Fault ? [error.code, error.message] : ["internal", String(error)];
    service.journal.error({ code, err: error, ...problems }, `nothing was changed: ${why}`);
  }
  manager.tell("READY=1");
}

function stopSignal(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => resolve());
  return promise;
}

/** Exactly what the service needs, but for sockets that systemd has opened. */
function fenceOf(config: Config, configFile: string, environment: Environment) {
  const { stateDirectory, journalFile, service, keys } = config;
  const { credentialsDirectory, notifyPipe } = environment;
  const isGiven = (path: string | undefined) => path !== undefined;
  return {
    read: [
      configFile,
      "/etc/group",
      ...[...keys.values()].map(({ file }) => file),
      credentialsDirectory,
    ].filter(isGiven),
    write: [
      stateDirectory,
      service.socketDirectory,
      journalFile && dirname(journalFile),
      service.metricsFile && dirname(service.metricsFile),
      notifyPipe,
    ].filter(isGiven),
  };
}
