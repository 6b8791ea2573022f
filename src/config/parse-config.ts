import { parse as parseToml, TomlError } from "smol-toml";
import * as v from "valibot";
import type { ArtefactType } from "../artefact/artefact.ts";
import { Fault, quoted } from "../outcome.ts";
import type { Rule } from "../policy/rule.ts";
import type { KeyName } from "../request/request.ts";
import type { Config, KeySource, RemoteLogSource, ServiceSettings } from "./config.ts";
import { configSchema, type RawRemoteLog, type RawRule, type RawService } from "./config-schema.ts";
import { makePull, makeSource, sourceProblems } from "./source-settings.ts";

/** The configuration cannot be used; `problems` are all that is wrong with it, one line each. */
export class ConfigFault extends Fault {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    const count = problems.length === 1 ? "one mistake" : `${problems.length} mistakes`;
    super("bad-configuration", `the configuration has ${count}: signer check names them`);
    this.problems = problems;
  }
}

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
/** pacman refuses a database of more than 128 MiB; an image has no such bound. */
const DEFAULT_MAX_BYTES: Readonly<Record<ArtefactType, number>> = {
  db: 128 * MIB,
  files: 128 * MIB,
  iso: 8 * GIB,
};
const DEFAULT_MAX_EXPANDED_BYTES = GIB;

