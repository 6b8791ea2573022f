import { isRefusal, quoted, type Refusal, refusal } from "../outcome.ts";
import { MAX_PAX_BYTES, type PaxHeader, parsePaxHeader } from "./pax.ts";
import { BLOCK_BYTES, parseTarHeader, type TarHeader } from "./tar-header.ts";

/** A file or directory in the archive, its extended header already taken into account. */
export interface ArchiveEntry {
  /** Relative, no `.` or `..` component; a directory's ends in a slash. */
  readonly path: string;
  readonly kind: "file" | "directory";
  /** Of its content, in bytes. */
  readonly size: number;
}

/** Takes the entries in the order of the archive. */
export interface EntrySink {
  begin(entry: ArchiveEntry): Refusal | undefined;
  /** The next bytes of the entry, at least one. Borrowed: what is kept of them MUST be copied. */
  content(piece: Buffer): Refusal | undefined;
  /** The entry's content is complete. */
  end(): Refusal | undefined;
}

/** Archives are filled with NULs up to a multiple of this (20 blocks, POSIX.1-2017, pax, -b), inside the compression. */
const RECORD_BYTES = 20 * BLOCK_BYTES;

const ZEROS = Buffer.alloc(RECORD_BYTES);

type Place = "header" | "content" | "padding" | "end";

/**
 * Reads a ustar archive as bsdtar writes it, pushed piece by piece. Controlled by: the client, every byte. Files,
 * directories and extended headers only; content padded with NULs; at the end two zero blocks and NULs up to the next
 * multiple of 10240 bytes, and not one byte more. Holds one header and one extended header at most.
 */
export class ArchiveReader {
  readonly #sink: EntrySink;
  #place: Place = "header";
  /** Bytes of the archive before the piece that is being read. */
  #base = 0;
  /** The header whose first `#filled` bytes have come; used only where a piece ends inside one. */
  readonly #block = Buffer.alloc(BLOCK_BYTES);
  #filled = 0;
  /** Bytes of the content still to come, and of the NULs after it. */
  #remaining = 0;
  #padding = 0;
  /** The extended header that is being read, so far; undefined inside any other entry. */
  #paxContent: Buffer[] | undefined;
  /** An extended header that waits for its entry. */
  #pax: PaxHeader | undefined;
  /** Where the two zero blocks end, and where the archive has to; known from the first of them on. */
  #zeroBlocksEnd = 0;
  #endsAt = 0;

  /** `sink` takes the entries. */
  constructor(sink: EntrySink) {
    this.#sink = sink;
  }

  /** The archive's size so far, in bytes. */
  get bytes(): number {
    return this.#base;
  }

  /** Reads the next bytes of the archive; the sink has seen everything in them when it returns. */
  push(piece: Buffer): Refusal | undefined {
    let at = 0;
    while (at < piece.length) {
      const step = this.#step(piece, at);
      if (isRefusal(step)) return step;
      at += step;
    }
    this.#base += piece.length;
    return undefined;
  }

  /** The archive's bytes have ended: refuses one that is not complete. */
  finish(): Refusal | undefined {
    if (this.#place === "end" && this.#base === this.#endsAt) return undefined;
    return refusal("truncated", "expected an archive that ends in two zero blocks, filled up to 10240 bytes");
  }

  /** Reads from `at` as far as one part of the archive reaches; the number of bytes read. */
  #step(piece: Buffer, at: number): number | Refusal {
    switch (this.#place) {
      case "header":
        return this.#readHeader(piece, at);
      case "content":
        return this.#readContent(piece, at);
      case "padding":
        return this.#readPadding(piece, at);
      case "end":
        return this.#readEnd(piece, at);
    }
  }

  #readHeader(piece: Buffer, at: number): number | Refusal {
    const wanted = BLOCK_BYTES - this.#filled;
    const end = Math.min(at + wanted, piece.length);
    let block = piece.subarray(at, end);
    if (block.length < BLOCK_BYTES) {
      block.copy(this.#block, this.#filled);
      this.#filled += end - at;
      if (this.#filled < BLOCK_BYTES) return end - at;
      this.#filled = 0;
      block = this.#block;
    }
    const refused = this.#header(block, this.#base + end);
    return refused ?? end - at;
  }

  /** `end`: where in the archive the block ends. */
  #header(block: Buffer, end: number): Refusal | undefined {
    if (block[0] === 0 && block.equals(ZEROS.subarray(0, BLOCK_BYTES))) return this.#beginEnd(end);
    const header = parseTarHeader(block);
    if (isRefusal(header)) return header;
    this.#remaining = header.size;
    this.#padding = (BLOCK_BYTES - (header.size % BLOCK_BYTES)) % BLOCK_BYTES;
    this.#place = "content";
    if (header.kind === "pax") return this.#beginPax(header);
    return this.#beginEntry(header, header.kind);
  }

