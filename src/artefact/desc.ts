import { isAscii, isUtf8 } from "node:buffer";
import { quoted, type Refusal, refusal } from "../outcome.ts";
import { isBase64, isDecimal, isHeaderLike, isHex, lineEnd } from "./line-grammar.ts";

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

/** pacman takes no signature that is longer. */
const MAX_SIGNATURE_BYTES = 16 * 1024;

/** Whether the line from `from` to `to` (exclusive) is well-formed; it has no control character. */
type Grammar = (bytes: Buffer, from: number, to: number) => boolean;

/** A section that is known: what its lines look like beyond being printable text. */
interface Section {
  /** Of one line, or of one line or more. */
  readonly lines: "one" | "many";
  /** Each line's; undefined for free text. */
  readonly grammar?: Grammar;
  /** The grammar in words. */
  readonly expected?: string;
  /** repo-add writes it for every package that makepkg made. */
  readonly required?: true;
}

const matching =
  (pattern: RegExp): Grammar =>
  (bytes, from, to) =>
    pattern.test(bytes.toString("latin1", from, to));
const hex =
  (digits: number): Grammar =>
  (bytes, from, to) =>
    isHex(bytes, from, to, digits);
const signature: Grammar = (bytes, from, to) => isBase64(bytes, from, to, MAX_SIGNATURE_BYTES);
const packageName = { grammar: matching(PACKAGE_NAME), expected: "a package name" } as const;
const decimal = { grammar: isDecimal, expected: "a decimal number" } as const;

const SECTIONS: ReadonlyMap<string, Section> = new Map<string, Section>([
  [
    "FILENAME",
    { lines: "one", required: true, grammar: matching(/^(?![.-])[!-.0-~]{1,255}$/), expected: "a file name" },
  ],
  ["NAME", { lines: "one", required: true, ...packageName }],
  ["BASE", { lines: "one", ...packageName }],
  [
    "VERSION",
    { lines: "one", required: true, grammar: matching(VERSION), expected: "[epoch:]pkgver-pkgrel" },
  ],
  ["DESC", { lines: "one" }],
  ["GROUPS", { lines: "many" }],
  ["CSIZE", { lines: "one", required: true, ...decimal }],
  ["ISIZE", { lines: "one", required: true, ...decimal }],
  ["MD5SUM", { lines: "one", grammar: hex(32), expected: "32 lower-case hex digits" }],
  ["SHA256SUM", { lines: "one", grammar: hex(64), expected: "64 lower-case hex digits" }],
  ["PGPSIG", { lines: "one", grammar: signature, expected: "base64 of at most 16 KiB" }],
  ["URL", { lines: "one" }],
  ["LICENSE", { lines: "many" }],
  [
    "ARCH",
    { lines: "one", required: true, grammar: matching(/^[A-Za-z0-9_]+$/), expected: "an architecture" },
  ],
  ["BUILDDATE", { lines: "one", required: true, ...decimal }],
  ["PACKAGER", { lines: "one" }],
  ["REPLACES", { lines: "many" }],
  ["CONFLICTS", { lines: "many" }],
  ["PROVIDES", { lines: "many" }],
  ["DEPENDS", { lines: "many" }],
  ["OPTDEPENDS", { lines: "many" }],
  ["MAKEDEPENDS", { lines: "many" }],
  ["CHECKDEPENDS", { lines: "many" }],
  // Read by pacman, not written by repo-add so far.
  ["DATA", { lines: "many", grammar: matching(/^[a-z][a-z0-9_-]*=.*$/), expected: "key=value" }],
]);

/** Sections by what {@link sign} says of their keys: a string for each header would take longer than all the rest. */
const BY_SIGN = new Map<number, KnownSection>();
interface KnownSection extends Section {
  readonly key: string;
  readonly keyBytes: Buffer;
}
for (const [key, section] of SECTIONS) {
  const keyBytes = Buffer.from(key);
  if (BY_SIGN.has(sign(keyBytes, 0, keyBytes.length))) throw new Error(`${key} is not told apart`);
  BY_SIGN.set(sign(keyBytes, 0, keyBytes.length), { ...section, key, keyBytes });
}

