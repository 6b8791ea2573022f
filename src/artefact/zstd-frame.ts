import { type Refusal, refusal } from "../outcome.ts";
import type { CompressedFormat } from "./expansion.ts";

/** RFC 8878, 3.1.1: Magic_Number 0xFD2FB528, little-endian. */
export const ZSTD_MAGIC = Buffer.of(0x28, 0xb5, 0x2f, 0xfd);

/** RFC 8878, 3.1.2: a skippable frame's Magic_Number is 0x184D2A50 to 0x184D2A5F, little-endian. */
export function isSkippableFrame(bytes: Buffer): boolean {
  return bytes.length >= 4 && (bytes.readUInt32LE(0) & 0xfffffff0) >>> 0 === 0x184d2a50;
}

/**
 * The largest window is 32 MiB: what the decompressor then needs at most. `zstd` from a pipe uses 2 MiB at its default level, 8
 * at -19 (RFC 8878, 3.1.1.1.2, asks decoders for that much), 32 at --ultra -20; --ultra -22 and --long want 128.
 */
export const ZSTD_MAX_WINDOW_LOG = 25;
const MAX_WINDOW_BYTES = 2 ** ZSTD_MAX_WINDOW_LOG;

/** RFC 8878, 3.1.1.2.4: Block_Maximum_Size is the smaller of the window and 128 KiB. */
const MAX_BLOCK_BYTES = 128 * 1024;

/** RFC 8878, 3.1.1.1.1.1: bytes of Frame_Content_Size by the two bits of its flag; 0 becomes 1 in a single segment. */
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;

/** Where in the frame the next byte lies. */
type Place = "header" | "block-header" | "block" | "checksum" | "after";

/**
 * Exactly one zstd frame, as the zstd tool writes it. The client controls every byte. libzstd decompresses and checks the
 * content; this walks the frame's header and block headers, for what libzstd lets pass: further and skippable frames, any
 * window, no checksum, and an end of input in the middle.
 */
export class ZstdFormat implements CompressedFormat {
  readonly #maxExpandedBytes: number;
  #place: Place = "header";
  /** Bytes of a header that is not complete yet. */
  #partial = Buffer.alloc(0);
  /** Bytes of the block or the checksum that are still to come. */
  #remaining = 0;
  #maxBlockBytes = MAX_BLOCK_BYTES;
  #lastBlock = false;

  /** `maxExpandedBytes`: a frame that declares a larger content is refused by its header. */
  constructor(maxExpandedBytes: number) {
    this.#maxExpandedBytes = maxExpandedBytes;
  }

