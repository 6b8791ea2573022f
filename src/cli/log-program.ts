import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { ARTEFACT_TYPES } from "../artefact/artefact.ts";
import { DEFAULT_CONFIG_FILE } from "../config/config.ts";
import { ENTRY_KINDS } from "../log/log-entry.ts";
import { LogReader } from "../log/log-reader.ts";
import type { LogFilter } from "../log/log-search.ts";
import { encodeVerifierKey } from "../log/signed-note.ts";
import { EXIT, isRefusal, type Refusal, refusal } from "../outcome.ts";
import { commandLineProblem } from "./command-line-problem.ts";
import { list } from "./log-list.ts";
import { parseMoment } from "./log-moment.ts";
import type { Output } from "./log-output.ts";
import { type ShowOptions, show } from "./log-show.ts";
import { locateState, type StateOptions } from "./log-state.ts";
import { findSubject } from "./log-subject.ts";
import { printCheckpoint, type VerifyCommandOptions, verify } from "./log-verify.ts";
import { VERSION } from "./version.ts";

/** What the command line needs of the process. */
export interface LogProgramContext {
  readonly output: Output;
  /** Says on stderr why a command did not do what was asked; returns the exit status. */
  readonly complain: (refusal: Refusal) => number;
  readonly now: Date;
  /** Shows how far verification is; undefined where nobody watches. */
  readonly onProgress: ((done: number, size: number) => void) | undefined;
}

const DEFAULT_LIMIT = 50;

const MOMENTS = `
A moment is 2026-11-23T12:00:00Z, 2026-11-23 (its first moment, UTC), now,
today, yesterday, or how long ago: 30m, 36h, 2d, 3w.`;

const EXIT_HELP = `
Examples:
  signer-log list --since yesterday --kind refused
  signer-log list --name 'core.db*' --limit all --json
  signer-log show core.db.tar.gz.sig
  signer-log verify --checkpoint 2026-11-23.checkpoint

Exit statuses: 0 done; 64 bad request, nothing found; 69 the log is broken;
70 internal; 74 its files cannot be read; 75 try again later; 78 configuration,
or no log. See signer-log(1).`;

/** The whole command line of `signer-log`. Returns the exit status. */
export async function runLogProgram(argv: readonly string[], context: LogProgramContext): Promise<number> {
  let status = EXIT["bad-request"];
  const program = makeProgram(context, (refused) => {
    status = refused === undefined ? 0 : context.complain(refused);
  });
  try {
    await program.parseAsync(argv, { from: "user" });
    return status;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return 0;
    if (error.code === "commander.help") return EXIT["bad-request"];
    return context.complain(refusal("bad-request", commandLineProblem(error)));
  }
}

interface ListFlags extends LogFilter {
  readonly limit: number | "all";
  readonly json?: boolean;
}

function makeProgram(
  { output, now, onProgress }: LogProgramContext,
  finish: (refusal?: Refusal) => void,
): Command {
  const program = new Command("signer-log")
    .description("Reads and verifies the log of a signing host.")
    .version(VERSION, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .option("--config <file>", `the configuration, which names the log (default: ${DEFAULT_CONFIG_FILE})`)
    .option(
      "--state <directory>",
      "the state directory itself, such as a copy of a log, instead of a configuration",
    )
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: () => undefined })
    .addHelpText("after", EXIT_HELP);

  async function withLog(work: (reader: LogReader) => Promise<Refusal | undefined>): Promise<void> {
    const reader = LogReader.open(locateState(program.opts<StateOptions>()));
    try {
      finish(await work(reader));
    } finally {
      reader.close();
    }
  }

  const moment = (text: string): Date => {
    const parsed = parseMoment(text, now);
    if (parsed === undefined)
      throw new InvalidArgumentError("expected a moment such as 2026-11-23, yesterday or 2d");
    return parsed;
  };
  const limit = (text: string): number | "all" => {
    if (text === "all") return text;
    if (!/^[1-9][0-9]{0,8}$/.test(text))
      throw new InvalidArgumentError("expected a number of entries, or all");
    return Number(text);
  };

  program
    .command("list")
    .description("entries, oldest first")
    .option("--since <moment>", "at or after", moment)
    .option("--until <moment>", "before", moment)
    .addOption(new Option("--kind <kind>", "of this kind").choices(ENTRY_KINDS))
    .addOption(new Option("--type <type>", "about this type").choices(ARTEFACT_TYPES))
    .option("--name <name>", "about this name; * stands for anything")
    .option("--client <name>", "by this client")
    .option("--limit <number>", "only the newest so many, or all", limit, DEFAULT_LIMIT)
    .option("--json", "each entry on a line, just as it is logged")
    .addHelpText("after", MOMENTS)
    .action(({ limit: newest, json = false, ...filter }: ListFlags) =>
      withLog(async (reader) => {
        await list(reader, { filter, json, limit: newest === "all" ? undefined : newest }, output);
        return undefined;
      }),
    );

  program
    .command("show")
    .description("all there is about an entry")
    .argument(
      "<subject>",
      "its number; a file, by its bytes; a signature file, by its notations; or a digest, 8 hex digits or more",
    )
    .option("--json", "the entry on a line, just as it is logged")
    .option("--private", "what is about people too: who asked, from which address, with which SSH key")
    .action((argument: string, options: ShowOptions) =>
      withLog(async (reader) => {
        const subject = await findSubject(reader, argument);
        if (isRefusal(subject)) return subject;
        await show(reader, subject.lines, options, output);
        return undefined;
      }),
    );

  program
    .command("verify")
    .description("verify the whole log, and name the first thing that is wrong")
    .option("--checkpoint <file>", "the log must continue this checkpoint of it, kept elsewhere; - for stdin")
    .option(
      "--key <key>",
      "the log's key, as signer-log key printed it (default: that of the log key beside the log)",
    )
    .option("--quiet", "print nothing where all is well")
    .action((options: VerifyCommandOptions) =>
      withLog((reader) =>
        verify(reader, onProgress === undefined ? options : { ...options, onProgress }, output),
      ),
    );

  program
    .command("checkpoint")
    .description("print the newest signed checkpoint (C2SP tlog-checkpoint): keep it elsewhere")
    .action(() =>
      withLog(async (reader) => {
        await printCheckpoint(reader, output);
        return undefined;
      }),
    );

  program
    .command("key")
    .description("print the key that verifies checkpoints, in the form that C2SP tools take")
    .action(() =>
      withLog(async (reader) => {
        await output.line(encodeVerifierKey(reader.heldVerifier() ?? reader.statedVerifier()));
        await output.flush();
        return undefined;
      }),
    );

  return program;
}
