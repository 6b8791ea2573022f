import { OctetReader } from "./octets.ts";
import { MalformedPacket } from "./packet-problem.ts";

/** Packet type IDs (RFC 9580 §5, table 3) that this program reads or writes. */
export const PACKET = {
  signature: 2,
  secretKey: 5,
  publicKey: 6,
  secretSubkey: 7,
  publicSubkey: 14,
} as const;

/** One packet of a sequence. */
export interface Packet {
  /** Packet type ID, 0 to 63. */
  readonly type: number;
  readonly body: Buffer;
}

/** A packet in the OpenPGP format (§4.2.1), its length in the shortest form. `type` is 1 to 63. */
export function encodePacket(type: number, body: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of(0xc0 | type), encodeLength(body.length), body]);
}

/** A length as packets (§4.2.1) and, up to 8,383, subpackets (§5.2.3.7) have it, in the shortest form. */
export function encodeLength(length: number): Uint8Array {
  if (length < 192) return Uint8Array.of(length);
  if (length < 8384) return Uint8Array.of(((length - 192) >> 8) + 192, (length - 192) & 0xff);
  const long = Buffer.alloc(5, 0xff);
  long.writeUInt32BE(length, 1);
  return long;
}

/** Reads one packet, in the OpenPGP format (§4.2.1) or the legacy one (§4.2.2). Throws {@link MalformedPacket}. */
export function readPacket(reader: OctetReader): Packet {
  const first = reader.uint8();
  if ((first & 0x80) === 0) throw new MalformedPacket("bad-header", "an openpgp packet expected");
  const legacy = (first & 0x40) === 0;
  const type = legacy ? (first >> 2) & 0x0f : first & 0x3f;
  const length = legacy ? readLegacyLength(reader, first & 0x03) : readLength(reader);
  return { type, body: reader.take(length) };
}

/** A length of a packet or, without its partial form, of a subpacket. */
export function readLength(reader: OctetReader): number {
  const first = reader.uint8();
  if (first < 192) return first;
  if (first < 224) return ((first - 192) << 8) + reader.uint8() + 192;
  if (first === 255) return reader.uint32();
  throw new MalformedPacket("bad-header", "a packet of definite length expected, this one comes in parts");
}

function readLegacyLength(reader: OctetReader, lengthType: number): number {
  if (lengthType === 0) return reader.uint8();
  if (lengthType === 1) return reader.uint16();
  if (lengthType === 2) return reader.uint32();
  throw new MalformedPacket("bad-header", "a packet of definite length expected, this one has none");
}

/** All packets of a sequence, up to its end. Throws {@link MalformedPacket}. */
export function readPackets(bytes: Uint8Array): readonly Packet[] {
  const reader = new OctetReader(bytes);
  const packets: Packet[] = [];
  while (reader.remaining > 0) packets.push(readPacket(reader));
  return packets;
}
