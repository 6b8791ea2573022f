import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Fingerprint } from "../../src/keys/signing-key.ts";
import { OctetReader } from "../../src/openpgp/octets.ts";
import { encodePacket, readPacket } from "../../src/openpgp/packet.ts";
import { isPacketProblem } from "../../src/openpgp/packet-problem.ts";
import {
  encodeHashedPart,
  encodeHashSuffix,
  encodeSignature,
  parseSignature,
  type SignatureClaims,
} from "../../src/openpgp/signature.ts";

const CLAIMS: SignatureClaims = {
  algorithm: "eddsa-legacy",
  createdAt: new Date("2026-11-23T19:26:00Z"),
  issuerFingerprint: "0123456789ABCDEF0123456789ABCDEF01234567" as Fingerprint,
  expiresAfterSeconds: 86_400,
  notations: [["type@signer.example.org", "db"]],
};
const DIGEST = Uint8Array.of(0xab, 0xcd, 0xef);
const NUMBERS = [Buffer.alloc(32, 0x7f), Buffer.alloc(32, 0x01)];

/** What CLAIMS look like, field by field (RFC 9580 §5.2.3). */
const FIELDS = {
  fixed: "04 00 16 0a", // version 4, binary document, EdDSA, SHA-512
  hashedLength: "0046",
  creation: "05 82 6b049348", // critical
  issuer: "16 21 04 0123456789abcdef0123456789abcdef01234567",
  expiration: "05 83 00015180", // critical
  notation: `22 14 80000000 0017 0002 ${Buffer.from("type@signer.example.org").toString("hex")} ${Buffer.from("db").toString("hex")}`,
  unhashedLength: "000a",
  keyId: "09 10 89abcdef01234567",
  digestPrefix: "abcd",
  r: `00ff ${"7f".repeat(32)}`, // 255 bits
  s: `00f9 ${"01".repeat(32)}`, // 249 bits
};

/** The packet of {@link FIELDS}, some of them replaced; lengths are those of the original unless replaced too. */
function packet(changes: Partial<typeof FIELDS> = {}, type = 2): Uint8Array {
  const hex = Object.values({ ...FIELDS, ...changes }).join("");
  return encodePacket(type, Buffer.from(hex.replaceAll(" ", ""), "hex"));
}

function bodyOf(bytes: Uint8Array): Buffer {
  return readPacket(new OctetReader(bytes)).body;
}

function problemOf(bytes: Uint8Array): string {
  const parsed = parseSignature(bytes);
  return isPacketProblem(parsed) ? parsed.problem : "accepted";
}

