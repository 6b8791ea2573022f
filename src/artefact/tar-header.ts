import { isUtf8 } from "node:buffer";
import { quoted, type Refusal, refusal } from "../outcome.ts";

/** Unit of a tar archive (POSIX.1-2017, pax, "ustar Interchange Format"). */
export const BLOCK_BYTES = 512;

/** A header that passed every check that needs no other block. */
export interface TarHeader {
  /** Name and prefix joined: relative, no empty, `.` or `..` component, perhaps with a trailing slash. */
  readonly path: string;
  readonly kind: "file" | "directory" | "pax";
  /** Of the content that follows, in bytes; 0 for a directory. */
  readonly size: number;
  /** The owner is in libarchive's base-256 form: allowed only if a pax header gives it in decimal. */
  readonly largeUid: boolean;
  readonly largeGid: boolean;
}

/** Offset and length of the fields (POSIX.1-2017, pax, "ustar Header Block"). */
const NAME = [0, 100] as const;
const MODE = [100, 8] as const;
const UID = [108, 8] as const;
const GID = [116, 8] as const;
const SIZE = [124, 12] as const;
const MTIME = [136, 12] as const;
const CHECKSUM = [148, 8] as const;
const TYPEFLAG = 156;
const LINKNAME = [157, 100] as const;
const MAGIC = [257, 8] as const;
const UNAME = [265, 32] as const;
const GNAME = [297, 32] as const;
const DEVMAJOR = [329, 8] as const;
const DEVMINOR = [337, 8] as const;
const PREFIX = [345, 155] as const;
const RESERVED = [500, 12] as const;

type Field = readonly [offset: number, length: number];

/** magic `ustar\0`, version `00`. GNU tar's own format has `ustar  \0` here. */
const USTAR = Buffer.from("ustar\x0000", "latin1");

/**
 * bzip2's magic and its block magic, the only ones of a compression that are printable: libarchive, and so pacman, looks for
 * compression below gzip and zstd as well, and would decompress an archive whose first name begins like this.
 */
const BZIP2_MAGIC = /^BZh[1-9]1AY&SY/;

/** Permissions, set-user-id, set-group-id and sticky (POSIX.1-2017, pax, "ustar Header Block": mode). */
const MAX_MODE = 0o7777;

/** What the type flags that a database never has stand for, for the message. */
const REFUSED_KINDS: ReadonlyMap<string, string> = new Map([
  ["\0", "an old-style file"],
  ["1", "a hard link"],
  ["2", "a symbolic link"],
  ["3", "a character device"],
  ["4", "a block device"],
  ["6", "a FIFO"],
  ["7", "a contiguous file"],
  ["g", "a global pax header"],
  ["K", "a GNU long link"],
  ["L", "a GNU long name"],
  ["S", "a sparse file"],
]);

/**
 * Reads one header block of exactly {@link BLOCK_BYTES}, not all zeros. Controlled by: the client, every byte. Every byte
 * of the block is looked at: text fields hold nothing behind their NUL, numbers are octal digits and nothing else, unused
 * fields are zero. Anything else is `bad-archive`.
 */
export function parseTarHeader(block: Buffer): TarHeader | Refusal {
  if (block.compare(USTAR, 0, USTAR.length, MAGIC[0], MAGIC[0] + MAGIC[1]) !== 0) {
    return bad("expected a ustar header (magic `ustar`, version 00)");
  }
  if (!checksumIsRight(block)) return bad("expected a tar header with a correct checksum");
  const path = pathOf(block);
  if (path === undefined)
    return bad("expected an entry name in UTF-8, ended by NULs, without control characters");
  if (block[0] === 0x42 && BZIP2_MAGIC.test(block.toString("latin1", 0, 10)))
    return bad("expected a name that is not bzip2's magic");
  if (!isSafePath(path))
    return bad(`expected a relative path without . and .. components, not ${quoted(path)}`);
  if (!isZero(block, LINKNAME) || !isZero(block, RESERVED)) {
    return bad(`expected unused header fields to be zero in ${quoted(path)}`);
  }
  if (!isTextField(block, UNAME) || !isTextField(block, GNAME)) {
    return bad(`expected printable names of user and group, ended by NULs, in ${quoted(path)}`);
  }
  const size = ended(block, SIZE);
  const mode = ended(block, MODE);
  const numbersAreOctal =
    size !== undefined &&
    mode !== undefined &&
    mode <= MAX_MODE &&
    ended(block, MTIME) !== undefined &&
    isUnusedNumber(block, DEVMAJOR) &&
    isUnusedNumber(block, DEVMINOR);
  const uid = ownerForm(block, UID);
  const gid = ownerForm(block, GID);
  if (!numbersAreOctal || uid === undefined || gid === undefined) {
    return bad(`expected octal numbers in the header of ${quoted(path)}`);
  }
  const kind = kindOf(block);
  if (kind === undefined) return refusedKind(block, path);
  if (kind === "directory" && size !== 0) return bad(`expected a directory without content: ${quoted(path)}`);
  return { path, kind, size, largeUid: uid === "base-256", largeGid: gid === "base-256" };
}

