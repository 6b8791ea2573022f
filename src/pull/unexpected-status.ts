import { describeStatus } from "../transport/http-status.ts";
import type { MutualTlsFiles } from "../transport/mutual-tls.ts";

/** What a status means of a server with the shipped configuration, and so what to look at there. */
const MEANINGS: Readonly<Record<number, string>> = {
  403: "this host's certificate is not one of those that its configuration names, or nginx may not read the file",
  404: "there is no such place, or the url's path is another than in nginx's configuration",
  405: "WebDAV is not configured",
  408: "it has waited too long for the request",
  409: "there is no such folder as the inbox",
  413: "the answer is larger than it takes",
  421: "it is not configured for this host name",
  429: "too many requests",
  500: "nginx cannot write into the inbox, or the disk is full; its error log says why",
  501: "WebDAV is not configured",
  502: "this is not the repository server's own nginx, or not its shipped configuration",
  503: "too many connections, or it is being maintained",
  507: "the disk is full",
};

/**
 * What the repository server did where it answered with a status that it should not have, as words behind its name.
 * @param location of a redirect. Controlled by: whoever answers in the server's place
 */
export function describeUnexpected(
  status: number,
  location: string | undefined,
  files: MutualTlsFiles,
): string {
  return describeStatus(status, location, files, MEANINGS);
}
