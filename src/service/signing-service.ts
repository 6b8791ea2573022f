import type { Server } from "node:net";
import { isDeepStrictEqual } from "node:util";
import type { Config } from "../config/config.ts";
import type { Journal, ServiceJournal } from "../journal.ts";
import { LoadedKeys } from "../keys/loaded-keys.ts";
import type { SigningKey } from "../keys/signing-key.ts";
import { Ledger } from "../log/ledger.ts";
import { BUSY_TIMEOUT_MS } from "../log/log-file.ts";
import type { RemoteLogs } from "../log/remote/remote-logs.ts";
import { Fault } from "../outcome.ts";
import type { KeyName } from "../request/request.ts";
import type { SigningHost } from "../sign.ts";
import { answerRelay } from "./answer.ts";
import { ClientDoor } from "./client-door.ts";
import { Tally } from "./tally.ts";

/** How long requests that are under way at a stop may still take to send their bytes, in ms. */
const STOP_GRACE_MS = 5_000;

const STOPPING = new Fault("busy", "the signing service is being stopped; the same request again");

/** What the service needs of the world around it. */
export interface ServiceWorld {
  /** Throws Fault `bad-configuration` where it is not wholly valid. */
  readConfig(): Config;
  loadKey(config: Config, name: KeyName, now: Date): Promise<SigningKey>;
  openJournal(config: Config): Promise<ServiceJournal>;
  openRemoteLogs(config: Config, ledger: Ledger, journal: Journal): Promise<RemoteLogs>;
  /** Makes a server listen at the socket of that client; false where it has none. Throws Fault `bad-configuration`. */
  listen(config: Config, client: string, server: Server): Promise<boolean>;
  now(): Date;
}

/** All that a configuration decides, opened; replaced as a whole. */
interface Setup {
  readonly config: Config;
  readonly journal: ServiceJournal;
  readonly keys: LoadedKeys;
  readonly remoteLogs: RemoteLogs;
  /** Requests that began under it and have not ended. */
  readonly requests: Set<Promise<unknown>>;
}

/**
 * The process that owns key, ledger and log, and signs for relays. A request that has begun goes on under the
 * configuration that it began with.
 */
export class SigningService {
  readonly tally = new Tally();
  readonly startedAt: Date;
  readonly #world: ServiceWorld;
  readonly #ledger: Ledger;
  readonly #doors = new Map<string, ClientDoor>();
  /** What is left of earlier configurations, until the last request of theirs has ended. */
  readonly #ending = new Set<Promise<void>>();
  #setup: Setup;

  private constructor(world: ServiceWorld, ledger: Ledger, setup: Setup) {
    this.#world = world;
    this.#ledger = ledger;
    this.#setup = setup;
    this.startedAt = world.now();
  }

