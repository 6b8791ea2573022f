import { encodeCanonicalJson } from "../canonical-json.ts";
import { type EntryKind, parseLogEntry } from "../log-entry.ts";

/** Entries and checkpoints as syslog messages (RFC 5424), in frames for a stream (RFC 5425 §4.3). */

/** RFC 5424 §6.2.1, table 2. */
const SEVERITY = { warning: 4, notice: 5, informational: 6 } as const;
/** RFC 5424 §6.2.1, table 1: security/authorization messages. */
const AUTHPRIV = 10;

type Severity = keyof typeof SEVERITY;

const SEVERITY_OF: Readonly<Record<EntryKind, Severity>> = {
  signed: "informational",
  reissued: "informational",
  refused: "warning",
  "refused-summary": "warning",
  configured: "notice",
  "clock-accepted": "notice",
  started: "notice",
  restored: "notice",
};

/** What a message says; the header's other fields are the {@link SyslogSender}'s. */
export interface SyslogMessage {
  readonly severity: Severity;
  /** RFC 3339, UTC, milliseconds. */
  readonly time: string;
  /** 1 to 32 characters of printable ASCII without spaces. */
  readonly messageId: string;
  /** Printable ASCII. */
  readonly text: string;
}

/** Who sends. */
export interface SyslogSender {
  /** As the machine calls itself; what does not fit a header is sent as no name. */
  readonly hostname: string;
  readonly processId: number;
}

/** The message that carries a log entry's line as it is; undefined for what is no entry. */
export function entryMessage(line: string): SyslogMessage | undefined {
  const entry = parseLogEntry(line);
  if (entry === undefined) return undefined;
  return { severity: SEVERITY_OF[entry.kind], time: entry.time, messageId: entry.kind, text: line };
}

/**
 * The message that carries a checkpoint: canonical JSON with the note as its one member.
 * @param time of the last entry under it
 */
export function checkpointMessage(note: string, time: string): SyslogMessage {
  return {
    severity: "notice",
    time,
    messageId: "checkpoint",
    text: encodeCanonicalJson({ checkpoint: note }),
  };
}

/** A message with its length before it, in octets (RFC 5425 §4.3). */
export function encodeSyslogFrame(message: SyslogMessage, sender: SyslogSender): string {
  const encoded = encodeSyslogMessage(message, sender);
  return `${encoded.length} ${encoded}`; // printable ASCII: a character is an octet
}

/** RFC 5424 §6: header, no structured data, the text. Throws a TypeError for what has no place in one. */
export function encodeSyslogMessage(message: SyslogMessage, { hostname, processId }: SyslogSender): string {
  const priority = AUTHPRIV * 8 + SEVERITY[message.severity];
  const host = /^[\x21-\x7e]{1,255}$/.test(hostname) ? hostname : "-";
  const header = `<${priority}>1 ${message.time} ${host} signer ${processId} ${message.messageId}`;
  const encoded = `${header} - ${message.text}`;
  if (!/^[\x20-\x7e]+$/.test(encoded)) throw new TypeError("a syslog message here is printable ASCII");
  return encoded;
}
