import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type AnswerKind,
  answerName,
  encodeNotSigned,
  MAX_ANSWER_BYTES,
  parseInboxName,
  parseNotSigned,
  uploadName,
} from "../../src/exchange/answer.ts";
import { type Code, EXIT } from "../../src/outcome.ts";

const DIGEST = "0123456789abcdef".repeat(4);

const requests = fc.record({
  sha256: fc.stringMatching(/^[0-9a-f]{64}$/),
  seq: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
});

describe("a name in the inbox", () => {
  test("comes back as request and kind", () => {
    fc.assert(
      fc.property(
        requests,
        fc.constantFrom<AnswerKind>("sig", "refused"),
        fc.stringMatching(/^[0-9a-f]{16}$/),
        (request, kind, nonce) => {
          expect(parseInboxName(answerName(request, kind))).toEqual({ ...request, kind });
          expect(parseInboxName(uploadName(request, nonce))).toEqual({ ...request, kind: "part" });
        },
      ),
    );
  });

  test("is the one that it would be given, whatever character of it is another", () => {
    const names = fc.oneof(
      requests.map((request) => answerName(request, "sig")),
      requests.map((request) => uploadName(request, "0123456789abcdef")),
    );
    fc.assert(
      fc.property(names, fc.nat(), fc.integer({ min: 0x20, max: 0x7e }), (name, at, code) => {
        const place = at % name.length;
        const bent = name.slice(0, place) + String.fromCharCode(code) + name.slice(place + 1);
        const read = parseInboxName(bent);
        if (read === undefined) return;
        const { kind } = read;
        const nonce = /\.([0-9a-f]{16})\.part$/.exec(bent)?.[1] ?? "";
        expect(kind === "part" ? uploadName(read, nonce) : answerName(read, kind)).toBe(bent);
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    "",
    `${DIGEST}.1`,
    `${DIGEST}.1.`,
    `${DIGEST}.0.sig`,
    `${DIGEST}.01.sig`,
    `${DIGEST}.1.sig\n`,
    `${DIGEST}.1.sig.sig`,
    `${DIGEST}.1.part`,
    `${DIGEST}.1.0123456789abcde.part`,
    `${DIGEST}.1.0123456789ABCDEF.part`,
    `${DIGEST.toUpperCase()}.1.sig`,
    `/${DIGEST}.1.sig`,
    `../${DIGEST}.1.sig`,
    `.${DIGEST}.1.sig`,
    `${DIGEST}.9007199254740992.sig`,
    `${DIGEST}.9999999999999999.sig`,
    `${DIGEST}.12345678901234567.sig`,
  ])("is not %j", (name) => {
    expect(parseInboxName(name)).toBeUndefined();
  });
});

describe("why there is no signature", () => {
  const codes = Object.keys(EXIT) as Code[];

  test("comes back, with every code that there is", () => {
    fc.assert(
      fc.property(fc.constantFrom(...codes), fc.stringMatching(/^[\x20-\x7e]{1,200}$/), (code, reason) => {
        expect(parseNotSigned(Buffer.from(encodeNotSigned({ code, reason })))).toEqual({ code, reason });
      }),
    );
  });

  test("is printable, not too long and never empty, whatever the reason was", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 5000 }), (reason) => {
        const content = Buffer.from(encodeNotSigned({ code: "over-limit", reason }));
        expect(content.length).toBeLessThanOrEqual(MAX_ANSWER_BYTES);
        expect(parseNotSigned(content)?.code).toBe("over-limit");
      }),
    );
    const longest = Buffer.from(encodeNotSigned({ code: "over-limit", reason: "\\".repeat(9999) }));
    expect(parseNotSigned(longest)?.reason).toBe("\\".repeat(2048));
    expect(parseNotSigned(Buffer.from(encodeNotSigned({ code: "busy", reason: "" })))?.reason).toBe("busy");
    expect(parseNotSigned(Buffer.from(encodeNotSigned({ code: "busy", reason: "a\x1b[2Jé" })))?.reason).toBe(
      "a?[2J?",
    );
  });

  test("is not read where it is cut, or a byte of it is another that would not be written so", () => {
    const content = Buffer.from(encodeNotSigned({ code: "over-limit", reason: 'the next at "12:00"' }));
    for (let length = 0; length < content.length; length += 1)
      expect(parseNotSigned(content.subarray(0, length))).toBeUndefined();
    for (let at = 0; at < content.length; at += 1)
      for (const byte of [0x00, 0x22, 0x31, 0x7f, 0x80, 0xff]) {
        const bent = Buffer.from(content);
        bent[at] = byte;
        const read = parseNotSigned(bent);
        if (read !== undefined) expect(encodeNotSigned(read)).toBe(bent.toString("latin1"));
      }
  });

  test.each([
    ["another version", '{"code":"busy","reason":"x","version":2}\n'],
    ["a member more", '{"code":"busy","more":1,"reason":"x","version":1}\n'],
    ["no code", '{"reason":"x","version":1}\n'],
    ["no reason", '{"code":"busy","version":1}\n'],
    ["a code that there is not", '{"code":"broken","reason":"x","version":1}\n'],
    ["a code out of every object", '{"code":"toString","reason":"x","version":1}\n'],
    ["a code that is a number", '{"code":1,"reason":"x","version":1}\n'],
    ["an empty reason", '{"code":"busy","reason":"","version":1}\n'],
    ["a reason with a control sequence", '{"code":"busy","reason":"\\u001b[2J","version":1}\n'],
    ["a reason with a newline", '{"code":"busy","reason":"a\\nb","version":1}\n'],
    ["a reason that is a list", '{"code":"busy","reason":["x"],"version":1}\n'],
    ["a list", "[]\n"],
    ["null", "null\n"],
    ["a text", '"busy"\n'],
    ["no newline", '{"code":"busy","reason":"x","version":1}'],
    ["a blank", '{"code":"busy", "reason":"x","version":1}\n'],
    ["two lines", '{"code":"busy","reason":"x","version":1}\n\n'],
    ["a reason past its length", `{"code":"busy","reason":"${"x".repeat(2049)}","version":1}\n`],
    [
      "more bytes than an answer has",
      `{"code":"busy","reason":"${"x".repeat(MAX_ANSWER_BYTES)}","version":1}\n`,
    ],
  ])("%s is none", (_what, content) => {
    expect(parseNotSigned(Buffer.from('{"code":"busy","reason":"x","version":1}\n'))).toBeDefined();
    expect(parseNotSigned(Buffer.from(content))).toBeUndefined();
  });
});
