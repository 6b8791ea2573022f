import { type HttpHead, parseHead } from "../../transport/http-head.ts";

/**
 * How a connection over HTTP becomes one of the remote log's protocol (docs/FORMATS.md, "Remote log"): a request to upgrade
 * (RFC 9110 §7.8), answered 101; from then on both sides speak as over SSH.
 */

/** Of the protocol that follows; its version is raised with every change. */
export const UPGRADE_TOKEN = "signer-log/1";
/** Longest head, in bytes. */
export const MAX_HEAD_BYTES = 4096;
/** Last part of the path. */
const RESOURCE = "log";

const REQUEST = /^GET (?<path>(?:\/[A-Za-z0-9._~-]+)*\/log) HTTP\/1\.1$/;
const STATUS = /^HTTP\/1\.[01] (?<status>[1-5]\d\d)(?: [\t\x20-\x7e]*)?$/;

/**
 * The request, as bytes to be sent.
 * @param base of the url: its path without a slash at its end
 * @param authority host, and port where it is not 443, as in the url
 */
export function encodeUpgradeRequest(base: string, authority: string): string {
  return [
    `GET ${base}/${RESOURCE} HTTP/1.1`,
    `Host: ${authority}`,
    "Connection: upgrade",
    `Upgrade: ${UPGRADE_TOKEN}`,
    "\r\n",
  ].join("\r\n");
}

export interface UpgradeRequest {
  readonly path: string;
  /** Who it is, as the web server says, which has looked at the certificate; undefined where it does not. */
  readonly certificate: string | undefined;
}

/** Reads a request's head; or the status that refuses it. Controlled by: whoever may connect. */
export function parseUpgradeRequest(text: string): UpgradeRequest | 400 | 426 {
  const head = parseHead(text);
  const path = head === undefined ? undefined : REQUEST.exec(head.start)?.groups?.["path"];
  if (
    head === undefined ||
    path === undefined ||
    path.split("/").some((part) => part === "." || part === "..")
  )
    return 400;
  const { fields } = head;
  // Neither has one; a body would be taken for the protocol.
  if (fields.has("transfer-encoding") || (fields.get("content-length") ?? "0") !== "0") return 400;
  if (!/^[\x21-\x7e]+$/.test(fields.get("host") ?? "")) return 400;
  if (!upgrades(head) || fields.get("upgrade") !== UPGRADE_TOKEN) return 426;
  return { path, certificate: fields.get("signer-certificate") };
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

export type UpgradeAnswer =
  | { readonly kind: "upgraded" }
  /** `location` of a redirect. Controlled by: the other side. */
  | { readonly kind: "refused"; readonly status: number; readonly location: string | undefined };

/** Reads an answer's head; undefined where it is none of HTTP/1.1, or upgrades to something else. Controlled by: the other side. */
export function parseUpgradeAnswer(text: string): UpgradeAnswer | undefined {
  const head = parseHead(text);
  const status = head === undefined ? undefined : STATUS.exec(head.start)?.groups?.["status"];
  if (head === undefined || status === undefined) return undefined;
  if (status !== "101")
    return { kind: "refused", status: Number(status), location: head.fields.get("location") };
  const isOurs = upgrades(head) && head.fields.get("upgrade") === UPGRADE_TOKEN;
  return isOurs && head.start.startsWith("HTTP/1.1 ") ? { kind: "upgraded" } : undefined;
}

function upgrades({ fields }: HttpHead): boolean {
  const options = (fields.get("connection") ?? "").toLowerCase().split(",");
  return options.some((option) => option.trim() === "upgrade");
}
