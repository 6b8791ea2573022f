/**
 * Verifies a detached signature entirely through openpgp.js, which shares no code with what made it: the certificate's
 * self-signatures, bindings and flags, revocation and expiry, and the signature itself, all as of `now`. The artefact
 * is held in memory: for databases and tests; {@link signatureVerifies} reads an artefact of any size but takes the
 * key's own validity from elsewhere. Returns why it is not good, in the library's words; undefined where it is.
 */
export async function openpgpjsObjection(
  armoredCertificate: string,
  artefact: Uint8Array,
  signature: Uint8Array,
  now: Date,
): Promise<string | undefined> {
  const openpgp = await import("openpgp");
  try {
    const result = await openpgp.verify({
      message: await openpgp.createMessage({ binary: artefact }),
      signature: await openpgp.readSignature({ binarySignature: signature }),
      verificationKeys: await openpgp.readKey({ armoredKey: armoredCertificate }),
      date: now,
    });
    if (result.signatures.length !== 1) return "exactly one signature expected";
    await result.signatures[0]?.verified;
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
