import { Readable } from "node:stream";
import { BLOCK_BYTES } from "../artefact/tar-header.ts";
import { RefusedSource } from "../intake/refused-source.ts";
import { isRefusal, type Refusal, refusal } from "../outcome.ts";
import { encodeDuration } from "../policy/quantity.ts";
import type { FileName } from "../request/request.ts";
import { type MemberHeader, parseMemberHeader } from "./member-header.ts";
import { MAX_EXTENSION_BYTES, parseLongName, parseMemberName, parsePaxName } from "./member-name.ts";

/** Most files in one batch. */
export const MAX_MEMBERS = 256;

/** Most NULs after the two zero blocks, in bytes: tar fills up to its blocking factor, 10 KiB unless told otherwise. */
const MAX_FILLING_BYTES = 1024 * 1024;

/** A file of the batch. */
export interface ArchiveMember {
  readonly kind: "member";
  readonly name: FileName;
  /**
   * Its bytes, exactly as many as the header says; read as they come. It fails with {@link RefusedSource} where the archive
   * breaks in it. MUST have come to its end before the next member is asked for.
   */
  readonly content: Readable;
}

/** How long a client may take. */
export interface ArchiveDeadlines {
  /** Longest wait for a byte, in ms. */
  readonly idleMs: number;
  /** Longest time from now to the last byte of the archive, in ms. */
  readonly totalMs: number;
}

/**
 * Reads the tar archive of a batch from a stream, as GNU tar, bsdtar and busybox tar write it. Controlled by: the client,
 * every byte. Plain files with simple names, each name once, {@link MAX_MEMBERS} of them at most; two zero blocks, then
 * nothing but NULs. Holds one chunk of `source`, and one header of at most 64 KiB.
 */
export class OuterArchive {
  readonly #source: Readable;
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #idleMs: number;
  readonly #total: NodeJS.Timeout;
  readonly #names = new Set<FileName>();
  #rest: Buffer = Buffer.alloc(0);
  #bytes = 0;
  #inMember = false;

  /** Time runs from here on. */
  constructor(source: Readable, { idleMs, totalMs }: ArchiveDeadlines) {
    this.#source = source;
    this.#chunks = source[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
    this.#idleMs = idleMs;
    this.#total = this.#destroyAfter(totalMs, `the batch did not arrive within ${encodeDuration(totalMs)}`);
  }

  /** The next file; undefined after the last one, when the archive has come to a proper end; or why it is refused. */
  async next(): Promise<ArchiveMember | Refusal | undefined> {
    if (this.#inMember) throw new Error("the file before was not read to its end");
    try {
      return await this.#next();
    } catch (error) {
      if (error instanceof RefusedSource) return error.refusal;
      throw error;
    }
  }

  /** Ends reading, wherever it is. */
  close(): void {
    clearTimeout(this.#total);
    this.#source.destroy();
  }

  async #next(): Promise<ArchiveMember | Refusal | undefined> {
    const header = await this.#header();
    if (header === undefined) return await this.#end();
    if (isRefusal(header)) return header;
    if (header.kind === "file") return this.#member(header.name, header.size);

    const given = await this.#extension(header);
    if (isRefusal(given)) return given;
    const file = await this.#header();
    if (isRefusal(file)) return file;
    if (file?.kind !== "file") return bad("expected a file after an extended header");
    return this.#member(given ?? file.name, file.size);
  }

  #member(text: string, size: number): ArchiveMember | Refusal {
    const name = parseMemberName(text);
    if (isRefusal(name)) return name;
    if (this.#names.has(name)) return bad(`expected each file once, not ${name} again`);
    if (this.#names.size === MAX_MEMBERS)
      return refusal("too-large", `expected at most ${MAX_MEMBERS} files in a batch`);
    this.#names.add(name);
    this.#inMember = true;
    return { kind: "member", name, content: this.#content(size) };
  }

  /** The content ends when its padding has been seen as well. */
  #content(size: number): Readable {
    let left = size;
    const push = async (content: Readable) => {
      const piece = left > 0 ? await this.#piece(left) : undefined;
      left -= piece?.length ?? 0;
      if (left > 0) return content.push(piece);
      await this.#padding(size);
      this.#inMember = false;
      if (piece !== undefined) content.push(piece);
      return content.push(null);
    };
    return new Readable({
      highWaterMark: 1, // nothing is read ahead: `source` does that
      read() {
        push(this).catch((error: Error) => this.destroy(error));
      },
    });
  }

  /** The name in an extended header or a long name; undefined where it says nothing of names. */
  async #extension({ kind, size }: MemberHeader): Promise<string | undefined | Refusal> {
    if (size === 0 || size > MAX_EXTENSION_BYTES)
      return bad(`expected an extended header of 1 to ${MAX_EXTENSION_BYTES} bytes`);
    const content = await this.#exactly(size);
    await this.#padding(size);
    return kind === "pax" ? parsePaxName(content) : parseLongName(content);
  }

  /** Undefined for a zero block. */
  async #header(): Promise<MemberHeader | Refusal | undefined> {
    const block = await this.#exactly(BLOCK_BYTES);
    return isZero(block) ? undefined : parseMemberHeader(block);
  }

