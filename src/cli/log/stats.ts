import type { Command } from "commander";
import { type Config, isLogHost } from "../../config/config.ts";
import { readConfigFile } from "../../config/config-file.ts";
import { readAcknowledgements } from "../../log/acknowledgements.ts";
import { ledgerQueries } from "../../log/ledger-queries.ts";
import type { LogReader } from "../../log/log-reader.ts";
import { type Group, type LogStatistics, NONE, statisticsOf } from "../../log/log-statistics.ts";
import { encodeVerifierKey } from "../../log/signed-note.ts";
import { encodeLimit } from "../../policy/limit.ts";
import { type CountedLimit, countLimits, countLimitsOfName } from "../../policy/limit-history.ts";
import { matchesName } from "../../policy/name-pattern.ts";
import type { Rule } from "../../policy/rule.ts";
import { type LogTools, MOMENTS, momentOption } from "./log-tools.ts";
import { configFile } from "./state.ts";
import { printStatistics } from "./stats-text.ts";

/** What `signer-log stats` says. */
export interface Statistics {
  readonly since: Date;
  /** End of the time that is counted. */
  readonly until: Date;
  readonly log: LogStatistics;
  /** Of the rules in the configuration, now; undefined where the log is not that of one. */
  readonly limits: readonly LimitUse[] | undefined;
  readonly witnesses: readonly Acknowledged[];
}

/** A limit of a rule, and how close it is. */
export interface LimitUse {
  readonly rule: string;
  /** `600 per day`. */
  readonly limit: string;
  /** Whose it is, where it is counted for each name; `-` stands for requests without one. */
  readonly name: string | undefined;
  readonly used: number;
  readonly of: number;
  /** When the next place frees, where it is used up. */
  readonly nextAt: Date | undefined;
}

/** What a witness has not vouched for. */
export interface Acknowledged {
  readonly witness: string;
  /** Entries that it has vouched for. */
  readonly size: number;
  /** Entries that the log has beyond them. */
  readonly missing: number;
  /** When it last did; undefined: never. */
  readonly cosignedAt: Date | undefined;
}

/** Names of one rule whose limits are shown: those that are the closest. */
const MAX_NAMES_SHOWN = 5;
/** Names of one rule whose limits are looked at: the busiest. */
const MAX_NAMES_COUNTED = 100;

export interface Counting {
  readonly since: Date;
  /** Undefined: up to the log's end. */
  readonly until: Date | undefined;
  readonly now: Date;
  /** The configuration that the log belongs to; undefined: limits are left out. */
  readonly config: Config | undefined;
}

/** Reads the entries of the time in question, one at a time, and looks at what the rest is about as of `now`. */
export function countStatistics(reader: LogReader, { since, until, now, config }: Counting): Statistics {
  const log = statisticsOf(reader.search({ since, until }));
  const names = log.names.groups.map(({ key }) => key).filter((name) => name !== NONE);
  return {
    since,
    until: until ?? now,
    log,
    limits: config?.rules.flatMap((rule) => limitsOf(rule, names, reader, now)),
    witnesses: acknowledged(reader, config),
  };
}

function limitsOf(rule: Rule, names: readonly string[], reader: LogReader, now: Date): readonly LimitUse[] {
  const queries = ledgerQueries(reader.database);
  const own = countLimits(rule, queries, now).map((counted) => limitUse(rule, undefined, counted));
  if (rule.limitsPerName.length === 0) return own;
  const ofNames = namesOf(rule, names)
    .flatMap((name) =>
      countLimitsOfName(rule, name, queries, now).map((counted) => limitUse(rule, name ?? NONE, counted)),
    )
    .filter(({ used }) => used > 0)
    .toSorted((one, other) => other.used / other.of - one.used / one.of);
  return [...own, ...ofNames.slice(0, MAX_NAMES_SHOWN)];
}

/** The busiest names that the rule is about; undefined stands for none, where it allows that. */
function namesOf({ names: patterns }: Rule, busiest: readonly string[]): readonly (string | undefined)[] {
  const allowed =
    patterns === undefined
      ? busiest
      : busiest.filter((name) => patterns.some((pattern) => matchesName(pattern, name)));
  return [...(patterns === undefined ? [undefined] : []), ...allowed.slice(0, MAX_NAMES_COUNTED)];
}

function limitUse(rule: Rule, name: string | undefined, { limit, state }: CountedLimit): LimitUse {
  return {
    rule: rule.id,
    limit: encodeLimit(limit),
    name,
    used: state.kind === "free" ? limit.count - state.left : limit.count,
    of: limit.count,
    nextAt: state.kind === "free" ? undefined : state.nextAt,
  };
}

/** What each witness vouched for, by what the log holds; those of the configuration that never did, too. */
function acknowledged(reader: LogReader, config: Config | undefined): readonly Acknowledged[] {
  const verifier = reader.heldVerifier() ?? reader.statedVerifier();
  const found = readAcknowledgements(reader.database, verifier);
  const known = new Set(found.map(({ witness }) => encodeVerifierKey(witness)));
  const silent = (config?.remoteLogs ?? []).flatMap((log) =>
    isLogHost(log) && !known.has(encodeVerifierKey(log.witness)) ? [log.witness] : [],
  );
  return [
    ...found.map(({ witness, checkpoint: { size }, cosignedAt }) => ({
      witness: witness.name,
      size,
      missing: Math.max(0, reader.size - size),
      cosignedAt,
    })),
    ...silent.map(({ name }) => ({ witness: name, size: 0, missing: reader.size, cosignedAt: undefined })),
  ];
}

/** The statistics as one JSON document on one line. */
export function encodeStatistics({ since, until, log, limits, witnesses }: Statistics): string {
  const keyed = (label: string) => (group: Group) => {
    const { key, ...tally } = group;
    return { [label]: key, ...tally };
  };
  return JSON.stringify({
    since,
    until,
    entries: log.entries,
    unreadable: log.unreadable,
    ...log.total,
    days: log.days.groups.map(keyed("day")),
    types: log.types.groups.map(keyed("type")),
    clients: log.clients.groups.map(keyed("client")),
    names: log.names.groups.slice(0, MAX_NAMES_COUNTED).map(keyed("name")),
    refusals: log.refusals,
    limits,
    witnesses,
  });
}

const DEFAULT_DAYS = 30;
const DAY_MS = 86_400_000;

interface StatsFlags {
  readonly since?: Date;
  readonly until?: Date;
  readonly json?: boolean;
}

/** `signer-log stats`. */
export function addStatsCommand(program: Command, { withLog, where, output, now }: LogTools): void {
  program
    .command("stats")
    .description(
      "what was signed and refused, per day, type, client and name; limits; what is not acknowledged",
    )
    .option("--since <moment>", `at or after (default: ${DEFAULT_DAYS}d)`, momentOption(now))
    .option("--until <moment>", "before", momentOption(now))
    .option("--json", "all of it as JSON")
    .addHelpText("after", MOMENTS)
    .action(({ since = new Date(now.getTime() - DEFAULT_DAYS * DAY_MS), until, json = false }: StatsFlags) =>
      withLog(async (reader) => {
        const options = where();
        const isCopy = options.state !== undefined || options.log !== undefined;
        const config = isCopy ? undefined : readConfigFile(configFile(options));
        const statistics = countStatistics(reader, { since, until, now, config });
        if (json) await output.line(encodeStatistics(statistics));
        else await printStatistics(statistics, output);
        await output.flush();
        return undefined;
      }),
    );
}
