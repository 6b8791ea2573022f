import { constants, createGunzip, createZstdDecompress } from "node:zlib";
import { type Refusal, refusal } from "../outcome.ts";
import { GzipFormat } from "./gzip.ts";
import { ZSTD_MAX_WINDOW_LOG, ZstdFormat } from "./zstd-frame.ts";

/** How much a database may cost. Chosen by the administrator or by {@link DEFAULT_LIMITS}, never by the client. */
export interface ExpansionLimits {
  /** Most bytes as received. */
  readonly maxBytes: number;
  /** Most bytes after decompression. */
  readonly maxExpandedBytes: number;
  /** Most expanded bytes per byte received, once more than {@link FREE_EXPANSION_BYTES} came out. */
  readonly maxExpansionRatio: number;
}

/**
 * `maxBytes`: pacman refuses to download a larger database. `maxExpandedBytes`: three times the largest file list
 * database there is. `maxExpansionRatio`: databases reach 4 to 20, deflate's own ceiling is 1032.
 */
export const DEFAULT_LIMITS: ExpansionLimits = {
  maxBytes: 128 * 1024 * 1024,
  maxExpandedBytes: 1024 * 1024 * 1024,
  maxExpansionRatio: 100,
};

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

/**
 * Bytes given to the decompressor at a time, and taken from it: so many that the round trips to the thread pool cost little, so
 * few that what waits for the garbage collector does not add up.
 */
const INPUT_BYTES = 256 * 1024;
const PIECE_BYTES = 512 * 1024;

/** Counts what goes in and comes out, and refuses what costs too much. */
class Budget {
  readonly #limits: ExpansionLimits;
  #received = 0;
  #expanded = 0;

  constructor(limits: ExpansionLimits) {
    this.#limits = limits;
  }

