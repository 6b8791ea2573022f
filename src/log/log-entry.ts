import { ARTEFACT_TYPES, type ArtefactType } from "../artefact/artefact.ts";
import { type Code, EXIT } from "../outcome.ts";
import { type CanonicalValue, encodeCanonicalJson, parseCanonicalJson } from "./canonical-json.ts";
import { HASH_BYTES } from "./merkle.ts";
import { decodeBase64 } from "./signed-note.ts";

/** What every entry has. `seq` and `time` are given by the ledger when it appends. */
interface EntryBase {
  /** Zero-based; the index of the leaf in the Merkle tree. */
  readonly seq: number;
  /** RFC 3339, UTC, milliseconds: `2026-11-23T19:26:00.000Z`. Never before the previous entry's, but for `clock-accepted`. */
  readonly time: string;
}

/** What was read: present as far as the reading came. Digests are lower-case hex of the bytes received. */
interface ArtefactFields {
  readonly client: string;
  readonly rule?: string;
  readonly type?: ArtefactType;
  readonly name?: string;
  /** Bytes. */
  readonly size?: number;
  readonly sha256?: string;
  readonly sha512?: string;
  /** SHA-256(salt ‖ record) of the private record beside the entry, lower-case hex. Given by the ledger. */
  readonly private?: string;
}

export interface SignedFields extends ArtefactFields {
  readonly rule: string;
  readonly type: ArtefactType;
  readonly size: number;
  readonly sha256: string;
  readonly sha512: string;
  /** Fingerprint of the key that signed, upper-case hex. */
  readonly key: string;
  /** The whole signature packet, base64. */
  readonly signature: string;
  /** When the signature expires, RFC 3339; absent: never. */
  readonly expires?: string;
  /**
   * Counts and dates that the recogniser saw; names are `[a-z][a-z0-9_]*`. `packages_sha256` is the digest of the package
   * list beside the entry and is given by the ledger.
   */
  readonly facts: Readonly<Record<string, string | number | boolean>>;
}

export interface RestoredFields {
  /** Name of the witness's key. */
  readonly witness: string;
  /** When it cosigned, RFC 3339. */
  readonly cosigned: string;
  /** Entries that were restored: this entry's `seq`. */
  readonly size: number;
  /** Root of their tree, base64. */
  readonly root: string;
  /** Entries of the log that was replaced, where one was there and could be read. */
  readonly replaced?: number;
  /** Entries at the end of the replaced log that the copy does not have. */
  readonly discarded?: number;
}

/** An entry without what the ledger adds. */
export type EntryFields =
  | ({ readonly kind: "signed" } & SignedFields)
  /** The stored signature of entry `of`, delivered once more. */
  | ({ readonly kind: "reissued"; readonly of: number } & Omit<SignedFields, "facts" | "expires">)
  | ({ readonly kind: "refused"; readonly code: Code; readonly reason: string } & ArtefactFields)
  /**
   * `count` further refusals of this client and code between `from` and `to` that have no entry of their own; without a
   * client: of all clients that no rule names together.
   */
  | {
      readonly kind: "refused-summary";
      readonly client?: string;
      readonly code: Code;
      readonly count: number;
      readonly from: string;
      readonly to: string;
    }
  /** The rules in force from here on: SHA-256 of their lines, and the lines. {@link configuredFields} makes it. */
  | { readonly kind: "configured"; readonly rules: string; readonly summary: readonly string[] }
  /** An administrator says that now is right although it lies before the last entry, whose time is `previous`. */
  | { readonly kind: "clock-accepted"; readonly previous: string }
  /** All entries before this one came from a copy of the log, whose head (`size`, `root`) `witness` had cosigned. */
  | ({ readonly kind: "restored" } & RestoredFields)
  /** The log begins: its origin, and the key (C2SP form) that signs its checkpoints. */
  | { readonly kind: "started"; readonly origin: string; readonly verifier: string };

export type EntryKind = EntryFields["kind"];

/** One line of the log. */
export type LogEntry = EntryBase & EntryFields;
export type SignedEntry = LogEntry & { readonly kind: "signed" };

/** Longest line, in bytes, without a newline; C2SP's entry bundles could hold four times as much. */
export const MAX_ENTRY_BYTES = 16 * 1024;

type Check = (value: unknown) => boolean;
interface Shape {
  readonly required: Readonly<Record<string, Check>>;
  readonly optional: Readonly<Record<string, Check>>;
}

const matching =
  (pattern: RegExp): Check =>
  (value) =>
    typeof value === "string" && pattern.test(value);
const text =
  (maxLength: number): Check =>
  (value) =>
    typeof value === "string" && value.length > 0 && value.length <= maxLength;
