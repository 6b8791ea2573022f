import * as v from "valibot";
import { ARTEFACT_TYPES } from "../artefact/artefact.ts";
import { MODES } from "../config/config.ts";
import { type Code, EXIT } from "../outcome.ts";
import type {
  HostState,
  KeyState,
  LimitState,
  LogState,
  Problem,
  RemoteLogState,
  RuleState,
} from "./host-state.ts";
import type { ClientState, ServiceState } from "./service-state.ts";
import { signingProblems } from "./signing-problems.ts";
import { DURATION_BOUNDS_SECONDS } from "./tally.ts";

/**
 * The state of a signing host as one line of JSON (docs/FORMATS.md, "Host status"): what `signer status --json` prints, and
 * what the service says on its status socket. ASCII, members with nothing to say left out.
 */

/** Raised when a member changes its meaning or goes; new ones may come without. */
export const STATUS_VERSION = 1;

/** A document is at most so long, in characters: ten times what a configuration of the largest size leads to. */
export const MAX_STATUS_CHARACTERS = 16 * 1024 * 1024;

/** One line, its line feed included. */
export function encodeStatusDocument(state: HostState): string {
  const document = {
    version: STATUS_VERSION,
    time: state.time,
    origin: state.origin,
    mode: state.mode,
    problems: signingProblems(state),
    halted: state.halted,
    service: state.service && encodeService(state.service),
    log:
      "code" in state.log
        ? { problem: state.log }
        : { entries: state.log.entries, last_entry: state.log.lastEntryAt },
    rules: state.rules.map(({ limits, ...rule }) => ({ ...rule, limits: limits?.map(encodeLimitState) })),
    keys: state.keys.map(({ name, fingerprint, expiresAt, problem }) => ({
      name,
      fingerprint,
      expires: expiresAt,
      problem,
    })),
    remote_logs: state.remoteLogs.map(({ failure, ...log }) => ({
      ...log,
      failure: failure && { time: failure.at, reason: failure.reason },
    })),
  };
  const text = JSON.stringify(document).replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return `${text}\n`;
}

function encodeService({ version, startedAt, isServing, clients }: ServiceState) {
  return { version, since: startedAt, serving: isServing, clients: clients.map(encodeClient) };
}

function encodeClient({ client, connections, waiting, turnedAway, outcomes, ...rest }: ClientState) {
  const { signed, reissued, durations, durationSeconds } = rest;
  return {
    client,
    connections,
    waiting,
    turned_away: turnedAway,
    outcomes: Object.fromEntries(outcomes),
    signed,
    reissued,
    durations: { bounds: DURATION_BOUNDS_SECONDS, counts: durations, sum: durationSeconds },
  };
}

function encodeLimitState({ limit, places, left, nextAt }: LimitState) {
  return { limit, places, left, next: nextAt };
}

const MAX_TEXT = 4096;
const text = v.pipe(v.string(), v.maxLength(MAX_TEXT));
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const time = v.pipe(
  v.string(),
  v.maxLength(32),
  v.transform((value) => new Date(value)),
  v.check((value) => !Number.isNaN(value.getTime())),
);
const code = v.pipe(
  v.string(),
  v.check((value) => Object.hasOwn(EXIT, value)),
  v.transform((value) => value as Code),
);
const outcome = v.union([v.literal("answered"), code]);
const problem: v.GenericSchema<unknown, Problem> = v.object({ code, reason: text });

const client = v.pipe(
  v.object({
    client: text,
    connections: count,
    waiting: count,
    turned_away: count,
    outcomes: v.record(v.string(), count),
    signed: count,
    reissued: count,
    durations: v.object({ counts: v.array(count), sum: v.number() }),
  }),
  v.transform(({ client, connections, waiting, turned_away, outcomes, signed, reissued, durations }) => ({
    client,
    connections,
    waiting,
    turnedAway: turned_away,
    outcomes: new Map(
      Object.entries(outcomes).flatMap(([name, times]) =>
        v.is(outcome, name) ? [[name as "answered" | Code, times] as const] : [],
      ),
    ),
    signed,
    reissued,
    durations: durations.counts,
    durationSeconds: durations.sum,
  })),
);

const service = v.pipe(
  v.object({ version: text, since: time, serving: v.boolean(), clients: v.array(client) }),
  v.transform(
    ({ version, since, serving, clients }): ServiceState => ({
      version,
      startedAt: since,
      isServing: serving,
      clients,
    }),
  ),
);

const limit = v.pipe(
  v.object({ limit: text, places: count, left: count, next: v.optional(time) }),
  v.transform(({ limit, places, left, next }): LimitState => ({ limit, places, left, nextAt: next })),
);

const rule = v.pipe(
  v.object({
    id: text,
    client: text,
    type: v.picklist(ARTEFACT_TYPES),
    key: text,
    limits: v.optional(v.array(limit)),
  }),
  v.transform(({ limits, ...rest }): RuleState => ({ ...rest, limits })),
);

const key = v.pipe(
  v.object({
    name: text,
    fingerprint: v.optional(text),
    expires: v.optional(time),
    problem: v.optional(problem),
  }),
  v.transform(
    ({ name, fingerprint, expires, problem }): KeyState => ({
      name,
      fingerprint,
      expiresAt: expires,
      problem,
    }),
  ),
);

const remoteLog = v.pipe(
  v.object({
    name: text,
    required: v.boolean(),
    acknowledged: v.optional(count),
    unacknowledged: v.optional(count),
    connected: v.optional(v.boolean()),
    failure: v.optional(v.object({ time, reason: text })),
  }),
  v.transform(
    ({ name, required, acknowledged, unacknowledged, connected, failure }): RemoteLogState => ({
      name,
      required,
      acknowledged,
      unacknowledged,
      connected,
      failure: failure && { at: failure.time, reason: failure.reason },
    }),
  ),
);

const log = v.union([
  v.pipe(
    v.object({ problem }),
    v.transform(({ problem }) => problem),
  ),
  v.pipe(
    v.object({ entries: count, last_entry: time }),
    v.transform(({ entries, last_entry }): LogState => ({ entries, lastEntryAt: last_entry })),
  ),
]);

const schema = v.pipe(
  v.object({
    version: v.literal(STATUS_VERSION),
    time,
    origin: text,
    mode: v.picklist(MODES),
    halted: v.optional(text),
    service: v.optional(service),
    log,
    rules: v.array(rule),
    keys: v.array(key),
    remote_logs: v.array(remoteLog),
  }),
  v.transform(
    ({ time, origin, mode, halted, service, log, rules, keys, remote_logs }): HostState => ({
      time,
      origin,
      mode,
      service,
      log,
      halted,
      rules,
      keys,
      remoteLogs: remote_logs,
    }),
  ),
);

/**
 * Reads what {@link encodeStatusDocument} wrote; undefined for anything else, another version included. Members that it does
 * not know are left out. Controlled by: the service, or who sits at its socket; texts in it may hold anything.
 */
export function parseStatusDocument(document: string): HostState | undefined {
  if (document.length > MAX_STATUS_CHARACTERS || !document.endsWith("\n")) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(document);
  } catch {
    return undefined;
  }
  const parsed = v.safeParse(schema, value);
  return parsed.success ? parsed.output : undefined;
}
