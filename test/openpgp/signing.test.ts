import { constants, sign as nodeSign, privateEncrypt } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Fingerprint, KeyAlgorithm, SignatureTerms } from "../../src/keys/signing-key.ts";
import { digestInfo } from "../../src/openpgp/digest-info.ts";
import { startMessageHash } from "../../src/openpgp/message-hash.ts";
import { isPacketProblem } from "../../src/openpgp/packet-problem.ts";
import {
  encodeHashedPart,
  encodeHashSuffix,
  encodeSignature,
  parseSignature,
  type Signature,
} from "../../src/openpgp/signature.ts";
import { type KeyPair, signAndVerify } from "../../src/openpgp/signing.ts";
import { signatureVerifies } from "../../src/openpgp/verification.ts";
import { Fault } from "../../src/outcome.ts";
import { newKeyPair } from "../support/key-pair.ts";

const TERMS: SignatureTerms = {
  createdAt: new Date("2026-11-23T19:26:00.789Z"),
  expiresAfterSeconds: undefined,
  notations: [["type@signer.example.org", "db"]],
};
const ARTEFACT = Buffer.from("the bytes of an artefact, which are hashed and never held");
const ALGORITHMS: readonly KeyAlgorithm[] = ["ed25519", "rsa", "ecdsa-p256", "ecdsa-p384"];
const OTHER_FINGERPRINT = "F".repeat(40) as Fingerprint;

function hashOf(artefact: Uint8Array, algorithm: KeyAlgorithm, chunkBytes = artefact.length) {
  const message = startMessageHash([{ algorithm }]);
  for (let start = 0; start < artefact.length; start += chunkBytes) {
    message.update(artefact.subarray(start, start + chunkBytes));
  }
  return message;
}

function sign(key: KeyPair, artefact: Uint8Array = ARTEFACT, terms = TERMS): Uint8Array {
  return signAndVerify(key, hashOf(artefact, key.secretKey.algorithm), terms);
}

/** Whether these bytes are a signature of the key over the artefact. */
function verifies(key: KeyPair, bytes: Uint8Array, artefact: Uint8Array = ARTEFACT): boolean {
  const signature = parseSignature(bytes);
  if (isPacketProblem(signature)) return false;
  return signatureVerifies(key.publicKey, hashOf(artefact, key.publicKey.algorithm), signature);
}

function parsed(bytes: Uint8Array): Signature {
  const signature = parseSignature(bytes);
  if (isPacketProblem(signature)) throw new Error(signature.reason);
  return signature;
}

describe.each(ALGORITHMS)("%s", (algorithm) => {
  const key = newKeyPair(algorithm);

  test("verifies over the artefact and over nothing else", () => {
    const signature = sign(key);
    expect(verifies(key, signature)).toBe(true);
    expect(verifies(key, signature, ARTEFACT.subarray(1))).toBe(false);
    expect(verifies(key, signature, Buffer.alloc(0))).toBe(false);
  });

  test("does not depend on how the artefact is cut into chunks", () => {
    const signature = signAndVerify(key, hashOf(ARTEFACT, algorithm, 1), TERMS);
    expect(verifies(key, signature)).toBe(true);
    expect(signatureVerifies(key.publicKey, hashOf(ARTEFACT, algorithm, 7), parsed(signature))).toBe(true);
  });

  test("no bit of the signature can be flipped", () => {
    const signature = sign(key);
    for (let bit = 0; bit < signature.length * 8; bit += algorithm === "ed25519" ? 1 : 5) {
      const bytes = Buffer.from(signature);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(verifies(key, bytes), `bit ${bit}`).toBe(false);
    }
  });

  test("a signature of another key, or in its name, does not verify", () => {
    const other = newKeyPair(algorithm);
    expect(verifies(other, sign(key))).toBe(false);
    expect(
      verifies({ ...key, publicKey: { ...key.publicKey, fingerprint: OTHER_FINGERPRINT } }, sign(key)),
    ).toBe(false);
  });

  test("the digest prefix has to be that of the digest", () => {
    const { digestPrefix, ...signature } = parsed(sign(key));
    for (const index of [0, 1]) {
      const prefix = Buffer.from(digestPrefix);
      prefix[index] = (prefix[index] ?? 0) ^ 1;
      expect(verifies(key, encodeSignature(signature, prefix, signature.numbers))).toBe(false);
    }
  });

  test("numbers larger than the key's are refused", () => {
    const { digestPrefix, numbers, ...signature } = parsed(sign(key));
    const padded = numbers.map((number) => Buffer.concat([Uint8Array.of(1), Buffer.alloc(384), number]));
    const bent: Signature = { ...signature, digestPrefix, numbers: padded };
    expect(signatureVerifies(key.publicKey, hashOf(ARTEFACT, algorithm), bent)).toBe(false);
  });

  test("a number too large beside a good one is refused", () => {
    const { numbers, ...signature } = parsed(sign(key));
    for (const index of numbers.keys()) {
      const large = numbers.map((number, at) =>
        at === index ? Buffer.concat([Uint8Array.of(1), Buffer.alloc(384)]) : number,
      );
      const bent: Signature = { ...signature, numbers: large };
      expect(signatureVerifies(key.publicKey, hashOf(ARTEFACT, algorithm), bent)).toBe(false);
    }
  });

  test("a secret key that is not the certificate's signs nothing that leaves", () => {
    const other = newKeyPair(algorithm);
    const mixed: KeyPair = { secretKey: key.secretKey, publicKey: other.publicKey };
    expect(() => sign(mixed)).toThrow(expect.objectContaining({ code: "signing-failed" }));
    const renamed = { ...key, publicKey: { ...key.publicKey, fingerprint: OTHER_FINGERPRINT } };
    expect(() => sign(renamed)).toThrow(Fault);
  });

  test("a key that cannot sign is a fault", () => {
    const useless: KeyPair = { ...key, secretKey: { ...key.secretKey, keyObject: key.publicKey.keyObject } };
    expect(() => sign(useless)).toThrow(expect.objectContaining({ code: "signing-failed" }));
  });
});

