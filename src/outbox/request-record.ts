import { type AnnouncedFile, parseAnnounced } from "../exchange/notification.ts";
import { encodeCanonicalJson, membersOf, parseCanonicalJson } from "../log/canonical-json.ts";
import type { LockHolder } from "../repository/lock-holder.ts";
import { ownedName, parseOwnedName } from "./owner.ts";

/** Raised with every change. */
const VERSION = 1;
/** Longest record, in bytes: ours have less than a thousand. */
export const MAX_RECORD_BYTES = 4096;
const LABEL = /^request\.([1-9]\d{0,15})$/;

/** A request that somebody waits for: a file of its own in `requests`, whose name says who. */
export interface RequestRecord {
  readonly file: AnnouncedFile;
  /** When whoever waits gives up; ms since 1970. */
  readonly expiresMs: number;
}

/** The name of a record of this process. */
export function recordName(seq: number): string {
  return ownedName(`request.${seq}`);
}

/** Reads it; undefined for any other name. */
export function parseRecordName(
  name: string,
): { readonly seq: number; readonly owner: LockHolder } | undefined {
  const owned = parseOwnedName(name);
  const [, seq] = LABEL.exec(owned?.label ?? "") ?? [];
  return owned === undefined || seq === undefined ? undefined : { seq: Number(seq), owner: owned.owner };
}

export function encodeRecord({ file, expiresMs }: RequestRecord): string {
  return `${encodeCanonicalJson({ version: VERSION, expires: expiresMs, file: { ...file } })}\n`;
}

/** Reads it; undefined for what {@link encodeRecord} would not have written. */
export function parseRecord(content: Uint8Array): RequestRecord | undefined {
  const text = Buffer.from(content).toString("latin1");
  const value = text.endsWith("\n") ? parseCanonicalJson(text.slice(0, -1)) : undefined;
  const { version, expires, file: member, ...others } = membersOf(value) ?? {};
  const file = parseAnnounced(member);
  if (version !== VERSION || Object.keys(others).length > 0 || file === undefined) return undefined;
  return typeof expires === "number" ? { file, expiresMs: expires } : undefined;
}
