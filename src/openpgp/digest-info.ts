/** DER of DigestInfo up to the digest: SHA-512, no parameters, 64 octets (RFC 8017 §9.2, note 1). */
const SHA512_PREFIX = Buffer.from("3051300d060960864801650304020305000440", "hex");

/** What PKCS #1 v1.5 signs for this SHA-512 digest of 64 octets (RFC 8017 §9.2). */
export function digestInfo(digest: Uint8Array): Buffer {
  return Buffer.concat([SHA512_PREFIX, digest]);
}