/** Length and first two bytes, which no two known keys share. */
function sign(bytes: Buffer, from: number, to: number): number {
  return (to - from) * 65_536 + (bytes[from] ?? 0) * 256 + (bytes[from + 1] ?? 0);
}

const REQUIRED = [...SECTIONS].filter(([, section]) => section.required).map(([key]) => key);

const KEY = /^[A-Z0-9]+$/;
const PERCENT = 0x25;

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
 * Reads the `desc` of the package in `directory`. Controlled by: the client, every byte. A section is `%KEY%`, at least one line,
 * and an empty line; no line holds a control character or could be taken for a header. Sections in any order, each key
 * known and at most once, values by its grammar, at least one checksum, the layout exactly that of repo-add. Anything
 * else is `bad-database`.
 */
export function parseDesc(content: Buffer, directory: string): Desc | Refusal {
  const bad = (reason: string) => refusal("bad-database", `${reason} in the desc of ${quoted(directory)}`);
  if (!isAscii(content) && !isPrintableUtf8(content)) return bad("expected printable UTF-8");
  /** Where the value of each section begins; all of one line, which is what is kept, end before their newline. */
  const values = new Map<string, number>();
  for (let at = 0; at < content.length; ) {
    const headerEnd = lineEnd(content, at);
    if (headerEnd - at < 3 || content[at] !== PERCENT || content[headerEnd - 1] !== PERCENT)
      return bad(LAYOUT);
    const section = knownSection(content, at + 1, headerEnd - 1);
    if (section === undefined) return bad(describeUnknown(content, at + 1, headerEnd - 1));
    const { key } = section;
    if (values.has(key)) return bad(`expected one section ${key}`);
    const start = headerEnd + 1;
    values.set(key, start);
    let from = start;
    for (;;) {
      const to = lineEnd(content, from);
      if (to < 0 || isHeaderLike(content, from, to)) return bad(LAYOUT);
      if (to === from) break;
      if (from > start && section.lines === "one") return bad(`expected one line as ${key}`);
      if (section.grammar?.(content, from, to) === false)
        return bad(`expected ${section.expected} as ${key}`);
      from = to + 1;
    }
    if (from === start) return bad(LAYOUT);
    at = from + 1;
  }
  const missing = REQUIRED.find((key) => !values.has(key));
  if (missing !== undefined) return bad(`expected a section ${missing}`);
  const lineOf = (key: string) => lineAt(content, values.get(key));
  const sha256 = lineOf("SHA256SUM");
  if (sha256 === undefined && !values.has("MD5SUM")) return bad("expected a section SHA256SUM or MD5SUM");
  const name = lineOf("NAME") ?? "";
  const version = lineOf("VERSION") ?? "";
  return { name, version, sha256, buildDate: Number(lineOf("BUILDDATE")) };
}

const LAYOUT = "expected sections of one header, printable lines and an empty line";

/** The section whose key is the bytes from `from` to `to`. */
function knownSection(content: Buffer, from: number, to: number): KnownSection | undefined {
  const section = BY_SIGN.get(sign(content, from, to));
  if (section === undefined) return undefined;
  const { keyBytes } = section;
  for (let at = 0; at < keyBytes.length; at++) if (content[from + at] !== keyBytes[at]) return undefined;
  return section;
}

function describeUnknown(content: Buffer, from: number, to: number): string {
  const key = content.toString("latin1", from, to);
  return KEY.test(key) ? `expected known sections, not ${quoted(key)},` : LAYOUT;
}

function lineAt(content: Buffer, from: number | undefined): string | undefined {
  return from === undefined ? undefined : content.toString("latin1", from, lineEnd(content, from));
}

function isPrintableUtf8(content: Buffer): boolean {
  return isUtf8(content) && !C1.test(content.toString("latin1"));
}
