import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Cleanup } from "./cleanup.ts";
import { runOk } from "./run.ts";
import { tempDir } from "./temp-dir.ts";

/** A certificate and its key, as PEM files. */
export interface CertificateFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** Of keys, as openssl makes them. */
export type KeyAlgorithm = "p256" | "ed25519" | "ed448" | "rsa";

export interface AuthorityOptions {
  /** Of its own key, and of those it issues certificates for; `p256` where left out. */
  readonly algorithm?: KeyAlgorithm;
  /** How long it lives; 30 where left out. */
  readonly days?: number;
}

export interface CertificateOptions {
  /** subjectAltName as openssl writes it; `DNS:localhost,IP:127.0.0.1` where left out. */
  readonly altName?: string;
  /** It was valid until so many days ago; negative: it is for so many days from now. 30 days from now where left out. */
  readonly expiredDays?: number;
  /** It is valid from so many days from now; since 2020 where left out. */
  readonly validInDays?: number;
  /** One of the site's names; a name of its own where left out. */
  readonly commonName?: string;
  /** extendedKeyUsage; none, which is good for both, where left out. */
  readonly usage?: "server" | "client";
  /** Of its key; the authority's where left out. */
  readonly algorithm?: KeyAlgorithm;
}

/** A certification authority of openssl's in a folder of its own. */
export interface CertificateAuthority {
  readonly caFile: string;
  /** Its list of revoked certificates; {@link CertificateAuthority.revoke} writes it anew. Empty at first. */
  readonly crlFile: string;
  issue(options?: CertificateOptions): Promise<CertificateFiles>;
  revoke(certificate: CertificateFiles): Promise<void>;
  /** The list anew, which was to be replaced so many days ago. */
  outdateList(days: number): Promise<void>;
}

const DAY_MS = 86_400_000;
const KEYS: Readonly<Record<KeyAlgorithm, readonly string[]>> = {
  p256: ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"],
  ed25519: ["-newkey", "ed25519", "-nodes"],
  ed448: ["-newkey", "ed448", "-nodes"],
  rsa: ["-newkey", "rsa:2048", "-nodes"],
};

export async function makeAuthority(
  cleanup: Cleanup,
  { algorithm = "p256", days = 30 }: AuthorityOptions = {},
): Promise<CertificateAuthority> {
  const folder = await tempDir(cleanup);
  const file = (name: string) => join(folder, name);
  const ca = { caFile: file("ca.pem"), keyFile: file("ca.key"), crlFile: file("crl.pem") };
  await runOk("openssl", [
    ...["req", "-x509", ...KEYS[algorithm], "-keyout", ca.keyFile, "-out", ca.caFile, "-days", `${days}`],
    ...["-subj", "/CN=certificates of a test"],
  ]);
  const config = file("ca.conf");
  await writeFile(config, authorityConfig(folder, ca.keyFile, algorithm));
  await writeFile(file("index"), "");
  await writeFile(file("crlnumber"), "01\n");
  const writeCrl = (...dates: string[]) =>
    runOk("openssl", ["ca", "-config", config, "-gencrl", "-out", ca.crlFile, ...dates]);
  await writeCrl();

  let issued = 0;
  let last: Promise<unknown> = Promise.resolve(); // openssl ca reads and writes its files without a lock
  const alone = <T>(action: () => Promise<T>): Promise<T> => {
    const next = last.then(action);
    last = next.catch(() => undefined);
    return next;
  };
  return {
    caFile: ca.caFile,
    crlFile: ca.crlFile,
    issue: (options = {}) =>
      alone(async () => {
        issued += 1;
        const name = `certificate-${issued}`;
        const { altName = "DNS:localhost,IP:127.0.0.1", commonName = name, usage } = options;
        const files = { certificateFile: file(`${name}.pem`), keyFile: file(`${name}.key`) };
        await runOk("openssl", [
          ...["req", "-new", ...KEYS[options.algorithm ?? algorithm], "-keyout", files.keyFile],
          ...["-out", file(`${name}.csr`), "-subj", `/CN=${commonName}`],
          ...["-addext", `subjectAltName=${altName}`],
          ...(usage === undefined ? [] : ["-addext", `extendedKeyUsage=${usage}Auth`]),
        ]);
        const start =
          options.validInDays === undefined ? new Date("2020-01-01") : inDays(options.validInDays);
        await runOk("openssl", [
          ...["ca", "-batch", "-notext", "-config", config],
          ...["-in", file(`${name}.csr`), "-out", files.certificateFile],
          ...[
            "-startdate",
            opensslTime(start),
            "-enddate",
            opensslTime(inDays(-(options.expiredDays ?? -30))),
          ],
        ]);
        return files;
      }),
    revoke: (certificate) =>
      alone(async () => {
        await runOk("openssl", ["ca", "-config", config, "-revoke", certificate.certificateFile]);
        await writeCrl();
      }),
    outdateList: async (days) => {
      const [start, end] = [inDays(-days - 30), inDays(-days)].map(opensslTime);
      await alone(() => writeCrl("-crl_lastupdate", start ?? "", "-crl_nextupdate", end ?? ""));
    },
  };
}

/** `openssl x509` of OpenSSL 3.0 makes no certificate that is over already; `openssl ca` does. */
function authorityConfig(folder: string, keyFile: string, algorithm: KeyAlgorithm): string {
  return `[ca]
default_ca = test
[test]
database = ${join(folder, "index")}
crlnumber = ${join(folder, "crlnumber")}
default_crl_days = 30
new_certs_dir = ${folder}
certificate = ${join(folder, "ca.pem")}
private_key = ${keyFile}
rand_serial = yes
default_md = ${algorithm === "p256" || algorithm === "rsa" ? "sha256" : "default"}
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
`;
}

function inDays(days: number): Date {
  return new Date(Date.now() + days * DAY_MS);
}

/** YYYYMMDDHHMMSSZ */
function opensslTime(time: Date): string {
  return `${time.toISOString().replace(/[-:T]/g, "").slice(0, 14)}Z`;
}
