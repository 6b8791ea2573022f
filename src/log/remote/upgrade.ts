import type { IncomingMessage, OutgoingHttpHeaders } from "node:http";

/**
 * How a connection over HTTP becomes one of the remote log's protocol (docs/FORMATS.md, "Remote log"): a request to upgrade
 * (RFC 9110 §7.8), answered 101; from then on both sides speak as over SSH. Heads are read by node:http; what they say is judged here.
 */

/** Of the protocol that follows; its version is raised with every change. */
export const UPGRADE_TOKEN = "signer-log/1";
/** Longest head, in bytes as node:http counts them: without line ends, colons and spaces. */
export const MAX_HEAD_BYTES = 4096;
/** Last part of the path. */
const RESOURCE = "log";

const PATH = /^(?:\/[A-Za-z0-9._~-]+)*\/log$/;

/** A URL's path with what is asked for there. */
export function upgradePath({ pathname }: URL): string {
  return `${pathname.replace(/\/$/, "")}/${RESOURCE}`;
}

/** All fields of the request, in their order. */
export function upgradeFields({ host }: URL): OutgoingHttpHeaders {
  return { Host: host, Connection: "upgrade", Upgrade: UPGRADE_TOKEN };
}

export interface UpgradeRequest {
  readonly path: string;
  /** Who it is, as the web server says, which has looked at the certificate; undefined where it does not. */
  readonly certificate: string | undefined;
}

/**
 * What a request is: one to upgrade, or the status that refuses it. That it asks to upgrade to anything at all (RFC 9110 §7.6.1) is
 * node:http's to say. Controlled by: whoever may connect.
 */
export function judgeUpgradeRequest({
  method,
  url: path = "",
  httpVersion,
  headersDistinct: fields,
}: Pick<IncomingMessage, "method" | "url" | "httpVersion" | "headersDistinct">): UpgradeRequest | 400 | 426 {
  if (method !== "GET" || httpVersion !== "1.1" || !PATH.test(path)) return 400;
  if (path.split("/").some((part) => part === "." || part === "..")) return 400;
  // Neither has one; a body would be taken for the protocol.
  if (fields["transfer-encoding"] !== undefined || !isOnly(fields["content-length"] ?? ["0"], "0"))
    return 400;
  if (!isOnly(fields["host"], /^[\x21-\x7e]+$/)) return 400; // RFC 9112 §3.2
  if (!isOnly(fields["upgrade"], UPGRADE_TOKEN)) return 426;
  return { path, certificate: fields["signer-certificate"]?.join(", ") };
}

/** The answer that the protocol follows. */
export const UPGRADE_ANSWER = [
  "HTTP/1.1 101 Switching Protocols",
  "Connection: upgrade",
  `Upgrade: ${UPGRADE_TOKEN}`,
  "\r\n",
].join("\r\n");

const REASONS = { 400: "Bad Request", 426: "Upgrade Required" } as const;

/** The answer that ends the connection. */
export function encodeUpgradeRefusal(status: keyof typeof REASONS): string {
  const upgrade = status === 426 ? [`Upgrade: ${UPGRADE_TOKEN}`] : [];
  return [
    `HTTP/1.1 ${status} ${REASONS[status]}`,
    ...upgrade,
    "Content-Length: 0",
    `Connection: ${status === 426 ? "close, upgrade" : "close"}`, // RFC 9110 §15.5.22
    "\r\n",
  ].join("\r\n");
}

/** Whether an answer that upgrades does so to the remote log's protocol. Controlled by: the other side. */
export function isUpgradeAnswer({
  httpVersion,
  headersDistinct: fields,
}: Pick<IncomingMessage, "httpVersion" | "headersDistinct">): boolean {
  return httpVersion === "1.1" && isOnly(fields["upgrade"], UPGRADE_TOKEN);
}

/** Whether a field stands there once, and so. */
function isOnly(values: readonly string[] | undefined, expected: string | RegExp): boolean {
  const [value = "", ...more] = values ?? [];
  if (values === undefined || more.length > 0) return false;
  return typeof expected === "string" ? value === expected : expected.test(value);
}
