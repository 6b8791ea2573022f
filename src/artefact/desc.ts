import { isAscii, isUtf8 } from "node:buffer";
import { quoted, type Refusal, refusal } from "../outcome.ts";

/** What is kept of a package's `desc`. */
export interface Desc {
  readonly name: string;
  readonly version: string;
  /** %SHA256SUM%, lower-case hex; undefined where there is only an MD5 sum. */
  readonly sha256: string | undefined;
  /** %BUILDDATE%, seconds since 1970. */
  readonly buildDate: number;
}

/** Largest `desc` in bytes, so that no line is longer than the 512 KiB at which pacman gives up. Real ones stay below 64 KiB. */
export const MAX_DESC_BYTES = 512 * 1024;

/** Longest NAME-VERSION and file name, in bytes: repo-add unpacks them into a file system. */
const MAX_COMPONENT_BYTES = 255;

const PACKAGE_NAME = /^[A-Za-z0-9@_+][A-Za-z0-9@._+-]*$/;

/**
 * `[epoch:]pkgver-pkgrel`. alpm-pkgver(7): ASCII without spaces and `: / - < > =`, which makes NAME-VERSION unambiguous.
 */
const VERSION = /^(?:[0-9]+:)?[!-,.0-9;?-~]+-[0-9]+(?:\.[0-9]+)?$/;

/** At most 15 digits: a number that JavaScript, and so the log's entry, holds exactly. */
const DECIMAL = /^(?:0|[1-9][0-9]{0,14})$/;

/** RFC 4648, 4, with padding; in groups of four digits. */
const BASE64 = /^[A-Za-z0-9+/]*(={0,2})$/;
/** pacman takes no signature that is longer. */
const MAX_SIGNATURE_BYTES = 16 * 1024;

/** A section that is known: what its lines look like beyond being printable text. */
interface Section {
  /** Of one line, or of one line or more. */
  readonly lines: "one" | "many";
  /** Each line matches; undefined for free text. */
  readonly grammar?: { test(line: string): boolean };
  /** The grammar in words. */
  readonly expected?: string;
  /** repo-add writes it for every package that makepkg made. */
  readonly required?: true;
}

const SECTIONS: ReadonlyMap<string, Section> = new Map<string, Section>([
  [
    "FILENAME",
    { lines: "one", required: true, grammar: /^(?![.-])[!-.0-~]{1,255}$/, expected: "a file name" },
  ],
  ["NAME", { lines: "one", required: true, grammar: PACKAGE_NAME, expected: "a package name" }],
  ["BASE", { lines: "one", grammar: PACKAGE_NAME, expected: "a package name" }],
  ["VERSION", { lines: "one", required: true, grammar: VERSION, expected: "[epoch:]pkgver-pkgrel" }],
  ["DESC", { lines: "one" }],
  ["GROUPS", { lines: "many" }],
  ["CSIZE", { lines: "one", required: true, grammar: DECIMAL, expected: "a decimal number" }],
  ["ISIZE", { lines: "one", required: true, grammar: DECIMAL, expected: "a decimal number" }],
  ["MD5SUM", { lines: "one", grammar: /^[0-9a-f]{32}$/, expected: "32 lower-case hex digits" }],
  ["SHA256SUM", { lines: "one", grammar: /^[0-9a-f]{64}$/, expected: "64 lower-case hex digits" }],
  ["PGPSIG", { lines: "one", grammar: { test: isBase64 }, expected: "base64 of at most 16 KiB" }],
  ["URL", { lines: "one" }],
  ["LICENSE", { lines: "many" }],
  ["ARCH", { lines: "one", required: true, grammar: /^[A-Za-z0-9_]+$/, expected: "an architecture" }],
  ["BUILDDATE", { lines: "one", required: true, grammar: DECIMAL, expected: "a decimal number" }],
  ["PACKAGER", { lines: "one" }],
  ["REPLACES", { lines: "many" }],
  ["CONFLICTS", { lines: "many" }],
  ["PROVIDES", { lines: "many" }],
  ["DEPENDS", { lines: "many" }],
  ["OPTDEPENDS", { lines: "many" }],
  ["MAKEDEPENDS", { lines: "many" }],
  ["CHECKDEPENDS", { lines: "many" }],
  // Read by pacman, not written by repo-add so far.
  ["DATA", { lines: "many", grammar: /^[a-z][a-z0-9_-]*=.*$/, expected: "key=value" }],
]);

