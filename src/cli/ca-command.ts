import { type Command, Help, InvalidArgumentError, Option } from "commander";
import { Authority, type KeyAlgorithm } from "../ca/authority.ts";
import {
  type CertifiedHost,
  commonNameOf,
  parseAuthorityName,
  parseCertifiedClient,
  parseCertifiedHost,
} from "../ca/certificate-name.ts";
import type { IssuedCertificate } from "../ca/issued-certificate.ts";
import { Openssl } from "../ca/openssl.ts";
import type { RevokedCertificate } from "../ca/openssl-config.ts";
import { quoted, type Refusal, refusal } from "../outcome.ts";
import { type TextColumn, textTable } from "./text-table.ts";

/** Prints one line for a person. */
type Print = (line: string) => void;

/** Where commands put how they ended. */
interface CaTools {
  readonly print: Print;
  /** `undefined`: done. */
  readonly finish: (refused: Refusal | undefined) => void;
}

const DAY_MS = 86_400_000;
/** Ten years. */
const CA_DAYS = 3650;
/** A year, and a month to be late in. */
const CERTIFICATE_DAYS = 397;
const MAX_DAYS = 36_500;
/** As many digits of a serial number as a certificate's folder has. */
const SHORT_SERIAL = 8;
/** With fewer days left a certificate is to be renewed. */
const SOON_DAYS = 30;

/** Two accounts of split mode show a certificate, and each reads files of its own. */
const SECOND_TIME =
  "Where a log host is sent to over https, a second time, with -o signer-sender -t /etc/signer/log.";

const HELP = `
A new site:
  signer ca init /media/stick/ca
  signer ca issue /media/stick/ca server repo.example.org
  signer ca issue /media/stick/ca client enclave
Each prints the command that installs what it made. A renewal is the same
command again. Keep the folder offline, or on the signing host; never on the
server that its certificates are for. docs/PULL.md, "Certificates".`;

/** `signer ca`: the small certification authority of a site, for mutual TLS between signing host, repository server and log host. */
export function addCaCommand(program: Command, tools: CaTools): void {
  const { finish, print } = tools;
  const ca = program
    .command("ca")
    .description(
      "make the certificates with which signing host, repository server and log host know each other",
    )
    .addHelpText("after", HELP);
  // Without "[options]", so that there is room for the descriptions in 80 columns.
  ca.configureHelp({
    ...ca.configureHelp(),
    subcommandTerm: (command) => new Help().subcommandTerm(command).replace(" [options]", ""),
  });

  ca.command("init")
    .description("make a certification authority in a new folder")
    .argument("<directory>", "a folder that is not there yet, or empty")
    .option("--name <text>", "what it calls itself (default: signer CA and today's date)")
    .addOption(
      new Option("--algorithm <name>", "of its key, and of those that it makes")
        .choices(["ed448", "ed25519"])
        .default("ed448"),
    )
    .option("--days <n>", "days that it lasts", parseDays, CA_DAYS)
    .action((directory: string, options: InitOptions) => finish(init(directory, options, print)));

  ca.command("issue")
    .description("make a key and its certificate; of a name that has one, another")
    .argument("<directory>", "the CA's folder")
    .argument("<use>", "server or client")
    .argument("<name...>", "of a server, its host names and addresses; of a client, its name")
    .option("--days <n>", "days that it lasts", parseDays, CERTIFICATE_DAYS)
    .action((directory: string, use: string, names: string[], { days }: { days: number }) =>
      finish(issue(directory, { use, names, days }, print)),
    );

  ca.command("list")
    .description("show its certificates, and until when they are good")
    .argument("<directory>", "the CA's folder")
    .option("--json", "one JSON object")
    .action((directory: string, { json = false }: { json?: boolean }) =>
      finish(list(directory, json, print)),
    );

  ca.command("revoke")
    .description("take a certificate back, and make a new list of those taken back (CRL)")
    .argument("<directory>", "the CA's folder")
    .argument("<name>", "of the certificate, or the beginning of its serial number")
    .action((directory: string, name: string) => finish(revoke(directory, name, print)));

  ca.command("crl")
    .description("make a new list of the certificates taken back: the old one ends some time")
    .argument("<directory>", "the CA's folder")
    .option(
      "--days <n>",
      "days that it is good (default: as long as any certificate, 397 at least)",
      parseDays,
    )
    .action((directory: string, { days }: { days?: number }) => finish(crl(directory, days, print)));
}

interface InitOptions {
  readonly name?: string;
  readonly algorithm: KeyAlgorithm;
  readonly days: number;
}

function init(directory: string, options: InitOptions, print: Print): Refusal | undefined {
  const now = new Date();
  const name = parseAuthorityName(options.name ?? `signer CA ${day(now)}`);
  if (name === undefined)
    return refusal(
      "bad-request",
      `--name: expected up to 64 letters, digits, spaces and . : , ( ) _ -, not ${quoted(options.name ?? "")}`,
    );
  const authority = Authority.create(directory, { ...options, name }, Openssl.find(), now);
  const place = shellWord(authority.directory);
  print(`made  ${authority.directory}, the CA ${quoted(name)}, until ${day(authority.until)}`);
  print("");
  print("next:");
  print(`  signer ca issue ${place} server HOST...      the host of the url, such as repo.example.org`);
  print(`  signer ca issue ${place} client NAME         of the signing host, such as enclave`);
  return undefined;
}

