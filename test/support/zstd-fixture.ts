import { constants as zlib, zstdCompressSync } from "node:zlib";

/** A block to write (RFC 8878 section 3.1.1.2): type 0 raw, 1 RLE, 2 compressed, 3 reserved. */
export interface ZstdBlock {
  readonly type: number;
  /** Block_Size, if not the length of `data`: for RLE the number of repetitions. */
  readonly size?: number;
  readonly data: Buffer;
}

/** A frame to write, right or wrong: what is left out is raw blocks, no content size, the right checksum. */
export interface ZstdFrame {
  /** Window_Descriptor; default exponent 7: 128 KiB. Left away where `singleSegment` is set. */
  readonly window?: number;
  readonly singleSegment?: boolean;
  /** Frame_Content_Size, written as eight bytes. */
  readonly contentSize?: number | bigint;
  /** Content_Checksum, four bytes; default the right one, false: none. */
  readonly checksum?: false | Buffer;
  readonly dictionary?: number;
  /** Bits or-ed into Frame_Header_Descriptor: 8 reserved, 16 unused. */
  readonly bits?: number;
  readonly blocks?: readonly ZstdBlock[];
  /** Whether the last block says so; default true. */
  readonly ended?: boolean;
}

/** Raw blocks of at most `size` bytes. */
export function rawBlocks(content: Buffer, size = 65536): ZstdBlock[] {
  const blocks: ZstdBlock[] = [];
  for (let start = 0; start < content.length; start += size)
    blocks.push({ type: 0, data: content.subarray(start, start + size) });
  return blocks;
}

/** One frame (RFC 8878 section 3.1.1). */
export function zstdFrame(content: Buffer, frame: ZstdFrame = {}): Buffer {
  const descriptor =
    (frame.contentSize === undefined ? 0 : 0xc0) |
    (frame.singleSegment === true ? 0x20 : 0) |
    (frame.checksum === false ? 0 : 4) |
    (frame.dictionary === undefined ? 0 : 3) |
    (frame.bits ?? 0);
  const parts: Buffer[] = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, descriptor])];
  if (frame.singleSegment !== true) parts.push(Buffer.from([frame.window ?? 7 << 3]));
  if (frame.dictionary !== undefined) {
    const id = Buffer.alloc(4);
    id.writeUInt32LE(frame.dictionary);
    parts.push(id);
  }
  if (frame.contentSize !== undefined) {
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(frame.contentSize));
    parts.push(size);
  }
  const blocks = frame.blocks ?? rawBlocks(content);
  for (const [index, block] of blocks.entries()) {
    const last = index === blocks.length - 1 && frame.ended !== false ? 1 : 0;
    const head = Buffer.alloc(3);
    head.writeUIntLE(((block.size ?? block.data.length) << 3) | (block.type << 1) | last, 0, 3);
    parts.push(head, block.data);
  }
  if (frame.checksum !== false) parts.push(frame.checksum ?? contentChecksum(content));
  return Buffer.concat(parts);
}

/** The low half of XXH64 that ends a frame: taken from a frame that the library made. */
export function contentChecksum(content: Buffer): Buffer {
  return zstdCompressSync(content, { params: { [zlib.ZSTD_c_checksumFlag]: 1 } }).subarray(-4);
}

/** A skippable frame (RFC 8878 section 3.1.2). */
export function skippableFrame(content: Buffer, magic = 0x184d2a50): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(magic, 0);
  head.writeUInt32LE(content.length, 4);
  return Buffer.concat([head, content]);
}