const count: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const hex256 = matching(/^[0-9a-f]{64}$/);
const hex512 = matching(/^[0-9a-f]{128}$/);
const fingerprint = matching(/^[0-9A-F]{40}$/);
const base64 = matching(/^(?=.{4,8192}$)(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/);
/** 32 bytes. */
const root: Check = (value) => typeof value === "string" && decodeBase64(value)?.length === HASH_BYTES;
const artefactType: Check = (value) => ARTEFACT_TYPES.includes(value as ArtefactType);
const code: Check = (value) => typeof value === "string" && Object.hasOwn(EXIT, value);
const name = matching(/^[A-Za-z0-9@_+][A-Za-z0-9@._+-]{0,254}$/);

/** Whether a value is a time as entries have it: RFC 3339, UTC, milliseconds, a day that exists, years 0000 to 9999. */
export function isEntryTime(value: unknown): boolean {
  if (typeof value !== "string" || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(value)) return false;
  const time = new Date(value);
  return !Number.isNaN(time.getTime()) && time.toISOString() === value;
}

const facts: Check = (value) =>
  isObject(value) &&
  Object.keys(value).length <= 64 &&
  Object.entries(value).every(
    ([key, fact]) =>
      /^[a-z][a-z0-9_]{0,63}$/.test(key) &&
      (typeof fact === "boolean" ||
        Number.isSafeInteger(fact) ||
        (typeof fact === "string" && fact.length <= 1024)),
  );
const lines: Check = (value) => Array.isArray(value) && value.every((line) => typeof line === "string");

const base = { seq: count, time: isEntryTime, kind: () => true };
const artefact = { rule: text(255), type: artefactType, size: count, sha256: hex256, sha512: hex512 };
const signature = { client: text(255), ...artefact, key: fingerprint, signature: base64 };

const SHAPES: Readonly<Record<EntryKind, Shape>> = {
  signed: {
    required: { ...base, ...signature, facts },
    optional: { name, private: hex256, expires: isEntryTime },
  },
  reissued: { required: { ...base, ...signature, of: count }, optional: { name, private: hex256 } },
  refused: {
    required: { ...base, client: text(255), code, reason: text(1024) },
    optional: { ...artefact, name, private: hex256 },
  },
  "refused-summary": {
    required: { ...base, code, count, from: isEntryTime, to: isEntryTime },
    optional: { client: text(255) },
  },
  configured: { required: { ...base, rules: hex256, summary: lines }, optional: {} },
  "clock-accepted": { required: { ...base, previous: isEntryTime }, optional: {} },
  restored: {
    required: { ...base, witness: text(255), cosigned: isEntryTime, size: count, root },
    optional: { replaced: count, discarded: count },
  },
  started: { required: { ...base, origin: text(255), verifier: text(512) }, optional: {} },
};

export const ENTRY_KINDS: readonly EntryKind[] = Object.keys(SHAPES) as EntryKind[];

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Whether every member is there that must be, none that may not, each of its form. */
function isLogEntry(value: unknown): value is LogEntry {
  if (!isObject(value)) return false;
  const kind = value["kind"];
  if (typeof kind !== "string" || !Object.hasOwn(SHAPES, kind)) return false;
  const { required, optional } = SHAPES[kind as EntryKind];
  return (
    Object.keys(required).every((key) => Object.hasOwn(value, key)) &&
    Object.entries(value).every(([key, member]) => {
      if (Object.hasOwn(required, key)) return required[key]?.(member) === true;
      return Object.hasOwn(optional, key) && (member === undefined || optional[key]?.(member) === true);
    })
  );
}

/**
 * The line of an entry, without a newline: canonical JSON, printable ASCII. Throws a TypeError for an entry that
 * {@link parseLogEntry} would refuse, or that is longer than {@link MAX_ENTRY_BYTES}: it must never get into a log.
 */
export function encodeLogEntry(entry: LogEntry): string {
  if (!isLogEntry(entry))
    throw new TypeError(`not a well-formed entry of kind ${(entry as EntryBase & EntryFields).kind}`);
  const line = encodeCanonicalJson(entry as unknown as CanonicalValue);
  if (line.length > MAX_ENTRY_BYTES) throw new TypeError(`an entry has at most ${MAX_ENTRY_BYTES} bytes`);
  return line;
}

/**
 * Reads one line. Undefined for everything that {@link encodeLogEntry} would not have written: another spelling, an
 * unknown, missing or malformed member, an unknown kind, too long. Controlled by: whoever could write the log.
 */
export function parseLogEntry(line: string): LogEntry | undefined {
  if (line.length > MAX_ENTRY_BYTES) return undefined;
  const value = parseCanonicalJson(line);
  return isLogEntry(value) ? value : undefined;
}
