import type { ClientState, ServedState } from "./service-state.ts";
import { signingProblems } from "./signing-problems.ts";
import { DURATION_BOUNDS_SECONDS } from "./tally.ts";

/**
 * The state of a service as metrics: Prometheus's text exposition format 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/). Labels are what the configuration names, and codes of
 * closed lists: nothing that comes with a request becomes one, so that no client can make series.
 */
export function encodeMetrics(state: ServedState): string {
  return [...serviceFamilies(state), ...clientFamilies(state), ...hostFamilies(state)]
    .map(encodeFamily)
    .join("");
}

interface Family {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly samples: readonly Sample[];
}

interface Sample {
  /** Of a histogram: `_bucket`, `_sum` or `_count`. */
  readonly suffix?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

function serviceFamilies(state: ServedState): readonly Family[] {
  const { version, startedAt, isServing } = state.service;
  return [
    single("signer_build_info", "Version of the signing service; always 1.", 1, { version }),
    single("signer_up", "Whether the service took requests when this was written.", Number(isServing)),
    single("signer_start_time_seconds", "When the service began.", seconds(startedAt)),
    single(
      "signer_ready",
      "Whether nothing is known that keeps it from signing.",
      Number(signingProblems(state).length === 0),
    ),
    single("signer_halted", "Whether signing was stopped.", Number(state.halted !== undefined)),
  ];
}

function clientFamilies({ service: { clients } }: ServedState): readonly Family[] {
  const each = (value: (client: ClientState) => number): readonly Sample[] =>
    clients.map((client) => ({ labels: { client: client.client }, value: value(client) }));
  return [
    {
      name: "signer_requests_total",
      type: "counter",
      help: "Requests that ended, by outcome: answered, or the code of the refusal or failure.",
      samples: clients.flatMap(requests),
    },
    {
      name: "signer_signatures_total",
      type: "counter",
      help: "Signatures that left: new ones (signed), stored ones once more (reissued).",
      samples: clients.flatMap(({ client, signed, reissued }) => [
        { labels: { client, kind: "signed" }, value: signed },
        { labels: { client, kind: "reissued" }, value: reissued },
      ]),
    },
    {
      name: "signer_request_duration_seconds",
      type: "histogram",
      help: "Duration of answered requests, the reading of the file included.",
      samples: clients.flatMap(durations),
    },
    {
      name: "signer_connections",
      type: "gauge",
      help: "Open connections.",
      samples: each(({ connections }) => connections),
    },
    {
      name: "signer_requests_waiting",
      type: "gauge",
      help: "Requests that wait for their turn.",
      samples: each(({ waiting }) => waiting),
    },
    {
      name: "signer_connections_turned_away_total",
      type: "counter",
      help: "Connections that were one too many.",
      samples: each(({ turnedAway }) => turnedAway),
    },
  ];
}

/** `answered` from the beginning, so that a rate of it can be told; a code when it first comes. */
function requests({ client, outcomes }: ClientState): readonly Sample[] {
  return [...new Map([["answered", 0], ...outcomes])].map(([outcome, value]) => ({
    labels: { client, outcome },
    value,
  }));
}

/** Buckets of a histogram hold all that is below their bound. */
function durations({ client, durations: counts, durationSeconds }: ClientState): readonly Sample[] {
  let total = 0;
  const buckets = [...DURATION_BOUNDS_SECONDS.map(String), "+Inf"].map((le, index): Sample => {
    total += counts[index] ?? 0;
    return { suffix: "_bucket", labels: { client, le }, value: total };
  });
  const labels = { client };
  return [
    ...buckets,
    { suffix: "_sum", labels, value: durationSeconds },
    { suffix: "_count", labels, value: total },
  ];
}

function hostFamilies(state: ServedState): readonly Family[] {
  return [...limitFamilies(state), ...keyFamilies(state), ...logFamilies(state), ...remoteLogFamilies(state)];
}

function limitFamilies({ rules }: ServedState): readonly Family[] {
  const limits = rules.flatMap(({ id: rule, limits = [] }) => limits.map((limit) => ({ rule, ...limit })));
  // One that stands twice in a rule would be one series twice, for which the whole file is thrown away.
  const each = [...new Map(limits.map((limit) => [`${limit.rule} ${limit.limit}`, limit])).values()];
  return [
    {
      name: "signer_limit_left",
      type: "gauge",
      help: "Signatures that a limit of a rule has left now.",
      samples: each.map(({ rule, limit, left }) => ({ labels: { rule, limit }, value: left })),
    },
    {
      name: "signer_limit_places",
      type: "gauge",
      help: "Signatures that a limit of a rule allows.",
      samples: each.map(({ rule, limit, places }) => ({ labels: { rule, limit }, value: places })),
    },
  ];
}

function keyFamilies({ keys, time }: ServedState): readonly Family[] {
  return [
    {
      name: "signer_key_usable",
      type: "gauge",
      help: "Whether a key can sign now.",
      samples: keys.map(({ name: key, problem }) => ({
        labels: { key },
        value: Number(problem === undefined),
      })),
    },
    {
      name: "signer_key_left_seconds",
      type: "gauge",
      help: "Time until a key expires; without a sample for one that never does.",
      samples: keys.flatMap(({ name: key, expiresAt }) =>
        expiresAt === undefined ? [] : [{ labels: { key }, value: seconds(expiresAt) - seconds(time) }],
      ),
    },
  ];
}

function logFamilies({ log }: ServedState): readonly Family[] {
  if ("code" in log) return [];
  return [
    single("signer_log_entries", "Entries of the log.", log.entries),
    single(
      "signer_log_last_entry_timestamp_seconds",
      "Time of the log's last entry.",
      seconds(log.lastEntryAt),
    ),
  ];
}

function remoteLogFamilies({ remoteLogs }: ServedState): readonly Family[] {
  const each = (value: (log: ServedState["remoteLogs"][number]) => number | undefined): readonly Sample[] =>
    remoteLogs.flatMap((log) => {
      const known = value(log);
      return known === undefined ? [] : [{ labels: { remote_log: log.name }, value: known }];
    });
  return [
    {
      name: "signer_remote_log_required",
      type: "gauge",
      help: "Whether signatures wait for this remote log.",
      samples: each(({ required }) => Number(required)),
    },
    {
      name: "signer_remote_log_unacknowledged_entries",
      type: "gauge",
      help: "Entries that a remote log has not acknowledged; of a syslog collector, not been sent.",
      samples: each(({ unacknowledged }) => unacknowledged),
    },
    {
      name: "signer_remote_log_connected",
      type: "gauge",
      help: "Whether there is a connection to a remote log.",
      samples: each(({ connected }) => (connected === undefined ? undefined : Number(connected))),
    },
    {
      name: "signer_remote_log_failing",
      type: "gauge",
      help: "Whether a remote log failed the last time that it was needed.",
      samples: each(({ failure }) => Number(failure !== undefined)),
    },
  ];
}

function single(
  name: string,
  help: string,
  value: number,
  labels: Readonly<Record<string, string>> = {},
): Family {
  return { name, type: "gauge", help, samples: [{ labels, value }] };
}

function encodeFamily({ name, type, help, samples }: Family): string {
  if (samples.length === 0) return "";
  const lines = samples.map(
    ({ suffix = "", labels, value }) => `${name}${suffix}${encodeLabels(labels)} ${value}`,
  );
  return `${[`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, ...lines].join("\n")}\n`;
}

function encodeLabels(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

/** Of a label's value, backslash, quote and line feed are escaped, and nothing else. */
function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function seconds(time: Date): number {
  return time.getTime() / 1000;
}
