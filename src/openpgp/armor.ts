import { MalformedPacket, orProblem, type PacketProblem } from "./packet-problem.ts";

/** What a block of ASCII armor says that it holds (RFC 9580 §6.2.1). */
export type ArmorKind = "PUBLIC KEY BLOCK" | "PRIVATE KEY BLOCK" | "SIGNATURE";

/** Bytes decoded from armor, or that were never in it. */
export interface Dearmored {
  readonly kind: "dearmored";
  readonly bytes: Buffer;
}

/**
 * The packets in `input`: binary as it is, or one block of armor of the expected kind with nothing but white space
 * around it. Headers such as `Comment:` are skipped. So is the CRC24 line: a reader must not judge by it (§6.1), and
 * keys and signatures carry better checks of their own. Never throws.
 */
export function dearmor(input: Uint8Array, expected: ArmorKind): Dearmored | PacketProblem {
  return orProblem(() => ({
    kind: "dearmored",
    bytes: isBinary(input) ? Buffer.from(input) : decode(input, expected),
  }));
}

/** The first octet of every packet has its highest bit set (§4.2), that of armor never. */
function isBinary(input: Uint8Array): boolean {
  return ((input[0] ?? 0) & 0x80) !== 0;
}

function decode(input: Uint8Array, expected: ArmorKind): Buffer {
  const text = Buffer.from(input.buffer, input.byteOffset, input.byteLength).toString("latin1");
  const lines = text.trim().split(/[ \t]*\r?\n/);
  if (lines[0] !== `-----BEGIN PGP ${expected}-----`) {
    throw new MalformedPacket("bad-armor", `ascii armor of a pgp ${expected.toLowerCase()} expected`);
  }
  if (lines.at(-1) !== `-----END PGP ${expected}-----`) {
    throw new MalformedPacket("bad-armor", `one pgp ${expected.toLowerCase()} with its end line expected`);
  }
  const blank = lines.indexOf("");
  if (blank === -1 || !lines.slice(1, blank).every((line) => /^[A-Za-z-]+: /.test(line))) {
    throw new MalformedPacket("bad-armor", "armor headers and then an empty line expected");
  }
  const checksum = /^=[A-Za-z0-9+/]{4}$/.test(lines.at(-2) ?? "") ? 2 : 1;
  const base64 = lines.slice(blank + 1, -checksum).join("");
  if (base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) {
    throw new MalformedPacket("bad-armor", "base64 expected in the armor");
  }
  return Buffer.from(base64, "base64");
}
