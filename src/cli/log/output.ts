import type { Writable } from "node:stream";
import { Fault } from "../../outcome.ts";

/** Bytes that are gathered before they are written: one write for a screenful. */
const GATHER = 16 * 1024;

/** How what is printed should look. */
export interface Look {
  /** Columns of the terminal; undefined where there is none, and nothing is cut. */
  readonly columns: number | undefined;
  readonly colour: boolean;
}

/**
 * Lines for a person or a pipe. A reader that goes away (`| head`) is no error: from then on {@link Output.line} says false
 * and nothing more is written.
 */
export class Output {
  readonly look: Look;
  readonly #stream: Writable;
  #gathered = "";
  #gone = false;
  #failed: Error | undefined;

  constructor(stream: Writable, look: Look) {
    this.#stream = stream;
    this.look = look;
    stream.on("error", (error: NodeJS.ErrnoException) => {
      this.#gone = true;
      if (error.code !== "EPIPE") this.#failed = error;
    });
  }

  /** Writes a line; false where nobody reads any more. */
  async line(text = ""): Promise<boolean> {
    this.#gathered += `${text}\n`;
    return this.#gathered.length < GATHER ? !this.#gone : await this.flush();
  }

  /** Writes what has gathered; false where nobody reads any more. Fault `reply-not-delivered` for other failures (a full disk). */
  async flush(): Promise<boolean> {
    const text = this.#gathered;
    this.#gathered = "";
    if (text !== "" && !this.#gone) {
      await new Promise<void>((resolve) => {
        this.#stream.write(text, () => resolve());
      });
    }
    if (this.#failed === undefined) return !this.#gone;
    throw new Fault("reply-not-delivered", "stdout cannot be written", { cause: this.#failed });
  }
}

/** A stranger's text for a terminal: everything outside printable ASCII as `\xNN` or `\uNNNN`. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, (unit) => {
    const code = unit.charCodeAt(0);
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, "0")}`
      : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/** SGR parameters (ECMA-48 §8.3.117). */
const COLOURS = { red: "31", green: "32", yellow: "33", dim: "2", bold: "1" } as const;
export type Colour = keyof typeof COLOURS;

/** The text in a colour, where there are colours. */
export function coloured(look: Look, colour: Colour | undefined, text: string): string {
  return look.colour && colour !== undefined ? `\u001b[${COLOURS[colour]}m${text}\u001b[0m` : text;
}
