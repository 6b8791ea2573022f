import { readFileSync } from "node:fs";
import { parse as parseToml, TomlError } from "smol-toml";
import * as v from "valibot";
import {
  absolutePath,
  accountName,
  type HostKey,
  hostKey,
  hostName,
  listOf,
  port,
  text,
} from "../config/setting.ts";
import { Fault, quoted } from "../outcome.ts";
import { parseDuration } from "../policy/quantity.ts";
import { parseRequester, type Requester } from "../request/request.ts";

/** Where client.toml lies when nobody says otherwise. */
export const DEFAULT_CLIENT_CONFIG_FILE = "/etc/signer/client.toml";

/** How a signing host is asked: over SSH, or through a folder out of which it fetches its work. */
export const VIAS = ["ssh", "pull"] as const;

/** What a client knows of its signing host (signer-client.toml(5)). */
export type ClientConfig = SshClientConfig | PullClientConfig;

interface CommonConfig {
  /** OpenPGP certificates, armored or not: no signature but theirs is accepted. */
  readonly publicKeyFile: string;
  readonly for: Requester | undefined;
  /** How long a limit or a busy host is waited for; 0: not at all. */
  readonly waitMs: number;
}

/** A signing host that is logged into. */
export interface SshClientConfig extends CommonConfig {
  readonly via: "ssh";
  /** A `Host` of ssh_config, a name or an address. */
  readonly host: string;
  /** These four come before what ssh_config says. */
  readonly port: number | undefined;
  readonly user: string | undefined;
  readonly identities: readonly string[] | undefined;
  /** Absolute path of an agent's socket. */
  readonly agent: string | undefined;
  /** The only one accepted; undefined: known_hosts decides. */
  readonly hostKey: HostKey | undefined;
  /** Read instead of the user's and the machine's ssh_config. */
  readonly sshConfigFile: string | undefined;
  /** The transport instead of our own: a program and its arguments, which are followed by `--`, host and command. */
  readonly sshCommand: readonly [string, ...string[]] | undefined;
  /** Longest time to log in; and longest silence of the host after it. */
  readonly timeoutMs: number;
}

/** A signing host that fetches its work (docs/PULL.md). */
export interface PullClientConfig extends CommonConfig {
  readonly via: "pull";
  readonly pull: PullSettings;
}

export interface PullSettings {
  /** Absolute path; `outbox`, `inbox` and `requests` lie in it. */
  readonly folder: string;
  /** An SSH key, Ed25519: a private one without a passphrase, or the public one of an agent's key. */
  readonly keyFile: string;
  /** How long an answer is waited for. */
  readonly timeoutMs: number;
}

/** What comes before the file, from the command line or the environment. */
export type ClientOverrides = Partial<
  Pick<SshClientConfig, "host" | "publicKeyFile" | "sshCommand"> & {
    /** Controlled by: whoever calls. */
    readonly via: string;
  }
>;

const MAX_CONFIG_BYTES = 64 * 1024;
/** A timer of Node counts up to 2^31-1 ms. */
const MAX_WAIT_MS = 24 * 86_400_000;

const duration = text('a duration such as "30 s" or "5 min"', parseDuration);

const timeout = v.pipe(
  duration,
  v.minValue(1000, "expected at least 1 s"),
  v.maxValue(MAX_WAIT_MS, "expected at most 24 days"),
);

const schema = v.strictObject({
  via: v.optional(v.picklist(VIAS, 'expected "ssh" or "pull"'), "ssh"),
  host: v.optional(hostName),
  port: v.optional(port),
  user: v.optional(accountName),
  identities: v.optional(listOf("files", absolutePath)),
  agent: v.optional(absolutePath),
  host_key: v.optional(hostKey),
  ssh_config: v.optional(absolutePath),
  ssh_command: v.optional(
    listOf("words", v.pipe(v.string("expected a word"), v.regex(/^[^\0\n]{1,4096}$/, "expected a word"))),
  ),
  public_key: v.optional(absolutePath),
  for: v.optional(text("1 to 64 characters of A-Z, a-z, 0-9, @, ., _, + and -", parseRequester)),
  wait: v.optional(v.pipe(duration, v.maxValue(MAX_WAIT_MS, "expected at most 24 days"))),
  timeout: v.optional(timeout, "60 s"),
  pull: v.optional(
    v.strictObject(
      {
        folder: v.optional(absolutePath, "/var/lib/signer-pull"),
        key: v.optional(absolutePath),
        timeout: v.optional(timeout, "10 min"),
      },
      "expected a table",
    ),
    {},
  ),
});

/**
 * Reads a client's configuration.
 * @param file a file that is missing is an empty one where `mustExist` is false
 * @throws Fault `bad-configuration`, which names every mistake at once
 */
export function readClientConfig(
  file: string,
  {
    mustExist = true,
    overrides = {},
  }: { readonly mustExist?: boolean; readonly overrides?: ClientOverrides } = {},
): ClientConfig {
  return parseClientConfig(readText(file, mustExist), file, overrides);
}

