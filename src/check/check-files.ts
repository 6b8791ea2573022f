import { existsSync, readdirSync, type Stats, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { primaryKeyFile, revocationFile } from "../cli/primary-key.ts";
import type { Config } from "../config/config.ts";
import { type Finding, ok, problem, warning } from "./finding.ts";

const GROUP_AND_OTHERS = 0o077;
const WRITABLE_BY_OTHERS = 0o022;

/**
 * Owners and modes of configuration, keys and state. Whoever may write the configuration may sign anything; whoever may
 * read the state directory can block it.
 */
export function checkFiles(config: Config, configFile: string): readonly Finding[] {
  const state = stat(config.stateDirectory);
  if (state === undefined)
    return [problem("files", "no-state", `${config.stateDirectory} is missing: signer init makes it`)];
  const findings = [
    ...checkConfigFile(configFile, state.uid),
    ...checkState(config.stateDirectory, state),
    ...[...config.keys.values()].flatMap(({ file }) => checkKeyFile(file, state.uid)),
    ...checkJournal(config.journalFile),
  ];
  const isGood = findings.every(({ level }) => level !== "error");
  return isGood ? [ok("files", `owners and modes, account ${state.uid}`), ...findings] : findings;
}

function checkConfigFile(file: string, account: number): readonly Finding[] {
  const findings: Finding[] = [];
  for (const path of [file, dirname(file)]) {
    const found = stat(path);
    if (found === undefined) continue;
    if ((found.mode & WRITABLE_BY_OTHERS) !== 0 && (found.mode & 0o1000) === 0)
      findings.push(problem("files", "bad-configuration", `${path} may be written by others: chmod go-w it`));
    if (found.uid !== 0 && found.uid !== account)
      findings.push(
        problem(
          "files",
          "bad-configuration",
          `${path} belongs to account ${found.uid}: expected root or the account that signs`,
        ),
      );
  }
  return findings;
}

function checkState(directory: string, state: Stats): readonly Finding[] {
  const findings: Finding[] = [];
  const account = process.geteuid?.();
  if (account !== undefined && account !== 0 && account !== state.uid)
    findings.push(
      problem(
        "files",
        "no-state",
        `${directory} belongs to account ${state.uid} and this is account ${account}: only its owner can sign`,
      ),
    );
  for (const path of [directory, ...pathsIn(directory)]) {
    const found = stat(path);
    if (found === undefined) continue;
    if ((found.mode & GROUP_AND_OTHERS) !== 0)
      findings.push(
        problem("files", "no-state", `${path} is open to others (mode ${octal(found)}): chmod go= it`),
      );
    if (found.uid !== state.uid)
      findings.push(
        problem(
          "files",
          "no-state",
          `${path} belongs to account ${found.uid}, the folder to ${state.uid}: chown it`,
        ),
      );
  }
  return findings;
}

function checkKeyFile(file: string, account: number): readonly Finding[] {
  const findings: Finding[] = [];
  const found = stat(file);
  if (found !== undefined && (found.mode & GROUP_AND_OTHERS) !== 0)
    findings.push(
      problem("files", "key-unavailable", `${file} is open to others (mode ${octal(found)}): chmod go= it`),
    );
  if (found !== undefined && found.uid !== account)
    findings.push(
      problem(
        "files",
        "key-unavailable",
        `${file} belongs to account ${found.uid}, the state to ${account}: chown it`,
      ),
    );
  for (const path of [primaryKeyFile(file), revocationFile(file)])
    if (existsSync(path))
      findings.push(warning("key", `${path} is still here: move it to a medium that stays offline`));
  return findings;
}

function checkJournal(file: string | undefined): readonly Finding[] {
  if (file === undefined || stat(dirname(file))?.isDirectory()) return [];
  return [warning("files", `${dirname(file)} is missing: no journal is kept`)];
}

function stat(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false });
}

/** All paths below a folder; links in it are not followed to others. */
function pathsIn(directory: string): readonly string[] {
  try {
    const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
    return entries.map(({ parentPath, name }) => join(parentPath, name));
  } catch {
    return [];
  }
}

function octal(found: Stats): string {
  return (found.mode & 0o7777).toString(8).padStart(4, "0");
}
