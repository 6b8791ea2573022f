import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { describe, expect, test } from "vitest";
import { fingerprintOf, readPublicKey, readSecretKey } from "../../src/openpgp/key-packet.ts";
import { encodeMpi, uint16, uint32 } from "../../src/openpgp/octets.ts";
import { encodePacket, PACKET } from "../../src/openpgp/packet.ts";
import { isPacketProblem } from "../../src/openpgp/packet-problem.ts";

/** Key packets written field by field (RFC 9580 §5.5), so that each field can be wrong. */

const CREATED = uint32(1_700_000_000);

interface Parts {
  readonly algorithm: number;
  readonly publicFields: Uint8Array;
  readonly secretFields: Uint8Array;
  readonly version?: number;
  /** The whole key, as Node wrote it. */
  readonly jwk?: ReturnType<typeof jwkOf>;
}

function octets(value: string | undefined): Buffer {
  return Buffer.from(value ?? "", "base64url");
}

function curveField(oid: string): Buffer {
  return Buffer.concat([Uint8Array.of(oid.length / 2), Buffer.from(oid, "hex")]);
}

function jwkOf(key: KeyObject) {
  return key.export({ format: "jwk" });
}

function ed25519Parts(prefix = 0x40): Parts {
  const jwk = jwkOf(generateKeyPairSync("ed25519").privateKey);
  const point = encodeMpi(Buffer.concat([Uint8Array.of(prefix), octets(jwk.x)]));
  const publicFields = Buffer.concat([curveField("2b06010401da470f01"), point]);
  return { algorithm: 22, publicFields, secretFields: encodeMpi(octets(jwk.d)), jwk };
}

function ecdsaParts(curve: "P-256" | "P-384", oid: string, prefix = 0x04): Parts {
  const jwk = jwkOf(generateKeyPairSync("ec", { namedCurve: curve }).privateKey);
  const point = encodeMpi(Buffer.concat([Uint8Array.of(prefix), octets(jwk.x), octets(jwk.y)]));
  const publicFields = Buffer.concat([curveField(oid), point]);
  return { algorithm: 19, publicFields, secretFields: encodeMpi(octets(jwk.d)), jwk };
}

function rsaParts(modulusLength: number): Parts {
  const jwk = jwkOf(generateKeyPairSync("rsa", { modulusLength }).privateKey);
  const mpis = (...values: (string | undefined)[]) =>
    Buffer.concat(values.map((value) => encodeMpi(octets(value))));
  // u is 1/p mod q: with the primes exchanged that is qi
  const secretFields = mpis(jwk.d, jwk.q, jwk.p, jwk.qi);
  return { algorithm: 1, publicFields: mpis(jwk.n, jwk.e), secretFields, jwk };
}

function publicPart({ version = 4, algorithm, publicFields }: Parts): Buffer {
  return Buffer.concat([Uint8Array.of(version), CREATED, Uint8Array.of(algorithm), publicFields]);
}

function checksum(bytes: Uint8Array): Uint8Array {
  return uint16(bytes.reduce((sum, octet) => (sum + octet) & 0xffff, 0));
}

/** A secret-key packet; `protection` is what stands after the public part where it is not plain. */
function secretPacket(parts: Parts, protection?: Uint8Array, type: number = PACKET.secretSubkey): Uint8Array {
  const secret = Buffer.concat([Uint8Array.of(0), parts.secretFields, checksum(parts.secretFields)]);
  return encodePacket(type, Buffer.concat([publicPart(parts), protection ?? secret]));
}

function publicPacket(parts: Parts): Uint8Array {
  return encodePacket(PACKET.publicSubkey, publicPart(parts));
}

function fingerprint(parts: Parts) {
  return fingerprintOf(publicPart(parts));
}

function secretProblem(packets: Uint8Array, wanted: string): string {
  const key = readSecretKey(packets, wanted);
  return isPacketProblem(key) ? key.problem : "accepted";
}

const PLAIN: Readonly<Record<string, Parts>> = {
  ed25519: ed25519Parts(),
  rsa: rsaParts(2048),
  "ecdsa-p256": ecdsaParts("P-256", "2a8648ce3d030107"),
  "ecdsa-p384": ecdsaParts("P-384", "2b81040022"),
};
const ED25519 = ed25519Parts();

