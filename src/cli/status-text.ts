import type { HostState, KeyState, LimitState, RemoteLogState, RuleState } from "../service/host-state.ts";
import type { ClientState, ServiceState } from "../service/service-state.ts";
import { signingProblems } from "../service/signing-problems.ts";
import { gauge } from "./log/chart.ts";
import { printable } from "./log/output.ts";
import { type TextColumn, textTable } from "./text-table.ts";

const COLUMNS = 80;
/** Columns of the labels at the top. */
const LABEL = 9;
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;

/**
 * The state of a signing host for a person at a terminal of 80 columns: what matters first, then a table for each question,
 * with a blank line between. Texts of the state are shown escaped.
 * @param noService why no service is asked or answers, where there is none
 */
export function describeHost(state: HostState, noService: string): string {
  const blocks = [
    summary(state, noService),
    ...(state.service === undefined ? [] : [clients(state.service), outcomes(state.service)]),
    limits(state.rules),
    keys(state.keys, state.time),
    remoteLogs(state.remoteLogs),
    failures(state.remoteLogs),
  ];
  return blocks
    .filter((block) => block.length > 0)
    .map((block) => `${block.join("\n")}\n`)
    .join("\n");
}

function summary(state: HostState, noService: string): readonly string[] {
  const { origin, mode, service, log, time } = state;
  const problems = signingProblems(state);
  const rows: (readonly [label: string, text: string])[] = [
    ["host", `${origin}, ${mode} mode, ${moment(time)} UTC`],
    ["service", service === undefined ? noService : describeService(service, time)],
    [
      "log",
      "code" in log
        ? "cannot be read"
        : `${count(log.entries, "entry", "entries")}, the last ${second(log.lastEntryAt)} UTC`,
    ],
    ...(problems.length === 0
      ? [["signing", "nothing known is in its way"] as const]
      : problems.map(({ code, reason }, i) => [i === 0 ? "SIGNING" : "", `${code}: ${reason}`] as const)),
  ];
  return rows.flatMap(([label, text]) =>
    wrap(text, COLUMNS - LABEL).map((line, i) => `${(i === 0 ? label : "").padEnd(LABEL)}${line}`),
  );
}

function describeService({ version, startedAt, isServing }: ServiceState, now: Date): string {
  const since = `${version}, since ${moment(startedAt)} UTC (${span(now.getTime() - startedAt.getTime())})`;
  return isServing ? since : `${since}, being stopped`;
}

/** The text in lines of at most `width` characters, broken at spaces; a longer word stands out. */
function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of printable(text).trim().split(/ +/)) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

function requestsOf({ outcomes: of }: ClientState): number {
  return [...of.values()].reduce((sum, times) => sum + times, 0);
}

function clients({ clients: all }: ServiceState): readonly string[] {
  const rows = all.map((client) => [
    client.client,
    String(requestsOf(client)),
    String(client.signed),
    String(client.reissued),
    String(client.connections),
    String(client.waiting),
    String(client.turnedAway),
  ]);
  return table(
    [
      { title: "CLIENT" },
      { title: "REQUESTS", right: true },
      { title: "SIGNED", right: true },
      { title: "REISSUED", right: true },
      { title: "OPEN", right: true },
      { title: "WAITING", right: true },
      { title: "TURNED AWAY", right: true },
    ],
    rows,
  );
}

/** Requests without an answer. */
function outcomes({ clients: all }: ServiceState): readonly string[] {
  const rows = all.flatMap(({ client, outcomes: of }) =>
    [...of]
      .filter(([outcome]) => outcome !== "answered")
      .toSorted(([, a], [, b]) => b - a)
      .map(([outcome, times]) => [outcome, client, String(times)]),
  );
  return table([{ title: "NO ANSWER" }, { title: "CLIENT" }, { title: "TIMES", right: true }], rows);
}

function limits(rules: readonly RuleState[]): readonly string[] {
  const rows = rules.flatMap(({ id, client, limits: of }) => {
    if (of === undefined) return [[id, client, "not known", ""]];
    if (of.length === 0) return [[id, client, "no limit", ""]];
    return of.map((limit, i) => [i === 0 ? id : "", i === 0 ? client : "", limit.limit, describeLeft(limit)]);
  });
  return table([{ title: "RULE" }, { title: "CLIENT" }, { title: "LIMIT" }, { title: "NOW" }], rows);
}

function describeLeft({ places, left, nextAt }: LimitState): string {
  const now = nextAt === undefined ? `${left} left` : `next ${moment(nextAt)} UTC`;
  return `${gauge(places - left, places)} ${now}`;
}

function keys(all: readonly KeyState[], now: Date): readonly string[] {
  const rows = all.map(({ name, fingerprint, expiresAt, problem }) => [
    name,
    fingerprint ?? "",
    expiresAt?.toISOString().slice(0, 10) ?? (fingerprint === undefined ? "" : "no end"),
    problem === undefined ? (expiresAt === undefined ? "" : String(daysLeft(expiresAt, now))) : "unusable",
  ]);
  return table(
    [
      { title: "KEY" },
      { title: "FINGERPRINT" },
      { title: "VALID UNTIL" },
      { title: "DAYS LEFT", right: true },
    ],
    rows,
  );
}

function remoteLogs(all: readonly RemoteLogState[]): readonly string[] {
  const rows = all.map(({ name, required, acknowledged, unacknowledged, connected }) => [
    name,
    required ? "yes" : "no",
    acknowledged === undefined ? "" : String(acknowledged),
    unacknowledged === undefined ? "" : String(unacknowledged),
    connected === undefined ? "" : connected ? "yes" : "no",
  ]);
  return table(
    [
      { title: "REMOTE LOG" },
      { title: "REQUIRED" },
      { title: "ACKNOWLEDGED", right: true },
      { title: "NOT YET", right: true },
      { title: "CONNECTED" },
    ],
    rows,
  );
}

function failures(all: readonly RemoteLogState[]): readonly string[] {
  return all.flatMap(({ name, failure }) =>
    failure === undefined ? [] : wrap(`${name}, ${moment(failure.at)} UTC: ${failure.reason}`, COLUMNS),
  );
}

function table(columns: readonly TextColumn[], rows: readonly (readonly string[])[]): readonly string[] {
  if (rows.length === 0) return [];
  const { header, lines } = textTable(columns, rows);
  return [header, ...lines];
}

function daysLeft(expiresAt: Date, now: Date): number {
  return Math.max(0, Math.floor((expiresAt.getTime() - now.getTime()) / DAY_MS));
}

/** How long something has gone on, in the largest unit of which there are two. */
function span(ms: number): string {
  if (ms >= 2 * DAY_MS) return `${Math.floor(ms / DAY_MS)} days`;
  if (ms >= 2 * HOUR_MS) return `${Math.floor(ms / HOUR_MS)} hours`;
  return count(Math.floor(Math.max(0, ms) / MINUTE_MS), "minute");
}

function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

const moment = (date: Date): string => date.toISOString().slice(0, 16).replace("T", " ");
const second = (date: Date): string => date.toISOString().slice(0, 19).replace("T", " ");