  #beginPax(header: TarHeader): Refusal | undefined {
    if (this.#pax !== undefined) return bad("expected one pax header before an entry");
    if (header.size === 0 || header.size > MAX_PAX_BYTES) {
      return bad(`expected a pax header of 1 to ${MAX_PAX_BYTES} bytes`);
    }
    this.#paxContent = [];
    return undefined;
  }

  #beginEntry(header: TarHeader, kind: ArchiveEntry["kind"]): Refusal | undefined {
    const path = this.#pax?.path ?? header.path;
    if ((header.largeUid && !this.#pax?.hasUid) || (header.largeGid && !this.#pax?.hasGid)) {
      return bad(`expected a user and group in octal, or in a pax header too, for ${quoted(path)}`);
    }
    if (path.endsWith("/") !== (kind === "directory")) {
      return bad(`expected a trailing slash on directories and nowhere else: ${quoted(path)}`);
    }
    this.#pax = undefined;
    return (
      this.#sink.begin({ path, kind, size: header.size }) ??
      (header.size === 0 ? this.#endContent() : undefined)
    );
  }

  #readContent(piece: Buffer, at: number): number | Refusal {
    const end = Math.min(at + this.#remaining, piece.length);
    const part = piece.subarray(at, end);
    this.#remaining -= part.length;
    let refused: Refusal | undefined;
    if (this.#paxContent === undefined) refused = this.#sink.content(part);
    else this.#paxContent.push(Buffer.from(part));
    if (this.#remaining === 0) refused ??= this.#endContent();
    return refused ?? part.length;
  }

  #endContent(): Refusal | undefined {
    this.#place = this.#padding > 0 ? "padding" : "header";
    if (this.#paxContent === undefined) return this.#sink.end();
    const pax = parsePaxHeader(Buffer.concat(this.#paxContent));
    if (isRefusal(pax)) return pax;
    this.#pax = pax;
    this.#paxContent = undefined;
    return undefined;
  }

  #readPadding(piece: Buffer, at: number): number | Refusal {
    const end = Math.min(at + this.#padding, piece.length);
    if (!isZero(piece, at, end)) return bad("expected content to be padded with NULs");
    this.#padding -= end - at;
    if (this.#padding === 0) this.#place = "header";
    return end - at;
  }

  /** The first zero block, which ends at `end`: a second one and the filling must follow. */
  #beginEnd(end: number): Refusal | undefined {
    if (this.#pax !== undefined) return bad("expected an entry after the pax header");
    this.#place = "end";
    this.#zeroBlocksEnd = end + BLOCK_BYTES;
    this.#endsAt = Math.ceil(this.#zeroBlocksEnd / RECORD_BYTES) * RECORD_BYTES;
    return undefined;
  }

  #readEnd(piece: Buffer, at: number): number | Refusal {
    const start = this.#base + at;
    if (start === this.#endsAt) return trailing("expected nothing after the archive, not even zeros");
    const end = Math.min(
      start < this.#zeroBlocksEnd ? this.#zeroBlocksEnd : this.#endsAt,
      this.#base + piece.length,
    );
    if (isZero(piece, at, at + end - start)) return end - start;
    if (start < this.#zeroBlocksEnd) return bad("expected two zero blocks at the end, not one");
    return trailing("expected zeros alone after the archive's last entry");
  }
}

/** Whether a stretch of at most {@link RECORD_BYTES} is all NULs. */
function isZero(piece: Buffer, start: number, end: number): boolean {
  return piece.compare(ZEROS, 0, end - start, start, end) === 0;
}

function bad(reason: string): Refusal {
  return refusal("bad-archive", reason);
}

function trailing(reason: string): Refusal {
  return refusal("trailing-data", reason);
}
