import { Writable } from "node:stream";
import { runLogProgram } from "../../../src/cli/log/log-program.ts";
import { Output } from "../../../src/cli/log/output.ts";
import { EXIT, Fault, type Refusal } from "../../../src/outcome.ts";
import { at, DAY } from "../../log/fixture.ts";

/** How a command line ended. */
export interface CommandLineEnd {
  /** The exit status, or `CODE: MESSAGE` of the Fault. */
  readonly status: number | string;
  /** What it printed. */
  readonly text: string;
  /** The refusal's line; empty where there was none. */
  readonly complaint: string;
  /** What it said besides. */
  readonly notes: readonly string[];
}

/** Runs `signer-log ARGS` in this process, a day after the logs of tests begin, without a terminal. */
export async function signerLog(args: readonly string[], now = at(DAY)): Promise<CommandLineEnd> {
  let text = "";
  let complaint = "";
  const notes: string[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  const status = await runLogProgram(args, {
    output: new Output(stream, { columns: undefined, colour: false }),
    complain: ({ code, reason }: Refusal) => {
      complaint = `${code}: ${reason}`;
      return EXIT[code];
    },
    note: (text) => void notes.push(text),
    now,
    onProgress: undefined,
  }).catch((error: unknown) => {
    if (error instanceof Fault) return `${error.code}: ${error.message}`;
    throw error;
  });
  return { status, text, complaint, notes };
}
