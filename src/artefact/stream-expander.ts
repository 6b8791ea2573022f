import type { createGunzip, createZstdDecompress } from "node:zlib";
import { type Refusal, refusal } from "../outcome.ts";
import {
  Budget,
  type CompressedFormat,
  type Expander,
  type ExpansionLimits,
  type PieceSink,
} from "./expansion.ts";

/** Bytes given to the decompressor at a time: so many that the round trips to the thread pool cost little. */
const INPUT_BYTES = 256 * 1024;

/** What zlib makes. */
type Decompressor = ReturnType<typeof createGunzip> | ReturnType<typeof createZstdDecompress>;

/**
 * Drives one of zlib's streams so that the thread pool decompresses while the main thread reads, hashes and parses: what
 * comes in meanwhile is collected, and what came out is parsed once the next input is on its way.
 */
export class StreamExpander implements Expander {
  readonly #stream: Decompressor;
  readonly #format: CompressedFormat;
  readonly #sink: PieceSink;
  readonly #budget: Budget;
  /**
   * What comes next: the first `#collectedBytes` of one buffer, while the decompressor reads the other. Neither is made
   * before it is needed: most of what is signed is smaller than one of them.
   */
  #collected: Buffer | undefined;
  #spare: Buffer | undefined;
  #collectedBytes = 0;
  #decompressing = false;
  /** What the decompressor was given last, and the number of bytes before that. */
  #input: Buffer = Buffer.alloc(0);
  #inputStart = 0;
  /** Expanded pieces that wait to be parsed: one, for a moment two. */
  #held: Buffer[] = [];
  #refused: Refusal | undefined;
  #complete = false;
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
      this.#complete = true;
      this.#wake();
    });
    // Whoever closes early gets no answer that could be taken for a whole stream, and is not left waiting.
    stream.on("close", () => {
      if (!this.#complete) this.#refuse(refusal("truncated", "expected the compressed stream up to its end"));
    });
  }

  async push(chunk: Buffer): Promise<Refusal | undefined> {
    const refused = this.#refused ?? this.#budget.receive(chunk.length) ?? this.#format.inspect(chunk);
    if (refused !== undefined) return this.#refuse(refused);
    for (let at = 0; at < chunk.length; ) {
      while (this.#collectedBytes === INPUT_BYTES && !this.#over()) await this.#change();
      if (this.#over())
        return this.#refuse(refusal("trailing-data", "expected nothing after the compressed stream"));
      if (!this.#decompressing && this.#collectedBytes === 0) {
        const piece = chunk.subarray(at, at + INPUT_BYTES);
        this.#write(piece);
        at += piece.length;
      } else {
        at += this.#collect(chunk.subarray(at));
        this.#send();
      }
      this.#parseHeld();
    }
    return this.#refused;
  }

  async finish(): Promise<Refusal | undefined> {
    while (this.#decompressing && !this.#over()) await this.#change();
    this.#stream.end();
    this.#parseHeld();
    while (!this.#over()) await this.#change();
    this.#parseHeld();
    return this.#refused ?? this.#format.finish();
  }

  close(): void {
    this.#held = [];
    this.#stream.destroy();
  }

  /** Keeps a copy of what fits; how much that was. */
  #collect(bytes: Buffer): number {
    this.#collected ??= Buffer.allocUnsafe(INPUT_BYTES);
    const taken = bytes.copy(this.#collected, this.#collectedBytes);
    this.#collectedBytes += taken;
    return taken;
  }

  /** Gives the decompressor what is collected, unless it is busy; in the end it asks for more itself. */
  #send(): void {
    if (this.#decompressing || this.#collected === undefined || this.#collectedBytes === 0) return;
    if (this.#refused !== undefined) return;
    const collected = this.#collected.subarray(0, this.#collectedBytes);
    [this.#collected, this.#spare] = [this.#spare, this.#collected];
    this.#collectedBytes = 0;
    this.#write(collected);
  }

  /** Gives the decompressor bytes that MUST stay as they are until it has read them. */
  #write(input: Buffer): void {
    this.#inputStart += this.#input.length;
    this.#input = input;
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

  /** Whether the decompressor has done all that it will do. */
  #over(): boolean {
    return this.#complete || this.#refused !== undefined;
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** The first refusal stays; it stops the decompressor and drops what it has made. */
  #refuse(refused: Refusal): Refusal {
    this.#refused ??= refused;
    this.close();
    this.#wake();
    return this.#refused;
  }
}