  inspect(chunk: Buffer): Refusal | undefined {
    let at = 0;
    while (at < chunk.length) {
      if (this.#place === "after") return trailing(chunk.subarray(at));
      if (this.#place === "block" || this.#place === "checksum") {
        const taken = Math.min(this.#remaining, chunk.length - at);
        at += taken;
        this.#remaining -= taken;
        if (this.#remaining === 0) this.#leave();
        continue;
      }
      const wanted = this.#place === "header" ? frameHeaderBytes(this.#partial) : 3;
      const taken = chunk.subarray(at, at + wanted - this.#partial.length);
      at += taken.length;
      this.#partial = Buffer.concat([this.#partial, taken]);
      if (this.#partial.length < wanted) continue;
      const refused = this.#place === "header" ? this.#frameHeader() : this.#blockHeader();
      if (refused !== undefined) return refused;
    }
    return undefined;
  }

  explain(error: NodeJS.ErrnoException): Refusal {
    if (error.code === "Z_BUF_ERROR" && this.#place !== "after") return cutOff();
    return refusal("bad-compression", "expected an undamaged zstd frame with its checksum and content size");
  }

  finish(): Refusal | undefined {
    return this.#place === "after" ? undefined : cutOff();
  }

  /** Reads what is there of the frame header; called again as long as {@link frameHeaderBytes} wants more. */
  #frameHeader(): Refusal | undefined {
    const header = this.#partial;
    if (!header.subarray(0, 4).equals(ZSTD_MAGIC)) {
      return refusal("bad-compression", "expected a zstd frame, with no skippable frame before it");
    }
    if (header.length < frameHeaderBytes(header)) return undefined;
    const descriptor = header[4] ?? 0;
    // RFC 8878, 3.1.1.1.1: bit 4 unused, bit 3 reserved, bit 2 Content_Checksum_flag, bits 1-0 Dictionary_ID_flag.
    if ((descriptor & 0x18) !== 0)
      return refusal("bad-compression", "expected no reserved bit in the zstd frame header");
    if ((descriptor & 0x04) === 0) {
      return refusal("bad-compression", "expected a zstd frame with a checksum, as the zstd tool writes it");
    }
    if ((descriptor & 0x03) !== 0)
      return refusal("bad-compression", "expected a zstd frame without a dictionary");
    const singleSegment = (descriptor & 0x20) !== 0;
    const contentBytes = contentSize(header, descriptor >>> 6, singleSegment);
    const windowBytes = singleSegment ? (contentBytes ?? 0) : windowSize(header[5] ?? 0);
    if (contentBytes !== undefined && contentBytes > this.#maxExpandedBytes) {
      return refusal(
        "expands-too-far",
        `expected at most ${this.#maxExpandedBytes} bytes after decompression`,
      );
    }
    if (windowBytes > MAX_WINDOW_BYTES) {
      return refusal("bad-compression", `expected a zstd window of at most ${MAX_WINDOW_BYTES} bytes`);
    }
    this.#maxBlockBytes = Math.min(windowBytes, MAX_BLOCK_BYTES);
    this.#partial = Buffer.alloc(0);
    this.#place = "block-header";
    return undefined;
  }

  #blockHeader(): Refusal | undefined {
    // RFC 8878, 3.1.1.2: bit 0 Last_Block, bits 1-2 Block_Type, bits 3-23 Block_Size, little-endian.
    const header = this.#partial.readUIntLE(0, 3);
    this.#partial = Buffer.alloc(0);
    const type = (header >>> 1) & 3;
    const size = header >>> 3;
    if (type === 3) return refusal("bad-compression", "expected no reserved block type in the zstd frame");
    if (size > this.#maxBlockBytes) {
      return refusal("bad-compression", `expected zstd blocks of at most ${this.#maxBlockBytes} bytes`);
    }
    this.#lastBlock = (header & 1) === 1;
    this.#place = "block";
    // RFC 8878, 3.1.1.2.2: RLE_Block (type 1) holds one byte, to be repeated Block_Size times.
    this.#remaining = type === 1 ? 1 : size;
    if (this.#remaining === 0) this.#leave();
    return undefined;
  }

  /** The block or the checksum is complete. */
  #leave(): void {
    if (this.#place === "checksum") this.#place = "after";
    else if (this.#lastBlock) {
      // RFC 8878, 3.1.1: Content_Checksum, 4 bytes; its presence was asked for in the frame header.
      this.#place = "checksum";
      this.#remaining = 4;
    } else this.#place = "block-header";
  }
}

/** How long the frame header is, as far as the bytes there are can tell. */
function frameHeaderBytes(header: Buffer): number {
  const descriptor = header[4];
  if (descriptor === undefined) return 5;
  const singleSegment = (descriptor & 0x20) !== 0;
  // RFC 8878, 3.1.1.1.3: Dictionary_ID takes 0, 1, 2 or 4 bytes; any but 0 is refused when the header is complete.
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  return 5 + (singleSegment ? 0 : 1) + dictionaryBytes + contentSizeBytes(descriptor >>> 6, singleSegment);
}

function contentSizeBytes(flag: number, singleSegment: boolean): number {
  return flag === 0 && singleSegment ? 1 : (CONTENT_SIZE_BYTES[flag] ?? 0);
}

/** RFC 8878, 3.1.1.1.4: Frame_Content_Size; undefined if the frame does not say. */
function contentSize(header: Buffer, flag: number, singleSegment: boolean): number | undefined {
  const at = singleSegment ? 5 : 6;
  switch (contentSizeBytes(flag, singleSegment)) {
    case 1:
      return header.readUInt8(at);
    case 2:
      return header.readUInt16LE(at) + 256;
    case 4:
      return header.readUInt32LE(at);
    case 8:
      return Number(header.readBigUInt64LE(at));
    default:
      return undefined;
  }
}

/** RFC 8878, 3.1.1.1.2: Window_Descriptor, exponent in bits 7-3, mantissa in bits 2-0. */
function windowSize(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >>> 3));
  return base + (base / 8) * (descriptor & 7);
}

function trailing(rest: Buffer): Refusal {
  const expected = "expected nothing after the zstd frame";
  if (rest[0] === ZSTD_MAGIC[0]) return refusal("trailing-data", `${expected}, not a second frame`);
  if (isSkippableFrame(rest)) return refusal("trailing-data", `${expected}, not a skippable frame`);
  return refusal("trailing-data", expected);
}

function cutOff(): Refusal {
  return refusal("truncated", "expected more bytes: the zstd frame is cut off");
}
