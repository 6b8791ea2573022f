import { ARTEFACT_TYPES, type ArtefactType } from "../artefact/artefact.ts";
import { parseArtefactName } from "../artefact/artefact-name.ts";
import { encodeCanonicalJson, membersOf, parseCanonicalJson } from "../log/canonical-json.ts";
import { type FileName, parseFileName, parseRequester, type Requester } from "../request/request.ts";

/**
 * What a repository server says there is to sign, where the signing host fetches its work (docs/FORMATS.md, "Notification"):
 * one line of canonical JSON, and behind it the SSH signature of that line (PROTOCOL.sshsig), in one file that is replaced as
 * a whole.
 */

/** Raised with every change. */
export const NOTIFICATION_VERSION = 1;
/** Most requests of one notification. */
export const MAX_REQUESTS = 1000;
/** Longest notification, its signature included, in bytes: so many requests with the longest names fit. */
export const MAX_NOTIFICATION_BYTES = 640 * 1024;
/** Largest file that can be announced, in bytes. */
export const MAX_ANNOUNCED_BYTES = 2 ** 40;

const SHA256_HEX = /^[0-9a-f]{64}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;

/** One file that waits for its signature. */
export interface AnnouncedFile {
  /** Number of the request: no other one of this outbox ever has it. Together with the digest it names the answer. */
  readonly seq: number;
  readonly name: FileName;
  /** What the name says; the signing host looks at the bytes. */
  readonly type: ArtefactType;
  /** In bytes. */
  readonly size: number;
  /** Of the file, 64 hex digits: its name in the outbox. */
  readonly sha256: string;
  /** Who asked, for the log, as unverified. */
  readonly for: Requester | undefined;
}

export interface Notification {
  /** Grows with every notification; at least as large as that of any request in it. */
  readonly seq: number;
  /** By the repository server's clock, whole seconds. */
  readonly time: Date;
  /** In the order of their numbers. */
  readonly requests: readonly AnnouncedFile[];
}

/** The line that is signed, its newline included. */
export function encodeNotification({ seq, time, requests }: Notification): string {
  return `${encodeCanonicalJson({
    version: NOTIFICATION_VERSION,
    seq,
    time: encodeTime(time),
    requests: requests.map((file) => ({ ...file })),
  })}\n`;
}

/** The line of a notification, and the signature behind it; undefined where there are no two such parts. */
export function splitNotification(
  document: Uint8Array,
): { readonly line: string; readonly signature: string } | undefined {
  const text = Buffer.from(document.buffer, document.byteOffset, document.byteLength).toString("latin1");
  const end = text.indexOf("\n");
  return end === -1 ? undefined : { line: text.slice(0, end + 1), signature: text.slice(end + 1) };
}

/**
 * Reads a line; undefined for everything that {@link encodeNotification} would not have written, and for what contradicts itself:
 * a number that is not its own, a type that the name does not have. Controlled by: whoever holds the repository server's key, or,
 * where its signature was not looked at, its web server.
 */
export function parseNotification(line: string): Notification | undefined {
  if (line.length > MAX_NOTIFICATION_BYTES || !line.endsWith("\n")) return undefined;
  const { version, seq, time, requests, ...others } = membersOf(parseCanonicalJson(line.slice(0, -1))) ?? {};
  if (version !== NOTIFICATION_VERSION || Object.keys(others).length > 0) return undefined;
  if (!isSeq(seq) || typeof time !== "string" || !TIME.test(time) || !Array.isArray(requests))
    return undefined;
  const date = new Date(time);
  // Date takes February 30 for March 2, and 24:00 for the next day.
  if (Number.isNaN(date.getTime()) || encodeTime(date) !== time) return undefined;
  if (requests.length > MAX_REQUESTS) return undefined;
  const files = requests.map(parseAnnounced);
  let last = 0;
  for (const file of files) {
    if (file === undefined || file.seq <= last || file.seq > seq) return undefined;
    last = file.seq;
  }
  return { seq, time: date, requests: files as readonly AnnouncedFile[] };
}

/** Reads one file of a notification, as {@link parseNotification} does. */
export function parseAnnounced(value: unknown): AnnouncedFile | undefined {
  const { seq, name, type, size, sha256, for: who, ...others } = membersOf(value) ?? {};
  if (Object.keys(others).length > 0 || !isSeq(seq)) return undefined;
  const fileName = typeof name === "string" ? parseFileName(name) : undefined;
  if (fileName === undefined || typeof sha256 !== "string" || !SHA256_HEX.test(sha256)) return undefined;
  if (typeof size !== "number" || size < 1 || size > MAX_ANNOUNCED_BYTES) return undefined;
  const artefactType = ARTEFACT_TYPES.find((each) => each === type);
  if (artefactType === undefined || parseArtefactName(fileName)?.type !== artefactType) return undefined;
  const requester = typeof who === "string" ? parseRequester(who) : undefined;
  if (requester !== who) return undefined;
  return { seq, name: fileName, type: artefactType, size, sha256, for: requester };
}

function encodeTime(time: Date): string {
  return time.toISOString().replace(/\.\d{3}Z$/, "Z");
}

function isSeq(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 1;
}
