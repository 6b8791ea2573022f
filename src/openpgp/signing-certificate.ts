/** A certificate whose key may sign. */
export interface SigningCertificate {
  readonly kind: "signing-certificate";
  /** Upper-case hex. */
  readonly primaryFingerprint: string;
}

/** Why a certificate does not let a key sign. */
export interface CertificateObjection {
  readonly kind: "certificate-objection";
  /** In the words of the library, for people; a stranger's text may be in it. */
  readonly reason: string;
}

/**
 * Whether the binary certificate holds the key `fingerprint` (upper-case hex), primary or subkey, validly bound and made for
 * signing, and not expired at the time `at`; all through openpgp.js. A revoked key is refused whatever the time: who
 * stole it writes any date. Says nothing about any signature. Controlled by: whoever made the certificate.
 */
export async function signingCertificate(
  certificate: Uint8Array,
  fingerprint: string,
  at: Date,
): Promise<SigningCertificate | CertificateObjection> {
  const openpgp = await import("openpgp");
  try {
    const key = await openpgp.readKey({ binaryKey: certificate });
    const part = key.getKeys().find((found) => found.getFingerprint().toUpperCase() === fingerprint);
    if (part === undefined) return objection(`it does not hold the key ${fingerprint}`);
    const signing = await key.getSigningKey(part.getKeyID(), at);
    // Two keys can have one ID; the library takes the first.
    if (signing.getFingerprint().toUpperCase() !== fingerprint)
      return objection("two keys in it have one ID");
    return { kind: "signing-certificate", primaryFingerprint: key.getFingerprint().toUpperCase() };
  } catch (error) {
    return objection(error instanceof Error ? error.message : String(error));
  }
}

function objection(reason: string): CertificateObjection {
  return { kind: "certificate-objection", reason };
}
