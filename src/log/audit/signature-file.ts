import { dearmor } from "../../openpgp/armor.ts";
import { OctetReader } from "../../openpgp/octets.ts";
import { PACKET, readLength, readPackets } from "../../openpgp/packet.ts";
import { isPacketProblem, MalformedPacket, orProblem } from "../../openpgp/packet-problem.ts";
import { parseSignature, type Signature } from "../../openpgp/signature.ts";
import { type LogNotations, parseLogNotations } from "../notations.ts";

/** What a `.sig` is to an auditor. */
export type SignatureFile =
  /** Just what this program makes, and in the name of one of our keys; not yet verified. */
  | {
      readonly kind: "ours";
      readonly packet: Buffer;
      readonly signature: Signature;
      readonly notations: LogNotations;
    }
  /** In the name of one of our keys, and not what this program makes. */
  | { readonly kind: "made-elsewhere"; readonly reason: string }
  /** Of other keys. */
  | { readonly kind: "foreign" }
  /** No OpenPGP signature. */
  | { readonly kind: "no-signature"; readonly reason: string };

/** The longest signature file that is read, in bytes: four times what pacman takes. */
export const MAX_SIGNATURE_BYTES = 64 * 1024;

/**
 * Tells what a signature file is. `isOurs` knows fingerprints and key IDs in upper-case hex. Controlled by: whoever published
 * the file.
 */
export function readSignatureFile(
  content: Uint8Array,
  isOurs: (fingerprintOrKeyId: string) => boolean,
): SignatureFile {
  const dearmored = dearmor(content, "SIGNATURE");
  if (isPacketProblem(dearmored)) return { kind: "no-signature", reason: dearmored.reason };
  const packet = dearmored.bytes;
  const issuers = orProblem(() => issuersOf(packet));
  if (isPacketProblem(issuers)) return { kind: "no-signature", reason: issuers.reason };
  if (!issuers.some(isOurs)) return { kind: "foreign" };
  const signature = parseSignature(packet);
  if (isPacketProblem(signature)) return { kind: "made-elsewhere", reason: signature.reason };
  const notations = parseLogNotations(signature.notations);
  if (notations === undefined)
    return { kind: "made-elsewhere", reason: "the notations that say where in a log it is expected" };
  // An issuer's key ID can be that of another key; what this program makes has a fingerprint.
  if (!isOurs(signature.issuerFingerprint)) return { kind: "foreign" };
  return { kind: "ours", packet, signature, notations };
}

const ISSUER_KEY_ID = 16; // RFC 9580 §5.2.3.12
const ISSUER_FINGERPRINT = 33; // §5.2.3.35
const CRITICAL = 0x80; // §5.2.3.7
const KEY_ID_BYTES = 8;

/**
 * All keys that any of the signatures names, wherever it names them; hex, upper case. Throws {@link MalformedPacket} where
 * it is no sequence of packets that begins with a signature.
 */
function issuersOf(bytes: Buffer): readonly string[] {
  const packets = readPackets(bytes);
  if (packets[0]?.type !== PACKET.signature)
    throw new MalformedPacket("unexpected-packet", "a signature packet expected");
  return packets
    .filter(({ type }) => type === PACKET.signature)
    .flatMap(({ body }) => issuersOfSignature(body));
}

function issuersOfSignature(body: Buffer): readonly string[] {
  const reader = new OctetReader(body);
  const version = reader.uint8();
  if (version === 3) {
    reader.take(6); // length, type and time (§5.2.2)
    return [hex(reader.take(KEY_ID_BYTES))];
  }
  if (version < 4 || version > 6) return []; // whoever made it: none of our keys can have
  reader.take(3); // type and algorithms (§5.2.3)
  const length = () => (version === 6 ? reader.uint32() : reader.uint16());
  return [...issuersInArea(reader.take(length())), ...issuersInArea(reader.take(length()))];
}

function issuersInArea(area: Uint8Array): readonly string[] {
  const reader = new OctetReader(area);
  const found: string[] = [];
  while (reader.remaining > 0) {
    const subpacket = new OctetReader(reader.take(readLength(reader)));
    const type = subpacket.uint8() & ~CRITICAL;
    if (type === ISSUER_KEY_ID) found.push(hex(subpacket.take(KEY_ID_BYTES)));
    if (type !== ISSUER_FINGERPRINT) continue;
    subpacket.uint8(); // version of the key
    found.push(hex(subpacket.take(subpacket.remaining)));
  }
  return found;
}

function hex(octets: Buffer): string {
  return octets.toString("hex").toUpperCase();
}
