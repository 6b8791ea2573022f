import { statSync } from "node:fs";
import { type Account, findAccount } from "../check/account.ts";
import { checkClients } from "../check/check-clients.ts";
import { checkFiles } from "../check/check-files.ts";
import { checkKeys } from "../check/check-keys.ts";
import { checkLog } from "../check/check-log.ts";
import { checkRemoteLogs } from "../check/check-remote-logs.ts";
import { areFetched, checkSources } from "../check/check-sources.ts";
import { checkServiceLogin, checkSshd } from "../check/check-sshd.ts";
import { type Finding, note, ok, problem } from "../check/finding.ts";
import type { Config } from "../config/config.ts";
import { readConfigFile } from "../config/config-file.ts";
import { ConfigFault } from "../config/parse-config.ts";
import { EXIT, Fault, quoted } from "../outcome.ts";

export interface CheckOptions {
  readonly config: string;
  /** The account that SSH logs into; undefined: the owner of the state directory, in split mode the sockets' groups. */
  readonly user?: string;
  readonly sshdConfig: string;
}

const LABEL: Readonly<Record<Finding["level"], string>> = {
  ok: "ok",
  note: "note",
  warning: "WARNING",
  error: "ERROR",
};

/** `signer check`: everything that is wrong at once. Returns 0, or the exit status of the first error. */
export async function checkCommand(options: CheckOptions, print: (line: string) => void): Promise<number> {
  const findings = await examine(options);
  for (const { level, area, text } of findings) print(`${LABEL[level].padEnd(8)} ${area.padEnd(14)} ${text}`);
  const errors = findings.filter((finding) => finding.level === "error");
  const warnings = findings.filter(({ level }) => level === "warning");
  print("");
  print(`${count(errors.length, "error")}, ${count(warnings.length, "warning")}`);
  const [first] = errors;
  return first === undefined ? 0 : EXIT[first.code];
}

async function examine(options: CheckOptions): Promise<readonly Finding[]> {
  const config = readConfig(options.config);
  if (Array.isArray(config)) return config;
  const now = new Date();
  const owner = ownerOf(config.stateDirectory);
  const signs = findAccount(config.mode === "split" ? owner : (options.user ?? owner));
  return [
    ok(
      "configuration",
      `${options.config}: ${count(config.rules.length, "rule")}, ${count(config.keys.size, "key")}`,
    ),
    ...checkFiles(config, options.config, signs),
    ...(await checkKeys(config, now)),
    ...checkLog(config, now),
    ...(await checkRemoteLogs(config, config.mode === "split" ? undefined : signs)),
    ...checkSources(config, now),
    ...(config.mode === "split"
      ? checkSplit(config, options, signs)
      : checkStandalone(config, options, signs, owner)),
  ];
}

/** The account that SSH logs into is the one that signs. */
function checkStandalone(
  config: Config,
  { user, sshdConfig }: CheckOptions,
  account: Account | undefined,
  owner: string,
): readonly Finding[] {
  if (account === undefined)
    return [
      problem(
        "sshd",
        "bad-configuration",
        `there is no account ${quoted(user ?? owner)}: expected the one that SSH logs into`,
      ),
    ];
  const clients = config.rules.map(({ client }) => client);
  return [
    ...checkSshd(account, sshdConfig, new Set(clients), "standalone", areFetched(config, clients)),
    note(
      "sshd",
      `standalone mode: SSH logs into ${account.name}, which can read the keys; split mode keeps them apart (docs/SPLIT.md)`,
    ),
  ];
}

/** SSH logs into accounts of their own, and into the one that signs nobody does. */
function checkSplit(
  config: Config,
  { config: configFile, user, sshdConfig }: CheckOptions,
  signs: Account | undefined,
): readonly Finding[] {
  return [
    ...checkClients({ config, configFile, sshdConfig, user }),
    ...(signs === undefined ? [] : checkServiceLogin(signs, sshdConfig)),
  ];
}

function readConfig(file: string): Config | Finding[] {
  try {
    return readConfigFile(file);
  } catch (error) {
    if (error instanceof ConfigFault)
      return error.problems.map((text) => problem("configuration", error.code, text));
    if (error instanceof Fault) return [problem("configuration", error.code, error.message)];
    throw error;
  }
}

/** Who owns a folder, as a number; where it is missing, this process. */
function ownerOf(directory: string): string {
  return String(statSync(directory, { throwIfNoEntry: false })?.uid ?? process.geteuid?.() ?? 0);
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
