import { dirname } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type Config, type PullSource, remoteLogFiles } from "../config/config.ts";
import { readConfigFile } from "../config/config-file.ts";
import { ConfigFault } from "../config/parse-config.ts";
import { NO_JOURNAL, openServiceJournal, type ServiceJournal } from "../journal.ts";
import { EXIT, Fault, quoted } from "../outcome.ts";
import { HttpsSource } from "../pull/https-source.ts";
import { openWork, RunningSources, type SourcePlan } from "../pull/running-sources.ts";
import type { Signing } from "../pull/signing.ts";
import { openStateFolder } from "../pull/source-memory.ts";
import { clientSocket } from "../service/client-socket.ts";
import type { Environment } from "./environment.ts";
import { enterFence, type Fence } from "./fence.ts";
import { openServiceManager, type ServiceManager } from "./service-manager.ts";

export interface PullOptions {
  readonly config: string;
  /** Ask each source once, do all that there is to do, and end. */
  readonly once?: boolean;
  /** This source alone; undefined: all. */
  readonly source?: string;
}

/**
 * `signer pull`: fetches its work from the configured repository servers and takes the answers there, until it is told to stop.
 * What it has to say goes to stderr, where a service manager keeps it: in split mode its account cannot write where the journal is.
 * Returns the exit status.
 * @param print a line for each answered request, with `once`
 */
export async function pullCommand(
  options: PullOptions,
  environment: Environment,
  print: (line: string) => void,
): Promise<number> {
  const { once = false } = options;
  const config = readConfigFile(options.config);
  const wanted = sourcesOf(config, options.source);
  enterFence(argumentsOf(options), environment, fenceOf(config, options.config, environment));
  const stopped = stopSignal();
  let hangUp: () => void = () => undefined; // what starts now reads the configuration as it is
  process.on("SIGHUP", () => hangUp());
  process.stderr.on("error", () => undefined); // a line that nobody takes is lost, and nothing else
  const journal = await openJournalOf(config);
  const open = await openSigning(config, journal, environment);
  openStateFolder(
    config.pull.stateDirectory,
    config.sources.map(({ name }) => name),
  );
  const manager = openServiceManager(environment);
  const world = {
    stateDirectory: config.pull.stateDirectory,
    connect: (source: PullSource) => new HttpsSource(source),
    say: (source: string, line: string) => say(`${source}: ${line}`),
    done: (source: string, line: string) => (once ? print : say)(`${source}: ${line}`),
  };
  try {
    const plans = plansOf(config, wanted, open);
    if (once)
      return await pullOnce(
        plans.map((plan) => openWork(world, plan)),
        stopped,
      );
    const sources = new RunningSources(world);
    const reloading = new Reloading(config, {
      plan: (changed) => plansOf(changed, sourcesOf(changed, options.source), open),
      change: (changed) => sources.change(changed),
      readConfig: () => readConfigFile(options.config),
      reopenJournal: () => journal.reopen(),
      manager,
    });
    try {
      await begin(sources, plans);
      hangUp = () => reloading.begin();
      manager.watch(() => undefined);
      manager.tell("READY=1");
      say(`watches ${sources.names.join(", ")}`);
      await Promise.race([stopped, sources.broken]);
    } finally {
      hangUp = () => undefined;
      manager.tell("STOPPING=1");
      await reloading.ended;
      await sources.stop();
    }
    return 0;
  } finally {
    manager.close();
  }
}

/** A source that cannot be begun stops no other; where none can, there is nothing to wait for. */
async function begin(sources: RunningSources, plans: readonly SourcePlan[]): Promise<void> {
  try {
    await sources.change(plans);
  } catch (error) {
    if (!(error instanceof Fault) || sources.names.length === 0) throw error;
    say(`${error.code}: ${error.message}; the other sources are watched`);
  }
}

/** Each source once, side by side. The status is that of the first, in the order of the configuration, that is not done. */
async function pullOnce(
  opened: readonly ReturnType<typeof openWork>[],
  stopped: Promise<void>,
): Promise<number> {
  const end = new AbortController();
  void stopped.then(() => end.abort());
  try {
    const ending = { soon: end.signal, now: end.signal };
    const codes = await Promise.all(opened.map(({ work }) => work.once(ending)));
    const code = codes.find((each) => each !== undefined);
    return code === undefined ? 0 : EXIT[code];
  } finally {
    for (const { close } of opened) close();
  }
}

interface ReloadingWorld {
  readConfig(): Config;
  plan(config: Config): readonly SourcePlan[];
  change(plans: readonly SourcePlan[]): Promise<void>;
  reopenJournal(): void;
  readonly manager: ServiceManager;
}

/** SIGHUP, one after the other. */
class Reloading {
  readonly #first: Config;
  readonly #world: ReloadingWorld;
  #ended: Promise<void> = Promise.resolve();

