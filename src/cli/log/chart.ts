import type { Tally } from "../../log/log-statistics.ts";
import { type Colour, coloured, type Look } from "./output.ts";

/** Bars of ASCII: the same on every terminal, in a mail and in a file. */

const MARKS = [
  { what: "signed", mark: "#", colour: "green" },
  { what: "reissued", mark: "+", colour: undefined },
  { what: "refused", mark: "x", colour: "red" },
] as const satisfies readonly { what: keyof Tally; mark: string; colour: Colour | undefined }[];

/** What the marks of {@link tallyBar} stand for. */
export const LEGEND = MARKS.map(({ what, mark }) => `${mark} ${what}`).join(", ");

/** A bar of at most `width` characters for a tally, `most` (greater than 0) being the whole width. What is there at all has a mark. */
export function tallyBar(tally: Tally, most: number, width: number, look: Look): string {
  let left = width;
  return MARKS.map(({ what, mark, colour }) => {
    const share = tally[what] === 0 ? 0 : Math.max(1, Math.round((tally[what] / most) * width));
    const cells = Math.min(share, left);
    left -= cells;
    return cells === 0 ? "" : coloured(look, colour, mark.repeat(cells));
  }).join("");
}

/** How full something is: `[###.......]`; full only where nothing is left, empty only where nothing is taken. */
export function gauge(used: number, of: number, width = 10): string {
  const cells =
    used >= of ? width : used === 0 ? 0 : Math.min(width - 1, Math.max(1, Math.floor((used / of) * width)));
  return `[${"#".repeat(cells)}${".".repeat(width - cells)}]`;
}
