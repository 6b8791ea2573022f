import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type CanonicalValue,
  encodeCanonicalJson,
  parseCanonicalJson,
} from "../../src/log/canonical-json.ts";

test("members are sorted by UTF-16 code units, without white space, at every depth (RFC 8785 section 3.2.3)", () => {
  expect(encodeCanonicalJson({ b: 1, a: [true, { z: "", y: false }], "10": 0, "2": 0, B: 0 })).toBe(
    '{"10":0,"2":0,"B":0,"a":[true,{"y":false,"z":""}],"b":1}',
  );
});

test("strings are escaped as RFC 8785 section 3.2.2.2 wants, and beyond it all but printable ASCII", () => {
  expect(encodeCanonicalJson('\u0000\u001f\b\t\n\f\r"\\/~')).toBe('"\\u0000\\u001f\\b\\t\\n\\f\\r\\"\\\\/~"');
  expect(encodeCanonicalJson("\u007f\u009b\u00e9\u20ac\ud83d\ude00\ud800")).toBe(
    '"\\u007f\\u009b\\u00e9\\u20ac\\ud83d\\ude00\\ud800"',
  );
});

test("members that are undefined are left out", () => {
  expect(encodeCanonicalJson({ a: undefined, b: 1 })).toBe('{"b":1}');
});

describe("has no encoding", () => {
  test.each([
    ["a fraction", 1.5],
    ["a number beyond 2^53", 2 ** 53],
    ["minus zero", -0],
    ["not a number", Number.NaN],
    ["infinity", Number.POSITIVE_INFINITY],
    ["null", null],
    ["undefined", undefined],
    ["a big integer", 1n],
    ["a null within", { a: [null] }],
    ["an undefined within a list", [undefined]],
  ])("%s", (_what, value) => {
    expect(() => encodeCanonicalJson(value as CanonicalValue)).toThrow(TypeError);
  });
});

const values = fc.letrec<{ value: CanonicalValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.string({ unit: "binary" }),
    fc.maxSafeInteger().map((number) => number + 0),
    fc.boolean(),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(fc.string({ unit: "binary" }), tie("value"), { maxKeys: 4 }),
  ),
})).value;

test("any value comes back from its encoding, which is printable ASCII", () => {
  fc.assert(
    fc.property(values, (value) => {
      const line = encodeCanonicalJson(value);
      expect(line).toMatch(/^[\x20-\x7e]*$/);
      expect(JSON.parse(line)).toEqual(value);
      expect(encodeCanonicalJson(parseCanonicalJson(line) as CanonicalValue)).toBe(line);
    }),
  );
});

describe("is not read, though JSON.parse would", () => {
  test.each([
    ["white space", '{"a": 1}'],
    ["white space before", " 1"],
    ["a newline behind", '{"a":1}\n'],
    ["another order", '{"b":1,"a":1}'],
    ["a member twice", '{"a":1,"a":1}'],
    ["a member twice, of two values", '{"a":2,"a":1}'],
    ["an exponent", "1e2"],
    ["a fraction of zero", "1.0"],
    ["minus zero", "-0"],
    ["a number beyond 2^53", "9007199254740993"],
    ["null", "null"],
    ["an escape without need", '"\\u0041"'],
    ["an escaped slash", '"\\/"'],
    ["a long escape where there is a short one", '"\\u000a"'],
    ["capitals in an escape", '"\\u00E9"'],
    ["a letter that is to be escaped", '"é"'],
    ["DEL", '"\u007f"'],
    ["null within", '{"a":[null]}'],
    ["minus zero within", "[-0]"],
    ["another order within", '[{"a":{"b":1,"a":1}}]'],
    ["members in the order of their numbers", '{"2":0,"10":0}'],
    ["a number beyond 2^53 within", '{"a":9007199254740992}'],
    ["a letter that is to be escaped, as a member's name", '{"é":1}'],
  ])("%s", (_what, line) => {
    expect(() => JSON.parse(line)).not.toThrow();
    expect(parseCanonicalJson(line)).toBeUndefined();
  });
});

test("members whose names are numbers are read in the order of their text", () => {
  expect(parseCanonicalJson('{"10":0,"2":0}')).toEqual({ "10": 0, "2": 0 });
});

test("what is no JSON is not read", () => {
  for (const line of ["", "{", '{"a":1', "undefined", "NaN", "'a'", "[1,]"])
    expect(parseCanonicalJson(line)).toBeUndefined();
});

test("a member called __proto__ is a member like others", () => {
  const line = '{"__proto__":{"a":1},"constructor":2}';
  const value = parseCanonicalJson(line);
  expect(Object.keys(value as object)).toEqual(["__proto__", "constructor"]);
  expect(({} as { a?: unknown }).a).toBeUndefined();
});
