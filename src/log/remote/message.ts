import { type CanonicalValue, encodeCanonicalJson, parseCanonicalJson } from "../canonical-json.ts";
import { MAX_ENTRY_BYTES } from "../log-entry.ts";
import { HASH_BYTES } from "../merkle.ts";
import { SALT_BYTES } from "../private-record.ts";
import { decodeBase64 } from "../signed-note.ts";

/**
 * The protocol between a signing host and a log host (docs/FORMATS.md, "Remote log"): lines of canonical JSON over the forced
 * command `signer-log receive`. The receiver says `hello`; then the sender asks, and each question has one answer.
 */

/** Version in `hello`; raised with every change. */
export const PROTOCOL_VERSION = 1;
/** Longest line, in bytes, without its newline. */
export const MAX_MESSAGE_BYTES = 128 * 1024;
/** Entries of one `append` or `fetch` at most. */
export const MAX_ENTRIES_PER_MESSAGE = 256;
/** Longest piece of a package list in one message, in bytes. */
export const MAX_PIECE_BYTES = 32 * 1024;
/** Bytes of all lines of one `append` at most; the sender ends an append once it is past {@link APPEND_TARGET_BYTES}. */
export const MAX_APPEND_BYTES = 96 * 1024 ** 2;
export const APPEND_TARGET_BYTES = 4 * 1024 ** 2;

/** The receiver's first line: what it is, and how much it has. */
export interface HelloMessage {
  readonly kind: "hello";
  readonly version: number;
  /** The copied log's key, C2SP form; its name is the origin. */
  readonly verifier: string;
  /** The receiver's key, C2SP form. */
  readonly witness: string;
  /** Number of entries in the copy. */
  readonly size: number;
  /** The copy's newest checkpoint, signed by the log, cosigned by the receiver; left out while the copy is empty. */
  readonly note?: string;
}

/** Sender: entries `from` to `to` (exclusive) follow, and `note` is the log's checkpoint of size `to`. */
export interface AppendMessage {
  readonly kind: "append";
  readonly from: number;
  readonly to: number;
  readonly note: string;
}

/** One entry, with its private record and salt (base64) where it has one. `packages` says that its package list follows. */
export interface EntryMessage {
  readonly kind: "entry";
  readonly line: string;
  readonly record?: string;
  readonly salt?: string;
  readonly packages?: true;
}

/** A piece of the package list of the entry before it, which may be empty; `more` says that another follows. */
export interface PackagesMessage {
  readonly kind: "packages";
  readonly text: string;
  readonly more: boolean;
}

/** Answer to `append`: the copy's newest checkpoint, of `to` entries or more, cosigned. */
export interface CosignedMessage {
  readonly kind: "cosigned";
  readonly note: string;
}

/**
 * Answer to `append`: what was sent contradicts what the receiver holds. It keeps both as evidence. `note` is its own newest
 * checkpoint. The receiver ends the connection.
 */
export interface ConflictMessage {
  readonly kind: "conflict";
  readonly reason: string;
  readonly note?: string;
}

/** Answer to anything: the receiver could not do it (`code` as on a command line). It ends the connection. */
export interface FailedMessage {
  readonly kind: "failed";
  readonly code: string;
  readonly reason: string;
}

/** Sender: the root of the copy's first `size` entries? */
export interface RootOfMessage {
  readonly kind: "root-of";
  readonly size: number;
}

/** Answer to `root-of`: base64. */
export interface RootMessage {
  readonly kind: "root";
  readonly size: number;
  readonly root: string;
}

/** Sender: entries `from` to `to` (exclusive), please. Answered with so many `entry` (and `packages`) messages. */
export interface FetchMessage {
  readonly kind: "fetch";
  readonly from: number;
  readonly to: number;
}

export type SenderMessage = AppendMessage | EntryMessage | PackagesMessage | RootOfMessage | FetchMessage;
export type ReceiverMessage =
  | HelloMessage
  | CosignedMessage
  | ConflictMessage
  | FailedMessage
  | RootMessage
  | EntryMessage
  | PackagesMessage;
export type Message = SenderMessage | ReceiverMessage;

type Check = (value: unknown) => boolean;
interface Shape {
  readonly required: Readonly<Record<string, Check>>;
  readonly optional?: Readonly<Record<string, Check>>;
}

const text =
  (maxLength: number): Check =>
  (value) =>
    typeof value === "string" && value.length > 0 && value.length <= maxLength;
const count: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const bytes =
  (length: number): Check =>
  (value) =>
    typeof value === "string" && decodeBase64(value)?.length === length;
const printable =
  (maxLength: number): Check =>
  (value) =>
    typeof value === "string" && value.length <= maxLength && /^[\x20-\x7e]+$/.test(value);
const note = text(16 * 1024);
const range = { from: count, to: count };

const SHAPES: Readonly<Record<Message["kind"], Shape>> = {
  hello: {
    required: { version: count, verifier: text(1024), witness: text(1024), size: count },
    optional: { note },
  },
  append: { required: { ...range, note } },
  entry: {
    required: { line: printable(MAX_ENTRY_BYTES) },
    optional: {
      record: text(16 * 1024),
      salt: bytes(SALT_BYTES),
      packages: (value) => value === true,
    },
  },
  packages: {
    required: {
      text: (value) => value === "" || text(MAX_PIECE_BYTES)(value),
      more: (value) => typeof value === "boolean",
    },
  },
  cosigned: { required: { note } },
  conflict: { required: { reason: printable(1024) }, optional: { note } },
  failed: { required: { code: printable(64), reason: printable(1024) } },
  "root-of": { required: { size: count } },
  root: { required: { size: count, root: bytes(HASH_BYTES) } },
  fetch: { required: range },
};

/** The line of a message, without its newline. Throws a TypeError for one that {@link parseMessage} would refuse. */
export function encodeMessage(message: Message): string {
  const line = encodeCanonicalJson(message as unknown as CanonicalValue);
  if (parseMessage(line) === undefined) throw new TypeError(`not a well-formed ${message.kind} message`);
  return line;
}

/** Reads one line, without its newline; undefined for what {@link encodeMessage} would not have written. Controlled by: the other side. */
export function parseMessage(line: string): Message | undefined {
  if (line.length > MAX_MESSAGE_BYTES) return undefined;
  const value = parseCanonicalJson(line);
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  const { kind, ...members } = value as Readonly<Record<string, unknown>>;
  if (typeof kind !== "string" || !Object.hasOwn(SHAPES, kind)) return undefined;
  const { required, optional = {} } = SHAPES[kind as Message["kind"]];
  const wellFormed =
    Object.keys(required).every((key) => Object.hasOwn(members, key)) &&
    Object.entries(members).every(([key, member]) => {
      const check = Object.hasOwn(required, key)
        ? required[key]
        : Object.hasOwn(optional, key)
          ? optional[key]
          : undefined;
      return check?.(member) === true;
    });
  if (!wellFormed || !isConsistent(value as unknown as Message)) return undefined;
  return value as unknown as Message;
}

function isConsistent(message: Message): boolean {
  switch (message.kind) {
    case "append":
    case "fetch":
      return message.from < message.to && message.to - message.from <= MAX_ENTRIES_PER_MESSAGE;
    case "entry":
      return (message.record === undefined) === (message.salt === undefined);
    case "hello":
      return (message.note === undefined) === (message.size === 0);
    default:
      return true;
  }
}