function issue(
  directory: string,
  wanted: { readonly use: string; readonly names: readonly string[]; readonly days: number },
  print: Print,
): Refusal | undefined {
  const { use, names, days } = wanted;
  const now = new Date();
  let issued: IssuedCertificate;
  if (use === "server") {
    const hosts = parseHosts(names);
    if ("kind" in hosts) return hosts;
    const name = commonNameOf(hosts);
    if (name === undefined)
      return refusal("bad-request", "expected one name of at most 64 characters among them");
    issued = openAuthority(directory).issue({ use, name, hosts, days }, now);
  } else if (use === "client") {
    const [given = "", another] = names;
    const name = parseCertifiedClient(given);
    if (another !== undefined) return refusal("bad-request", "expected one name: a client has no others");
    if (name === undefined)
      return refusal(
        "bad-request",
        `expected a name of up to 64 letters, digits and . _ -, and not ca, crl or server, not ${quoted(given)}`,
      );
    issued = openAuthority(directory).issue({ use, name, hosts: [], days }, now);
  } else return refusal("bad-request", `expected server or client, not ${quoted(use)}`);
  describeIssued(openAuthority(directory), issued, print);
  return undefined;
}

function parseHosts(names: readonly string[]): readonly CertifiedHost[] | Refusal {
  const hosts: CertifiedHost[] = [];
  for (const given of names) {
    const host = parseCertifiedHost(given);
    if (host === undefined)
      return refusal(
        "bad-request",
        `expected a host name such as repo.example.org, or an address, not ${quoted(given)}`,
      );
    hosts.push(host);
  }
  return hosts;
}

function describeIssued(authority: Authority, issued: IssuedCertificate, print: Print): void {
  const { name, use, serial, until } = issued;
  const files = [authority.caFile, authority.crlFile, issued.certificateFile, issued.keyFile].map(shellWord);
  const others = authority
    .certificates()
    .filter((other) => other.name === name && other.use === use && other.serial !== serial)
    .filter((other) => !isRevoked(other, authority.revocations()) && other.until > new Date());
  print(`made  ${use} ${name}, until ${day(until)}, serial ${serial}`);
  print("");
  if (use === "server") {
    print("On the server, as root:");
    print(`  install -D -m 0600 -t /etc/signer/nginx ${files.join(" ")}`);
    print("  nginx -t && systemctl reload nginx");
  } else {
    print("On the signing host, as root; -o is the account that connects, in standalone mode signer:");
    print(`  install -D -m 0600 -o signer-pull -t /etc/signer/pull ${files.join(" ")}`);
    print(SECOND_TIME);
    print("The next connection uses it; nothing is to be restarted. For nginx, where this name is new:");
    print(`  "CN=${name}" yes;`);
  }
  print("Where this folder is on another machine, copy these four files there first.");
  for (const other of others)
    print(
      `Another one, ${short(other.serial)}, is good until ${day(other.until)}; if its key may be elsewhere: signer ca revoke ${shellWord(authority.directory)} ${short(other.serial)}`,
    );
}

const COLUMNS: readonly TextColumn[] = [
  { title: "NAME" },
  { title: "USE" },
  { title: "SERIAL" },
  { title: "FROM" },
  { title: "UNTIL" },
  { title: "DAYS LEFT", right: true },
  { title: "REVOKED" },
];

function list(directory: string, json: boolean, print: Print): Refusal | undefined {
  const now = new Date();
  const authority = openAuthority(directory);
  const certificates = authority.certificates();
  const revocations = authority.revocations();
  const listed = new Set(
    revocations.filter(({ serial }) => authority.isListed(serial)).map(({ serial }) => serial),
  );
  const list = authority.crl();
  if (json) {
    print(
      JSON.stringify({
        name: authority.name,
        until: rfc3339(authority.until),
        days_left: daysLeft(authority.until, now),
        crl: {
          number: list.number,
          until: rfc3339(list.until),
          days_left: daysLeft(list.until, now),
          complete: listed.size === revocations.length,
        },
        certificates: certificates.map((certificate) => asJson(certificate, revocations, now)),
      }),
    );
    return undefined;
  }
  const rows = certificates.map((certificate) => {
    const { name, use, serial, from, until } = certificate;
    const revoked = revocations.find((revocation) => revocation.serial === serial);
    const days = `${daysLeft(until, now)}`;
    return [name, use, short(serial), day(from), day(until), days, revoked ? day(revoked.revokedAt) : ""];
  });
  const table = textTable(COLUMNS, rows);
  if (rows.length > 0) for (const line of [table.header, ...table.lines]) print(line);
  if (rows.length > 0) print("");
  print(
    `CA       ${quoted(authority.name)}, until ${day(authority.until)}, ${daysLeft(authority.until, now)} days left`,
  );
  print(
    `crl.pem  ${revocations.length} revoked, until ${day(list.until)}, ${daysLeft(list.until, now)} days left`,
  );
  if (listed.size < revocations.length)
    print(`crl.pem does not have all of them: signer ca crl ${shellWord(authority.directory)}`);
  for (const { name, use, serial, hosts, until } of certificates.filter(
    (one) =>
      !isRevoked(one, revocations) && daysLeft(one.until, now) < SOON_DAYS && isNewest(one, certificates),
  ))
    print(
      `${name} (${short(serial)}) ends ${day(until)}: signer ca issue ${shellWord(authority.directory)} ${use} ${(hosts.length > 0 ? hosts : [name]).join(" ")}`,
    );
  return undefined;
}

