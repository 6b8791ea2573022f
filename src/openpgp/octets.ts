import { MalformedPacket } from "./packet-problem.ts";

/**
 * Reads big-endian fields (RFC 9580 §3.1) off the front of bytes that somebody else controls. What is not there throws
 * {@link MalformedPacket} `truncated`. Slices share memory with the input.
 */
export class OctetReader {
  readonly #bytes: Buffer;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get position(): number {
    return this.#position;
  }

  get remaining(): number {
    return this.#bytes.length - this.#position;
  }

  take(count: number): Buffer {
    if (count > this.remaining) {
      throw new MalformedPacket("truncated", `${count} bytes expected where ${this.remaining} are left`);
    }
    this.#position += count;
    return this.#bytes.subarray(this.#position - count, this.#position);
  }

  uint8(): number {
    return this.take(1).readUInt8();
  }

  uint16(): number {
    return this.take(2).readUInt16BE();
  }

  uint32(): number {
    return this.take(4).readUInt32BE();
  }

  /** A multiprecision integer (§3.2) of at most `maxBits` by its own count, without leading zero octets. */
  mpi(maxBits: number): Buffer {
    const bits = this.uint16();
    if (bits > maxBits) {
      throw new MalformedPacket("not-canonical", `a number of at most ${maxBits} bits expected`);
    }
    return withoutLeadingZeros(this.take(Math.ceil(bits / 8)));
  }

  /** Everything read between `start`, a former {@link position}, and here. */
  since(start: number): Buffer {
    return this.#bytes.subarray(start, this.#position);
  }

  /** Throws `trailing-bytes` where something is left. */
  expectEnd(): void {
    if (this.remaining > 0) {
      throw new MalformedPacket("trailing-bytes", `${this.remaining} bytes follow where the format ends`);
    }
  }
}

/** A two-octet number (§3.1). Throws RangeError outside 0 to 65,535. */
export function uint16(value: number): Uint8Array {
  const octets = Buffer.alloc(2);
  octets.writeUInt16BE(value);
  return octets;
}

/** A four-octet number (§3.1). Throws RangeError outside 0 to 2^32-1. */
export function uint32(value: number): Uint8Array {
  const octets = Buffer.alloc(4);
  octets.writeUInt32BE(value);
  return octets;
}

/** The multiprecision integer (§3.2) of these big-endian octets, its bit count that of its highest set bit. */
export function encodeMpi(octets: Uint8Array): Uint8Array {
  const stripped = withoutLeadingZeros(octets);
  const [first] = stripped;
  const bits = first === undefined ? 0 : stripped.length * 8 - (Math.clz32(first) - 24);
  return Buffer.concat([uint16(bits), stripped]);
}

function withoutLeadingZeros(octets: Uint8Array): Buffer {
  const start = octets.findIndex((octet) => octet !== 0);
  const skip = start === -1 ? octets.length : start;
  return Buffer.from(octets.buffer, octets.byteOffset + skip, octets.length - skip);
}

/** Big-endian octets filled up with leading zeros to exactly `length`; undefined where they are longer already. */
export function leftPadded(octets: Uint8Array, length: number): Buffer | undefined {
  if (octets.length > length) return undefined;
  const padded = Buffer.alloc(length);
  padded.set(octets, length - octets.length);
  return padded;
}
