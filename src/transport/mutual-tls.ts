import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { SecureContextOptions, TLSSocket } from "node:tls";
import { Fault, type FaultCode } from "../outcome.ts";

/** The files of one side of a mutual TLS connection, absolute paths of PEM. */
export interface MutualTlsFiles {
  /** The site's own CA, which alone is trusted. */
  readonly caFile: string;
  /** Certificates that it has revoked; undefined: none. */
  readonly crlFile: string | undefined;
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** AEAD with 256-bit keys (RFC 8446 §B.4). */
const CIPHERS = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384";
/** RFC 7748. */
const GROUPS = "X448:X25519";
/** RFC 8032. */
const SIGNATURE_ALGORITHMS = "ed448:ed25519";
const KEY_TYPES = new Set(["ed25519", "ed448"]);

/**
 * What `tls.connect` needs: TLS 1.3 alone, these ciphers, groups and signatures, and the other side's certificate from the
 * site's CA. The files are read now, so that a renewed certificate is used by the next connection.
 * @throws Fault of `code` where a file is not what it should be
 */
export function mutualTlsOptions(
  { caFile, crlFile, certificateFile, keyFile }: MutualTlsFiles,
  code: FaultCode,
): SecureContextOptions & { readonly rejectUnauthorized: true } {
  const certificates = readCertificates(certificateFile, code);
  return {
    ca: readCertificates(caFile, code),
    ...(crlFile === undefined ? {} : { crl: readRevocations(crlFile, code) }),
    cert: certificates.join("\n"),
    key: readKey(keyFile, { certificates, certificateFile }, code),
    minVersion: "TLSv1.3",
    maxVersion: "TLSv1.3",
    ciphers: CIPHERS,
    ecdhCurve: GROUPS,
    sigalgs: SIGNATURE_ALGORITHMS,
    rejectUnauthorized: true, // the default can be turned off from the environment
  };
}

/** Why the other side of an established connection is not acceptable, beside what TLS has looked at; undefined where it is. */
export function peerObjection(socket: TLSSocket): string | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (!socket.authorized || certificate === undefined) return "it shows no certificate of the site's CA";
  const type = certificate.publicKey.asymmetricKeyType ?? "unknown";
  return KEY_TYPES.has(type)
    ? undefined
    : `its certificate has a key of the type ${type}, not Ed25519 or Ed448`;
}

/** All certificates of a file, at least one: without any, Node would trust the CAs of the web. */
export function readCertificates(file: string, code: FaultCode): string[] {
  const blocks = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
  const found = read(file, code).match(blocks) ?? [];
  try {
    for (const block of found) new X509Certificate(block);
  } catch (cause) {
    throw new Fault(code, `${file} holds something that is no certificate`, { cause });
  }
  if (found.length === 0) throw new Fault(code, `${file} holds no certificate`);
  return found;
}

/**
 * The key of the first of `certificates`. Without one Node would show no certificate, and with another kind none that the other
 * side accepts: both would look like its fault.
 */
function readKey(
  file: string,
  { certificates, certificateFile }: { certificates: readonly string[]; certificateFile: string },
  code: FaultCode,
): string {
  const pem = read(file, code);
  let isItsKey: boolean;
  try {
    const key = createPrivateKey(pem);
    if (!KEY_TYPES.has(key.asymmetricKeyType ?? ""))
      throw new Fault(code, `${file} is a key of the type ${key.asymmetricKeyType}, not Ed25519 or Ed448`);
    isItsKey = new X509Certificate(certificates[0] ?? "").checkPrivateKey(key);
  } catch (cause) {
    if (cause instanceof Fault) throw cause;
    throw new Fault(code, `${file} holds no private key without a passphrase`, { cause });
  }
  if (!isItsKey) throw new Fault(code, `${file} is not the key of ${certificateFile}`);
  return pem;
}

/** A list of revoked certificates: without one, Node would say nothing, or something about another file. */
function readRevocations(file: string, code: FaultCode): string {
  const text = read(file, code);
  if (!/-----BEGIN X509 CRL-----[^-]+-----END X509 CRL-----/.test(text))
    throw new Fault(code, `${file} is no list of revoked certificates`);
  return text;
}

function read(file: string, code: FaultCode): string {
  try {
    return readFileSync(file, "latin1");
  } catch (cause) {
    throw new Fault(code, `${file} cannot be read`, { cause });
  }
}
