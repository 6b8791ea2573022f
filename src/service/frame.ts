/**
 * The frames between a relay and the signing service (docs/FORMATS.md, "Relay"): one octet of kind, four of length, big
 * endian, and so many octets. Each side sends its kinds in one order only, and has read that order of the other before it
 * believes a byte.
 */

/** Who sends a kind of frame. */
export type Side = "relay" | "service";

export type FrameKind = "request" | "data" | "end-of-data" | "proceed" | "output" | "outcome";

/** Octets before the payload. */
export const FRAME_HEADER_BYTES = 5;
/** Longest payload of `data` and `output`; the other kinds are shorter. */
export const MAX_PIECE_BYTES = 256 * 1024;

interface Rule {
  readonly octet: number;
  /** Length of the payload. */
  readonly minBytes: number;
  readonly maxBytes: number;
  /** What the same side may send after it. */
  readonly next: readonly FrameKind[];
}

const RULES: Readonly<Record<FrameKind, Rule>> = {
  request: { octet: 0x01, minBytes: 2, maxBytes: 8192, next: ["data", "end-of-data"] },
  data: {
    octet: 0x02,

    minBytes: 1,
    maxBytes: MAX_PIECE_BYTES,
    next: ["data", "end-of-data"],
  },
  "end-of-data": { octet: 0x03, minBytes: 0, maxBytes: 0, next: [] },
  proceed: { octet: 0x11, minBytes: 0, maxBytes: 0, next: ["output", "outcome"] },
  output: {
    octet: 0x12,

    minBytes: 1,
    maxBytes: MAX_PIECE_BYTES,
    next: ["output", "outcome"],
  },
  outcome: { octet: 0x13, minBytes: 2, maxBytes: 8192, next: [] },
};

const FIRST: Readonly<Record<Side, readonly FrameKind[]>> = {
  relay: ["request"],
  service: ["proceed", "output", "outcome"],
};

/** Kinds whose payload is passed on in the pieces in which it arrives; of the others it is gathered first. */
type PieceKind = "data" | "output";

/** A frame as it was read, or a piece of one. */
export type Frame =
  | { readonly kind: PieceKind; readonly bytes: Buffer }
  | { readonly kind: Exclude<FrameKind, PieceKind>; readonly payload: Buffer };

/** A frame, or pieces that follow one another. */
type Read =
  | { readonly kind: PieceKind; readonly pieces: Buffer[] }
  | Exclude<Frame, { readonly kind: PieceKind }>;

function joined(read: Read): Frame {
  if (!("pieces" in read)) return read;
  const { kind, pieces } = read;
  const [first] = pieces;
  return { kind, bytes: pieces.length === 1 && first !== undefined ? first : Buffer.concat(pieces) };
}

/** The frame of `kind`. Throws a TypeError for a payload that {@link FrameReader} would not take. */
export function encodeFrame(kind: FrameKind, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const { octet, minBytes, maxBytes } = RULES[kind];
  if (payload.byteLength < minBytes || payload.byteLength > maxBytes)
    throw new TypeError(`a frame of kind ${kind} has ${minBytes} to ${maxBytes} octets`);
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + payload.byteLength);
  frame.writeUInt8(octet, 0);
  frame.writeUInt32BE(payload.byteLength, 1);
  frame.set(payload, FRAME_HEADER_BYTES);
  return frame;
}

/** Bytes of any length as frames of a kind that comes in pieces. */
export function encodePieces(kind: PieceKind, bytes: Uint8Array): Buffer {
  const frames: Buffer[] = [];
  for (let at = 0; at < bytes.byteLength; at += MAX_PIECE_BYTES)
    frames.push(encodeFrame(kind, bytes.subarray(at, at + MAX_PIECE_BYTES)));
  return frames.length === 1 && frames[0] !== undefined ? frames[0] : Buffer.concat(frames);
}

/**
 * Reads what one side sends, however it is cut. Holds a header or a short payload at most, 8 KiB; bytes of pieces are
 * passed on as they come. Controlled by: the other side, to the last byte.
 */
export class FrameReader {
  #allowed: readonly FrameKind[];
  #held: Buffer = Buffer.alloc(0);
  /** The frame under way, and the octets of its payload that are missing. */
  #kind: FrameKind | undefined;
  #missing = 0;
  #isBroken = false;

  constructor(from: Side) {
    this.#allowed = FIRST[from];
  }

  /** Whether the last thing read was a frame after which nothing may come. */
  get isAtEnd(): boolean {
    return this.#kind === undefined && this.#held.length === 0 && this.#allowed.length === 0;
  }

  /**
   * The frames that `chunk` completes, and what it has of pieces: as few as can be, however many frames they came in. Undefined
   * where it breaks the protocol, and from then on.
   */
  push(chunk: Buffer): readonly Frame[] | undefined {
    const read: Read[] = [];
    for (let at = 0; at < chunk.length && !this.#isBroken; ) at = this.#take(chunk, at, read);
    return this.#isBroken ? undefined : read.map(joined);
  }

  /** Takes at least an octet of `bytes`, from `at` on; where what it leaves begins. */
  #take(bytes: Buffer, at: number, read: Read[]): number {
    if (this.#kind === "data" || this.#kind === "output") return this.#passOn(this.#kind, bytes, at, read);
    const wanted = this.#kind === undefined ? FRAME_HEADER_BYTES : this.#missing;
    const end = Math.min(at + wanted - this.#held.length, bytes.length);
    if (this.#kind === undefined && end - at === wanted) {
      this.#begin(bytes, at, read); // a frame may have one octet: its header is not worth an object of its own
      return end;
    }
    const taken = bytes.subarray(at, end);
    this.#held = this.#held.length === 0 ? taken : Buffer.concat([this.#held, taken]);
    if (this.#held.length === wanted) {
      const whole = this.#held;
      this.#held = Buffer.alloc(0);
      if (this.#kind === undefined) this.#begin(whole, 0, read);
      else this.#end(this.#kind, whole, read);
    }
    return end;
  }

  #begin(bytes: Buffer, at: number, read: Read[]): void {
    const octet = bytes[at];
    const length = bytes.readUInt32BE(at + 1);
    const kind = this.#allowed.find((each) => RULES[each].octet === octet);
    if (kind === undefined || length < RULES[kind].minBytes || length > RULES[kind].maxBytes) {
      this.#isBroken = true;
      return;
    }
    this.#kind = kind;
    this.#missing = length;
    if (length === 0 && kind !== "data" && kind !== "output") this.#end(kind, Buffer.alloc(0), read);
  }

  #passOn(kind: PieceKind, bytes: Buffer, at: number, read: Read[]): number {
    const end = Math.min(at + this.#missing, bytes.length);
    this.#missing -= end - at;
    const before = read.at(-1);
    const piece = bytes.subarray(at, end);
    if (before?.kind === kind) before.pieces.push(piece);
    else read.push({ kind, pieces: [piece] });
    if (this.#missing === 0) this.#after(kind);
    return end;
  }

  #end(kind: Exclude<FrameKind, PieceKind>, payload: Buffer, read: Read[]): void {
    read.push({ kind, payload });
    this.#after(kind);
  }

  #after(kind: FrameKind): void {
    this.#kind = undefined;
    this.#allowed = RULES[kind].next;
  }
}
