import { BLOCK_BYTES, printableText } from "../artefact/tar-header.ts";
import { quoted, type Refusal, refusal } from "../outcome.ts";

/** One header block of the outer archive. The owner, mode and times of a file mean nothing here and are not looked at. */
export interface MemberHeader {
  readonly kind: "file" | "pax" | "gnu-long-name";
  /** Name and prefix joined: not checked any further. */
  readonly name: string;
  /** Of the content that follows, in bytes. */
  readonly size: number;
}

/** Offset and length of the fields (POSIX.1-2017, pax, "ustar Header Block"; GNU tar's own format has the same). */
const NAME = [0, 100] as const;
const SIZE = [124, 12] as const;
const CHECKSUM = [148, 8] as const;
const TYPEFLAG = 156;
const LINKNAME = [157, 100] as const;
const MAGIC = [257, 8] as const;
const PREFIX = [345, 155] as const;

type Field = readonly [offset: number, length: number];

/** Magic and version: POSIX `ustar\0` `00`; of GNU tar and busybox `ustar  \0` as one. */
const POSIX_MAGIC = "ustar\x0000";
const GNU_MAGIC = "ustar  \0";

/** What type flags that are refused stand for (POSIX.1-2017, pax; GNU tar manual, "Basic Tar Format"). */
const REFUSED_KINDS: ReadonlyMap<string, string> = new Map([
  ["\0", "an old-style file"],
  ["1", "a hard link"],
  ["2", "a symbolic link"],
  ["3", "a character device"],
  ["4", "a block device"],
  ["5", "a folder"],
  ["6", "a FIFO"],
  ["7", "a contiguous file"],
  ["g", "a global pax header"],
  ["K", "a long link name"],
  ["S", "a sparse file"],
]);

/**
 * Reads one header block of exactly {@link BLOCK_BYTES}, not all zeros, as GNU tar, bsdtar and busybox tar write it.
 * Controlled by: the client, every byte. Anything but a file, an extended header or a GNU long name is `bad-archive`.
 */
export function parseMemberHeader(block: Buffer): MemberHeader | Refusal {
  const magic = latin1(block, MAGIC);
  if (magic !== POSIX_MAGIC && magic !== GNU_MAGIC)
    return bad("expected an uncompressed tar archive of files (ustar, pax or GNU format)");
  if (!checksumIsRight(block)) return bad("expected a tar header with a correct checksum");
  const name = nameOf(block, magic);
  if (name === undefined) return bad("expected a printable file name, filled up with NULs");
  const flag = block.toString("latin1", TYPEFLAG, TYPEFLAG + 1);
  const kind = kindOf(flag);
  if (kind === undefined) {
    const what = REFUSED_KINDS.get(flag) ?? `type ${quoted(flag)}`;
    return bad(`expected plain files only, not ${what}: ${quoted(name)}`);
  }
  if (!isZero(block, LINKNAME)) return bad(`expected no link name beside ${quoted(name)}`);
  const size = octal(latin1(block, SIZE));
  if (size === undefined) return bad(`expected a size of less than 8 GiB in octal for ${quoted(name)}`);
  return { kind, name, size };
}

function kindOf(flag: string): MemberHeader["kind"] | undefined {
  switch (flag) {
    case "0":
      return "file";
    case "x":
      return "pax";
    case "L":
      return "gnu-long-name";
    default:
      return undefined;
  }
}

/** GNU tar's own format keeps times where the prefix is, in incremental backups only. */
function nameOf(block: Buffer, magic: string): string | undefined {
  const name = textField(block, NAME);
  const prefix = textField(block, PREFIX);
  if (name === undefined || name === "" || prefix === undefined) return undefined;
  if (prefix === "") return name;
  return magic === POSIX_MAGIC ? `${prefix}/${name}` : undefined;
}

/** Printable text up to the first NUL or the field's end; undefined for any other, or if anything but NULs follows. */
function textField(block: Buffer, [offset, length]: Field): string | undefined {
  const field = block.subarray(offset, offset + length);
  const nul = field.indexOf(0);
  const end = nul < 0 ? length : nul;
  return isZero(field, [end, length - end]) ? printableText(field.subarray(0, end)) : undefined;
}

/** Six octal digits, NUL, space, as all three write it: the sum of all bytes, the field itself counted as spaces. */
function checksumIsRight(block: Buffer): boolean {
  const [offset, length] = CHECKSUM;
  let sum = length * 0x20;
  for (let index = 0; index < BLOCK_BYTES; index++)
    if (index < offset || index >= offset + length) sum += block[index] ?? 0;
  return latin1(block, CHECKSUM) === `${sum.toString(8).padStart(6, "0")}\0 `;
}

/** Octal digits, then NULs or spaces to the end of the field; busybox fills it with eleven digits and no end. */
function octal(field: string): number | undefined {
  const digits = /^(?<digits>[0-7]{1,12})[\0 ]*$/.exec(field)?.groups?.["digits"];
  const value = digits === undefined ? undefined : Number.parseInt(digits, 8);
  return value === undefined || value > MAX_OCTAL_SIZE ? undefined : value;
}

/** Eleven octal digits, the largest size that ustar has: 8 GiB less one byte. */
const MAX_OCTAL_SIZE = 0o77777777777;

function latin1(block: Buffer, [offset, length]: Field): string {
  return block.toString("latin1", offset, offset + length);
}

function isZero(block: Buffer, [offset, length]: Field): boolean {
  return block.subarray(offset, offset + length).every((byte) => byte === 0);
}

function bad(reason: string): Refusal {
  return refusal("bad-archive", reason);
}
