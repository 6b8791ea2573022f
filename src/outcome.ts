/**
 * How a request can end: signed, refused (a value), failed (a thrown Fault) or a bug (anything else thrown).
 * The codes are closed; `EXIT` does not compile until a new one has an exit status.
 */

/** The request was wrong or is not allowed. Expected; travels as a value. */
export type RefusalCode =
  /** SSH_ORIGINAL_COMMAND, or a command line, outside its grammar. */
  | "bad-request"
  /** Not one byte arrived. */
  | "empty-input"
  /** The bytes are of no kind that is signed here. */
  | "not-recognised"
  /** A kind that is signed here, but not the one that the name or the rule promises: files for db, and the like. */
  | "wrong-type"
  /** The name contradicts what the bytes say: compression suffix, date in an image's volume id. */
  | "name-mismatch"
  /** A compression that is recognised and not read: xz, bzip2, lz4, lzop, lrzip, compress, lzip. */
  | "unsupported-compression"
  /** The stream ends before the format does. */
  | "truncated"
  /** Bytes after the end of the format. */
  | "trailing-data"
  /** The compressed stream is damaged, or uses a feature that is refused. */
  | "bad-compression"
  /** The tar archive breaks the format, or holds what a database never holds. */
  | "bad-archive"
  /** A well-formed archive that is not a well-formed package database. */
  | "bad-database"
  /** An ISO 9660 image whose descriptors contradict each other or the bytes received. */
  | "bad-image"
  /** More bytes than the rule's `max_size`, or than the format may have. */
  | "too-large"
  /** Expands to more than allowed, in bytes or in ratio. */
  | "expands-too-far"
  /** A database of no packages, where the rule does not say `allow_empty`. */
  | "empty-database"
  /** A proof or a checkpoint that does not prove what it should. */
  | "bad-proof"
  /** A published tree and the log do not agree. */
  | "audit-failed"
  /** What a repository server says there is to sign is not signed by its key, malformed or too large. */
  | "bad-notification"
  /** A notification older than one that was seen before, or another one with the same number. */
  | "notification-rolled-back"
  /** A limit of the rule is used up; the reason says when the next one is possible. */
  | "over-limit"
  /** The client sent nothing for too long, or took longer than the whole request may. */
  | "timed-out"
  /** No rule names this client. */
  | "unknown-client"
  /** The client's rules do not allow this address. */
  | "foreign-address"
  /** No rule of this client allows this type and name. */
  | "not-permitted";

/** The service could not do its work. Thrown as {@link Fault}. */
export type FaultCode =
  /** The ledger stayed locked by others past the busy timeout. */
  | "busy"
  /** The key file cannot be read, or lacks what signing needs. */
  | "key-unavailable"
  /** The key is expired, revoked, not yet valid or not made for signing. */
  | "key-unusable"
  /** Signing failed, or what was signed did not verify. */
  | "signing-failed"
  /** Now is more than five minutes before the log's last entry. */
  | "clock-behind"
  /** The ledger could not be written or made durable. */
  | "log-not-durable"
  /** A required remote log cannot be reached, or did not acknowledge the entry. */
  | "remote-log-unavailable"
  /** The signing host cannot be reached, or the connection to it was lost. */
  | "host-unreachable"
  /** Split mode: the relay cannot reach the signing service, or lost it before it had answered. */
  | "service-unavailable"
  /** The repository server that work is fetched from cannot be reached, or does not answer as one. */
  | "source-unavailable"
  /** What answers is not known to be the signing host: its key is unknown, another one, or revoked. */
  | "host-not-trusted"
  /** The signing host accepts none of the keys that were tried. */
  | "login-refused"
  /** The log exists but contradicts itself: nothing is signed until an administrator has looked. */
  | "log-broken"
  /** The configuration is missing, unreadable or wrong. */
  | "bad-configuration"
  /** The state directory or the log in it is missing: `signer init` makes it. */
  | "no-state"
  /** The client went away before it had the whole reply. */
  | "reply-not-delivered"
  /** A client could not write a signature, or make it durable. */
  | "signature-not-written"
  /** On the repository server: the repository's files could not be read, written or made durable, or repo-add not run. */
  | "repository-failed"
  /** `signer pull` could not read or write its own folder, or what is in it is not what it wrote. */
  | "pull-state-failed"
  /** `signer ca` could not read or write the folder of its certification authority, or openssl failed. */
  | "authority-failed";

/** Everything that can stand as CODE in `signer: CODE: what was expected`. */
export type Code = RefusalCode | FaultCode | "internal";

