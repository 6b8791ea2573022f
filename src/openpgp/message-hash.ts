import { createHash, createSign, createVerify, type Hash } from "node:crypto";
import type { EcdsaStreams, KeyAlgorithm, MessageHash } from "../keys/signing-key.ts";

/**
 * Starts hashing one artefact for whichever of `keys` will sign or verify it in the end. ECDSA streams, which cost
 * the SHA-512 twice more, run beside the hash only where one of the keys needs them.
 */
export function startMessageHash(keys: readonly { readonly algorithm: KeyAlgorithm }[]): MessageHash {
  const ecdsa = keys.some(({ algorithm }) => algorithm.startsWith("ecdsa-"));
  return new RunningHash(ecdsa ? { sign: createSign("SHA512"), verify: createVerify("SHA512") } : undefined);
}

class RunningHash implements MessageHash {
  readonly ecdsa: EcdsaStreams | undefined;
  readonly #hash = createHash("sha512");

  constructor(ecdsa: EcdsaStreams | undefined) {
    this.ecdsa = ecdsa;
  }

  update(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.ecdsa?.sign.update(chunk);
    this.ecdsa?.verify.update(chunk);
  }

  sha512(): Hash {
    return this.#hash.copy();
  }
}

/** The streams that a signature or verification with an ECDSA key finishes. Throws where none were started. */
export function ecdsaStreams(message: MessageHash): EcdsaStreams {
  if (message.ecdsa === undefined) throw new Error("the message hash was not started for an ecdsa key");
  return message.ecdsa;
}
