import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeMpi, leftPadded, OctetReader } from "../../src/openpgp/octets.ts";
import { encodePacket, readPackets } from "../../src/openpgp/packet.ts";
import { isPacketProblem, MalformedPacket, orProblem } from "../../src/openpgp/packet-problem.ts";

describe("a packet", () => {
  test("of any length around the borders of the length formats is read back", () => {
    for (const length of [0, 1, 191, 192, 193, 255, 256, 8383, 8384, 8385, 70_000]) {
      const body = Buffer.alloc(length, 0x5a);
      const written = encodePacket(13, body);
      expect(readPackets(Buffer.concat([written, written]))).toEqual([
        { type: 13, body },
        { type: 13, body },
      ]);
    }
  });

  test("is followed by another or by nothing", () => {
    const one = encodePacket(13, Buffer.alloc(3));
    for (const tail of ["cd", "0d", "cd03", "00"]) {
      expect(() => readPackets(Buffer.concat([one, Buffer.from(tail, "hex")]))).toThrow(MalformedPacket);
    }
  });

  test("has its length in the shortest form", () => {
    const header = (length: number) =>
      Buffer.from(encodePacket(2, Buffer.alloc(length)))
        .subarray(0, -length)
        .toString("hex");
    expect([191, 192, 8383, 8384].map(header)).toEqual(["c2bf", "c2c000", "c2dfff", "c2ff000020c0"]);
  });
});

describe("a multiprecision integer", () => {
  const read = (bytes: Uint8Array, maxBits: number) => new OctetReader(bytes).mpi(maxBits);

  test("counts its bits from the highest that is set", () => {
    const hex = (octets: string) => Buffer.from(encodeMpi(Buffer.from(octets, "hex"))).toString("hex");
    expect(hex("01")).toBe("000101"); // the examples of RFC 9580 §3.2
    expect(hex("01ff")).toBe("000901ff");
    expect(hex("0000ff")).toBe("0008ff");
    expect(hex("80")).toBe("000880");
    expect(hex("0000")).toBe("0000");
    expect(hex("")).toBe("0000");
  });

  test("is read back without leading zeros and padded to its length", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (octets) => {
        const padded = leftPadded(read(encodeMpi(octets), 320), octets.length);
        expect(padded).toEqual(Buffer.from(octets));
      }),
    );
    expect(leftPadded(Uint8Array.of(1, 2), 1)).toBeUndefined();
  });

  test("has at most as many bits as allowed", () => {
    expect(read(Buffer.from("000901ff", "hex"), 9)).toHaveLength(2);
    expect(() => read(Buffer.from("000901ff", "hex"), 8)).toThrow(MalformedPacket);
  });
});

test("a problem is a value and everything else is thrown on", () => {
  const problem = orProblem(() => {
    throw new MalformedPacket("truncated", "more expected");
  });
  expect(problem).toEqual({ kind: "packet-problem", problem: "truncated", reason: "more expected" });
  expect(isPacketProblem(problem)).toBe(true);
  expect(isPacketProblem({ kind: "signature" })).toBe(false);
  const bug = () => {
    throw new TypeError("a bug");
  };
  expect(() => orProblem(bug)).toThrow(TypeError);
});