function revoke(directory: string, wanted: string, print: Print): Refusal | undefined {
  const now = new Date();
  const authority = openAuthority(directory);
  const certificates = authority.certificates();
  const isSerial = new RegExp(`^[0-9a-f]{${SHORT_SERIAL},40}$`).test(wanted.toLowerCase());
  const found = certificates.filter(
    ({ name, serial }) => name === wanted || (isSerial && serial.startsWith(wanted.toLowerCase())),
  );
  const revocations = authority.revocations();
  const open = found.filter((certificate) => !isRevoked(certificate, revocations));
  const [one] = open.length > 0 ? open : found;
  if (one === undefined)
    return refusal(
      "bad-request",
      `expected the name or serial number of a certificate, not ${quoted(wanted)}: signer ca list`,
    );
  if (open.length > 1) {
    const which = open.map(({ serial, until }) => `${short(serial)} (until ${day(until)})`).join(", ");
    return refusal(
      "bad-request",
      `${quoted(wanted)} has ${open.length} certificates: expected the serial number of one: ${which}`,
    );
  }
  const { until } = authority.revoke(one, now);
  const when = open.length === 0 ? "was revoked before" : "is revoked";
  print(`${one.use} ${one.name}, serial ${one.serial}, ${when}`);
  describeCrl(authority, until, print);
  print(
    "A connection that stands goes on: the restart ends it; on the signing host, of signer-pull and signer-sender.",
  );
  return undefined;
}

function crl(directory: string, days: number | undefined, print: Print): Refusal | undefined {
  const authority = openAuthority(directory);
  describeCrl(authority, authority.renewCrl(new Date(), days).until, print);
  return undefined;
}

function describeCrl(authority: Authority, until: Date, print: Print): void {
  const file = shellWord(authority.crlFile);
  print(`made  ${authority.crlFile}, until ${day(until)}`);
  print("");
  print("On the server, as root:");
  print(`  install -D -m 0600 -t /etc/signer/nginx ${file}`);
  print("  nginx -t && systemctl restart nginx");
  print("On the signing host, as root; -o is the account that connects, in standalone mode signer:");
  print(`  install -D -m 0600 -o signer-pull -t /etc/signer/pull ${file}`);
  print(SECOND_TIME);
}

function asJson(
  { name, use, hosts, serial, from, until, certificateFile, keyFile }: IssuedCertificate,
  revocations: readonly RevokedCertificate[],
  now: Date,
): object {
  const revoked = revocations.find((revocation) => revocation.serial === serial);
  return {
    name,
    use,
    hosts,
    serial,
    from: rfc3339(from),
    until: rfc3339(until),
    days_left: daysLeft(until, now),
    revoked: revoked === undefined ? null : rfc3339(revoked.revokedAt),
    certificate: certificateFile,
    key: keyFile,
  };
}

function openAuthority(directory: string): Authority {
  return Authority.open(directory, Openssl.find());
}

function isRevoked({ serial }: IssuedCertificate, revocations: readonly RevokedCertificate[]): boolean {
  return revocations.some((revocation) => revocation.serial === serial);
}

/** Whether none of the same name and use lasts longer. */
function isNewest({ name, use, until }: IssuedCertificate, all: readonly IssuedCertificate[]): boolean {
  return !all.some((other) => other.name === name && other.use === use && other.until > until);
}

/** Whole days; negative when it is over. */
function daysLeft(until: Date, now: Date): number {
  return Math.floor((until.getTime() - now.getTime()) / DAY_MS);
}

function day(time: Date): string {
  return time.toISOString().slice(0, 10);
}

function rfc3339(time: Date): string {
  return `${time.toISOString().slice(0, 19)}Z`;
}

function short(serial: string): string {
  return serial.slice(0, SHORT_SERIAL);
}

function parseDays(text: string): number {
  const days = /^[1-9][0-9]{0,4}$/.test(text) ? Number(text) : Number.NaN;
  if (!(days <= MAX_DAYS)) throw new InvalidArgumentError(`expected a number of days, 1 to ${MAX_DAYS}.`);
  return days;
}

/** As a word of a shell's command line. */
function shellWord(text: string): string {
  return /^[A-Za-z0-9_./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
