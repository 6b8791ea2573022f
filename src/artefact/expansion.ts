import { type Refusal, refusal } from "../outcome.ts";

/** How much a database may cost. Chosen by the administrator or by default, never by the client. */
export interface ExpansionLimits {
  /** Most bytes as received. */
  readonly maxBytes: number;
  /** Most bytes after decompression. */
  readonly maxExpandedBytes: number;
  /** Most expanded bytes per byte received, once more than {@link FREE_EXPANSION_BYTES} came out. */
  readonly maxExpansionRatio: number;
}

/** Below this the ratio says nothing: an empty database is 45 bytes of gzip and 10240 bytes of NULs. */
export const FREE_EXPANSION_BYTES = 1024 * 1024;

/** Takes the expanded bytes in order. The piece is only borrowed: what is kept of it MUST be copied. */
export type PieceSink = (piece: Buffer) => Refusal | undefined;

/** Undoes one layer of compression while the bytes stream by, in bounded memory. */
export interface Expander {
  /** Takes a chunk; resolves when it can take the next one. What a chunk expands to may be refused by a later call. */
  push(chunk: Buffer): Promise<Refusal | undefined>;
  /** The end of the stream: everything has reached the sink when this resolves. Called at most once. */
  finish(): Promise<Refusal | undefined>;
  /** Frees the decompressor. Safe at any time, more than once. */
  close(): void;
}

/** What a compression format demands beyond what its decompressor checks. */
export interface CompressedFormat {
  /** Sees every chunk before the decompressor does; a chunk that it refuses is not decompressed. */
  inspect(chunk: Buffer): Refusal | undefined;
  /** What a decompressor's error means; `rest`: the bytes given to it that it had not consumed. */
  explain(error: NodeJS.ErrnoException, rest: Buffer): Refusal;
  /** After the decompressor has reached its end without an error. */
  finish(): Refusal | undefined;
}

/** Counts what goes in and comes out, and refuses what costs too much. */
export class Budget {
  readonly #limits: ExpansionLimits;
  #received = 0;
  #expanded = 0;

  constructor(limits: ExpansionLimits) {
    this.#limits = limits;
  }

  /** So many bytes more were received: `too-large` if that is one too many. */
  receive(bytes: number): Refusal | undefined {
    this.#received += bytes;
    if (this.#received <= this.#limits.maxBytes) return undefined;
    return refusal("too-large", `expected a database of at most ${this.#limits.maxBytes} bytes`);
  }

  /** So many bytes more came out: `expands-too-far` if that is one too many. */
  expand(bytes: number): Refusal | undefined {
    this.#expanded += bytes;
    const { maxExpandedBytes, maxExpansionRatio } = this.#limits;
    if (this.#expanded > maxExpandedBytes) {
      return refusal("expands-too-far", `expected at most ${maxExpandedBytes} bytes after decompression`);
    }
    if (this.#expanded > FREE_EXPANSION_BYTES && this.#expanded > this.#received * maxExpansionRatio) {
      return refusal(
        "expands-too-far",
        `expected at most ${maxExpansionRatio} bytes from each compressed byte`,
      );
    }
    return undefined;
  }
}