/** Exit status of each code, after sysexits(3). 0 is a delivered signature and nothing else. */
export const EXIT: Readonly<Record<Code, number>> = {
  "bad-request": 64,
  "empty-input": 65,
  "not-recognised": 65,
  "wrong-type": 65,
  "name-mismatch": 65,
  "unsupported-compression": 65,
  truncated: 65,
  "trailing-data": 65,
  "bad-compression": 65,
  "bad-archive": 65,
  "bad-database": 65,
  "bad-image": 65,
  "too-large": 65,
  "expands-too-far": 65,
  "empty-database": 65,
  "bad-proof": 65,
  "audit-failed": 65,
  "bad-notification": 65,
  "notification-rolled-back": 65,
  "key-unavailable": 69,
  "key-unusable": 69,
  "signing-failed": 69,
  "clock-behind": 69,
  "remote-log-unavailable": 69,
  "host-unreachable": 69,
  "service-unavailable": 69,
  "source-unavailable": 69,
  "host-not-trusted": 77,
  "login-refused": 77,
  "log-broken": 69,
  internal: 70,
  "log-not-durable": 74,
  "reply-not-delivered": 74,
  "signature-not-written": 74,
  "repository-failed": 74,
  "pull-state-failed": 74,
  "authority-failed": 74,
  "over-limit": 75,
  "timed-out": 75,
  busy: 75,
  "unknown-client": 77,
  "foreign-address": 77,
  "not-permitted": 77,
  "bad-configuration": 78,
  "no-state": 78,
};

/** The codes that are a no; a new one does not compile until it stands here. */
const REFUSALS: Readonly<Record<RefusalCode, true>> = {
  "bad-request": true,
  "empty-input": true,
  "not-recognised": true,
  "wrong-type": true,
  "name-mismatch": true,
  "unsupported-compression": true,
  truncated: true,
  "trailing-data": true,
  "bad-compression": true,
  "bad-archive": true,
  "bad-database": true,
  "bad-image": true,
  "too-large": true,
  "expands-too-far": true,
  "empty-database": true,
  "bad-proof": true,
  "audit-failed": true,
  "bad-notification": true,
  "notification-rolled-back": true,
  "over-limit": true,
  "timed-out": true,
  "unknown-client": true,
  "foreign-address": true,
  "not-permitted": true,
};

/** Whether a code, one of {@link EXIT}, is a refusal's; otherwise it is a fault's, or `internal`. */
export function isRefusalCode(code: Code): code is RefusalCode {
  return Object.hasOwn(REFUSALS, code);
}

/** A request that is answered with no: a value, never thrown. */
export interface Refusal {
  readonly kind: "refusal";
  readonly code: RefusalCode;
  /** One line, lower case, printable ASCII: what was expected. A stranger's text in it went through {@link quoted}. */
  readonly reason: string;
}

/** Makes a {@link Refusal}; `reason` MUST hold a stranger's text only through {@link quoted}. */
export function refusal(code: RefusalCode, reason: string): Refusal {
  return { kind: "refusal", code, reason };
}

/** Whether a step's answer is a {@link Refusal}. */
export function isRefusal(value: unknown): value is Refusal {
  return typeof value === "object" && value !== null && (value as { kind?: unknown }).kind === "refusal";
}

/** The service could not do its work; `message` is one line for the client, `cause` is for the journal. */
export class Fault extends Error {
  readonly code: FaultCode;

  constructor(code: FaultCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "Fault";
    this.code = code;
  }
}

/** Our own words, which may hold a path, as one line of printable ASCII: what is none of it becomes `?`. */
export function printableReason(text: string, maxCharacters: number): string {
  return text.replace(/[^\x20-\x7e]/g, "?").slice(0, maxCharacters);
}

/**
 * A stranger's text, fit for a message, a terminal and a log line: JSON string syntax, everything outside printable
 * ASCII as `\xNN` or `\uNNNN`, cut to `maxLength` characters (default 64) with `...` where something is missing.
 */
export function quoted(text: string, maxLength = 64): string {
  const cut = text.length > maxLength;
  const body = (cut ? text.slice(0, maxLength) : text).replace(/[^\x20-\x7e]|["\\]/g, (character) => {
    if (character === '"' || character === "\\") return `\\${character}`;
    const code = character.charCodeAt(0);
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, "0")}`
      : `\\u${code.toString(16).padStart(4, "0")}`;
  });
  return cut ? `"${body}"...` : `"${body}"`;
}

/** The one line on stderr: `signer: CODE: reason`. */
export function outcomeLine(program: string, code: Code, reason: string): string {
  return `${program}: ${code}: ${reason}\n`;
}
