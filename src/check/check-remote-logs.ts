import { type Stats, statSync } from "node:fs";
import type { Config, LogHostSource, RemoteLogSource, SyslogRemoteLog } from "../config/config.ts";
import type { Acknowledgement } from "../log/acknowledgements.ts";
import { Ledger } from "../log/ledger.ts";
import { Fault } from "../outcome.ts";
import { type Account, mayAccess } from "./account.ts";
import { checkCertificates } from "./check-certificates.ts";
import { type Finding, note, ok, problem, warning } from "./finding.ts";

const AREA = "remote log";
const GROUP_AND_OTHERS = 0o077;

/**
 * Whether each remote log answers, is who the configuration says, and what it does not have yet. Connects to all of them, as
 * the next request would, sends nothing, and changes nothing.
 * @param account who signs and connects itself, in standalone mode; undefined where it is not known, or does not
 */
export async function checkRemoteLogs(
  config: Config,
  account: Account | undefined,
): Promise<readonly Finding[]> {
  if (config.remoteLogs.length === 0)
    return [
      note(AREA, "there is none: whoever gets at this host can replace the log without a trace elsewhere"),
    ];
  let ledger: Ledger;
  try {
    ledger = Ledger.open(config.stateDirectory, { origin: config.origin });
  } catch (error) {
    if (error instanceof Fault) return []; // the log's own check says it
    throw error;
  }
  try {
    const findings = await Promise.all(
      config.remoteLogs.map((source) => checkRemoteLog(source, config, account, ledger)),
    );
    return findings.flat();
  } finally {
    ledger.close();
  }
}

async function checkRemoteLog(
  source: RemoteLogSource,
  config: Config,
  account: Account | undefined,
  ledger: Ledger,
): Promise<readonly Finding[]> {
  const owner = connectingAccount(config);
  const keyFindings = source.keyFile === undefined ? [] : checkKeyFile(source.keyFile, owner, account);
  switch (source.kind) {
    case "https":
      return [
        ...keyFindings,
        ...checkCertificates(AREA, source, new Date()),
        await checkLogHost(source, ledger),
      ];
    case "ssh":
      return [...keyFindings, await checkLogHost(source, ledger)];
    case "syslog":
      return [...keyFindings, await checkSyslog(source, ledger)];
  }
}

/** Who connects: the account that signs; in split mode the sender's, which its socket tells, where it is there. */
function connectingAccount({ mode, stateDirectory, sender }: Config): number | undefined {
  const path = mode === "split" ? sender.socketPath : stateDirectory;
  return statSync(path, { throwIfNoEntry: false })?.uid;
}

/** Its key logs into the log host: in other hands it can fill the copy, though not change what is there. */
function checkKeyFile(
  file: string,
  owner: number | undefined,
  account: Account | undefined,
): readonly Finding[] {
  const found: Stats | undefined = statSync(file, { throwIfNoEntry: false });
  if (found === undefined) return [problem(AREA, "remote-log-unavailable", `${file} is missing`)];
  const findings: Finding[] = [];
  if ((found.mode & GROUP_AND_OTHERS) !== 0) {
    const mode = (found.mode & 0o7777).toString(8).padStart(4, "0");
    findings.push(
      problem(AREA, "remote-log-unavailable", `${file} is open to others (mode ${mode}): chmod go= it`),
    );
  }
  if (owner !== undefined && found.uid !== owner)
    findings.push(
      problem(
        AREA,
        "remote-log-unavailable",
        `${file} belongs to account ${found.uid}, who connects is ${owner}: chown it`,
      ),
    );
  else if (account !== undefined && mayAccess(account, "read", file) === false)
    findings.push(problem(AREA, "remote-log-unavailable", `${account.name} cannot read ${file}`));
  return findings;
}

async function checkLogHost(source: LogHostSource, ledger: Ledger): Promise<Finding> {
  const { LogHost } = await import("../log/remote/log-host.ts");
  const place =
    source.kind === "ssh" ? `${source.user}@${source.host}, port ${source.port}` : `${source.url}/log`;
  let newest: Acknowledgement | undefined;
  try {
    const host = await LogHost.connect(source, ledger.verifier);
    newest = host.newest;
    host.close();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    const { OtherSideSaid } = await import("../log/remote/remote-log-fault.ts");
    const said = error.cause instanceof OtherSideSaid ? `; ${error.cause.message}` : "";
    const text = `${error.message} (${place})${said}`;
    return source.required
      ? problem(AREA, error.code, text)
      : warning(AREA, `${text}; it is not required: what is signed meanwhile is sent later`);
  }
  return await describeCopy(source, newest, ledger);
}

async function describeCopy(
  { name, witness }: LogHostSource,
  newest: Acknowledgement | undefined,
  ledger: Ledger,
): Promise<Finding> {
  const { contradictionOf } = await import("../log/remote/contradiction-of.ts");
  const { acknowledgedBy } = await import("../log/remote/cosigned-remote-log.ts");
  const source = ledger.source();
  try {
    const reason = newest && contradictionOf(name, newest.checkpoint, source);
    if (reason !== undefined) return problem(AREA, "log-broken", reason);
    const holds = newest?.checkpoint.size ?? 0;
    const once = acknowledgedBy(witness, ledger);
    if (once !== undefined && once.checkpoint.size > holds)
      return warning(
        AREA,
        `${name} holds ${holds} entries and once acknowledged ${once.checkpoint.size}: ask there; signer-log push fills it again`,
      );
    const when = newest === undefined ? "" : `, cosigned ${newest.cosignedAt.toISOString()}`;
    const text = `${name} holds ${holds} of ${source.size} entries${when}`;
    return holds < source.size ? note(AREA, `${text}: signer-log push sends the rest`) : ok(AREA, text);
  } finally {
    source.close();
  }
}

async function checkSyslog(source: SyslogRemoteLog, ledger: Ledger): Promise<Finding> {
  const { checkCollector } = await import("../log/remote/syslog-connection.ts");
  const fault = await checkCollector(source);
  if (fault !== undefined) return warning(AREA, `${source.name}: ${fault.message}`);
  const sent = ledger.forwardedSize(source.name);
  const size = ledger.queries.newest().seq + 1;
  const text = `${source.name} was sent ${sent} of ${size} entries, and acknowledges none`;
  return sent < size ? note(AREA, `${text}: signer-log push sends the rest`) : ok(AREA, text);
}