  receive(bytes: number): Refusal | undefined {
    this.#received += bytes;
    if (this.#received <= this.#limits.maxBytes) return undefined;
    return refusal("too-large", `expected a database of at most ${this.#limits.maxBytes} bytes`);
  }

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

/** Passes an uncompressed database on as it is. */
export function expandNothing(sink: PieceSink, limits: ExpansionLimits): Expander {
  const budget = new Budget(limits);
  return {
    push: async (chunk) => budget.receive(chunk.length) ?? budget.expand(chunk.length) ?? sink(chunk),
    finish: async () => undefined,
    close: () => {},
  };
}

/** Expands exactly one gzip member (RFC 1952) with nothing after it. */
export function expandGzip(sink: PieceSink, limits: ExpansionLimits): Expander {
  const stream = createGunzip({ chunkSize: PIECE_BYTES, rejectGarbageAfterEnd: true });
  return new StreamExpander(stream, new GzipFormat(), sink, limits);
}

/** Expands exactly one zstd frame (RFC 8878) with a bounded window and nothing after it. */
export function expandZstd(sink: PieceSink, limits: ExpansionLimits): Expander {
  const stream = createZstdDecompress({
    chunkSize: PIECE_BYTES,
    params: { [constants.ZSTD_d_windowLogMax]: ZSTD_MAX_WINDOW_LOG },
  });
  return new StreamExpander(stream, new ZstdFormat(limits.maxExpandedBytes), sink, limits);
}

type Decompressor = ReturnType<typeof createGunzip> | ReturnType<typeof createZstdDecompress>;

/**
 * Drives one of zlib's streams so that the thread pool decompresses while the main thread reads, hashes and parses: what
 * comes in meanwhile is collected, and what came out is parsed once the next input is on its way.
 */
class StreamExpander implements Expander {
  readonly #stream: Decompressor;
  readonly #format: CompressedFormat;
  readonly #sink: PieceSink;
  readonly #budget: Budget;
  /** What comes next: the first `#collectedBytes` of one buffer, while the decompressor reads the other. */
  #collected = Buffer.allocUnsafe(INPUT_BYTES);
  #spare = Buffer.allocUnsafe(INPUT_BYTES);
  #collectedBytes = 0;
  #decompressing = false;
  /** What the decompressor was given last, and the number of bytes before that. */
  #input: Buffer = Buffer.alloc(0);
  #inputStart = 0;
  /** Expanded pieces that wait to be parsed: one, for a moment two. */
  #held: Buffer[] = [];
  #refused: Refusal | undefined;
  #ended = false;
  /** Wakes `push` or `finish`, which then look again at what they wait for. */
  #wake: () => void = () => {};

  constructor(stream: Decompressor, format: CompressedFormat, sink: PieceSink, limits: ExpansionLimits) {
    this.#stream = stream;
    this.#format = format;
    this.#sink = sink;
    this.#budget = new Budget(limits);
    stream.on("data", (piece: Buffer) => this.#take(piece));
    stream.on("error", (error) => {
      const rest = this.#input.subarray(Math.max(0, stream.bytesWritten - this.#inputStart));
      this.#refuse(format.explain(error, rest));
    });
    stream.on("end", () => {
      this.#ended = true;
      this.#wake();
    });
    // Without this a stream that the caller closed would leave `push` or `finish` waiting for ever.
    stream.on("close", () => {
      this.#ended = true;
      this.#wake();
    });
  }

  async push(chunk: Buffer): Promise<Refusal | undefined> {
    const refused = this.#refused ?? this.#budget.receive(chunk.length) ?? this.#format.inspect(chunk);
    if (refused !== undefined) return this.#refuse(refused);
    for (let at = 0; at < chunk.length && this.#refused === undefined; ) {
      while (this.#collectedBytes === INPUT_BYTES && !this.#ended) await this.#change();
      if (this.#ended) break;
      const taken = chunk.copy(this.#collected, this.#collectedBytes, at);
      this.#collectedBytes += taken;
      at += taken;
      this.#send();
      this.#parseHeld();
    }
    return this.#refused;
  }

  async finish(): Promise<Refusal | undefined> {
    while (this.#decompressing && !this.#ended) await this.#change();
    this.#stream.end();
    this.#parseHeld();
    while (!this.#ended) await this.#change();
    this.#parseHeld();
    return this.#refused ?? this.#format.finish();
  }

  close(): void {
    this.#held = [];
    this.#stream.destroy();
  }

  /** Gives the decompressor what is collected, unless it is busy; in the end it asks for more itself. */
  #send(): void {
    if (this.#decompressing || this.#collectedBytes === 0 || this.#refused !== undefined) return;
    this.#inputStart += this.#input.length;
    this.#input = this.#collected.subarray(0, this.#collectedBytes);
    [this.#collected, this.#spare] = [this.#spare, this.#collected];
    this.#collectedBytes = 0;
    this.#decompressing = true;
    this.#stream.write(this.#input, () => {
      this.#decompressing = false;
      this.#send();
      if (this.#decompressing) this.#parseHeld();
      this.#wake();
    });
  }

  #take(piece: Buffer): void {
    if (this.#refused !== undefined) return;
    const refused = this.#budget.expand(piece.length);
    if (refused !== undefined) {
      this.#refuse(refused);
      return;
    }
    this.#held.push(piece);
    // If this input expands to more pieces, the next one is being made by then.
    queueMicrotask(() => {
      if (this.#decompressing) this.#parseHeld();
    });
  }

  #parseHeld(): void {
    for (let piece = this.#held.shift(); piece !== undefined; piece = this.#held.shift()) {
      const refused = this.#sink(piece);
      if (refused !== undefined) this.#refuse(refused);
    }
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** The first refusal stays; it stops the decompressor and drops what it has made. */
  #refuse(refused: Refusal): Refusal {
    this.#refused ??= refused;
    this.#ended = true;
    this.close();
    this.#wake();
    return this.#refused;
  }
}
