import { InvalidArgumentError } from "commander";
import type { LogReader } from "../../log/log-reader.ts";
import type { Refusal } from "../../outcome.ts";
import type { Environment } from "../environment.ts";
import { parseMoment } from "./moment.ts";
import type { Output } from "./output.ts";
import type { OnProgress } from "./progress.ts";
import type { StateOptions } from "./state.ts";

/** What the command line needs of the process. */
export interface LogProgramContext {
  readonly output: Output;
  /** Says on stderr why a command did not do what was asked; returns the exit status. */
  readonly complain: (refusal: Refusal) => number;
  /** Says on stderr what somebody should know who has what was asked for; one line, a stranger's text only quoted. */
  readonly note?: (text: string) => void;
  readonly now: Date;
  /** Shows how far a long command is; undefined where nobody watches. */
  readonly onProgress: OnProgress | undefined;
  /** SSH_ORIGINAL_COMMAND, where sshd started the program. */
  readonly sshOriginalCommand?: string | undefined;
  /** What systemd says of the sockets that it has opened for this process; left out: nothing. */
  readonly listening?: Pick<Environment, "listenPid" | "listenFds" | "listenFdNames">;
}

/** What a command of `signer-log` is given to do its work with. */
export interface LogTools extends LogProgramContext {
  /** The options before the command: which log. */
  readonly where: () => StateOptions;
  /** Opens the log that the command line names, and closes it when `work` is done. */
  readonly withLog: (work: (reader: LogReader) => Promise<Refusal | undefined>) => Promise<void>;
  /** How the command ended, where it did not use {@link LogTools.withLog}. */
  readonly finish: (refusal?: Refusal) => void;
}

/** Help on what {@link momentOption} reads. */
export const MOMENTS = `
A moment is 2026-11-23T12:00:00Z, 2026-11-23 (its first moment, UTC), now,
today, yesterday, or how long ago: 30m, 36h, 2d, 3w.`;

/** Reads a moment on the command line. */
export function momentOption(now: Date): (text: string) => Date {
  return (text) => {
    const parsed = parseMoment(text, now);
    if (parsed === undefined)
      throw new InvalidArgumentError("expected a moment such as 2026-11-23, yesterday or 2d");
    return parsed;
  };
}
