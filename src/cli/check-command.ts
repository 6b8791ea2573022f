import { statSync } from "node:fs";
import { findAccount } from "../check/account.ts";
import { checkFiles } from "../check/check-files.ts";
import { checkKeys } from "../check/check-keys.ts";
import { checkLog } from "../check/check-log.ts";
import { checkRemoteLogs } from "../check/check-remote-logs.ts";
import { checkSshd } from "../check/check-sshd.ts";
import { type Finding, ok, problem } from "../check/finding.ts";
import type { Config } from "../config/config.ts";
import { readConfigFile } from "../config/config-file.ts";
import { ConfigFault } from "../config/parse-config.ts";
import { EXIT, Fault, quoted } from "../outcome.ts";

export interface CheckOptions {
  readonly config: string;
  /** The account that SSH logs into; undefined: the owner of the state directory. */
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
  const user = options.user ?? ownerOf(config.stateDirectory);
  const account = findAccount(user);
  return [
    ok(
      "configuration",
      `${options.config}: ${count(config.rules.length, "rule")}, ${count(config.keys.size, "key")}`,
    ),
    ...checkFiles(config, options.config, account),
    ...(await checkKeys(config, now)),
    ...checkLog(config, now),
    ...(await checkRemoteLogs(config, account)),
    ...(account === undefined
      ? [
          problem(
            "sshd",
            "bad-configuration",
            `there is no account ${quoted(user)}: expected the one that SSH logs into`,
          ),
        ]
      : checkSshd(account, options.sshdConfig, new Set(config.rules.map(({ client }) => client)))),
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