  constructor(first: Config, world: ReloadingWorld) {
    this.#first = first;
    this.#world = world;
  }

  /** Never rejects. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  begin(): void {
    this.#ended = this.#ended.then(() => this.#reload());
  }

  /** A configuration that is wrong changes nothing. Files in folders that were not named before take a restart. */
  async #reload(): Promise<void> {
    const { manager } = this.#world;
    manager.tell("RELOADING=1");
    let outcome = "nothing was changed";
    try {
      this.#world.reopenJournal();
      const config = this.#world.readConfig();
      if (!isDeepStrictEqual(placesOf(config), placesOf(this.#first)))
        throw new Fault("bad-configuration", "mode, state, journal and [pull] change with a restart alone");
      const plans = this.#world.plan(config);
      outcome = "one source at least is not worked on";
      await this.#world.change(plans);
      say("the configuration was read again");
    } catch (error) {
      const problems = error instanceof ConfigFault ? `: ${error.problems.join("; ")}` : "";
      const why = error instanceof Fault ? error.message : quoted(String(error), 300);
      say(`${outcome}: ${why}${problems}`);
    }
    manager.tell("READY=1");
  }
}

function placesOf({ mode, stateDirectory, journalFile, pull }: Config): readonly unknown[] {
  return [mode, stateDirectory, journalFile, pull];
}

type OpenSigning = (config: Config, client: string) => Signing;

/** What only one mode needs is loaded in that mode alone: in split mode this process has no use for a key, or a log. */
async function openSigning(
  { mode }: Config,
  journal: ServiceJournal,
  { credentialsDirectory }: Environment,
): Promise<OpenSigning> {
  if (mode === "split") {
    const { ThroughRelay } = await import("../pull/through-relay.ts");
    return (config, client) => new ThroughRelay(clientSocket(config.service, client));
  }
  const { StandaloneSigning } = await import("./pull-standalone.ts");
  return (config, client) => new StandaloneSigning({ config, client, journal, credentialsDirectory });
}

function plansOf(config: Config, sources: readonly PullSource[], open: OpenSigning): readonly SourcePlan[] {
  // Standalone, all of the configuration says what is signed, but for the other sources.
  const basisOf = (client: string) =>
    config.mode === "split" ? clientSocket(config.service, client) : { ...config, sources: [] };
  return sources.map((source) => {
    const { client } = source;
    return { source, signing: open(config, client), basis: basisOf(client) };
  });
}

function sourcesOf({ sources }: Config, only: string | undefined): readonly PullSource[] {
  if (sources.length === 0)
    throw new Fault("bad-configuration", "expected [[sources]]: there is nothing to fetch from");
  const wanted = only === undefined ? sources : sources.filter(({ name }) => name === only);
  if (wanted.length > 0) return wanted;
  throw new Fault(
    "bad-configuration",
    `--source: expected one of ${sources.map(({ name }) => name).join(", ")}`,
  );
}

/** In standalone mode requests leave what they leave when the forced command answers them. */
async function openJournalOf({ mode, journalFile }: Config): Promise<ServiceJournal> {
  if (mode === "split" || journalFile === undefined) return { ...NO_JOURNAL, reopen: () => undefined };
  return await openServiceJournal(journalFile);
}

function argumentsOf({ config, once = false, source }: PullOptions): readonly string[] {
  return [
    ...["--config", config, "pull"],
    ...(once ? ["--once"] : []),
    ...(source === undefined ? [] : ["--source", source]),
  ];
}

/** All that fetching reads and writes, and in standalone mode what signing does. */
function fenceOf(config: Config, configFile: string, environment: Environment): Fence {
  const { sources, pull, notify } = { ...config, notify: environment.notifyPipe };
  const own = {
    read: sources.flatMap(({ caFile, crlFile, certificateFile, keyFile }) => [
      caFile,
      crlFile,
      certificateFile,
      keyFile,
    ]),
    write: [pull.stateDirectory, notify],
  };
  const signing = config.mode === "split" ? { read: [], write: [] } : signingFence(config, environment);
  return {
    read: [configFile, ...own.read, ...signing.read].filter((path) => path !== undefined),
    write: [...own.write, ...signing.write].filter((path) => path !== undefined),
  };
}

function signingFence(
  { keys, remoteLogs, stateDirectory, journalFile }: Config,
  { credentialsDirectory }: Environment,
): { readonly read: readonly (string | undefined)[]; readonly write: readonly (string | undefined)[] } {
  const logFiles = remoteLogs.flatMap(remoteLogFiles);
  return {
    read: [...[...keys.values()].map(({ file }) => file), ...logFiles, credentialsDirectory],
    write: [stateDirectory, journalFile && dirname(journalFile)],
  };
}

function stopSignal(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => resolve());
  return promise;
}

function say(line: string): void {
  process.stderr.write(`signer: pull: ${line}\n`);
}
