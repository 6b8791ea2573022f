import { type Refusal, refusal } from "../outcome.ts";
import type { CompressedFormat } from "./expansion.ts";

/** RFC 1952, 2.3.1: ID1, ID2. */
export const GZIP_MAGIC = Buffer.of(0x1f, 0x8b);

/** RFC 1952, 2.3: ID1 ID2 CM FLG MTIME(4) XFL OS. */
const HEADER_BYTES = 10;

/**
 * One gzip member as `gzip -n` writes it from a pipe. The client controls every byte. CM must be 8 (deflate) and FLG 0:
 * file name, comment, extra field and header checksum would carry bytes that nobody looks at. MTIME, XFL and OS change
 * nothing of what the archive says, and compressors differ in them: any value passes. Deflate stream, CRC and length are
 * checked by zlib.
 */
export class GzipFormat implements CompressedFormat {
  #header = Buffer.alloc(0);

  inspect(chunk: Buffer): Refusal | undefined {
    if (this.#header.length === HEADER_BYTES) return undefined;
    this.#header = Buffer.concat([this.#header, chunk.subarray(0, HEADER_BYTES - this.#header.length)]);
    // RFC 1952, 2.3.1: CM 8 is deflate, the only method there is.
    if (this.#header.length > 2 && this.#header[2] !== 8) {
      return refusal("bad-compression", "expected compression method 8 (deflate) in the gzip header");
    }
    // RFC 1952, 2.3.1: FTEXT 1, FHCRC 2, FEXTRA 4, FNAME 8, FCOMMENT 16, the rest reserved.
    if (this.#header.length > 3 && this.#header[3] !== 0) {
      return refusal(
        "bad-compression",
        "expected a gzip header without optional fields, as `gzip -n` writes it",
      );
    }
    return undefined;
  }

  explain(error: NodeJS.ErrnoException, rest: Buffer): Refusal {
    if (error.code === "Z_BUF_ERROR")
      return refusal("truncated", "expected more bytes: the gzip stream is cut off");
    if (error.code === "ERR_TRAILING_JUNK_AFTER_STREAM_END") return trailing(rest);
    return refusal("bad-compression", "expected an undamaged gzip stream with its checksum and length");
  }

  finish(): Refusal | undefined {
    return undefined;
  }
}

function trailing(rest: Buffer): Refusal {
  const expected = "expected nothing after the gzip stream";
  if (rest.subarray(0, GZIP_MAGIC.length).equals(GZIP_MAGIC)) {
    return refusal("trailing-data", `${expected}, not a second member`);
  }
  if (rest[0] === 0) return refusal("trailing-data", `${expected}, not even zeros`);
  return refusal("trailing-data", expected);
}
