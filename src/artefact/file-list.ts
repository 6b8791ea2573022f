import { isUtf8 } from "node:buffer";
import { quoted, type Refusal, refusal } from "../outcome.ts";

const HEADER = Buffer.from("%FILES%\n", "latin1");
const NEWLINE = 0x0a;

/** Longest line in bytes, newline included: PATH_MAX (4096), each byte as `\ooo`, which is how bsdtar prints what is not printable. */
const MAX_LINE_BYTES = 16 * 1024;

/** NUL, BS, CR, ESC, DEL: what ends a string in C, or moves the cursor of whoever runs `pacman -F`. bsdtar writes none. */
const FORBIDDEN = [0x00, 0x08, 0x0d, 0x1b, 0x7f] as const;

/**
 * A path's beginning that is absolute or a `.` or `..` component, an empty line, or one that a line-based reader such as
 * archweb's, which trims white space, takes for a header: it would go on with another section.
 */
const BAD_START = /^(?:\n|\.?\.?\/|\.\.?\n|[ \x80-\xff]*%[A-Z0-9_]+%[ \x80-\xff]*\n)/;

/** The same after another line, and `//`, `/./`, `/../`, `/.` and `/..` inside one. */
const BAD_PART = /[\n/](?:\.?\.?\/|\.\.?\n)|\n(?:\n|[ \x80-\xff]*%[A-Z0-9_]+%[ \x80-\xff]*\n)/;

/**
 * Checks the content of a package's `files` as it streams by: `%FILES%`, then relative paths, one a line. Controlled by:
 * the client, every byte. Keeps nothing but a line that a piece cuts in two. The paths' order is not checked.
 *
 * Most of a files database runs through here, so the bytes are only looked at by native scans: a loop over them costs
 * more than their decompression.
 */
export class FileList {
  readonly #directory: string;
  /** The line that the last piece began and did not end. */
  #line = Buffer.alloc(0);
  #headerSeen = false;

  /** `directory`: whose list it is, for messages. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  push(piece: Buffer): Refusal | undefined {
    let start = 0;
    if (this.#line.length > 0) {
      start = piece.indexOf(NEWLINE) + 1;
      const line = Buffer.concat([this.#line, start === 0 ? piece : piece.subarray(0, start)]);
      this.#line = start === 0 ? line : Buffer.alloc(0);
      const refused = start === 0 ? this.#tooLong(line.length) : this.#lines(line);
      if (refused !== undefined || start === 0) return refused;
    }
    const end = piece.lastIndexOf(NEWLINE) + 1;
    if (end > start) {
      const refused = this.#lines(piece.subarray(start, end));
      if (refused !== undefined) return refused;
    }
    const rest = Math.max(start, end);
    if (rest < piece.length) this.#line = Buffer.from(piece.subarray(rest));
    return this.#tooLong(this.#line.length);
  }

  /** The content is complete. */
  finish(): Refusal | undefined {
    if (!this.#headerSeen) return this.#bad("expected %FILES% as the first line");
    return this.#line.length === 0 ? undefined : this.#bad("expected a last line that ends in a newline");
  }

  /** Whole lines: at least one, the last ended by a newline. */
  #lines(lines: Buffer): Refusal | undefined {
    if (this.#headerSeen) return this.#paths(lines);
    if (lines.compare(HEADER, 0, HEADER.length, 0, Math.min(HEADER.length, lines.length)) !== 0) {
      return this.#bad("expected %FILES% as the first line");
    }
    this.#headerSeen = true;
    return lines.length > HEADER.length ? this.#paths(lines.subarray(HEADER.length)) : undefined;
  }

  #paths(lines: Buffer): Refusal | undefined {
    if (!isUtf8(lines)) return this.#bad("expected paths in UTF-8");
    if (FORBIDDEN.some((byte) => lines.includes(byte))) return this.#bad("expected printable paths");
    const text = lines.toString("latin1");
    if (BAD_START.test(text) || BAD_PART.test(text)) {
      return this.#bad(
        "expected relative paths, one a line, no %HEADER%, without empty, . and .. components",
      );
    }
    for (let start = 0; lines.length - start > MAX_LINE_BYTES; ) {
      const end = lines.lastIndexOf(NEWLINE, start + MAX_LINE_BYTES - 1) + 1;
      if (end <= start) return this.#tooLong(MAX_LINE_BYTES + 1);
      start = end;
    }
    return undefined;
  }

  #tooLong(bytes: number): Refusal | undefined {
    if (bytes <= MAX_LINE_BYTES) return undefined;
    return this.#bad(`expected paths of at most ${MAX_LINE_BYTES} bytes`);
  }

  #bad(reason: string): Refusal {
    return refusal("bad-database", `${reason} in the file list of ${quoted(this.#directory)}`);
  }
}
