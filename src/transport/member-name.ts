import { isRefusal, quoted, type Refusal, refusal } from "../outcome.ts";
import { type FileName, parseFileName } from "../request/request.ts";

/** What is put behind a file's name for its signature. */
export const SIGNATURE_SUFFIX = ".sig";
/** Longest name in a batch, in characters: with the suffix it is still a name that file systems hold. */
const MAX_NAME_CHARACTERS = 255 - SIGNATURE_SUFFIX.length;

/** Largest extended header that is read, in bytes. */
export const MAX_EXTENSION_BYTES = 64 * 1024;

/** Extended headers that say how to read the content: sparse files of GNU tar and star, another size or charset. */
const CHANGES_CONTENT =
  /^(?:GNU\.sparse\.|SCHILY\.(?:realsize|sparse|filetype)|size$|linkpath$|hdrcharset$|charset$)/;
const RECORD = /^(?<length>[1-9][0-9]{0,5}) (?<key>[\x21-\x3c\x3e-\x7e]{1,255})=/;
const NEWLINE = 0x0a;

/** A stranger's name of a member as a {@link FileName}; `bad-archive` for paths and everything that could be one. */
export function parseMemberName(text: string): FileName | Refusal {
  const name = parseFileName(text);
  if (name === undefined || name.length > MAX_NAME_CHARACTERS)
    return bad(
      `expected a plain file name of at most ${MAX_NAME_CHARACTERS} letters, digits and @._+-, without ./ or folders, not ${quoted(text)}`,
    );
  return name;
}

/** The content of GNU tar's long name: the name, which is longer than a header holds, and one NUL. */
export function parseLongName(content: Buffer): string | Refusal {
  const end = content.length - 1;
  if (end <= 0 || content.indexOf(0) !== end) return bad("expected a long name ended by a NUL");
  return content.toString("latin1", 0, end);
}

/**
 * The name that an extended header gives (POSIX.1-2017, pax, "pax Extended Header"), undefined where it gives none; times,
 * owners and attributes are passed over. `bad-archive` for one that is malformed, or that changes what the content is.
 */
export function parsePaxName(content: Buffer): string | undefined | Refusal {
  const keys = new Set<string>();
  let path: string | undefined;
  for (let at = 0; at < content.length; ) {
    const record = recordAt(content, at);
    if (isRefusal(record)) return record;
    const { key, value, length } = record;
    if (keys.has(key)) return bad(`expected one pax record of the key ${quoted(key)}`);
    keys.add(key);
    if (CHANGES_CONTENT.test(key)) return bad(`expected a plain file, without the pax record ${quoted(key)}`);
    if (key === "path") path = value.toString("latin1");
    at += length;
  }
  return keys.size === 0 ? bad("expected a record in the pax header") : path;
}

function recordAt(content: Buffer, at: number): { key: string; value: Buffer; length: number } | Refusal {
  const malformed = () => bad("expected pax records of the form LENGTH KEY=VALUE");
  const match = RECORD.exec(content.toString("latin1", at, at + 264));
  const { length: digits, key } = match?.groups ?? {};
  if (match === null || digits === undefined || key === undefined) return malformed();
  const length = Number(digits);
  const start = match[0].length;
  if (at + length > content.length || length <= start || content[at + length - 1] !== NEWLINE)
    return malformed();
  return { key, value: content.subarray(at + start, at + length - 1), length };
}

function bad(reason: string): Refusal {
  return refusal("bad-archive", reason);
}
