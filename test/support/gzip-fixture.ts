import { crc32, deflateRawSync } from "node:zlib";

/** Bits of the FLG byte (RFC 1952 section 2.3.1). */
export const FTEXT = 1;
export const FHCRC = 2;
export const FEXTRA = 4;
export const FNAME = 8;
export const FCOMMENT = 16;

/** A gzip member to write, right or wrong: what is left out is as `gzip -n` writes it. */
export interface GzipMember {
  readonly flags?: number;
  readonly method?: number;
  /** What stands between the fixed header and the compressed data: the optional fields, in whatever form. */
  readonly optional?: Buffer | string;
  /** The deflate stream, if not that of the content. */
  readonly deflated?: Buffer;
  readonly crc?: number;
  readonly length?: number;
}

/** One member (RFC 1952 section 2.3). */
export function gzipMember(content: Buffer, member: GzipMember = {}): Buffer {
  const header = Buffer.from([0x1f, 0x8b, member.method ?? 8, member.flags ?? 0, 0, 0, 0, 0, 0, 3]);
  const optional = Buffer.from((member.optional ?? "") as string, "latin1");
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(member.crc ?? crc32(content), 0);
  trailer.writeUInt32LE((member.length ?? content.length) >>> 0, 4);
  return Buffer.concat([header, optional, member.deflated ?? deflateRawSync(content), trailer]);
}

/** The CRC-16 that FHCRC announces, over the header before it. */
export function headerChecksum(header: Buffer): Buffer {
  const sum = Buffer.alloc(2);
  sum.writeUInt16LE(crc32(header) & 0xffff);
  return sum;
}

/** Stored blocks (RFC 1951 section 3.2.4) of at most `size` bytes each; `ended` sets BFINAL on the last. */
export function storedBlocks(content: Buffer, size = 65535, ended = true): Buffer {
  const blocks: Buffer[] = [];
  for (let start = 0; start === 0 || start < content.length; start += size) {
    const part = content.subarray(start, start + size);
    const head = Buffer.from([ended && start + size >= content.length ? 1 : 0, 0, 0, 0, 0]);
    head.writeUInt16LE(part.length, 1);
    head.writeUInt16LE(part.length ^ 0xffff, 3);
    blocks.push(head, part);
  }
  return Buffer.concat(blocks);
}
