/** An entry to write, right or wrong: what is left out is as bsdtar writes it. */
export interface TarEntry {
  readonly name: string | Buffer;
  readonly prefix?: string;
  /** Default "0". */
  readonly type?: string;
  readonly content?: string | Buffer;
  readonly mode?: number;
  readonly linkname?: string;
  /** Overwrites raw header bytes, [offset, bytes], before the checksum is made. */
  readonly patch?: readonly (readonly [number, Buffer | string])[];
  /** Overwrites raw header bytes after the checksum is made. */
  readonly patchAfterChecksum?: readonly (readonly [number, Buffer | string])[];
  /** What stands in the size field, if not the content's size. */
  readonly size?: number;
  /** What fills up the last block of the content; default NULs. */
  readonly padding?: string;
}

function bytes(text: string | Buffer): Buffer {
  return typeof text === "string" ? Buffer.from(text, "utf8") : text;
}

/** An octal field in the layout of libarchive: digits, a space and for the short ones a NUL. */
function octal(value: number, digits: number, end: string): string {
  return value.toString(8).padStart(digits, "0") + end;
}

/** One ustar entry: header, content, padding. */
export function tarEntry(entry: TarEntry): Buffer {
  const content = bytes(entry.content ?? "");
  const padded = Math.ceil(content.length / 512) * 512;
  const block = Buffer.alloc(512 + padded);
  bytes(entry.name).copy(block, 0, 0, 100);
  block.write(octal(entry.mode ?? 0o644, 6, " \0"), 100, "latin1");
  block.write(octal(0, 6, " \0"), 108, "latin1");
  block.write(octal(0, 6, " \0"), 116, "latin1");
  block.write(octal(entry.size ?? content.length, 11, " "), 124, "latin1");
  block.write(octal(1_700_000_000, 11, " "), 136, "latin1");
  block.write("        ", 148, "latin1");
  block.write(entry.type ?? "0", 156, "latin1");
  block.write(entry.linkname ?? "", 157, 100, "utf8");
  block.write("ustar\x0000root", 257, "latin1");
  block.write("root", 297, "latin1");
  block.write(octal(0, 6, " \0"), 329, "latin1");
  block.write(octal(0, 6, " \0"), 337, "latin1");
  block.write(entry.prefix ?? "", 345, 155, "utf8");
  for (const [offset, replacement] of entry.patch ?? []) bytes(replacement).copy(block, offset);
  let sum = 0;
  for (let index = 0; index < 512; index++) sum += block[index] ?? 0;
  block.write(octal(sum, 6, "\0 "), 148, "latin1");
  for (const [offset, replacement] of entry.patchAfterChecksum ?? []) bytes(replacement).copy(block, offset);
  content.copy(block, 512);
  block.write(entry.padding ?? "", 512 + content.length, "latin1");
  return block;
}

/** The extended header (`x`) that stands before an entry: records `LENGTH KEY=VALUE\n`. */
export function paxEntry(records: Readonly<Record<string, string>>): TarEntry {
  return { name: "PaxHeader/entry", type: "x", content: Object.entries(records).map(paxRecord).join("") };
}

/** One record; the length counts its own digits. */
export function paxRecord([key, value]: readonly [string, string]): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + 1;
  while (String(length).length + rest !== length) length++;
  return `${length} ${key}=${value}\n`;
}

/** Two zero blocks, then zeros up to a multiple of 10240, as bsdtar ends an archive of `length` bytes. */
export function archiveEnd(length: number): Buffer {
  return Buffer.alloc(Math.ceil((length + 1024) / 10240) * 10240 - length);
}

/** A whole archive of these entries. */
export function tarArchive(entries: readonly TarEntry[]): Buffer {
  const blocks = entries.map(tarEntry);
  const length = blocks.reduce((sum, block) => sum + block.length, 0);
  return Buffer.concat([...blocks, archiveEnd(length)]);
}
