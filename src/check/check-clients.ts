import { lstatSync, readFileSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/config.ts";
import { LOG_FILE } from "../log/log-file.ts";
import { quoted } from "../outcome.ts";
import { clientSocket } from "../service/client-socket.ts";
import { type Account, findAccount, findGroup, type Group, mayAccess } from "./account.ts";
import { checkReach } from "./check-files.ts";
import { areFetched, pullAccount } from "./check-sources.ts";
import { checkSshd } from "./check-sshd.ts";
import { type Finding, note, ok, problem, warning } from "./finding.ts";

const AREA = "sockets";
const EVERYBODY = 0o007;
const GROUP_MAY_CONNECT = 0o060;
const WRITABLE_BY_OTHERS = 0o022;
const STICKY = 0o1000;

/** What the sockets of split mode and the accounts behind them are examined with. */
export interface ClientCheck {
  readonly config: Config;
  readonly configFile: string;
  readonly sshdConfig: string;
  /** The one account that SSH logs into, where it was named; undefined: those of the sockets' groups. */
  readonly user: string | undefined;
}

/** A client, the group that may connect to its socket, and the accounts in it. */
interface Relay {
  readonly client: string;
  readonly group: Group | undefined;
  readonly accounts: readonly Account[];
}

/**
 * Split mode keeps its promise where each client has a socket of its own, that a group of its own may use, and the accounts in
 * that group get at nothing else of the service's.
 */
export function checkClients(check: ClientCheck): readonly Finding[] {
  const { config, user } = check;
  const clients = [...new Set(config.rules.map(({ client }) => client))];
  const owner = statSync(config.stateDirectory, { throwIfNoEntry: false })?.uid;
  const pulls = pullAccount(config)?.uid;
  const relays = clients.map((client) => relayOf(config, client, user));
  const named = new Map(relays.flatMap(({ accounts }) => accounts.map((each) => [each.name, each] as const)));
  return [
    ...checkSockets(config, relays, owner),
    ...checkShared(relays),
    ...(user !== undefined && named.size === 0
      ? [
          problem(
            "sshd",
            "bad-configuration",
            `there is no account ${quoted(user)}: expected one that SSH logs into`,
          ),
        ]
      : []),
    ...[...named.values()].flatMap((account) => [
      ...checkDistance(check, account, owner),
      // Into the account of signer pull, which may be in a client's group as well, nobody logs.
      ...(account.uid === pulls
        ? []
        : checkSshd(
            account,
            check.sshdConfig,
            new Set(clients),
            "split",
            areFetched(config, clientsOf(relays, account)),
          )),
    ]),
  ];
}

function clientsOf(relays: readonly Relay[], { uid }: Account): readonly string[] {
  return relays
    .filter(({ accounts }) => accounts.some((each) => each.uid === uid))
    .map(({ client }) => client);
}

function relayOf({ service }: Config, client: string, user: string | undefined): Relay {
  const socket = stat(clientSocket(service, client));
  const group = findGroup(service.groups.get(client) ?? String(socket?.gid ?? `signer-${client}`));
  const names = user === undefined ? (group === undefined ? [] : [group.name, ...group.members]) : [user];
  const accounts = [...new Set(names)].flatMap((name) => findAccount(name) ?? []);
  return { client, group, accounts: accounts.filter(({ uid }) => uid !== 0) };
}

function checkSockets(
  config: Config,
  relays: readonly Relay[],
  owner: number | undefined,
): readonly Finding[] {
  const { socketDirectory } = config.service;
  const isThere = relays.some(({ client }) => stat(clientSocket(config.service, client)) !== undefined);
  if (!isThere)
    return [
      note(
        AREA,
        `there are none in ${socketDirectory}: the service does not run (signer serve, or signer@CLIENT.socket)`,
      ),
    ];
  const folder = statSync(socketDirectory);
  return [
    ...((folder.mode & WRITABLE_BY_OTHERS) !== 0 && (folder.mode & STICKY) === 0
      ? [problem(AREA, "bad-configuration", `${socketDirectory} may be written by others: chmod go-w it`)]
      : []),
    ...relays.flatMap((relay) => checkSocket(config, relay, owner)),
  ];
}

function checkSocket(config: Config, { client, group, accounts }: Relay, owner: number | undefined) {
  const path = clientSocket(config.service, client);
  const found = stat(path);
  const wrong = (text: string) => problem(AREA, "bad-configuration", `${path} ${text}`);
  if (found === undefined)
    return [problem(AREA, "service-unavailable", `${client} has none: expected ${path}`)];
  if (!found.isSocket()) return [wrong("is no socket")];
  const findings: Finding[] = [];
  const wanted = config.service.groups.get(client);
  if (wanted !== undefined && (group?.gid ?? Number(wanted)) !== found.gid)
    findings.push(wrong(`belongs to group ${found.gid}: expected ${wanted}, as [service] says`));
  if ((found.mode & EVERYBODY) !== 0) findings.push(wrong("is open to everybody: chmod o= it"));
  if ((found.mode & GROUP_MAY_CONNECT) !== GROUP_MAY_CONNECT)
    findings.push(wrong("is closed to its group: give the client a group in [service], or chmod g+rw it"));
  if (found.uid !== owner && found.uid !== 0)
    findings.push(wrong(`belongs to account ${found.uid}, the state to ${owner}`));
  if (findings.length > 0) return findings;
  if (!isListening(path)) return [note(AREA, `nobody listens at ${path}: signer serve does not run here`)];
  const who = accounts.map(({ name }) => name).join(", ");
  return accounts.length === 0
    ? [warning(AREA, `no account is in ${group?.name ?? `group ${found.gid}`}, which may connect to ${path}`)]
    : [ok(AREA, `${client}: ${who} may connect to ${path}`)];
}

/** Whoever has an account may be any client that it may connect as. */
function checkShared(relays: readonly Relay[]): readonly Finding[] {
  return relays.flatMap((relay, index) =>
    relays.slice(0, index).flatMap((other) => {
      const common = relay.accounts.filter(({ uid }) => other.accounts.some((each) => each.uid === uid));
      const names = common.map(({ name }) => name).join(", ");
      const isOneGroup = relay.group !== undefined && relay.group.gid === other.group?.gid;
      if (!isOneGroup && common.length === 0) return [];
      const what = `${other.client} and ${relay.client} share ${names === "" ? `the group ${relay.group?.name}` : names}`;
      return [
        warning(
          AREA,
          `${what}: who captures it can be either; an account of its own for each keeps them apart`,
        ),
      ];
    }),
  );
}

/** The account gets at the program and its configuration, and at nothing that signs. */
function checkDistance(
  { config, configFile }: ClientCheck,
  account: Account,
  owner: number | undefined,
): readonly Finding[] {
  const { stateDirectory, keys, remoteLogs, journalFile } = config;
  if (account.uid === owner)
    return [
      problem(
        "files",
        "bad-configuration",
        `SSH logs into ${account.name}, which owns ${stateDirectory}: that is standalone mode; give the service another account`,
      ),
    ];
  const secrets = [
    ...[...keys.values()].map(({ file }) => file),
    join(stateDirectory, LOG_FILE),
    ...remoteLogs.flatMap(({ keyFile }) => keyFile ?? []),
    ...(journalFile === undefined ? [] : [journalFile]),
  ];
  const open = secrets.filter((path) => mayAccess(account, "read", path) === true);
  const findings = [
    ...open.map((path) =>
      problem(
        "files",
        "bad-configuration",
        `${account.name} can read ${path}, and SSH logs into it: chmod go= it`,
      ),
    ),
    ...(mayAccess(account, "execute", stateDirectory) === true
      ? [problem("files", "no-state", `${account.name} can enter ${stateDirectory}: chmod go= it`)]
      : []),
    ...checkReach(configFile, account),
  ];
  return findings.length > 0 ? findings : [ok("files", `${account.name} can read neither keys nor log`)];
}

/**
 * Whether somebody listens at a socket, by the kernel's list (proc(5), net/unix): a connection would make systemd start the
 * service.
 */
function isListening(path: string): boolean {
  const ACCEPTS = "00010000"; // __SO_ACCEPTCON
  return readFileSync("/proc/net/unix", "latin1")
    .split("\n")
    .some((line) => line.split(" ")[3] === ACCEPTS && line.endsWith(` ${path}`));
}

function stat(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}
