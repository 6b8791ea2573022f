import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  encodeFrame,
  encodePieces,
  FRAME_HEADER_BYTES,
  type Frame,
  FrameReader,
  MAX_PIECE_BYTES,
  type Side,
} from "../../src/service/frame.ts";

const REQUEST = encodeFrame("request", Buffer.from("{}"));
const DATA = encodeFrame("data", Buffer.from("some bytes"));
const END = encodeFrame("end-of-data");
const PROCEED = encodeFrame("proceed");
const OUTPUT = encodeFrame("output", Buffer.from("a signature"));
const OUTCOME = encodeFrame("outcome", Buffer.from("{}"));

/** What a reader makes of chunks, pieces of one kind put together: `kind:content`; `broken` from where it is. */
function read(side: Side, chunks: readonly Uint8Array[]): string {
  const reader = new FrameReader(side);
  const seen: [kind: string, content: string][] = [];
  for (const chunk of chunks) {
    const frames = reader.push(Buffer.from(chunk));
    if (frames === undefined) return [...seen.map((each) => each.join(":")), "broken"].join(" ");
    for (const frame of frames) {
      const last = seen.at(-1);
      if (isPiece(frame) && last?.[0] === frame.kind) last[1] += frame.bytes.toString("latin1");
      else seen.push([frame.kind, (isPiece(frame) ? frame.bytes : frame.payload).toString("latin1")]);
    }
  }
  return [...seen.map((each) => each.join(":")), reader.isAtEnd ? "end" : "more"].join(" ");
}

function isPiece(frame: Frame): frame is Frame & { readonly bytes: Buffer } {
  return "bytes" in frame;
}

/** A frame's header: kind, length. */
function header(kind: number, length: number): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES);
  bytes.writeUInt8(kind, 0);
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

describe("frames of a relay", () => {
  test("are a request, data in any number of frames, and the end of the data", () => {
    expect(read("relay", [REQUEST, DATA, DATA, END])).toBe(
      "request:{} data:some bytessome bytes end-of-data: end",
    );
    expect(read("relay", [REQUEST, END])).toBe("request:{} end-of-data: end");
    expect(read("relay", [REQUEST])).toBe("request:{} more");
  });

  test("are the same however they are cut", () => {
    const stream = Buffer.concat([REQUEST, DATA, encodeFrame("data", Buffer.alloc(1)), END]);
    const whole = read("relay", [stream]);
    expect(
      read(
        "relay",
        [...stream].map((byte) => Buffer.of(byte)),
      ),
    ).toBe(whole);
    fc.assert(
      fc.property(fc.array(fc.nat(stream.length), { maxLength: 12 }), (cuts) => {
        const at = [0, ...cuts.toSorted((a, b) => a - b), stream.length];
        const chunks = at.slice(1).map((end, index) => stream.subarray(at[index], end));
        expect(read("relay", chunks)).toBe(whole);
      }),
    );
  });

  test("cost no more where each octet has a frame of its own: what comes at once is one piece", () => {
    const octets = Buffer.concat(Array.from({ length: 1000 }, () => encodeFrame("data", Buffer.from("x"))));
    const frames = new FrameReader("relay").push(Buffer.concat([REQUEST, octets, END]));
    expect(frames?.map(({ kind }) => kind)).toEqual(["request", "data", "end-of-data"]);
  });

  test.each<[string, readonly Buffer[]]>([
    ["data before the request", [DATA]],
    ["the end before the request", [END]],
    ["a second request", [REQUEST, REQUEST]],
    ["a request after data", [REQUEST, DATA, REQUEST]],
    ["data after the end", [REQUEST, END, DATA]],
    ["a second end", [REQUEST, END, END]],
    ["one more octet after the end", [REQUEST, END, Buffer.of(0)]],
    ["what a service sends", [PROCEED]],
    ["an outcome after the request", [REQUEST, OUTCOME]],
    ["a kind that there is none of", [header(0x7f, 2)]],
    ["kind 0", [Buffer.alloc(64)]],
    ["an empty request", [header(0x01, 0)]],
    ["a request of 8 KiB and an octet", [header(0x01, 8193)]],
    ["a request of 4 GiB", [header(0x01, 0xffffffff)]],
    ["empty data", [REQUEST, header(0x02, 0)]],
    ["data of 256 KiB and an octet", [REQUEST, header(0x02, MAX_PIECE_BYTES + 1)]],
    ["an end with a payload", [REQUEST, header(0x03, 1)]],
  ])("are broken by %s, and nothing behind it is read", (_, chunks) => {
    expect(read("relay", [...chunks, END])).toMatch(/ ?broken$/);
    const reader = new FrameReader("relay");
    for (const chunk of chunks) reader.push(chunk);
    expect(reader.push(REQUEST)).toBeUndefined();
  });

  test("of random octets are never more than what whole frames of them say", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const text = read("relay", [bytes]);
        if (bytes.length >= FRAME_HEADER_BYTES && bytes[0] !== 0x01) expect(text).toBe("broken");
      }),
    );
  });
});

describe("frames of a service", () => {
  test.each<[string, readonly Buffer[], string]>([
    ["an outcome alone", [OUTCOME], "outcome:{} end"],
    ["leave to proceed, then an outcome", [PROCEED, OUTCOME], "proceed: outcome:{} end"],
    ["output and an outcome", [PROCEED, OUTPUT, OUTCOME], "proceed: output:a signature outcome:{} end"],
    ["output that was not read for", [OUTPUT, OUTCOME], "output:a signature outcome:{} end"],
  ])("may be %s", (_, chunks, expected) => {
    expect(read("service", chunks)).toBe(expected);
  });

  test.each<[string, readonly Buffer[]]>([
    ["leave to proceed twice", [PROCEED, PROCEED]],
    ["leave to proceed after output", [OUTPUT, PROCEED]],
    ["output after the outcome", [OUTCOME, OUTPUT]],
    ["a second outcome", [OUTCOME, OUTCOME]],
    ["what a relay sends", [REQUEST]],
  ])("are broken by %s", (_, chunks) => {
    expect(read("service", chunks)).toMatch(/ ?broken$/);
  });
});

test("bytes of any length become frames of 256 KiB at most", () => {
  for (const length of [1, MAX_PIECE_BYTES, MAX_PIECE_BYTES + 1, 3 * MAX_PIECE_BYTES]) {
    const bytes = Buffer.alloc(length, "x");
    const frames = encodePieces("data", bytes);
    expect(frames.length).toBe(length + Math.ceil(length / MAX_PIECE_BYTES) * FRAME_HEADER_BYTES);
    expect(read("relay", [REQUEST, frames])).toBe(`request:{} data:${bytes} more`);
  }
});

test("a payload that no reader would take is not encoded", () => {
  expect(() => encodeFrame("data")).toThrow(TypeError);
  expect(() => encodeFrame("request", Buffer.alloc(8193))).toThrow(TypeError);
  expect(() => encodeFrame("end-of-data", Buffer.of(1))).toThrow(TypeError);
});