  async #padding(size: number): Promise<void> {
    const padding = await this.#exactly((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES);
    if (!isZero(padding)) throw new RefusedSource(bad("expected content to be padded with NULs"));
  }

  /** After the first zero block: the second one, and the filling up to the end of the stream. */
  async #end(): Promise<Refusal | undefined> {
    if (!isZero(await this.#exactly(BLOCK_BYTES))) return bad("expected two zero blocks at the end, not one");
    let filling = 0;
    for (let piece = await this.#some(); piece !== undefined; piece = await this.#some()) {
      filling += piece.length;
      if (filling > MAX_FILLING_BYTES || !isZero(piece))
        return refusal(
          "trailing-data",
          "expected nothing but NULs, 1 MiB at most, after the end of the archive",
        );
      this.#rest = Buffer.alloc(0);
    }
    if (filling % BLOCK_BYTES !== 0) return truncated();
    return this.#names.size === 0 ? refusal("empty-input", "expected a file in the batch") : undefined;
  }

  async #exactly(size: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for (let left = size; left > 0; ) {
      const piece = await this.#piece(left);
      pieces.push(piece);
      left -= piece.length;
    }
    return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
  }

  /** 1 to `max` bytes. */
  async #piece(max: number): Promise<Buffer> {
    const bytes = await this.#some();
    if (bytes === undefined) throw new RefusedSource(truncated(this.#bytes));
    this.#rest = bytes.subarray(max);
    return bytes.subarray(0, max);
  }

  /** What is there and not used yet, at least one byte; undefined at the end of the stream. */
  async #some(): Promise<Buffer | undefined> {
    while (this.#rest.length === 0) {
      const message = `not one byte came for ${encodeDuration(this.#idleMs)}`;
      const idle = this.#destroyAfter(this.#idleMs, message);
      try {
        const { done, value } = await this.#chunks.next();
        if (done === true) return undefined;
        this.#rest = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
        this.#bytes += value.byteLength;
      } finally {
        clearTimeout(idle);
      }
    }
    return this.#rest;
  }

  #destroyAfter(ms: number, message: string): NodeJS.Timeout {
    return setTimeout(() => this.#source.destroy(new RefusedSource(refusal("timed-out", message))), ms);
  }
}

const ZEROS = Buffer.alloc(64 * 1024);

function isZero(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += ZEROS.length) {
    const end = Math.min(at + ZEROS.length, bytes.length);
    if (bytes.compare(ZEROS, 0, end - at, at, end) !== 0) return false;
  }
  return true;
}

function truncated(bytes?: number): Refusal {
  return bytes === 0
    ? refusal("empty-input", "expected a tar archive of files; not one byte arrived")
    : refusal("truncated", "expected a tar archive that is whole and ends in two zero blocks");
}

function bad(reason: string): Refusal {
  return refusal("bad-archive", reason);
}