describe("a signature packet", () => {
  test("has exactly these octets", () => {
    expect(Buffer.from(encodeSignature(CLAIMS, DIGEST, NUMBERS)).toString("hex")).toBe(
      Buffer.from(packet()).toString("hex"),
    );
  });

  test("names its algorithm by the number of RFC 9580 §9.1", () => {
    const numbers = { rsa: NUMBERS.slice(1), ecdsa: NUMBERS, "eddsa-legacy": NUMBERS } as const;
    const ids = (["rsa", "ecdsa", "eddsa-legacy"] as const).map(
      (algorithm) => bodyOf(encodeSignature({ ...CLAIMS, algorithm }, DIGEST, numbers[algorithm]))[2],
    );
    expect(ids).toEqual([1, 19, 22]);
  });

  test("is read back as what was written", () => {
    const { algorithm, createdAt, issuerFingerprint, expiresAfterSeconds, notations, ...rest } = CLAIMS;
    expect(rest).toEqual({});
    expect(parseSignature(packet())).toEqual({
      kind: "signature",
      algorithm,
      createdAt,
      issuerFingerprint,
      expiresAfterSeconds,
      notations,
      digestPrefix: Buffer.from([0xab, 0xcd]),
      numbers: NUMBERS,
      hashedPart: encodeHashedPart(CLAIMS),
    });
  });

  test("is hashed with its hashed part and a trailer of its length", () => {
    const hashedPart = encodeHashedPart(CLAIMS);
    const suffix = Buffer.from(encodeHashSuffix(hashedPart));
    expect(suffix.toString("hex")).toBe(`${Buffer.from(hashedPart).toString("hex")}04ff0000004c`);
    expect(hashedPart).toHaveLength(0x4c);
  });

  test("is read with a header of the legacy format, of each definite length", () => {
    const body = bodyOf(packet());
    for (const header of ["889e", "89009e", "8a0000009e"]) {
      expect(problemOf(Buffer.concat([Buffer.from(header, "hex"), body]))).toBe("accepted");
    }
  });

  test("of any claims and numbers is read back the same", () => {
    const hex = (length: number) =>
      fc.string({ unit: fc.constantFrom(..."0123456789ABCDEF"), minLength: length, maxLength: length });
    const word = fc.string({ unit: fc.constantFrom(..."abcXYZ019"), minLength: 1, maxLength: 20 });
    const value = fc.string({
      unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
      maxLength: 300,
    });
    const number = (octets: number) =>
      fc.uint8Array({ minLength: 1, maxLength: octets }).filter((all) => all.some((octet) => octet > 0));
    const kinds = fc.oneof(
      fc.tuple(fc.constant("rsa" as const), fc.tuple(number(2048))),
      fc.tuple(fc.constant("ecdsa" as const), fc.tuple(number(48), number(48))),
      fc.tuple(fc.constant("eddsa-legacy" as const), fc.tuple(number(32), number(32))),
    );
    const claims = fc.record({
      createdAt: fc.integer({ min: 0, max: 0x7fff_ffff }).map((seconds) => new Date(seconds * 1000)),
      issuerFingerprint: hex(40).map((text) => text as Fingerprint),
      expiresAfterSeconds: fc.option(fc.integer({ min: 1, max: 0x7fff_ffff }), { nil: undefined }),
      notations: fc.uniqueArray(
        fc.tuple(
          word.map((name) => `${name}@example.org`),
          value,
        ),
        { maxLength: 6, selector: ([name]) => name },
      ),
    });
    fc.assert(
      fc.property(
        claims,
        kinds,
        fc.uint8Array({ minLength: 2, maxLength: 2 }),
        (terms, [algorithm, numbers], digest) => {
          const parsed = parseSignature(encodeSignature({ ...terms, algorithm }, digest, numbers));
          if (isPacketProblem(parsed)) throw new Error(parsed.reason);
          expect(parsed).toMatchObject({ ...terms, algorithm });
          expect(Buffer.from(parsed.digestPrefix).equals(digest)).toBe(true);
          const integers = (all: readonly Uint8Array[]) =>
            all.map((octets) => BigInt(`0x${Buffer.from(octets).toString("hex")}`));
          expect(integers(parsed.numbers)).toEqual(integers(numbers));
        },
      ),
    );
  });

  test("cut at any length is refused", () => {
    const whole = packet();
    for (let length = 0; length < whole.length; length++) {
      expect(problemOf(whole.subarray(0, length))).toBe("truncated");
    }
  });

  test("with any bit flipped is refused or another signature, and never two encodings of one", () => {
    const whole = packet();
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const bytes = Buffer.from(whole);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const parsed = parseSignature(bytes);
      if (isPacketProblem(parsed)) continue;
      expect(encodeSignature(parsed, parsed.digestPrefix, parsed.numbers)).toEqual(Buffer.from(bytes));
      expect(parsed).not.toEqual(parseSignature(whole));
    }
  });
});

