import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { Fault, quoted } from "../outcome.ts";
import { type MutualTlsFiles, mutualTlsOptions, readCertificates } from "../transport/mutual-tls.ts";
import { type Area, type Finding, ok, problem, warning } from "./finding.ts";

const DAY_MS = 86_400_000;
/** A certificate that ends sooner is worth a warning. */
const EXPIRY_WARNING_DAYS = 30;
/** RFC 8032; the connection takes no others. */
const KEY_TYPES = new Set(["ed25519", "ed448"]);

/** What connects with the files, as the configuration calls it. */
export interface NamedFiles extends MutualTlsFiles {
  readonly name: string;
}

/**
 * The certificates of one side of a connection: that they belong together, are of a kind that is accepted, and live. Files that
 * this account cannot read are passed by.
 */
export function checkCertificates(area: Area, files: NamedFiles, now: Date): readonly Finding[] {
  const { name, caFile, certificateFile, keyFile } = files;
  const wrong = (text: string) => problem(area, "bad-configuration", `${name}: ${text}`);
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
  if (findings.length === 0) findings.push(...contextProblem(files).map(wrong));
  const expiry = expiryOf(own, certificateFile, now);
  for (const { level, text } of [...authorities.map((each) => expiryOf(each, caFile, now)), expiry]) {
    if (level === "error") findings.push(wrong(text));
    if (level === "warning") findings.push(warning(area, `${name}: ${text}`));
  }
  return findings.length > 0 ? findings : [ok(area, `${name}: ${expiry.text}`)];
}

/** What else OpenSSL does not like about the files, the list of revoked certificates for instance. */
function contextProblem(files: MutualTlsFiles): readonly string[] {
  try {
    createSecureContext(mutualTlsOptions(files, "bad-configuration"));
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