/** As {@link readClientConfig}, of the file's text. */
export function parseClientConfig(toml: string, file: string, overrides: ClientOverrides = {}): ClientConfig {
  const raw = parseSyntax(toml, file);
  const result = v.safeParse(schema, raw);
  const via = overrides.via ?? raw["via"] ?? "ssh";
  const problems = [
    ...(result.issues ?? []).map(describeIssue),
    ...commonProblems(raw, overrides),
    ...(via === "pull" ? pullProblems(raw, overrides) : sshProblems(raw, overrides)),
  ];
  if (!result.success || problems.length > 0) throw wrong(file, problems);
  const { output } = result;
  const common: CommonConfig = {
    publicKeyFile: (overrides.publicKeyFile ?? output.public_key) as string,
    for: output.for,
    waitMs: output.wait ?? 0,
  };
  if (via === "pull") {
    const { folder, key, timeout: timeoutMs } = output.pull;
    return { via, ...common, pull: { folder, keyFile: key as string, timeoutMs } };
  }
  return {
    via: "ssh",
    ...common,
    host: (overrides.host ?? output.host) as string,
    port: output.port,
    user: output.user,
    identities: output.identities,
    agent: output.agent,
    hostKey: output.host_key,
    sshConfigFile: output.ssh_config,
    sshCommand: overrides.sshCommand ?? (output.ssh_command as [string, ...string[]] | undefined),
    timeoutMs: output.timeout,
  };
}

// What no single value shows; of the raw document, so that mistakes elsewhere do not hide these.

type Raw = Readonly<Record<string, unknown>>;

function commonProblems(raw: Raw, overrides: ClientOverrides): string[] {
  const problems: string[] = [];
  if (overrides.via !== undefined && !v.is(v.picklist(VIAS), overrides.via))
    problems.push(`--via or SIGNER_VIA: expected ssh or pull, not ${quoted(overrides.via)}`);
  if ((overrides.publicKeyFile ?? raw["public_key"]) === undefined)
    problems.push("public_key: expected the file of its OpenPGP certificate, here or in SIGNER_PUBLIC_KEY");
  return problems;
}

function sshProblems(raw: Raw, overrides: ClientOverrides): string[] {
  const problems: string[] = [];
  if ((overrides.host ?? raw["host"]) === undefined)
    problems.push("host: expected the signing host, here or in SIGNER_HOST");
  if (overrides.host !== undefined && !v.is(hostName, overrides.host))
    problems.push(`SIGNER_HOST: expected a host name or an address, not ${quoted(overrides.host)}`);
  if (overrides.sshCommand !== undefined || raw["ssh_command"] !== undefined) {
    for (const key of OF_LOGIN)
      if (key in raw) problems.push(`${key}: not with an ssh command, which has options of its own for it`);
  }
  return problems;
}

const OF_LOGIN = ["port", "user", "identities", "agent", "host_key", "ssh_config"] as const;
const OF_SSH = ["host", ...OF_LOGIN, "ssh_command", "timeout"] as const;

function pullProblems(raw: Raw, overrides: ClientOverrides): string[] {
  const problems: string[] = [];
  const pull = raw["pull"];
  if (typeof pull !== "object" || pull === null || !("key" in pull))
    problems.push("pull.key: expected the file of the SSH key that signs what is announced");
  if (overrides.host !== undefined) problems.push("SIGNER_HOST: not with pull: no host is reached");
  if (overrides.sshCommand !== undefined) problems.push("--ssh-command: not with pull: no host is reached");
  // A file that leaves the choice to the command line has both.
  if (raw["via"] === "pull")
    for (const key of OF_SSH)
      if (key in raw)
        problems.push(
          key === "timeout"
            ? 'timeout: not with via = "pull", which has one in [pull]'
            : `${key}: not with via = "pull": no host is reached`,
        );
  return problems;
}

function readText(file: string, mustExist: boolean): string {
  try {
    const bytes = readFileSync(file);
    if (bytes.length > MAX_CONFIG_BYTES) throw wrong(file, ["it is larger than 64 KiB"]);
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (error instanceof Fault) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" && !mustExist) return "";
    throw wrong(file, [code === undefined ? "it is not UTF-8" : `it cannot be read (${code})`], error);
  }
}

function parseSyntax(toml: string, file: string): Record<string, unknown> {
  try {
    return parseToml(toml);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [what = "not TOML"] = error.message.replace("Invalid TOML document: ", "").split("\n");
    throw wrong(file, [`line ${error.line}, column ${error.column}: ${what}`]);
  }
}

function describeIssue(issue: v.BaseIssue<unknown>): string {
  const path = v.getDotPath(issue) ?? "";
  if (issue.type === "strict_object" && issue.expected === "never") return `${path}: unknown key`;
  return `${path}: ${issue.message}${typeof issue.input === "string" ? `, not ${quoted(issue.input)}` : ""}`;
}

function wrong(file: string, problems: readonly string[], cause?: unknown): Fault {
  return new Fault("bad-configuration", `${quoted(file, 300)}: ${problems.join("; ")}`, { cause });
}
