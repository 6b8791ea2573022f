import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync, type Stats, statSync } from "node:fs";
import { createSecureContext } from "node:tls";
import type { Config, PullSource } from "../config/config.ts";
import { Fault, quoted } from "../outcome.ts";
import { clientSocket } from "../service/client-socket.ts";
import { mutualTlsOptions, readCertificates } from "../transport/mutual-tls.ts";
import { type Account, findAccount, findGroup, mayAccess } from "./account.ts";
import { type Finding, note, ok, problem, warning } from "./finding.ts";

const AREA = "sources";
const GROUP_AND_OTHERS = 0o077;
const DAY_MS = 86_400_000;
/** A certificate that ends sooner is worth a warning. */
const EXPIRY_WARNING_DAYS = 30;
/** RFC 8032; the connection takes no others. */
const KEY_TYPES = new Set(["ed25519", "ed448"]);

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
      ...checkCertificates(source, now),
    ]),
  ];
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

function checkCertificates(source: PullSource, now: Date): readonly Finding[] {
  const { name, caFile, certificateFile, keyFile } = source;
  const wrong = (text: string) => problem(AREA, "bad-configuration", `${name}: ${text}`);
  if (![caFile, certificateFile, keyFile].every(isReadable)) return []; // has been said, or cannot be known by this account
  let authorities: readonly X509Certificate[];
  let chain: readonly X509Certificate[];
  try {
    const read = (file: string) =>
      readCertificates(file, "bad-configuration").map((pem) => new X509Certificate(pem));
    [authorities, chain] = [read(caFile), read(certificateFile)];
  } catch (error) {
    if (error instanceof Fault) return [wrong(error.message)];
    throw error;
  }
  const [own, ...between] = chain;
  if (own === undefined) return [];
  const findings: Finding[] = [];
  const type = own.publicKey.asymmetricKeyType ?? "unknown";
  if (!KEY_TYPES.has(type))
    findings.push(wrong(`${certificateFile} has a key of the type ${type}: expected Ed25519 or Ed448`));
  if (!isKeyOf(own, keyFile))
    findings.push(wrong(`${keyFile} is not the key of ${certificateFile}, or has a passphrase`));
  if (!chain.every((each) => [...between, ...authorities].some((issuer) => isIssuer(issuer, each))))
    findings.push(wrong(`${certificateFile} is not from a CA in ${caFile}`));
  if (findings.length === 0) findings.push(...contextProblem(source).map(wrong));
  const expiry = expiryOf(own, certificateFile, now);
  for (const { level, text } of [...authorities.map((each) => expiryOf(each, caFile, now)), expiry]) {
    if (level === "error") findings.push(wrong(text));
    if (level === "warning") findings.push(warning(AREA, `${name}: ${text}`));
  }
  return findings.length > 0 ? findings : [ok(AREA, `${name}: ${expiry.text}`)];
}

/** What else OpenSSL does not like about the files, the list of revoked certificates for instance. */
function contextProblem(source: PullSource): readonly string[] {
  try {
    createSecureContext(mutualTlsOptions(source, "bad-configuration"));
    return [];
  } catch (error) {
    return [
      error instanceof Fault
        ? error.message
        : `the files do not make a TLS context: ${quoted(String(error), 200)}`,
    ];
  }
}

function isIssuer(issuer: X509Certificate, certificate: X509Certificate): boolean {
  return issuer !== certificate && certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function isKeyOf(certificate: X509Certificate, keyFile: string): boolean {
  try {
    return certificate.checkPrivateKey(createPrivateKey(readFileSync(keyFile)));
  } catch {
    return false;
  }
}

interface Expiry {
  readonly level: "ok" | "warning" | "error";
  readonly text: string;
}

function expiryOf(
  { validFromDate: from, validToDate: to }: X509Certificate,
  file: string,
  now: Date,
): Expiry {
  const day = (date: Date) => date.toISOString().slice(0, 10);
  if (now < from) return { level: "error", text: `${file} is valid from ${day(from)} on` };
  if (now >= to) return { level: "error", text: `${file} was valid until ${day(to)}` };
  const days = Math.floor((to.getTime() - now.getTime()) / DAY_MS);
  return {
    level: days < EXPIRY_WARNING_DAYS ? "warning" : "ok",
    text: `${file} is valid until ${day(to)}, ${days} ${days === 1 ? "day" : "days"} from now`,
  };
}

function isReadable(file: string): boolean {
  try {
    readFileSync(file);
    return true;
  } catch {
    return false;
  }
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
