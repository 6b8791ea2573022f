import type { CertifiedHost } from "./certificate-name.ts";

/** What a certificate is for. */
export type CertificateUse = "server" | "client";

/** Files of a run, beside its configuration. */
export const INDEX_FILE = "index";
export const SERIAL_FILE = "serial";
export const CRL_NUMBER_FILE = "crl-number";
/** Sections of the configuration. */
export const CERTIFICATE_EXTENSIONS = "certificate";
export const CRL_EXTENSIONS = "crl";

const AUTHORITY = `basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash`;

/** For the certificate of the CA itself, and for lists. RFC 5280 §4.2. */
export const AUTHORITY_CONFIG = config(AUTHORITY);

/** For one certificate, which is good for one use alone. */
export function certificateConfig(use: CertificateUse, hosts: readonly CertifiedHost[]): string {
  const names = hosts.map(({ kind, name }) => `${kind === "dns" ? "DNS" : "IP"}:${name}`).join(", ");
  return config(`basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = ${use === "server" ? "serverAuth" : "clientAuth"}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always
${names === "" ? "" : `subjectAltName = ${names}\n`}`);
}

/**
 * openssl(1) reads this and no other. Paths are relative to the folder of the run, since what a path may hold means something here.
 * @param extensions MUST hold names only as {@link CertifiedHost} has them
 */
function config(extensions: string): string {
  return `[req]
distinguished_name = subject
string_mask = utf8only
[subject]
[ca]
default_ca = authority
[authority]
database = ${INDEX_FILE}
serial = ${SERIAL_FILE}
crlnumber = ${CRL_NUMBER_FILE}
new_certs_dir = .
default_md = default
policy = subject_is_a_name
copy_extensions = none
unique_subject = no
[subject_is_a_name]
commonName = supplied
[${CERTIFICATE_EXTENSIONS}]
${extensions}
[${CRL_EXTENSIONS}]
authorityKeyIdentifier = keyid:always
`;
}

/** A revoked certificate, for openssl's own table of them (its `ca` command). */
export interface RevokedCertificate {
  /** Hex, upper case. */
  readonly serial: string;
  readonly until: Date;
  readonly revokedAt: Date;
}

/**
 * The table: state, end, revocation, serial, file and subject, tabs between. What a list needs is the third, which has to be a UTCTime
 * (years 2000 to 2049), and the fourth.
 */
export function indexOf(revoked: readonly RevokedCertificate[]): string {
  const rows = revoked.map(({ serial, until, revokedAt }) =>
    ["R", utcTime(until), utcTime(revokedAt), serial, "unknown", "/CN=revoked"].join("\t"),
  );
  return rows.map((row) => `${row}\n`).join("");
}

/** `YYYYMMDDHHMMSSZ` */
export function opensslTime(time: Date): string {
  return `${time.toISOString().replace(/[-:T]/g, "").slice(0, 14)}Z`;
}

/** `YYMMDDHHMMSSZ` */
function utcTime(time: Date): string {
  return opensslTime(time).slice(2);
}
