import { type CanonicalValue, encodeCanonicalJson, parseCanonicalJson } from "../log/canonical-json.ts";
import type { FaultCode } from "../outcome.ts";

/**
 * What the signing service and the sender process say to each other beside the bytes that are passed on (docs/FORMATS.md,
 * "Sender"): lines of canonical JSON, each followed by a newline.
 */

/** Version in `open`; raised with every change. */
export const SENDER_VERSION = 1;
/** Longest line, in bytes, without its newline. */
export const MAX_LINE_BYTES = 512;
/** Longest reason, in characters. */
const MAX_REASON = 300;

/** The service's first and only line: which remote log, as the sender's own configuration calls it. */
export interface OpenMessage {
  readonly kind: "open";
  readonly log: string;
  readonly version: number;
}

/** The sender: there is a connection, and what comes is passed on. */
export interface OpenedMessage {
  readonly kind: "opened";
}

/** The sender, of a syslog collector, last: it has ended the connection as a collector does that has read all. */
export interface SentMessage {
  readonly kind: "sent";
}

/** The sender, in place of any other: there is no connection, or none any more. It ends this one. */
export interface FailedMessage {
  readonly kind: "failed";
  readonly code: Extract<FaultCode, "busy" | "remote-log-unavailable" | "bad-configuration">;
  /** One line of printable ASCII. */
  readonly reason: string;
}

export type SenderLine = OpenMessage | OpenedMessage | SentMessage | FailedMessage;

type Check = (value: unknown) => boolean;

const CODES = new Set<unknown>(["busy", "remote-log-unavailable", "bad-configuration"]);
const SHAPES: Readonly<Record<SenderLine["kind"], Readonly<Record<string, Check>>>> = {
  open: {
    log: (value) => typeof value === "string" && /^[a-z0-9][a-z0-9_-]{0,63}$/.test(value),
    version: (value) => Number.isSafeInteger(value) && (value as number) > 0,
  },
  opened: {},
  sent: {},
  failed: {
    code: (value) => CODES.has(value),
    reason: (value) =>
      typeof value === "string" && value.length <= MAX_REASON && /^[\x20-\x7e]+$/.test(value),
  },
};

/** The line of a message, without its newline. A reason is cut to what fits. */
export function encodeSenderLine(message: SenderLine): string {
  const { kind } = message;
  const fitting = kind === "failed" ? { ...message, reason: message.reason.slice(0, MAX_REASON) } : message;
  const line = encodeCanonicalJson(fitting as unknown as CanonicalValue);
  if (parseSenderLine(line) === undefined) throw new TypeError(`not a well-formed ${kind} line`);
  return line;
}

/** Reads a line without its newline; undefined for what {@link encodeSenderLine} would not have written. Controlled by: the other side. */
export function parseSenderLine(line: string): SenderLine | undefined {
  if (line.length > MAX_LINE_BYTES) return undefined;
  const value = parseCanonicalJson(line);
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const { kind, ...members } = value as Readonly<Record<string, unknown>>;
  if (typeof kind !== "string" || !Object.hasOwn(SHAPES, kind)) return undefined;
  const shape = SHAPES[kind as SenderLine["kind"]];
  const isWellFormed =
    Object.keys(members).length === Object.keys(shape).length &&
    Object.entries(shape).every(([key, check]) => Object.hasOwn(members, key) && check(members[key]));
  return isWellFormed ? (value as unknown as SenderLine) : undefined;
}