const DNS_NAME =
  /^(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i;

/**
 * Reads the text of signer.toml.
 * @throws ConfigFault with every mistake at once; a syntax error hides what comes after it
 */
export function parseConfig(toml: string): Config {
  const raw = parseSyntax(toml);
  const result = v.safeParse(configSchema, raw);
  const problems = [...(result.issues ?? []).map(describeIssue), ...crossProblems(raw)];
  if (!result.success || problems.length > 0) throw new ConfigFault(problems);
  const { output } = result;
  return {
    origin: output.origin,
    notationDomain: output.notation_domain ?? domainOf(output.origin),
    mode: output.mode,
    stateDirectory: output.state,
    keys: new Map(
      Object.entries(output.keys).flatMap(([name, key]) => (key ? [[name as KeyName, keySource(key)]] : [])),
    ),
    rules: output.rules.map(makeRule),
    remoteLogs: output.remote_log.map(makeRemoteLog),
    reissueWindowMs: output.reissue_window,
    deadlines: { idleMs: output.deadlines.idle, totalMs: output.deadlines.total },
    journalFile: output.journal,
    service: makeService(output.service),
    sender: { socketPath: output.sender.socket, group: output.sender.group },
    pull: makePull(output.pull),
    sources: output.sources.map(makeSource),
  };
}

function parseSyntax(toml: string): Record<string, unknown> {
  try {
    return parseToml(toml);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [what = "not TOML"] = error.message.replace("Invalid TOML document: ", "").split("\n");
    throw new ConfigFault([`line ${error.line}, column ${error.column}: ${what}`]);
  }
}

function describeIssue(issue: v.BaseIssue<unknown>): string {
  const path = describePath(v.getDotPath(issue) ?? "");
  if (issue.type === "strict_object" && issue.expected === "never") return `${path}: unknown key`;
  if (issue.received === "undefined") return `${path}: missing`;
  return `${path}: ${issue.message}${typeof issue.input === "string" ? `, not ${quoted(issue.input)}` : ""}`;
}

/** `rules.0.from.1` as people count: `rule 1, from`. The value itself is quoted beside it. */
function describePath(dotPath: string): string {
  const item = /^(?<list>rules|remote_log|sources)\.(?<index>[0-9]+)(?:\.(?<key>[^.]+))?/.exec(
    dotPath,
  )?.groups;
  if (item === undefined) return dotPath;
  const list = item["list"] ?? "";
  const place = `${list.replace(/s$/, "")} ${Number(item["index"]) + 1}`;
  return item["key"] === undefined ? place : `${place}, ${item["key"]}`;
}

/** What no single value shows; works on the raw document so that mistakes elsewhere do not hide these. */
function crossProblems(raw: Record<string, unknown>): string[] {
  return [
    ...domainProblems(raw),
    ...ruleProblems(raw),
    ...remoteLogProblems(raw),
    ...serviceProblems(raw),
    ...sourceProblems(raw),
  ];
}

function domainProblems(raw: Record<string, unknown>): string[] {
  const { notation_domain: given, origin } = raw;
  if (typeof given === "string")
    return DNS_NAME.test(given) ? [] : [`notation_domain: expected a DNS name, not ${quoted(given)}`];
  if (given !== undefined || typeof origin !== "string" || DNS_NAME.test(domainOf(origin))) return [];
  return ["notation_domain: missing, and origin does not begin with a DNS name"];
}

function ruleProblems(raw: Record<string, unknown>): string[] {
  if (!Array.isArray(raw["rules"])) return [];
  const keyNames = new Set(Object.keys(isRecord(raw["keys"]) ? raw["keys"] : {}));
  const seenIds = new Set<unknown>();
  const problems: string[] = [];
  for (const [index, rule] of raw["rules"].entries()) {
    if (!isRecord(rule)) continue;
    const { id, key } = rule;
    if (typeof id === "string" && seenIds.has(id))
      problems.push(`rule ${index + 1}, id: ${quoted(id)} stands twice`);
    seenIds.add(id);
    if (typeof key === "string" && !keyNames.has(key))
      problems.push(`rule ${index + 1}, key: there is no [keys] entry ${quoted(key)}`);
  }
  return problems;
}

function remoteLogProblems(raw: Record<string, unknown>): string[] {
  const logs = raw["remote_log"];
  if (!Array.isArray(logs)) return [];
  const problems: string[] = [];
  const seen = { name: new Set<unknown>(), witness: new Set<unknown>() };
  for (const [index, log] of logs.entries()) {
    if (!isRecord(log)) continue;
    for (const key of ["name", "witness"] as const) {
      const value = log[key];
      if (typeof value === "string" && seen[key].has(value))
        problems.push(`remote_log ${index + 1}, ${key}: ${quoted(value)} stands twice`);
      seen[key].add(value);
    }
    if (log["type"] === "syslog" && (log["certificate"] === undefined) !== (log["key"] === undefined))
      problems.push(`remote_log ${index + 1}: certificate and key come together`);
  }
  return problems;
}

/** A group for a client that no rule names is a mistake that would leave a socket closed to who should have it. */
function serviceProblems(raw: Record<string, unknown>): string[] {
  const groups = isRecord(raw["service"]) ? raw["service"]["groups"] : undefined;
  if (!isRecord(groups) || !Array.isArray(raw["rules"])) return [];
  const clients = new Set(raw["rules"].map((rule) => (isRecord(rule) ? rule["client"] : undefined)));
  return Object.keys(groups)
    .filter((client) => !clients.has(client))
    .map((client) => `service.groups: no rule names the client ${quoted(client)}`);
}

function makeRemoteLog(raw: RawRemoteLog): RemoteLogSource {
  const { name, timeout: timeoutMs } = raw;
  switch (raw.type) {
    case "ssh": {
      const { host, port, user, key: keyFile, host_key: hostKey, witness, required } = raw;
      return { kind: "ssh", name, host, port, timeoutMs, user, keyFile, hostKey, witness, required };
    }
    case "https": {
      const { url, proxy, witness, required } = raw;
      const files = {
        caFile: raw.ca,
        crlFile: raw.crl,
        certificateFile: raw.certificate,
        keyFile: raw.key,
      };
      return { kind: "https", name, url, proxy, timeoutMs, ...files, witness, required };
    }
    case "syslog": {
      const { host, port } = raw;
      const files = { caFile: raw.ca, certificateFile: raw.certificate, keyFile: raw.key };
      return { kind: "syslog", name, host, port, timeoutMs, ...files };
    }
  }
}

function makeService(raw: RawService): ServiceSettings {
  return {
    socketDirectory: raw.sockets,
    groups: new Map(Object.entries(raw.groups)),
    maxConnections: raw.max_connections,
    maxActive: raw.max_active,
    metricsFile: raw.metrics,
  };
}

function makeRule(raw: RawRule): Rule {
  return {
    id: raw.id,
    client: raw.client,
    from: raw.from,
    type: raw.type,
    names: raw.names,
    key: raw.key as KeyName,
    maxBytes: raw.max_size ?? DEFAULT_MAX_BYTES[raw.type],
    maxExpandedBytes: raw.max_expanded_size ?? DEFAULT_MAX_EXPANDED_BYTES,
    allowEmpty: raw.allow_empty,
    limits: raw.limits,
    limitsPerName: raw.limits_per_name,
    signatureExpiresMs: raw.signature_expires,
  };
}

function keySource(raw: {
  readonly file: string;
  readonly passphrase_credential?: string | undefined;
}): KeySource {
  return { file: raw.file, passphraseCredential: raw.passphrase_credential };
}

function domainOf(origin: string): string {
  return origin.split("/", 1)[0] ?? "";
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