test("an Ed25519 or RSA signature of a fixed time is the same byte for byte", () => {
  for (const algorithm of ["ed25519", "rsa"] as const) {
    const key = newKeyPair(algorithm);
    const later = { ...TERMS, createdAt: new Date("2026-11-23T19:26:00.999Z") }; // the same second
    expect(sign(key)).toEqual(sign(key));
    expect(sign(key)).toEqual(sign(key, ARTEFACT, later));
    expect(sign(key)).not.toEqual(
      sign(key, ARTEFACT, { ...TERMS, createdAt: new Date("2026-11-23T19:26:01Z") }),
    );
  }
});

test("an Ed25519 signature without notations is as short as it can be", () => {
  const lengths = Array.from(
    { length: 50 },
    (_, index) => sign(newKeyPair("ed25519"), Buffer.from([index]), { ...TERMS, notations: [] }).length,
  );
  expect(Math.max(...lengths)).toBe(119);
});

test("numbers that begin with zeros are written short and still verify", () => {
  for (const algorithm of ["ed25519", "ecdsa-p256"] as const) {
    const key = newKeyPair(algorithm);
    let short = 0;
    for (let index = 0; short === 0 || index < 100; index++) {
      const artefact = Buffer.from(`artefact ${index}`);
      const signature = sign(key, artefact);
      if (parsed(signature).numbers.some((number) => number.length < 32)) short += 1;
      expect(verifies(key, signature, artefact)).toBe(true);
    }
  }
});

test("what was hashed after an earlier look at the hash is part of the signature", () => {
  const key = newKeyPair("ed25519");
  const message = startMessageHash([key.secretKey]);
  message.update(ARTEFACT.subarray(0, 10));
  message.sha512().digest();
  message.update(ARTEFACT.subarray(10));
  expect(verifies(key, signAndVerify(key, message, TERMS))).toBe(true);
});

test("ECDSA runs beside the hash only where one of the keys needs it", () => {
  expect(startMessageHash([{ algorithm: "ed25519" }, { algorithm: "rsa" }]).ecdsa).toBeUndefined();
  expect(startMessageHash([{ algorithm: "ed25519" }, { algorithm: "ecdsa-p384" }]).ecdsa).toBeDefined();
  const key = newKeyPair("ecdsa-p256");
  expect(() => signAndVerify(key, hashOf(ARTEFACT, "ed25519"), TERMS)).toThrow(Fault);
  const signature = parsed(sign(key));
  expect(() => signatureVerifies(key.publicKey, hashOf(ARTEFACT, "ed25519"), signature)).toThrow("ecdsa key");
});

test("a message hash signs with ECDSA once", () => {
  const key = newKeyPair("ecdsa-p256");
  const message = hashOf(ARTEFACT, "ecdsa-p256");
  expect(verifies(key, signAndVerify(key, message, TERMS))).toBe(true);
  expect(() => signAndVerify(key, message, TERMS)).toThrow(Fault);
});

test("a signature that names another algorithm than its key's does not verify", () => {
  const key = newKeyPair("ed25519");
  const claims = { ...TERMS, algorithm: "ecdsa", issuerFingerprint: key.secretKey.fingerprint } as const;
  const message = hashOf(ARTEFACT, "ed25519");
  const digest = message
    .sha512()
    .update(encodeHashSuffix(encodeHashedPart(claims)))
    .digest();
  const native = nodeSign(undefined, digest, key.secretKey.keyObject);
  const renamed = encodeSignature(claims, digest, [native.subarray(0, 32), native.subarray(32)]);
  expect(verifies(key, renamed)).toBe(false);
});

test("an RSA number that is not below the modulus does not verify", () => {
  const key = newKeyPair("rsa");
  const { digestPrefix, ...signature } = parsed(sign(key));
  expect(verifies(key, encodeSignature(signature, digestPrefix, [Buffer.alloc(256, 0xff)]))).toBe(false);
});

test("an RSA signature whose padding holds something else does not verify", () => {
  const key = newKeyPair("rsa");
  const claims = { ...TERMS, algorithm: "rsa", issuerFingerprint: key.secretKey.fingerprint } as const;
  const message = hashOf(ARTEFACT, "rsa");
  const digest = message
    .sha512()
    .update(encodeHashSuffix(encodeHashedPart(claims)))
    .digest();
  const info = digestInfo(digest);
  const raw = (padding: Buffer) => {
    const encoded = Buffer.concat([Uint8Array.of(0), padding, info]);
    return encodeSignature(claims, digest, [
      privateEncrypt({ key: key.secretKey.keyObject, padding: constants.RSA_NO_PADDING }, encoded),
    ]);
  };
  const padding = Buffer.concat([
    Uint8Array.of(1),
    Buffer.alloc(255 - info.length - 2, 0xff),
    Uint8Array.of(0),
  ]);
  expect(verifies(key, raw(padding))).toBe(true);
  fc.assert(
    fc.property(fc.nat(padding.length - 1), fc.integer({ min: 1, max: 255 }), (position, mask) => {
      const bent = Buffer.from(padding);
      bent[position] = (bent[position] ?? 0) ^ mask;
      expect(verifies(key, raw(bent))).toBe(false);
    }),
    { numRuns: 50 },
  );
});
