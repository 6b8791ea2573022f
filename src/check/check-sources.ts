import { type Stats, statSync } from "node:fs";
import type { Config, PullSource } from "../config/config.ts";
import { clientSocket } from "../service/client-socket.ts";
import { type Account, findAccount, findGroup, mayAccess } from "./account.ts";
import { checkCertificates } from "./check-certificates.ts";
import { type Finding, note, problem } from "./finding.ts";

const AREA = "sources";
const GROUP_AND_OTHERS = 0o077;

/**
 * What `signer pull` needs of this host, for each repository server: its folder, its files, certificates that belong together and
 * live, and in split mode the way to the service. It connects to nothing: `signer pull --once` does.
 */
export function checkSources(config: Config, now: Date): readonly Finding[] {
  if (config.sources.length === 0) return [];
  const account = pullAccount(config);
  return [
    ...checkFolder(config),
    ...config.sources.flatMap((source) => [
      ...checkFiles(source, account),
      ...checkWay(config, source, account),
      ...checkCertificates(AREA, source, now),
    ]),
  ];
}

/** Whether each of these clients is one that `signer pull` asks for: nobody need ask over SSH. */
export function areFetched({ sources }: Config, clients: readonly string[]): boolean {
  return clients.every((client) => sources.some((source) => source.client === client));
}

/** Who fetches, or would: the owner of the folder of `[pull]`; undefined where there is none. */
export function pullAccount({ pull }: Config): Account | undefined {
  const found = stat(pull.stateDirectory);
  return found === undefined ? undefined : findAccount(String(found.uid));
}

function checkFolder({ pull, mode, stateDirectory }: Config): readonly Finding[] {
  const path = pull.stateDirectory;
  const found = stat(path);
  if (found === undefined)
    return [
      problem(AREA, "no-state", `${path} is missing: make it, mode 0700, for the account of signer pull`),
    ];
  const findings: Finding[] = [];
  if (!found.isDirectory()) findings.push(problem(AREA, "pull-state-failed", `${path} is no folder`));
  else if ((found.mode & GROUP_AND_OTHERS) !== 0)
    findings.push(
      problem(AREA, "pull-state-failed", `${path} is open to others (mode ${octal(found)}): chmod go= it`),
    );
  const signs = stat(stateDirectory)?.uid;
  if (signs !== undefined && mode === "split" && found.uid === signs && signs !== 0)
    findings.push(
      problem(
        AREA,
        "bad-configuration",
        `${path} belongs to the account that signs: in split mode signer pull has one of its own`,
      ),
    );
  if (signs !== undefined && mode === "standalone" && found.uid !== signs)
    findings.push(
      problem(
        AREA,
        "pull-state-failed",
        `${path} belongs to account ${found.uid}, the state to ${signs}: in standalone mode who fetches also signs`,
      ),
    );
  return findings;
}

function checkFiles(source: PullSource, account: Account | undefined): readonly Finding[] {
  const { name, caFile, crlFile, certificateFile, keyFile } = source;
  const findings: Finding[] = [];
  const wrong = (text: string) => problem(AREA, "bad-configuration", `${name}: ${text}`);
  for (const file of [caFile, crlFile, certificateFile, keyFile]) {
    if (file === undefined) continue;
    if (stat(file) === undefined) findings.push(wrong(`${file} is missing`));
    else if (account !== undefined && mayAccess(account, "read", file) === false)
      findings.push(wrong(`${account.name} cannot read ${file}`));
  }
  const key = stat(keyFile);
  if (key !== undefined && (key.mode & GROUP_AND_OTHERS) !== 0)
    findings.push(wrong(`${keyFile} is open to others (mode ${octal(key)}): chmod go= it`));
  return findings;
}

/** In split mode its requests go through the client's socket. */
function checkWay(
  { mode, service }: Config,
  { name, client }: PullSource,
  account: Account | undefined,
): readonly Finding[] {
  if (mode !== "split") return [];
  const path = clientSocket(service, client);
  const found = stat(path);
  if (found === undefined) return [note(AREA, `${name}: there is no ${path} now: the service does not run`)];
  if (account === undefined || account.uid === 0 || account.uid === found.uid) return [];
  const group = findGroup(String(found.gid));
  if (account.gid === found.gid || group?.members.includes(account.name)) return [];
  const groupName = group?.name ?? String(found.gid);
  return [
    problem(
      AREA,
      "service-unavailable",
      `${name}: ${account.name} may not connect to ${path}: usermod -aG ${groupName} ${account.name}`,
    ),
  ];
}

/** Undefined where there is none, or this account may not look. */
function stat(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

function octal(found: Stats): string {
  return (found.mode & 0o7777).toString(8).padStart(4, "0");
}
