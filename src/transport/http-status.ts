import { quoted } from "../outcome.ts";
import type { MutualTlsFiles } from "./mutual-tls.ts";
import { ownCertificateNote } from "./tls-failure.ts";

/**
 * What a web server behind mutual TLS did where it answered with a status that it should not have, as words behind its name, so that
 * a person knows what to look at. Where it does not accept a certificate, nginx answers 400.
 * @param location of a redirect. Controlled by: whoever answers in the server's place
 * @param meanings of the other statuses, at that server
 */
export function describeStatus(
  status: number,
  location: string | undefined,
  files: MutualTlsFiles,
  meanings: Readonly<Record<number, string>>,
): string {
  if (status >= 300 && status < 400 && status !== 304)
    return `redirects${location === undefined ? "" : ` to ${quoted(location)}`} (${status}), which is not followed`;
  if (status === 400) {
    const looked =
      ": it is revoked, of another CA, or not valid by the clock there; nginx's error log says which";
    return `does not accept this host's certificate (400)${ownCertificateNote(files) || looked}`;
  }
  const meaning = meanings[status];
  return `answers ${status}${meaning === undefined ? "" : `: ${meaning}`}`;
}