/** Whether a path stays where it is unpacked. One trailing slash is allowed; a leading one, `//`, `.` and `..` are not. */
export function isSafePath(path: string): boolean {
  return path !== "" && !/^\/|(?:^|\/)(?:\.?\.?)\/|(?:^|\/)\.\.?$/.test(path);
}

/** Bytes as text: undefined unless they are UTF-8 without control characters (C0, DEL, C1). */
export function printableText(bytes: Buffer): string | undefined {
  if (!isUtf8(bytes)) return undefined;
  const text = bytes.toString("utf8");
  return /[\x00-\x1f\x7f-\x9f]/.test(text) ? undefined : text;
}

function kindOf(block: Buffer): TarHeader["kind"] | undefined {
  switch (block[TYPEFLAG]) {
    case 0x30: // "0"
      return "file";
    case 0x35: // "5"
      return "directory";
    case 0x78: // "x"
      return "pax";
    default:
      return undefined;
  }
}

function refusedKind(block: Buffer, path: string): Refusal {
  const flag = block.toString("latin1", TYPEFLAG, TYPEFLAG + 1);
  const what = REFUSED_KINDS.get(flag) ?? `type ${quoted(flag)}`;
  return bad(`expected files and directories only, not ${what}: ${quoted(path)}`);
}

/** Six octal digits, NUL, space: the sum of all bytes, the field itself counted as spaces. */
function checksumIsRight(block: Buffer): boolean {
  const [offset, length] = CHECKSUM;
  let sum = length * 0x20;
  for (let index = 0; index < offset; index++) sum += block[index] as number;
  for (let index = offset + length; index < BLOCK_BYTES; index++) sum += block[index] as number;
  const isEnded = block[offset + 6] === 0 && block[offset + 7] === 0x20;
  return isEnded && octal(block, [offset, 6]) === sum && isDigit(block[offset + 5] as number);
}

function pathOf(block: Buffer): string | undefined {
  const name = textField(block, NAME);
  const prefix = textField(block, PREFIX);
  if (name === undefined || prefix === undefined || name === "") return undefined;
  return prefix === "" ? name : `${prefix}/${name}`;
}

/** Printable text up to the first NUL or the field's end; undefined for any other, or if anything but NULs follows. */
function textField(block: Buffer, field: Field): string | undefined {
  const [offset] = field;
  const end = plainEnd(block, field);
  if (end !== undefined) return end === offset ? "" : block.toString("latin1", offset, end);
  return isTextField(block, field) ? printableText(block.subarray(offset, textEnd(block, field))) : undefined;
}

/** Whether {@link textField} would be text, which is not made. */
function isTextField(block: Buffer, field: Field): boolean {
  if (plainEnd(block, field) !== undefined) return true;
  const [offset, length] = field;
  const end = textEnd(block, field);
  return (
    isZero(block, [end, offset + length - end]) && printableText(block.subarray(offset, end)) !== undefined
  );
}

/** Where the text of a field ends that is printable ASCII, with NULs alone behind it; undefined for any other. */
function plainEnd(block: Buffer, field: Field): number | undefined {
  const [offset, length] = field;
  const end = textEnd(block, field);
  for (let at = offset; at < end; at++) if (!isPlain(block[at] as number)) return undefined;
  return isZero(block, [end, offset + length - end]) ? end : undefined;
}

/** Where the first NUL of a field is, or its end. */
function textEnd(block: Buffer, [offset, length]: Field): number {
  let end = offset;
  while (end < offset + length && block[end] !== 0) end++;
  return end;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x37;
}

/** Printable ASCII. */
function isPlain(byte: number): boolean {
  return byte >= 0x20 && byte < 0x7f;
}

function isZero(block: Buffer, [offset, length]: Field): boolean {
  for (let index = offset; index < offset + length; index++) if (block[index] !== 0) return false;
  return true;
}

/** An octal number with at least one space or NUL behind it. */
function ended(block: Buffer, field: Field): number | undefined {
  const last = block[field[0] + field[1] - 1];
  return last === 0 || last === 0x20 ? octal(block, field) : undefined;
}

/** Octal digits up to the field's end or to spaces and NULs that fill it; undefined for anything else. */
function octal(block: Buffer, [offset, length]: Field): number | undefined {
  let value = 0;
  let index = offset;
  for (; index < offset + length; index++) {
    const digit = (block[index] ?? 0) - 0x30;
    if (digit < 0 || digit > 7) break;
    value = value * 8 + digit;
  }
  if (index === offset) return undefined;
  for (; index < offset + length; index++) if (block[index] !== 0 && block[index] !== 0x20) return undefined;
  return value;
}

/** Device numbers of what is no device: zero, in octal or as NULs. */
function isUnusedNumber(block: Buffer, field: Field): boolean {
  return octal(block, field) === 0 || isZero(block, field);
}

/** libarchive writes an owner of 8^8 and more in base 256, first byte 0x80, and gives it in a pax header as well. */
function ownerForm(block: Buffer, field: Field): "octal" | "base-256" | undefined {
  if (octal(block, field) !== undefined) return "octal";
  return block[field[0]] === 0x80 ? "base-256" : undefined;
}

function bad(reason: string): Refusal {
  return refusal("bad-archive", reason);
}