describe("refused as not the one form that is written here:", () => {
  const OTHER_NOTATION = FIELDS.notation.replace("80000000", "00000000");
  const cases: Readonly<Record<string, Partial<typeof FIELDS>>> = {
    "an expiration that is not critical": { expiration: "05 03 00015180" },
    "an expiration of zero seconds, which means never": { expiration: "05 83 00000000" },
    "an expiration beyond what GnuPG can count to": { expiration: "05 83 ffffffff" },
    "two expirations": { expiration: FIELDS.expiration.repeat(2), hashedLength: "004c" },
    "two creation times": { creation: FIELDS.creation.repeat(2), hashedLength: "004c" },
    "no creation time": { creation: "", hashedLength: "0040" },
    "no issuer fingerprint": { issuer: "", hashedLength: "002f" },
    "subpackets in another order": { creation: FIELDS.issuer, issuer: FIELDS.creation },
    "a subpacket that is not known": { expiration: "05 84 00015180" },
    "a critical notation": { notation: FIELDS.notation.replace("22 14", "22 94") },
    "a notation of bytes": { notation: OTHER_NOTATION },
    "a notation twice": { notation: FIELDS.notation.repeat(2), hashedLength: "0069" },
    "a notation without a domain": { notation: FIELDS.notation.replace("40", "2e") },
    "a notation with a control character": { notation: FIELDS.notation.replace(/6462$/, "641b") },
    "octets behind a notation's value": {
      notation: `${FIELDS.notation.replace("22 14", "23 14")}00`,
      hashedLength: "0047",
    },
    "the key id of another key": { keyId: "09 10 89abcdef01234568" },
    "no key id": { keyId: "", unhashedLength: "0000" },
    "something more in the unhashed area": { keyId: `${FIELDS.keyId} 02 14 00`, unhashedLength: "000d" },
    "a number with a wrong count of bits": { r: `0100 ${"7f".repeat(32)}` },
    "a number with a leading zero": { s: `0100 00${"01".repeat(31)}` },
    "a number that is zero": { s: "0000" },
    "a number of more bits than the algorithm has": { s: `0101 01${"ff".repeat(32)}` },
    "an ECDSA number of more bits than P-384 has": { fixed: "04 00 13 0a", s: `0181 01${"ff".repeat(48)}` },
    "a subpacket length that could be shorter": { creation: "ff 00000005 82 6b049348", hashedLength: "004a" },
  };
  test.each(Object.entries(cases))("%s", (_name, changes) => {
    expect(problemOf(packet(changes))).toBe("not-canonical");
  });
});

describe("refused by its kind:", () => {
  test.each<[string, Uint8Array, string]>([
    ["nothing", Buffer.alloc(0), "truncated"],
    ["text", Buffer.from("-----BEGIN PGP SIGNATURE-----"), "bad-header"],
    ["a packet in parts", Buffer.concat([Buffer.from("c2e0", "hex"), bodyOf(packet())]), "bad-header"],
    [
      "a packet of indeterminate length",
      Buffer.concat([Buffer.from("8b", "hex"), bodyOf(packet())]),
      "bad-header",
    ],
    ["a packet that is no signature", packet({}, 13), "unexpected-packet"],
    ["two signatures", Buffer.concat([packet(), packet()]), "trailing-bytes"],
    ["a byte behind the end", Buffer.concat([packet(), Buffer.alloc(1)]), "trailing-bytes"],
    ["a byte behind the numbers", packet({ s: `${FIELDS.s}00` }), "trailing-bytes"],
    ["version 3", packet({ fixed: "03 00 16 0a" }), "unsupported-version"],
    ["version 6", packet({ fixed: "06 00 16 0a" }), "unsupported-version"],
    [
      "the fingerprint of a version 6 key",
      packet({ issuer: FIELDS.issuer.replace("21 04", "21 06") }),
      "unsupported-version",
    ],
    ["a signature over text", packet({ fixed: "04 01 16 0a" }), "unsupported-type"],
    ["a certification", packet({ fixed: "04 10 16 0a" }), "unsupported-type"],
    ["DSA", packet({ fixed: "04 00 11 0a" }), "unsupported-algorithm"],
    ["Ed25519 of RFC 9580", packet({ fixed: "04 00 1b 0a" }), "unsupported-algorithm"],
    ["SHA-256", packet({ fixed: "04 00 16 08" }), "unsupported-hash"],
  ])("%s", (_name, bytes, problem) => {
    expect(problemOf(bytes)).toBe(problem);
  });
});

