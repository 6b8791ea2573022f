import { type Refusal, refusal } from "../outcome.ts";
import type { CompressedFormat } from "./expansion.ts";

/** RFC 1952, 2.3.1: ID1, ID2. */
export const GZIP_MAGIC = Buffer.of(0x1f, 0x8b);

/** RFC 1952, 2.3: ID1 ID2 CM FLG MTIME(4) XFL OS. */
const FIXED_BYTES = 10;

/** RFC 1952, 2.3.1: FLG.FNAME, the only optional field that passes. */
const FNAME = 8;

/** Longest original name, in bytes: what a file system can hold. */
const MAX_NAME_BYTES = 255;

/**
 * One gzip member. The client controls every byte. Of the header's optional fields only the original file name passes, which
 * `gzip` without `-n` writes, and that only as printable ASCII: a comment, an extra field or a header checksum would
 * carry bytes that nobody looks at. MTIME, XFL and OS change nothing of what the archive says, and compressors differ in
 * them: any value passes. zlib checks the method, the deflate stream, its CRC and its length.
 */
export class GzipFormat implements CompressedFormat {
  /** Bytes of the header so far. */
  #headerBytes = 0;
  #hasName = false;
  #headerComplete = false;

  inspect(chunk: Buffer): Refusal | undefined {
    for (let at = 0; at < chunk.length && !this.#headerComplete; at++) {
      const refused = this.#headerByte(chunk[at] ?? 0);
      if (refused !== undefined) return refused;
    }
    return undefined;
  }

  explain(error: NodeJS.ErrnoException, rest: Buffer): Refusal {
    if (error.code === "Z_BUF_ERROR")
      return refusal("truncated", "expected more bytes: the gzip stream is cut off");
    if (error.code === "ERR_TRAILING_JUNK_AFTER_STREAM_END") return trailing(rest);
    return bad("expected an undamaged gzip stream with its checksum and length");
  }

  finish(): Refusal | undefined {
    return undefined;
  }

  #headerByte(byte: number): Refusal | undefined {
    const at = this.#headerBytes++;
    // RFC 1952, 2.3.1: FTEXT 1, FHCRC 2, FEXTRA 4, FNAME 8, FCOMMENT 16, the rest reserved.
    if (at === 3 && byte !== 0 && byte !== FNAME)
      return bad("expected no field but the name in the gzip header");
    if (at === 3) this.#hasName = byte === FNAME;
    if (at === FIXED_BYTES - 1) this.#headerComplete = !this.#hasName;
    return at < FIXED_BYTES ? undefined : this.#nameByte(byte, at - FIXED_BYTES);
  }

  /** RFC 1952, 2.3.1: the name ends in NUL. */
  #nameByte(byte: number, at: number): Refusal | undefined {
    this.#headerComplete = byte === 0;
    if (byte === 0 || (byte >= 0x20 && byte <= 0x7e && at < MAX_NAME_BYTES)) return undefined;
    return bad(`expected at most ${MAX_NAME_BYTES} printable characters as the name in the gzip header`);
  }
}

function bad(reason: string): Refusal {
  return refusal("bad-compression", reason);
}

function trailing(rest: Buffer): Refusal {
  const expected = "expected nothing after the gzip stream";
  if (rest.subarray(0, GZIP_MAGIC.length).equals(GZIP_MAGIC)) {
    return refusal("trailing-data", `${expected}, not a second member`);
  }
  if (rest[0] === 0) return refusal("trailing-data", `${expected}, not even zeros`);
  return refusal("trailing-data", expected);
}
