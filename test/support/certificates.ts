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

export interface CertificateOptions {
  /** subjectAltName as openssl writes it; `DNS:localhost,IP:127.0.0.1` where left out. */
  readonly altName?: string;
  /** It was valid until so many days ago. */
  readonly expiredDays?: number;
}

/** A certification authority of openssl's in a folder of its own. */
export interface CertificateAuthority {
  readonly caFile: string;
  issue(options?: CertificateOptions): Promise<CertificateFiles>;
}

const DAY_MS = 86_400_000;

export async function makeAuthority(cleanup: Cleanup): Promise<CertificateAuthority> {
  const folder = await tempDir(cleanup);
  const file = (name: string) => join(folder, name);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  const ca = { caFile: file("ca.pem"), keyFile: file("ca.key") };
  await runOk("openssl", [
    ...["req", "-x509", ...key, "-keyout", ca.keyFile, "-out", ca.caFile, "-days", "30"],
    ...["-subj", "/CN=certificates of a test"],
  ]);
  let issued = 0;
  return {
    caFile: ca.caFile,
    issue: async ({ altName = "DNS:localhost,IP:127.0.0.1", expiredDays } = {}) => {
      issued += 1;
      const name = `certificate-${issued}`;
      const files = { certificateFile: file(`${name}.pem`), keyFile: file(`${name}.key`) };
      await runOk("openssl", [
        ...["req", "-new", ...key, "-keyout", files.keyFile, "-out", file(`${name}.csr`)],
        ...["-subj", `/CN=${name}`, "-addext", `subjectAltName=${altName}`],
      ]);
      const end = new Date(Date.now() - (expiredDays ?? -30) * DAY_MS);
      await writeFile(file(`${name}.conf`), authorityConfig(folder, ca.keyFile));
      await writeFile(file("index"), "");
      await runOk("openssl", [
        ...["ca", "-batch", "-notext", "-config", file(`${name}.conf`)],
        ...["-in", file(`${name}.csr`), "-out", files.certificateFile],
        ...["-startdate", "20200101000000Z", "-enddate", opensslTime(end)],
      ]);
      return files;
    },
  };
}

/** `openssl x509` of OpenSSL 3.0 makes no certificate that is over already; `openssl ca` does. */
function authorityConfig(folder: string, keyFile: string): string {
  return `[ca]
default_ca = test
[test]
database = ${join(folder, "index")}
new_certs_dir = ${folder}
certificate = ${join(folder, "ca.pem")}
private_key = ${keyFile}
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
`;
}

/** YYYYMMDDHHMMSSZ */
function opensslTime(time: Date): string {
  return `${time.toISOString().replace(/[-:T]/g, "").slice(0, 14)}Z`;
}
