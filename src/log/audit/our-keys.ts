import type { Fingerprint } from "../../keys/signing-key.ts";
import { dearmor } from "../../openpgp/armor.ts";
import { fingerprintOf, type KeyMaterial, readPublicKey } from "../../openpgp/key-packet.ts";
import { PACKET, readPackets } from "../../openpgp/packet.ts";
import { isPacketProblem, orProblem, type PacketProblem } from "../../openpgp/packet-problem.ts";
import { signingCertificate } from "../../openpgp/signing-certificate.ts";

/** Characters of a key ID: the end of the fingerprint (RFC 9580 §5.5.4.2). */
const KEY_ID_CHARACTERS = 16;
const VERSION = 4; // §5.5.2.2

/** The keys whose signatures are audited: every key of the certificates given, primaries and subkeys. */
export class OurKeys {
  /** Of each fingerprint, the binary certificate that it is in. */
  readonly #certificates = new Map<string, Buffer>();
  readonly #objections = new Map<string, string | undefined>();

  /** Takes in a certificate, armored or not. A problem where it is none, or holds no version 4 key. */
  add(file: Uint8Array): PacketProblem | undefined {
    const certificate = dearmor(file, "PUBLIC KEY BLOCK");
    if (isPacketProblem(certificate)) return certificate;
    const found = orProblem(() =>
      readPackets(certificate.bytes)
        .filter(({ type, body }) => isPublicKey(type) && body[0] === VERSION)
        .map(({ body }) => fingerprintOf(body)),
    );
    if (isPacketProblem(found)) return found;
    for (const fingerprint of found) this.#certificates.set(fingerprint, certificate.bytes);
    if (found.length > 0) return undefined;
    return { kind: "packet-problem", problem: "unexpected-packet", reason: "an openpgp public key expected" };
  }

  /** Whether a fingerprint or key ID, upper-case hex, is that of one of the keys. */
  has(fingerprintOrKeyId: string): boolean {
    if (this.#certificates.has(fingerprintOrKeyId)) return true;
    return (
      fingerprintOrKeyId.length === KEY_ID_CHARACTERS &&
      [...this.#certificates.keys()].some((fingerprint) => fingerprint.endsWith(fingerprintOrKeyId))
    );
  }

  /** The public key of a fingerprint that {@link OurKeys.has}. */
  publicKey(fingerprint: Fingerprint): KeyMaterial | PacketProblem {
    return readPublicKey(this.#certificates.get(fingerprint) ?? Buffer.of(), fingerprint);
  }

  /** Why the key could not make a signature at a time, in a library's words; undefined where it could. */
  async objection(fingerprint: Fingerprint, at: Date): Promise<string | undefined> {
    const asked = `${fingerprint} ${at.getTime()}`;
    if (!this.#objections.has(asked)) {
      const certificate = this.#certificates.get(fingerprint) ?? Buffer.of();
      const found = await signingCertificate(certificate, fingerprint, at);
      this.#objections.set(asked, found.kind === "certificate-objection" ? found.reason : undefined);
    }
    return this.#objections.get(asked);
  }
}

function isPublicKey(type: number): boolean {
  return type === PACKET.publicKey || type === PACKET.publicSubkey;
}
