import { X509Certificate } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../outcome.ts";
import type { CertificateUse } from "./openssl-config.ts";

/** A certificate that the CA has issued, with its key, in a folder `NAME-XXXXXXXX`: the beginning of its serial number. */
export interface IssuedCertificate {
  /** Its subject. */
  readonly name: string;
  readonly use: CertificateUse;
  /** Host names and addresses that it is for; of a client, none. */
  readonly hosts: readonly string[];
  /** Hex, lower case. */
  readonly serial: string;
  readonly from: Date;
  readonly until: Date;
  readonly certificateFile: string;
  readonly keyFile: string;
}

const FOLDER = /^[A-Za-z0-9][A-Za-z0-9._-]*-(?<start>[0-9a-f]{8})$/;
/** RFC 5280 §4.2.1.12. */
const USES: Readonly<Record<string, CertificateUse>> = {
  "1.3.6.1.5.5.7.3.1": "server",
  "1.3.6.1.5.5.7.3.2": "client",
};

/** The folder's name; an address of IPv6 without its colons, which scp(1) takes for the end of a host's name. */
export function folderNameOf(name: string, serial: string): string {
  return `${name.replaceAll(":", "_").replace(/^_/, "0_")}-${serial.slice(0, 8)}`;
}

/** Of all files that belong to a certificate, without their endings: one of a server is installed under the same name each time. */
export function fileStemOf(name: string, use: CertificateUse): string {
  return use === "server" ? "server" : name;
}

/**
 * All that lie in the CA's folder, in no order. What else lies there is none of its business.
 * @throws Fault `authority-failed` where one is not this CA's, or not whole
 */
export function readIssued(directory: string, authority: X509Certificate): readonly IssuedCertificate[] {
  return readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && FOLDER.test(entry.name))
    .map(({ name }) => readOne(join(directory, name), FOLDER.exec(name)?.groups?.["start"] ?? "", authority));
}

function readOne(folder: string, serialStart: string, authority: X509Certificate): IssuedCertificate {
  const foreign = (cause?: unknown) =>
    new Fault("authority-failed", `${folder} holds no certificate of this CA: move it elsewhere`, { cause });
  try {
    const names = readdirSync(folder).filter((name) => name.endsWith(".pem"));
    const [only = ""] = names;
    const certificate = new X509Certificate(readFileSync(join(folder, only)));
    const serial = certificate.serialNumber.toLowerCase();
    const use = USES[certificate.keyUsage?.[0] ?? ""];
    const name = /^CN=(.+)$/.exec(certificate.subject)?.[1];
    const isIts = certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
    if (names.length !== 1 || !isIts || use === undefined || name === undefined) throw foreign();
    if (!serial.startsWith(serialStart)) throw foreign();
    const stem = fileStemOf(name, use);
    return {
      name,
      use,
      hosts: hostsOf(certificate),
      serial,
      from: new Date(certificate.validFrom),
      until: new Date(certificate.validTo),
      certificateFile: join(folder, `${stem}.pem`),
      keyFile: join(folder, `${stem}.key`),
    };
  } catch (error) {
    throw error instanceof Fault ? error : foreign(error);
  }
}

/** `DNS:a.example, IP Address:192.0.2.1`, as Node has it. */
function hostsOf({ subjectAltName }: X509Certificate): readonly string[] {
  return (subjectAltName ?? "")
    .split(", ")
    .filter((entry) => entry !== "")
    .map((entry) => entry.replace(/^(?:DNS|IP Address):/, ""));
}