describe.each(Object.entries(PLAIN))("%s", (algorithm, parts) => {
  test("is found by its fingerprint among others, and both halves belong together", () => {
    const packets = Buffer.concat([
      secretPacket(ed25519Parts()),
      encodePacket(13, Buffer.from("a user")),
      secretPacket(parts),
    ]);
    const certificate = Buffer.concat([publicPacket(ed25519Parts()), publicPacket(parts)]);
    const secret = readSecretKey(packets, fingerprint(parts));
    const open = readPublicKey(certificate, fingerprint(parts));
    if (isPacketProblem(secret) || isPacketProblem(open)) throw new Error("no key");
    expect(secret).toMatchObject({ kind: "key-material", algorithm, fingerprint: fingerprint(parts) });
    expect(open).toMatchObject({ kind: "key-material", algorithm, fingerprint: fingerprint(parts) });
    const { kty, crv, n, e, x, y } = jwkOf(secret.keyObject);
    expect(JSON.parse(JSON.stringify({ kty, crv, n, e, x, y }))).toEqual(jwkOf(open.keyObject));
    expect(jwkOf(secret.keyObject)).toEqual(parts.jwk);
  });

  test("cut anywhere is refused", () => {
    const step = parts.algorithm === 1 ? 7 : 1;
    const whole = secretPacket(parts);
    for (let length = 0; length < whole.length; length += step) {
      expect(secretProblem(whole.subarray(0, length), fingerprint(parts))).toMatch(
        /^(truncated|unexpected-packet)$/,
      );
    }
    const body = Buffer.concat([
      publicPart(parts),
      Uint8Array.of(0),
      parts.secretFields,
      checksum(parts.secretFields),
    ]);
    for (let length = 0; length < body.length; length += step) {
      const cut = encodePacket(PACKET.secretKey, body.subarray(0, length));
      expect(secretProblem(cut, fingerprint(parts))).toMatch(/^(truncated|bad-key-material)$/);
    }
  });

  test("with another secret octet, or more of them, is refused", () => {
    const bent = Buffer.from(secretPacket(parts));
    bent[bent.length - 5] = (bent[bent.length - 5] ?? 0) ^ 1;
    expect(secretProblem(bent, fingerprint(parts))).toBe("bad-key-material");
    const secret = Buffer.concat([
      Uint8Array.of(0),
      parts.secretFields,
      checksum(parts.secretFields),
      Uint8Array.of(0),
    ]);
    expect(secretProblem(secretPacket(parts, secret), fingerprint(parts))).toBe("trailing-bytes");
    const open = encodePacket(PACKET.publicKey, Buffer.concat([publicPart(parts), Uint8Array.of(0)]));
    expect(readPublicKey(open, fingerprint(parts))).toMatchObject({ problem: "trailing-bytes" });
  });
});

test("a secret whose first octets are zero is read", () => {
  for (;;) {
    const { x, d } = jwkOf(generateKeyPairSync("ed25519").privateKey);
    if (octets(d)[0] !== 0) continue;
    const point = encodeMpi(Buffer.concat([Uint8Array.of(0x40), octets(x)]));
    const publicFields = Buffer.concat([curveField("2b06010401da470f01"), point]);
    const short: Parts = { algorithm: 22, publicFields, secretFields: encodeMpi(octets(d)) };
    const unstripped = { ...short, secretFields: Buffer.concat([uint16(256), octets(d)]) }; // as some versions write it
    for (const parts of [short, unstripped]) {
      const key = readSecretKey(secretPacket(parts), fingerprint(parts));
      if (isPacketProblem(key)) throw new Error(key.reason);
      expect(jwkOf(key.keyObject)).toMatchObject({ d, x });
    }
    return;
  }
});

describe("no secret to be had from", () => {
  const gnu = (mode: number) =>
    Buffer.concat([Uint8Array.of(254, 9, 101, 0), Buffer.from("GNU"), Uint8Array.of(mode)]);
  test.each<[string, Uint8Array, string]>([
    ["a primary that is offline (GNU dummy)", gnu(1), "no-secret"],
    ["a key on a smartcard", Buffer.concat([gnu(2), Buffer.alloc(17)]), "no-secret"],
    ["a stub with the older usage octet", Buffer.from("ff0965024748", "hex"), "no-secret"],
    [
      "a key with a passphrase, SHA-1 protected",
      Buffer.concat([Uint8Array.of(254, 7, 3, 2), Buffer.alloc(60)]),
      "encrypted",
    ],
    [
      "a key with a passphrase, AEAD",
      Buffer.concat([Uint8Array.of(253, 9, 2, 3), Buffer.alloc(60)]),
      "encrypted",
    ],
    [
      "a key with a passphrase of the oldest kind",
      Buffer.concat([Uint8Array.of(7), Buffer.alloc(60)]),
      "encrypted",
    ],
    [
      "a key that AES-101 would protect",
      Buffer.concat([Uint8Array.of(101, 7, 101), Buffer.alloc(60)]),
      "encrypted",
    ],
    ["a packet that ends before it says", Buffer.alloc(0), "truncated"],
  ])("%s", (_name, protection, problem) => {
    expect(secretProblem(secretPacket(ED25519, protection), fingerprint(ED25519))).toBe(problem);
  });
});

