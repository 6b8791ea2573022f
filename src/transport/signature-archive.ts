import { BLOCK_BYTES } from "../artefact/tar-header.ts";
import type { Receipt } from "../log/remote/remote-logs.ts";
import type { FileName } from "../request/request.ts";
import { SIGNATURE_SUFFIX } from "./member-name.ts";

/** The name field of a header (POSIX.1-2017, pax, "ustar Header Block"). */
const NAME_BYTES = 100;
/** GNU tar, bsdtar and busybox tar all know GNU tar's long names; busybox passes over those of pax. */
const LONG_NAME = "././@LongLink";

/**
 * Writes the tar archive of signatures. The last byte of each file's blocks is held back until the next step: where the
 * host stops between two of them, killed for instance, the receiving tar finds a truncated block and fails. Without
 * that it would take the end of a file for the end of the archive.
 */
export class SignatureArchive {
  readonly #write: (bytes: Uint8Array) => Promise<void>;
  #held: Buffer = Buffer.alloc(0);

  /** `write` resolves when the bytes are on their way, and rejects where they cannot be. */
  constructor(write: (bytes: Uint8Array) => Promise<void>) {
    this.#write = write;
  }

  /**
   * Writes `NAME.sig`, its time that of the entry. It takes the receipt and not the bytes: what has no durable entry
   * cannot be sent.
   */
  async add(name: FileName, receipt: Receipt): Promise<void> {
    const member = encodeMember(
      `${name}${SIGNATURE_SUFFIX}`,
      receipt.signature,
      Date.parse(receipt.entry.time),
    );
    const bytes = Buffer.concat([this.#held, member]);
    this.#held = bytes.subarray(-1);
    await this.#write(bytes.subarray(0, -1));
  }

  /** The proper end: two zero blocks. */
  async end(): Promise<void> {
    await this.#write(Buffer.concat([this.#held, Buffer.alloc(2 * BLOCK_BYTES)]));
  }

  /** The improper end: a block that is no header, and part of another. Every tar fails over it. */
  async break(): Promise<void> {
    await this.#write(Buffer.concat([this.#held, encodeBrokenEnd()]));
  }
}

/** What no tar takes for the end of an archive, wherever it stands. */
export function encodeBrokenEnd(): Buffer {
  const noHeader = Buffer.alloc(BLOCK_BYTES + BLOCK_BYTES / 2, 0xff);
  noHeader.write("signer: refused; this archive is not complete\n", "latin1");
  return noHeader;
}

function encodeMember(name: string, content: Uint8Array, timeMs: number): Buffer {
  const file = Buffer.concat([
    encodeHeader(name.slice(0, NAME_BYTES), "0", content.length, timeMs),
    padded(content),
  ]);
  if (name.length <= NAME_BYTES) return file;
  const longName = Buffer.from(`${name}\0`, "latin1");
  return Buffer.concat([encodeHeader(LONG_NAME, "L", longName.length, 0), padded(longName), file]);
}

/** In GNU tar's own format where there is a long name, in ustar's otherwise: the two differ in the magic alone. */
function encodeHeader(name: string, type: "0" | "L", size: number, timeMs: number): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const isLong = type === "L" || name.length === NAME_BYTES;
  block.write(name, 0, "latin1");
  block.write("0000644\x000000000\x000000000\0", 100, "latin1"); // mode, uid, gid
  block.write(`${octal(size, 11)}\0${octal(Math.floor(timeMs / 1000), 11)}\0        ${type}`, 124, "latin1");
  block.write(isLong ? "ustar  \0" : "ustar\x0000", 257, "latin1");
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)}\0 `, 148, "latin1");
  return block;
}

function padded(content: Uint8Array): Buffer {
  const bytes = Buffer.alloc(Math.ceil(content.length / BLOCK_BYTES) * BLOCK_BYTES);
  bytes.set(content);
  return bytes;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, "0");
}