  /**
   * Opens log and keys, and listens. Faults as of configuration, key and log; a key that is there and must not sign now is
   * none: requests for it are refused.
   */
  static async start(world: ServiceWorld): Promise<SigningService> {
    const config = world.readConfig();
    const { origin, stateDirectory } = config;
    const ledger = Ledger.open(stateDirectory, { origin, busyTimeoutMs: 20, patienceMs: BUSY_TIMEOUT_MS });
    try {
      const journal = await world.openJournal(config);
      const keys = await loadKeys(world, config);
      const remoteLogs = await world.openRemoteLogs(config, ledger, journal);
      const setup = { config, journal, keys, remoteLogs, requests: new Set<Promise<unknown>>() };
      const service = new SigningService(world, ledger, setup);
      for (const [client, door] of await service.#openDoors(config, journal))
        service.#doors.set(client, door);
      remoteLogs.follow(() => sizeOf(ledger));
      journal.info({ clients: [...service.#doors.keys()], origin: config.origin }, "serving");
      return service;
    } catch (error) {
      ledger.close();
      throw error;
    }
  }

  get config(): Config {
    return this.#setup.config;
  }

  get journal(): Journal {
    return this.#setup.journal;
  }

  get ledger(): Ledger {
    return this.#ledger;
  }

  get remoteLogs(): RemoteLogs {
    return this.#setup.remoteLogs;
  }

  /** Clients that have a socket, and what is open of each. */
  get doors(): ReadonlyMap<string, Pick<ClientDoor, "connections" | "waiting">> {
    return this.#doors;
  }

  /** What requests that begin now meet. */
  get host(): SigningHost {
    const { config, journal, keys, remoteLogs } = this.#setup;
    const now = () => this.#world.now();
    return {
      config,
      ledger: this.#ledger,
      remoteLogs,
      journal,
      now,
      loadKey: (name) => keys.get(name, now()),
    };
  }

  /**
   * Takes the configuration as it is now, wholly or not at all: where something in it is wrong, or it is of another log, a
   * Fault, and everything goes on as before.
   */
  async reload(): Promise<void> {
    const world = this.#world;
    const before = this.#setup;
    const config = world.readConfig();
    this.#refuseOtherPlaces(before.config, config);
    const { journal } = before;
    journal.reopen();
    const keys = await loadKeys(world, config);
    const isSame = isDeepStrictEqual(config.remoteLogs, before.config.remoteLogs);
    const remoteLogs = isSame ? before.remoteLogs : await world.openRemoteLogs(config, this.#ledger, journal);
    const opened = await this.#openDoors(config, journal);
    this.#setup = { config, journal, keys, remoteLogs, requests: new Set() };
    for (const [client, door] of opened) this.#doors.set(client, door);
    const clients = clientsOf(config);
    for (const [client, door] of this.#doors) if (!clients.has(client)) this.#closeDoor(client, door);
    if (!isSame) remoteLogs.follow(() => sizeOf(this.#ledger));
    if (!isSame) this.#endLater(Promise.all(before.requests).then(() => before.remoteLogs.finish()));
    journal.info({ clients: [...this.#doors.keys()] }, "the configuration was read again");
  }

  /**
   * Takes no more requests, lets those under way come to their end or refuses them, and closes the log. Nothing is left
   * half done: what has an entry has its answer, what has none was not signed.
   */
  async stop(): Promise<void> {
    const doors = [...this.#doors.values()];
    const timer = setTimeout(() => {
      for (const door of doors) door.abort(STOPPING);
    }, STOP_GRACE_MS);
    for (const [client, door] of this.#doors) this.#closeDoor(client, door);
    await Promise.all(this.#ending);
    clearTimeout(timer);
    await this.#setup.remoteLogs.finish();
    this.#ledger.close();
    this.#setup.journal.info({}, "stopped");
  }

  /** What is open already would stay as it was, and the journal say otherwise: a group that had lost its socket would have it still. */
  #refuseOtherPlaces(before: Config, config: Config): void {
    const places = ({ origin, stateDirectory, mode, journalFile, sender, service }: Config) => [
      ...[origin, stateDirectory, mode, journalFile, sender.socketPath, service.socketDirectory],
      ...[...this.#doors.keys()].map((client) => service.groups.get(client)),
    ];
    if (!isDeepStrictEqual(places(before), places(config)))
      throw new Fault(
        "bad-configuration",
        "origin, state, mode, journal, and places and groups of sockets change with a restart alone",
      );
  }

  /** Doors for the clients that have none yet: all, or a Fault and none. */
  async #openDoors(config: Config, journal: Journal): Promise<ReadonlyMap<string, ClientDoor>> {
    const opened = new Map<string, ClientDoor>();
    try {
      for (const client of clientsOf(config)) {
        if (this.#doors.has(client)) continue;
        const door = this.#makeDoor(client);
        if (await this.#world.listen(config, client, door.server)) opened.set(client, door);
        else journal.warn({ client }, "this client has no socket");
      }
      return opened;
    } catch (error) {
      for (const door of opened.values()) void door.close();
      throw error;
    }
  }

  #makeDoor(client: string): ClientDoor {
    const bounds = () => {
      const { service, deadlines } = this.#setup.config;
      return { ...service, idleMs: deadlines.idleMs };
    };
    return new ClientDoor(bounds, {
      answer: (connection, request) =>
        this.#underWay(answerRelay(this.host, { client, connection, request }, this.tally)),
      turnedAway: () => this.tally.turnedAway(client),
    });
  }

  async #underWay<T>(request: Promise<T>): Promise<T> {
    const { requests } = this.#setup;
    requests.add(request);
    try {
      return await request;
    } finally {
      requests.delete(request);
    }
  }

  #closeDoor(client: string, door: ClientDoor): void {
    this.#doors.delete(client);
    this.#endLater(door.close());
  }

  #endLater(work: Promise<void>): void {
    const done = work.finally(() => this.#ending.delete(done));
    this.#ending.add(done);
  }
}

/** How many entries the log has. */
function sizeOf(ledger: Ledger): number {
  return ledger.queries.newest().seq + 1;
}

function clientsOf(config: Config): ReadonlySet<string> {
  return new Set(config.rules.map(({ client }) => client));
}

async function loadKeys(world: ServiceWorld, config: Config): Promise<LoadedKeys> {
  const keys = new LoadedKeys((name) => world.loadKey(config, name, world.now()));
  for (const name of config.keys.keys()) await keys.get(name, world.now());
  return keys;
}