describe("not a key that signs here:", () => {
  const cases: Readonly<Record<string, Parts>> = {
    "a version 3 key": { ...ED25519, version: 3 },
    "a version 6 key": { ...ED25519, version: 6 },
    "Ed25519 of RFC 9580": {
      algorithm: 27,
      publicFields: Buffer.alloc(32, 1),
      secretFields: Buffer.alloc(32, 1),
    },
    "RSA for signing only, which is deprecated": { ...rsaParts(2048), algorithm: 3 },
    "RSA of 1024 bits": rsaParts(1024),
    "RSA of 2047 bits": rsaParts(2047),
    "P-521": {
      ...ED25519,
      algorithm: 19,
      publicFields: Buffer.concat([curveField("2b81040023"), encodeMpi(Uint8Array.of(4))]),
    },
    "another Edwards curve": {
      ...ED25519,
      publicFields: Buffer.concat([curveField("2b06010401da470f02"), encodeMpi(Uint8Array.of(4))]),
    },
  };
  test.each(Object.entries(cases))("%s", (_name, parts) => {
    expect(secretProblem(secretPacket(parts), fingerprint(parts))).toBe("unexpected-packet");
    expect(readPublicKey(publicPacket(parts), fingerprint(parts))).toMatchObject({
      problem: "unexpected-packet",
    });
  });

  test("a key of another fingerprint, and nothing at all", () => {
    expect(secretProblem(secretPacket(ED25519), "0".repeat(40))).toBe("unexpected-packet");
    expect(secretProblem(Buffer.alloc(0), fingerprint(ED25519))).toBe("unexpected-packet");
  });

  test("a public packet where a secret is wanted, and the reverse", () => {
    expect(secretProblem(publicPacket(ED25519), fingerprint(ED25519))).toBe("unexpected-packet");
    expect(readPublicKey(secretPacket(ED25519), fingerprint(ED25519))).toMatchObject({
      problem: "unexpected-packet",
    });
  });
});

describe("numbers that make no key:", () => {
  const point = (first: number, length: number, fill = 1) =>
    encodeMpi(Buffer.concat([Uint8Array.of(first), Buffer.alloc(length, fill)]));
  const p256 = (field: Uint8Array): Parts => ({
    ...ED25519,
    algorithm: 19,
    publicFields: Buffer.concat([curveField("2a8648ce3d030107"), field]),
  });
  const edwards = (field: Uint8Array): Parts => ({
    ...ED25519,
    publicFields: Buffer.concat([curveField("2b06010401da470f01"), field]),
  });
  const rsa = PLAIN["rsa"] ?? ED25519;
  const primeOf = (prime: string) =>
    Buffer.concat([
      encodeMpi(Uint8Array.of(3)),
      ...[prime, prime, prime].map((hex) => encodeMpi(Buffer.from(hex, "hex"))),
    ]);
  test.each<[string, Parts]>([
    ["a point that is not on the curve", p256(point(0x04, 64))],
    ["a compressed point", p256(point(0x02, 32))],
    ["a good point of another prefix", ecdsaParts("P-256", "2a8648ce3d030107", 0x05)],
    ["a point that is too short", p256(point(0x04, 63))],
    ["a good Edwards point of another prefix", ed25519Parts(0x41)],
    ["an Edwards point that is too short", edwards(point(0x40, 31))],
    ["a secret that is too long", { ...ED25519, secretFields: encodeMpi(Buffer.alloc(33, 1)) }],
    ["a prime of zero", { ...rsa, secretFields: primeOf("") }],
    ["a prime of one", { ...rsa, secretFields: primeOf("01") }],
  ])("%s", (_name, parts) => {
    expect(secretProblem(secretPacket(parts), fingerprint(parts))).toBe("bad-key-material");
  });
});
