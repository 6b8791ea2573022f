import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { quoted } from "../outcome.ts";
import type { MutualTlsFiles } from "./mutual-tls.ts";

/**
 * What the other side of a mutual TLS connection did, as words behind its name, so that a person knows which file, which clock or
 * which machine to look at.
 * @param error of a socket: of looking up, connecting, the handshake, or later, when the other side has seen the certificate
 */
export function describeTlsFailure(error: Error, files: MutualTlsFiles): string {
  const code = "code" in error ? String(error.code) : "";
  if (code === "CERT_HAS_EXPIRED")
    return `shows a certificate that has expired, by this host's clock (${clock()})`;
  if (code === "CERT_NOT_YET_VALID")
    return `shows a certificate that is not valid yet, by this host's clock (${clock()})`;
  if (code === "CERT_REVOKED") return `shows a certificate that is revoked (${files.crlFile})`;
  if (code === "CRL_HAS_EXPIRED")
    return `cannot be trusted: the list of revoked certificates ${files.crlFile} is past its date, by this host's clock (${clock()})`;
  if (code === "CRL_NOT_YET_VALID")
    return `cannot be trusted: the list of revoked certificates ${files.crlFile} is not valid yet, by this host's clock (${clock()})`;
  if (code === "UNABLE_TO_GET_CRL" || code === "CRL_SIGNATURE_FAILURE")
    return `cannot be trusted: ${files.crlFile} is no list of revoked certificates of its CA`;
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return "shows a certificate for another name";
  if (code === "INVALID_PURPOSE") return "shows a certificate that is not for servers";
  if (/^UNABLE_TO_|SELF_SIGNED|^CERT_|INVALID_CA/.test(code))
    return `shows a certificate that none in ${files.caFile} vouches for`;
  if (code === "ECONNREFUSED") return "does not listen";
  if (code === "ENOTFOUND") return "has no address";
  if (code === "EAI_AGAIN") return "has no address just now: the name servers do not answer";
  if (code === "EHOSTUNREACH" || code === "ENETUNREACH") return "cannot be reached: there is no way to it";
  if (code === "ETIMEDOUT") return "cannot be reached: it does not answer";
  if (
    /ALERT_(CERTIFICATE|BAD_CERT|UNSUPPORTED_CERT|UNKNOWN_CA|ACCESS_DENIED|NO_CERT)|CERTIFICATE_REQUIRED/.test(
      code,
    )
  )
    return `does not accept this host's certificate${alertOf(code)}${ownCertificateNote(files)}`;
  if (/ALERT_HANDSHAKE_FAILURE/.test(code))
    return "refuses the handshake: it has no Ed25519 or Ed448 certificate, or neither X448 nor X25519, or no cipher in common with this host";
  if (/ALERT_PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/.test(code)) return "does not speak TLS 1.3";
  if (/WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST/.test(code)) return "does not speak TLS";
  if (/WRONG_SIGNATURE_TYPE|NO_SUITABLE_SIGNATURE|WRONG_CURVE|BAD_KEY_SHARE/.test(code))
    return "uses other signatures or key exchanges than TLS 1.3 with Ed25519, Ed448, X25519 and X448";
  if (code === "ECONNRESET" || code === "EPIPE") return "closed the connection";
  return `cannot be talked to: ${quoted(code || error.message)}`;
}

/**
 * What is wrong with this host's own certificate by this host's clock, as an appendix to why it is not accepted; empty where
 * nothing is, so that the other side's clock, CA and list are what is left to look at.
 */
export function ownCertificateNote({ certificateFile }: MutualTlsFiles): string {
  try {
    const { validFromDate, validToDate } = new X509Certificate(readFileSync(certificateFile));
    const now = Date.now();
    if (now > validToDate.getTime()) return `: ${certificateFile} expired at ${isoTime(validToDate)}`;
    if (now < validFromDate.getTime())
      return `: ${certificateFile} is valid from ${isoTime(validFromDate)}, by this host's clock it is ${clock()}`;
    return "";
  } catch {
    return "";
  }
}

/** What the other side's alert says (RFC 8446 §6.2), where it says more than that it does not like it. */
function alertOf(code: string): string {
  if (code.includes("CERTIFICATE_EXPIRED")) return ": by its clock it has expired, or is not valid yet";
  if (code.includes("CERTIFICATE_REVOKED")) return ": it is revoked";
  if (code.includes("UNKNOWN_CA")) return ": it is of another CA";
  if (code.includes("CERTIFICATE_REQUIRED")) return ", of which it has seen none";
  return "";
}

function clock(): string {
  return isoTime(new Date());
}

function isoTime(time: Date): string {
  return time.toISOString().replace(/\.\d{3}Z$/, "Z");
}
