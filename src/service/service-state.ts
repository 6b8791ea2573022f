import { type Code, Fault } from "../outcome.ts";
import { type HostState, type RemoteLogConnection, readHostState } from "./host-state.ts";
import type { SigningService } from "./signing-service.ts";
import type { ClientTally } from "./tally.ts";

/** What a running service says of itself. */
export interface ServiceState {
  /** Of this program. */
  readonly version: string;
  readonly startedAt: Date;
  /** Whether it takes requests; false in what it says last. */
  readonly isServing: boolean;
  /** Clients that have a socket, or had one since the service began; by name. */
  readonly clients: readonly ClientState[];
}

/** What became of a client's requests since the service began, and what is open of it now. */
export interface ClientState {
  readonly client: string;
  /** Connections that are open. */
  readonly connections: number;
  /** Of these, requests that wait for their turn. */
  readonly waiting: number;
  /** Connections that were one too many. */
  readonly turnedAway: number;
  /** Requests that have ended, by how; `answered` is success. */
  readonly outcomes: ReadonlyMap<"answered" | Code, number>;
  /** New signatures that left. */
  readonly signed: number;
  /** Signatures that left once more. */
  readonly reissued: number;
  /** As in {@link ClientTally.durations}. */
  readonly durations: readonly number[];
  readonly durationSeconds: number;
}

/** What is asked of a service. */
export type ObservedService = Pick<
  SigningService,
  "config" | "doors" | "host" | "ledger" | "remoteLogs" | "startedAt" | "tally"
>;

/** A {@link HostState} by the service itself. */
export type ServedState = HostState & { readonly service: ServiceState };

/** The host as a running service sees it. Reads the ledger and may load a key; never throws a Fault. */
export async function servedState(service: ObservedService, version: string): Promise<ServedState> {
  const { config, host, ledger } = service;
  const own = ownState(service, version, true);
  const state = await readHostState({
    config,
    now: host.now(),
    log: {
      history: ledger.queries,
      newest: () => ledger.queries.newest(),
      acknowledgements: () => ledger.acknowledgements(),
      forwardedSize: (collector) => ledger.forwardedSize(collector),
    },
    describeKey: host.loadKey,
    service: own,
    connections: connectionsOf(service),
  });
  return { ...state, service: own };
}

/** The same of a service that has stopped, given what it said before: the requests that ended meanwhile count. */
export function stoppedState(service: ObservedService, before: ServedState): ServedState {
  return { ...before, service: ownState(service, before.service.version, false) };
}

function ownState(
  { doors, startedAt, tally }: ObservedService,
  version: string,
  isServing: boolean,
): ServiceState {
  const names = new Set([...doors.keys(), ...tally.clients.keys()]);
  const clients = [...names]
    .toSorted()
    .map((client) => clientState(client, doors.get(client), tally.clients.get(client)));
  return { version, startedAt, isServing, clients };
}

function clientState(
  client: string,
  door: { readonly connections: number; readonly waiting: number } | undefined,
  tally: ClientTally | undefined,
): ClientState {
  return {
    client,
    connections: door?.connections ?? 0,
    waiting: door?.waiting ?? 0,
    turnedAway: tally?.turnedAway ?? 0,
    outcomes: new Map(tally?.outcomes),
    signed: tally?.signatures.signed ?? 0,
    reissued: tally?.signatures.reissued ?? 0,
    durations: [...(tally?.durations ?? [])],
    durationSeconds: tally?.durationSeconds ?? 0,
  };
}

function connectionsOf({ remoteLogs }: ObservedService): ReadonlyMap<string, RemoteLogConnection> {
  try {
    const known = remoteLogs.state();
    return new Map(
      known.map(({ name, connected, entries, failure }) => [name, { connected, entries, failure }]),
    );
  } catch (error) {
    if (error instanceof Fault) return new Map(); // of the ledger: the state says it elsewhere
    throw error;
  }
}
