import type { ArtefactType } from "../artefact/artefact.ts";
import { type Config, isLogHost, type Mode, type RemoteLogSource } from "../config/config.ts";
import type { KeyFacts } from "../keys/signing-key.ts";
import type { Acknowledgement } from "../log/acknowledgements.ts";
import { refuseHalted } from "../log/halt.ts";
import { encodeVerifierKey } from "../log/signed-note.ts";
import { type Code, Fault, quoted } from "../outcome.ts";
import { encodeLimit } from "../policy/limit.ts";
import { type CountedLimit, countLimits, type LimitHistory } from "../policy/limit-history.ts";
import type { Rule } from "../policy/rule.ts";
import type { KeyName } from "../request/request.ts";
import type { ServiceState } from "./service-state.ts";

/** Something that is not as it should be; `reason` is one line of printable ASCII. */
export interface Problem {
  readonly code: Code;
  readonly reason: string;
}

/** All there is to say about a signing host at one moment, for administrators and for metrics. Plain values. */
export interface HostState {
  readonly time: Date;
  readonly origin: string;
  readonly mode: Mode;
  /** Undefined where none runs. */
  readonly service: ServiceState | undefined;
  readonly log: LogState | Problem;
  /** Why nothing is signed, where signing was stopped. */
  readonly halted: string | undefined;
  /** In file order. */
  readonly rules: readonly RuleState[];
  readonly keys: readonly KeyState[];
  readonly remoteLogs: readonly RemoteLogState[];
}

export interface LogState {
  /** Number of entries. */
  readonly entries: number;
  readonly lastEntryAt: Date;
}

export interface RuleState {
  readonly id: string;
  readonly client: string;
  readonly type: ArtefactType;
  /** Name of the key. */
  readonly key: string;
  /** The rule's own, without those of each name; undefined where the log cannot be read. */
  readonly limits: readonly LimitState[] | undefined;
}

export interface LimitState {
  /** As in the configuration: `600 per day`. */
  readonly limit: string;
  readonly places: number;
  readonly left: number;
  /** When there is a place again; undefined where there is one now. */
  readonly nextAt: Date | undefined;
}

export interface KeyState {
  readonly name: string;
  /** Of the key that signs; undefined where the key cannot be read. */
  readonly fingerprint: string | undefined;
  /** Undefined: never, or not known. */
  readonly expiresAt: Date | undefined;
  /** Why it cannot sign now; says which key. */
  readonly problem: Problem | undefined;
}

export interface RemoteLogState {
  readonly name: string;
  /** Whether a signature waits for it. */
  readonly required: boolean;
  /** Entries that it has acknowledged, those sent where it acknowledges nothing; undefined where the log cannot be read. */
  readonly acknowledged: number | undefined;
  /** Entries that it has not; undefined as above. */
  readonly unacknowledged: number | undefined;
  /** Undefined where no service runs that would be. */
  readonly connected: boolean | undefined;
  /** What went wrong since it last went well. */
  readonly failure: { readonly at: Date; readonly reason: string } | undefined;
}

/** What a {@link HostState} needs of a log; each method may throw a Fault. */
export interface LogView {
  readonly history: LimitHistory;
  newest(): { readonly seq: number; readonly time: Date };
  acknowledgements(): readonly Acknowledgement[];
  /** Entries that were sent to the syslog collector of this name. */
  forwardedSize(collector: string): number;
}

/** A remote log as who is connected to it sees it. */
export interface RemoteLogConnection extends Pick<RemoteLogState, "failure"> {
  readonly connected: boolean;
  /** As {@link RemoteLogState.acknowledged}. */
  readonly entries: number;
}

export interface HostSources {
  readonly config: Config;
  readonly now: Date;
  /** Or why it cannot be read. */
  readonly log: LogView | Fault;
  /** Faults of the key become its problem. */
  readonly describeKey: (name: KeyName) => Promise<KeyFacts>;
  readonly service: ServiceState | undefined;
  /** By name; empty where nobody is connected. */
  readonly connections: ReadonlyMap<string, RemoteLogConnection>;
}

/** Looks at everything once. What cannot be read is a problem in the answer, never a Fault. */
export async function readHostState(sources: HostSources): Promise<HostState> {
  const { config, now, service } = sources;
  const keys: KeyState[] = [];
  for (const name of config.keys.keys()) keys.push(await keyState(name, sources));
  return {
    time: now,
    origin: config.origin,
    mode: config.mode,
    service,
    halted: whyHalted(config.stateDirectory),
    ...logDependent(sources),
    keys,
  };
}

function logDependent({
  config,
  now,
  log,
  connections,
}: HostSources): Pick<HostState, "log" | "rules" | "remoteLogs"> {
  const state = (view: LogView | undefined): Pick<HostState, "rules" | "remoteLogs"> => ({
    rules: config.rules.map((rule) => ruleState(rule, view && countLimits(rule, view.history, now))),
    remoteLogs: config.remoteLogs.map((source) => remoteLogState(source, view, connections.get(source.name))),
  });
  try {
    if (log instanceof Fault) throw log;
    const { seq, time } = log.newest();
    return { log: { entries: seq + 1, lastEntryAt: time }, ...state(log) };
  } catch (error) {
    return { log: problemOf(error), ...state(undefined) };
  }
}

function ruleState({ id, client, type, key }: Rule, limits: readonly CountedLimit[] | undefined): RuleState {
  return { id, client, type, key, limits: limits?.map(limitState) };
}

function limitState({ limit, state }: CountedLimit): LimitState {
  const isFree = state.kind === "free";
  return {
    limit: encodeLimit(limit),
    places: limit.count,
    left: isFree ? state.left : 0,
    nextAt: isFree ? undefined : state.nextAt,
  };
}

function remoteLogState(
  source: RemoteLogSource,
  log: LogView | undefined,
  connection: RemoteLogConnection | undefined,
): RemoteLogState {
  const base = {
    name: source.name,
    required: isLogHost(source) && source.required,
    connected: connection?.connected,
    failure: connection?.failure,
  };
  if (log === undefined) return { ...base, acknowledged: undefined, unacknowledged: undefined };
  const acknowledged = connection?.entries ?? acknowledgedBy(source, log);
  return { ...base, acknowledged, unacknowledged: Math.max(0, log.newest().seq + 1 - acknowledged) };
}

function acknowledgedBy(source: RemoteLogSource, log: LogView): number {
  if (!isLogHost(source)) return log.forwardedSize(source.name);
  const wanted = encodeVerifierKey(source.witness);
  const found = log.acknowledgements().find(({ witness }) => encodeVerifierKey(witness) === wanted);
  return found?.checkpoint.size ?? 0;
}

async function keyState(name: KeyName, { describeKey, now }: HostSources): Promise<KeyState> {
  try {
    const key = await describeKey(name);
    const problem = key.problemAt(now);
    return {
      name,
      fingerprint: key.fingerprint,
      expiresAt: key.expiresAt,
      problem: problem && { code: "key-unusable", reason: `key ${quoted(name)}: ${problem.reason}` },
    };
  } catch (error) {
    return { name, fingerprint: undefined, expiresAt: undefined, problem: problemOf(error) };
  }
}

function whyHalted(stateDirectory: string): string | undefined {
  try {
    refuseHalted(stateDirectory);
    return undefined;
  } catch (error) {
    return problemOf(error).reason;
  }
}

/** What a Fault says; anything else is a bug, and passes. */
function problemOf(error: unknown): Problem {
  if (!(error instanceof Fault)) throw error;
  return { code: error.code, reason: error.message };
}
