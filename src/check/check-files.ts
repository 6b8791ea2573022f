import { existsSync, readdirSync, realpathSync, type Stats, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { primaryKeyFile, revocationFile } from "../cli/primary-key.ts";
import type { Config } from "../config/config.ts";
import { type Account, mayAccess } from "./account.ts";
import { type Finding, note, ok, problem, warning } from "./finding.ts";

const GROUP_AND_OTHERS = 0o077;
const WRITABLE_BY_OTHERS = 0o022;
/** What the owner needs: of a file to read and write it, of a folder to enter it too. */
const OWNER_FILE = 0o600;
const OWNER_FOLDER = 0o700;

/**
 * Owners and modes of configuration, keys and state. Whoever may write the configuration may sign anything; whoever may
 * read the state directory can block it.
 * @param account the account that signs; undefined where it is not known
 */
export function checkFiles(
  config: Config,
  configFile: string,
  account: Account | undefined,
): readonly Finding[] {
  const state = stat(config.stateDirectory);
  if (state === undefined)
    return [problem("files", "no-state", `${config.stateDirectory} is missing: signer init makes it`)];
  const findings = [
    ...checkConfigFile(configFile, state.uid),
    ...checkState(config, state, account),
    ...(account === undefined ? [] : checkReach(configFile, account)),
    ...[...config.keys.values()].flatMap(({ file }) => checkKeyFile(file, state.uid)),
    ...checkJournal(config.journalFile),
    ...(config.mode === "split" ? checkMetrics(config.service.metricsFile) : []),
  ];
  const isGood = findings.every(({ level }) => level !== "error");
  const who = account?.name ?? `account ${state.uid}`;
  return isGood
    ? [ok("files", `owners and modes: ${who} can sign, others cannot look in`), ...findings]
    : findings;
}

/** Whether the account gets at what it does not own: the configuration and this program. */
export function checkReach(configFile: string, account: Account): readonly Finding[] {
  const script = process.argv[1];
  const needed = [
    ["read", configFile],
    ["execute", process.execPath],
    ...(script === undefined ? [] : [["read", realpathSync(script)] as const]),
  ] as const;
  return needed
    .filter(([access, path]) => mayAccess(account, access, path) === false)
    .map(([access, path]) =>
      problem(
        "files",
        "bad-configuration",
        `${account.name} cannot ${access} ${path}: look at its mode (a+r) and those of the folders above it (a+x)`,
      ),
    );
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

function checkState(config: Config, state: Stats, account: Account | undefined): readonly Finding[] {
  const directory = config.stateDirectory;
  const findings: Finding[] = [];
  const self = process.geteuid?.();
  if (self !== undefined && self !== 0 && self !== state.uid)
    findings.push(
      problem(
        "files",
        "no-state",
        `${directory} belongs to account ${state.uid} and this is account ${self}: run check as root, or as its owner`,
      ),
    );
  if (account !== undefined && account.uid !== state.uid)
    findings.push(
      problem(
        "files",
        "no-state",
        `${directory} belongs to account ${state.uid}, SSH logs into ${account.name} (${account.uid}): chown -R it, and the keys`,
      ),
    );
  if (state.uid === 0)
    findings.push(
      note(
        "files",
        config.mode === "split"
          ? `${directory} belongs to root: the service is to have an account of its own`
          : `${directory} belongs to root: signer check --user ACCOUNT where SSH logs into another account`,
      ),
    );
  for (const path of [directory, ...pathsIn(directory)]) {
    const found = stat(path);
    if (found === undefined) continue;
    if ((found.mode & GROUP_AND_OTHERS) !== 0)
      findings.push(
        problem("files", "no-state", `${path} is open to others (mode ${octal(found)}): chmod go= it`),
      );
    const needed = found.isDirectory() ? OWNER_FOLDER : OWNER_FILE;
    if ((found.mode & needed) !== needed)
      findings.push(
        problem(
          "files",
          "no-state",
          `${path} is closed to its owner (mode ${octal(found)}): chmod u+${found.isDirectory() ? "rwx" : "rw"} it`,
        ),
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

function checkMetrics(file: string | undefined): readonly Finding[] {
  if (file === undefined || stat(dirname(file))?.isDirectory()) return [];
  return [warning("files", `${dirname(file)} is missing: no metrics are written`)];
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