const REQUIRED = [...SECTIONS].filter(([, section]) => section.required).map(([key]) => key);

/**
 * A section is `%KEY%`, at least one line, and an empty line. No line holds a control character, and none is what a line-based
 * reader, repo-add's own sed or archweb's, which trims white space, would take for a header.
 */
const KEY = /^[A-Z0-9]+$/;
const HEADER_LIKE = /^[ \x80-\xff]*%[A-Z0-9_]+%[ \x80-\xff]*$/m;

/** A C1 control character, U+0080 to U+009F, in UTF-8. */
const C1 = /\xc2[\x80-\x9f]/;

/**
 * Splits a database's directory name. Undefined unless it is NAME-VERSION of at most 255 bytes. Controlled by: the client.
 */
export function parseDirectory(directory: string): { name: string; version: string } | undefined {
  if (directory.length > MAX_COMPONENT_BYTES) return undefined;
  const split = directory.lastIndexOf("-", directory.lastIndexOf("-") - 1);
  if (split < 1) return undefined;
  const name = directory.slice(0, split);
  const version = directory.slice(split + 1);
  return PACKAGE_NAME.test(name) && VERSION.test(version) ? { name, version } : undefined;
}

/**
 * Reads the `desc` of the package in `directory`. Controlled by: the client, every byte. Sections in any order, each key
 * known and at most once, values by its grammar, at least one checksum, the layout exactly that of repo-add. Anything
 * else is `bad-database`.
 */
export function parseDesc(content: Buffer, directory: string): Desc | Refusal {
  const bad = (reason: string) => refusal("bad-database", `${reason} in the desc of ${quoted(directory)}`);
  // Latin-1 keeps one character a byte; what is not ASCII is only ever part of free text.
  const text = content.toString("latin1");
  if (!isAscii(content) && (!isUtf8(content) || C1.test(text))) return bad("expected printable UTF-8");
  const malformed = () => bad("expected sections of one header, printable lines and an empty line");
  if (hasControl(content)) return malformed();
  const values = new Map<string, string>();
  for (let at = 0, end = 0; at < text.length; at = end + 2) {
    const headerEnd = text.indexOf("%\n", at + 1);
    end = headerEnd < 0 ? -1 : text.indexOf("\n\n", headerEnd + 1);
    if (text[at] !== "%" || end <= headerEnd + 1) return malformed();
    const key = text.slice(at + 1, headerEnd);
    const value = text.slice(headerEnd + 2, end);
    const section = SECTIONS.get(key);
    if (section === undefined)
      return KEY.test(key) ? bad(`expected known sections, not ${quoted(key)},`) : malformed();
    if (value.includes("%") && HEADER_LIKE.test(value)) return malformed();
    if (values.has(key)) return bad(`expected one section ${key}`);
    if (section.lines === "one" && value.includes("\n")) return bad(`expected one line as ${key}`);
    if (!isWellFormed(value, section)) return bad(`expected ${section.expected} as ${key}`);
    values.set(key, value);
  }
  const missing = REQUIRED.find((key) => !values.has(key));
  if (missing !== undefined) return bad(`expected a section ${missing}`);
  const sha256 = values.get("SHA256SUM");
  if (sha256 === undefined && !values.has("MD5SUM")) return bad("expected a section SHA256SUM or MD5SUM");
  const name = values.get("NAME") ?? "";
  const version = values.get("VERSION") ?? "";
  return { name, version, sha256, buildDate: Number(values.get("BUILDDATE")) };
}

function isBase64(text: string): boolean {
  const padding = BASE64.exec(text)?.[1]?.length;
  if (padding === undefined || text.length % 4 !== 0) return false;
  return (text.length / 4) * 3 - padding <= MAX_SIGNATURE_BYTES;
}

/** C0 but for the newline, and DEL. Each byte is looked at here: an expression takes twice as long. */
function hasControl(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if ((byte < 0x20 && byte !== 0x0a) || byte === 0x7f) return true;
  }
  return false;
}

function isWellFormed(value: string, { lines, grammar }: Section): boolean {
  if (grammar === undefined) return true;
  return lines === "one" ? grammar.test(value) : value.split("\n").every((line) => grammar.test(line));
}
