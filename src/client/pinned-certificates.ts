import { readFileSync } from "node:fs";
import type { PublicKey } from "openpgp";
import { Fault, quoted } from "../outcome.ts";

/** The certificates that count, openpgp.js's own: nobody else's signature does. Never empty. */
export type PinnedCertificates = readonly PublicKey[];

const MAX_FILE_BYTES = 1024 * 1024;

/**
 * Reads the OpenPGP certificates of `public_key`, armored or not, one or several, also as blocks of armor one behind the other.
 * @throws Fault `bad-configuration` where the file cannot be read, is larger than 1 MiB, or holds anything but public keys
 */
export async function readPinnedCertificates(file: string): Promise<PinnedCertificates> {
  const wrong = (cause?: unknown) =>
    new Fault("bad-configuration", `expected the signing host's public key in ${quoted(file, 300)}`, {
      cause,
    });
  const openpgp = await import("openpgp");
  try {
    const bytes = readFileSync(file);
    if (bytes.length > MAX_FILE_BYTES) throw wrong();
    // The first octet of a packet has its highest bit set (RFC 9580 §4.2), that of armor never.
    const isBinary = ((bytes[0] ?? 0) & 0x80) !== 0;
    const keys = isBinary
      ? await openpgp.readKeys({ binaryKeys: bytes })
      : (
          await Promise.all(
            armoredBlocks(bytes.toString("latin1")).map((armoredKeys) => openpgp.readKeys({ armoredKeys })),
          )
        ).flat();
    if (keys.length === 0 || keys.some((key) => key.isPrivate())) throw wrong();
    return keys as PublicKey[];
  } catch (error) {
    throw error instanceof Fault ? error : wrong(error);
  }
}

/** Each armored block of a text, or all of one that has none: openpgp.js reads the first alone, as if there were no others. */
function armoredBlocks(text: string): readonly string[] {
  const begin = "-----BEGIN PGP ";
  const blocks = text.split(new RegExp(`(?=${begin})`)).filter((block) => block.startsWith(begin));
  return blocks.length === 0 ? [text] : blocks;
}
