import fc from "fast-check";
import { expect, test } from "vitest";
import { parseDesc } from "../../src/artefact/desc.ts";
import { isRefusal } from "../../src/outcome.ts";

// The layout of a desc, said once more as one expression: what the reader takes is what it matches, and nothing else.

const LINE = "(?:(?![ \\x80-\\xff]*%[A-Z0-9_]+%[ \\x80-\\xff]*\\n)[^\\x00-\\x1f\\x7f]+\\n)";
const LAYOUT = new RegExp(`^(?:%[A-Z0-9]+%\\n${LINE}+\\n)*$`);
const LAYOUT_REASON = /expected sections of one header, printable lines and an empty line/;

const SAMPLE = `%FILENAME%
apple-1.0-1-any.pkg.tar.zst

%NAME%
apple

%VERSION%
1.0-1

%CSIZE%
10

%ISIZE%
20

%SHA256SUM%
${"0".repeat(64)}

%ARCH%
any

%BUILDDATE%
1700000000

%DESC%
A 100% apple %OK% yes

%DEPENDS%
bread
%butter

`;

/** Whether the layout was taken: what the values are is another matter. */
function isTaken(text: string): boolean {
  const desc = parseDesc(Buffer.from(text, "latin1"), "apple-1.0-1");
  return !isRefusal(desc) || !LAYOUT_REASON.test(desc.reason);
}

test("a desc as repo-add writes it has the layout", () => {
  expect(LAYOUT.test(SAMPLE)).toBe(true);
  expect(isRefusal(parseDesc(Buffer.from(SAMPLE), "apple-1.0-1"))).toBe(false);
});

test("no change of one makes the two differ", () => {
  const pieces = [
    "",
    "\n",
    "\n\n",
    "%",
    "%\n",
    "%NAME%",
    "%NAME%\n",
    " %X_Y% \n",
    "%x%",
    "\t",
    "\r",
    "\0",
    "\x7f",
    "a",
    "%%",
  ];
  const edit = fc.record({
    at: fc.nat(SAMPLE.length),
    drop: fc.nat(12),
    put: fc.oneof(fc.constantFrom(...pieces), fc.string({ maxLength: 3 })),
  });
  fc.assert(
    fc.property(fc.array(edit, { minLength: 1, maxLength: 3 }), (edits) => {
      let text = SAMPLE;
      for (const { at, drop, put } of edits) text = text.slice(0, at) + put + text.slice(at + drop);
      text = text.replace(/[^\x00-\x7f]/g, "?");
      // A section that is unknown or wrong in itself may be what is refused first; a layout that is wrong never passes.
      const desc = parseDesc(Buffer.from(text, "latin1"), "apple-1.0-1");
      if (LAYOUT.test(text)) expect(isTaken(text)).toBe(true);
      else expect(isRefusal(desc)).toBe(true);
    }),
    { numRuns: 3000 },
  );
});

test.each([
  ["no sections", ""],
  ["a header alone", "%NAME%\n"],
  ["a header and an empty line", "%NAME%\n\n"],
  ["a header and two empty lines", "%NAME%\n\n\n"],
  ["no empty line at the end", "%NAME%\napple\n"],
  ["two empty lines", "%NAME%\napple\n\n\n"],
  ["an empty line first", "\n%NAME%\napple\n\n"],
  ["text behind a header", "%NAME% \napple\n\n"],
  ["a header in small letters", "%name%\napple\n\n"],
  ["an empty header", "%%\napple\n\n"],
  ["a header in a value", "%NAME%\n%VERSION%\n\n"],
  ["a header in a value, with white space", "%DESC%\ntext\n  %VERSION% \n\n"],
  ["a tab", "%NAME%\nap\tple\n\n"],
])("%s is as the layout says", (_, text) => {
  const desc = parseDesc(Buffer.from(text, "latin1"), "apple-1.0-1");
  expect(isRefusal(desc)).toBe(true);
  expect(isTaken(text)).toBe(LAYOUT.test(text));
});