describe("not written:", () => {
  const LONG = "x".repeat(4097);
  const MANY = Array.from({ length: 17 }, (_, index) => [`n${index}@example.org`, "x".repeat(4000)] as const);
  test.each<[string, Partial<Record<keyof SignatureClaims, unknown>>]>([
    ["a time before 1970", { createdAt: new Date(-1) }],
    ["a time after 2106", { createdAt: new Date(2 ** 32 * 1000) }],
    ["no time", { createdAt: new Date(Number.NaN) }],
    ["an expiration of zero seconds", { expiresAfterSeconds: 0 }],
    ["an expiration of half a second", { expiresAfterSeconds: 1.5 }],
    ["an expiration after 2106", { createdAt: new Date((2 ** 32 - 1) * 1000), expiresAfterSeconds: 1 }],
    ["a fingerprint that is none", { issuerFingerprint: "0123" }],
    ["a lower-case fingerprint", { issuerFingerprint: CLAIMS.issuerFingerprint.toLowerCase() }],
    ["a notation without a domain", { notations: [["type", "db"]] }],
    ["a notation with a newline", { notations: [["type@example.org", "a\nb"]] }],
    ["a notation outside ASCII", { notations: [["type@example.org", "é"]] }],
    ["a notation of more than 4,096 characters", { notations: [["type@example.org", LONG]] }],
    [
      "a notation twice",
      {
        notations: [
          ["type@example.org", "a"],
          ["type@example.org", "b"],
        ],
      },
    ],
    ["more than 64 KiB of notations", { notations: MANY }],
  ])("%s", (_name, changes) => {
    expect(() => encodeHashedPart({ ...CLAIMS, ...changes } as SignatureClaims)).toThrow(RangeError);
  });

  test("numbers that the algorithm does not have", () => {
    expect(() => encodeSignature(CLAIMS, DIGEST, [NUMBERS[0] ?? DIGEST])).toThrow(RangeError);
    expect(() => encodeSignature(CLAIMS, DIGEST, [Buffer.alloc(32), Buffer.alloc(32, 1)])).toThrow(
      RangeError,
    );
    expect(() => encodeSignature({ ...CLAIMS, algorithm: "rsa" }, DIGEST, NUMBERS)).toThrow(RangeError);
  });

  test("while the longest names, the earliest and the latest times and the largest numbers are", () => {
    const written = (changes: Partial<SignatureClaims>, numbers: readonly Uint8Array[] = NUMBERS) => {
      expect(parseSignature(encodeSignature({ ...CLAIMS, ...changes }, DIGEST, numbers))).toMatchObject(
        changes,
      );
    };
    written({ createdAt: new Date(0) });
    written({ createdAt: new Date((2 ** 32 - 2) * 1000), expiresAfterSeconds: 1 });
    written({
      notations: MANY.slice(0, 15).map(([name, value]) => [name, value.padEnd(4096, "y")] as const),
    });
    const names = ["a@b", "9@9", `${"n".repeat(63)}@${"d".repeat(253)}`, "A.b_c-d@E.f-g"];
    written({ notations: names.map((name) => [name, ""] as const) });
    for (const name of [`${"n".repeat(64)}@d`, `n@${"d".repeat(254)}`]) {
      expect(() => encodeHashedPart({ ...CLAIMS, notations: [[name, ""]] })).toThrow(RangeError);
    }
    written({}, [Buffer.alloc(32, 0xff), Buffer.alloc(32, 0xff)]);
    written({ algorithm: "ecdsa" }, [Buffer.alloc(48, 0xff), Buffer.alloc(48, 0xff)]);
    written({ algorithm: "rsa" }, [Buffer.alloc(2048, 0xff)]);
  });
});
