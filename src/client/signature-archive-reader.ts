import { BLOCK_BYTES } from "../artefact/tar-header.ts";
import { isRefusal } from "../outcome.ts";
import type { FileName } from "../request/request.ts";
import { parseMemberHeader } from "../transport/member-header.ts";
import { parseLongName, SIGNATURE_SUFFIX } from "../transport/member-name.ts";
import { MAX_SIGNATURE_BYTES } from "./verification.ts";

/** Most that a batch of so many files is answered with, in bytes: header, long name, signature and padding; two zero blocks. */
export function maxArchiveBytes(files: number): number {
  return files * (4 * BLOCK_BYTES + MAX_SIGNATURE_BYTES) + 2 * BLOCK_BYTES;
}

/** Thrown within this file alone. */
class Unexpected extends Error {}

/**
 * The signatures in the archive that answers a batch of `names`: one for each, in their order, `NAME.sig`, 1 byte to 16 KiB;
 * then two zero blocks and nothing more. What is wrong, as one lower-case phrase, where it is anything else; a truncated one
 * and the broken end that a refusal has among that. Controlled by: whatever answers in the host's place.
 */
export function readSignatureArchive(
  archive: Uint8Array,
  names: readonly FileName[],
): readonly Uint8Array[] | string {
  const bytes = Buffer.from(archive.buffer, archive.byteOffset, archive.byteLength);
  try {
    let at = 0;
    const take = (length: number) => {
      if (at + length > bytes.length) throw new Unexpected("the archive is truncated");
      at += length;
      return bytes.subarray(at - length, at);
    };
    const signatures = names.map((name) => readMember(take, `${name}${SIGNATURE_SUFFIX}`));
    if (!isZero(take(2 * BLOCK_BYTES))) throw new Unexpected("the archive has no proper end");
    if (at !== bytes.length) throw new Unexpected("something follows the end of the archive");
    return signatures;
  } catch (error) {
    if (error instanceof Unexpected) return error.message;
    throw error;
  }
}

function readMember(take: (length: number) => Buffer, expected: string): Uint8Array {
  let header = readHeader(take);
  let name: string | undefined;
  if (header.kind === "gnu-long-name") {
    if (header.size > BLOCK_BYTES) throw new Unexpected("a long name is too long");
    const long = parseLongName(content(take, header.size));
    name = isRefusal(long) ? undefined : long;
    header = readHeader(take);
  }
  if (header.kind !== "file" || (name ?? header.name) !== expected)
    throw new Unexpected(`expected ${expected} in its place`);
  if (header.size === 0 || header.size > MAX_SIGNATURE_BYTES)
    throw new Unexpected(`expected ${expected} of 1 to ${MAX_SIGNATURE_BYTES} bytes`);
  return content(take, header.size);
}

function readHeader(take: (length: number) => Buffer) {
  const header = parseMemberHeader(take(BLOCK_BYTES));
  if (isRefusal(header)) throw new Unexpected("the archive is damaged, or ends early");
  return header;
}

function content(take: (length: number) => Buffer, size: number): Buffer {
  const bytes = take(size);
  if (!isZero(take((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES)))
    throw new Unexpected("the archive is not padded with zeros");
  return bytes;
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}
