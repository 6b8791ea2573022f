import { quoted, type Refusal, refusal } from "../outcome.ts";
import { isSafePath, printableText } from "./tar-header.ts";

/** What an extended header says about the entry after it. */
export interface PaxHeader {
  /** Replaces the entry's name; checked like one. */
  readonly path: string | undefined;
  readonly hasUid: boolean;
  readonly hasGid: boolean;
}

/** Largest extended header in bytes: a path, an ACL and a security label are a few KiB, Linux's largest attribute is 64. */
export const MAX_PAX_BYTES = 64 * 1024;

/** Longest path in bytes: a directory that a file system can hold (255), a slash and `files`, with room to spare. */
const MAX_PATH_BYTES = 1024;

const SPACE = 0x20;
const NEWLINE = 0x0a;
const EQUALS = 0x3d;

/** What the values of the known keys look like. Keys that only carry metadata of the file system are bounded, no more. */
const VALUES: ReadonlyMap<string, RegExp> = new Map([
  ["mtime", /^-?[0-9]{1,20}(?:\.[0-9]{1,9})?$/],
  ["uid", /^[0-9]{1,20}$/],
  ["gid", /^[0-9]{1,20}$/],
  ["SCHILY.acl.access", /^[\x20-\x7e\n]+$/],
  ["SCHILY.acl.default", /^[\x20-\x7e\n]+$/],
  ["SCHILY.fflags", /^[a-z0-9,]+$/],
]);

/** Extended attributes: any value; the key's rest is the attribute's name. */
const ATTRIBUTE = /^(?:SCHILY|LIBARCHIVE)\.xattr\.[\x21-\x3c\x3e-\x7e]+$/;

/**
 * Reads the records of an extended header, `LENGTH KEY=VALUE\n` (POSIX.1-2017, pax, "pax Extended Header"). Controlled by:
 * the client, every byte. The lengths must add up exactly, keys must be known ones and each occur once; anything else is
 * `bad-archive`.
 */
export function parsePaxHeader(content: Buffer): PaxHeader | Refusal {
  const keys = new Set<string>();
  let path: string | undefined;
  for (let at = 0; at < content.length; ) {
    const record = recordAt(content, at);
    if (record === undefined) return bad("expected pax records of the form LENGTH KEY=VALUE");
    const { key, value } = record;
    if (keys.has(key)) return bad(`expected one pax record of the key ${quoted(key)}`);
    keys.add(key);
    if (key === "path") {
      path = printableText(value);
      if (path === undefined || value.length > MAX_PATH_BYTES || !isSafePath(path)) {
        return bad("expected a relative path of at most 1024 bytes of UTF-8 in the pax header");
      }
    } else if (!isKnown(key, value))
      return bad(`expected known pax keys with well-formed values, not ${quoted(key)}`);
    at += record.length;
  }
  if (keys.size === 0) return bad("expected a record in the pax header");
  return { path, hasUid: keys.has("uid"), hasGid: keys.has("gid") };
}

function isKnown(key: string, value: Buffer): boolean {
  const grammar = VALUES.get(key);
  return grammar === undefined ? ATTRIBUTE.test(key) : grammar.test(value.toString("latin1"));
}

function recordAt(content: Buffer, at: number): { key: string; value: Buffer; length: number } | undefined {
  const space = content.indexOf(SPACE, at);
  if (space < 0 || space - at > 5) return undefined;
  const digits = content.toString("latin1", at, space);
  if (!/^[1-9][0-9]*$/.test(digits)) return undefined;
  const length = Number(digits);
  const end = at + length;
  if (end > content.length || content[end - 1] !== NEWLINE) return undefined;
  const equals = content.indexOf(EQUALS, space);
  if (equals < 0 || equals >= end) return undefined;
  const key = content.toString("latin1", space + 1, equals);
  return { key, value: content.subarray(equals + 1, end - 1), length };
}

function bad(reason: string): Refusal {
  return refusal("bad-archive", reason);
}
