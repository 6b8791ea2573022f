import { Command, CommanderError } from "commander";
import { DEFAULT_CONFIG_FILE } from "../../config/config.ts";
import { LogReader } from "../../log/log-reader.ts";
import { EXIT, Fault, type Refusal, refusal } from "../../outcome.ts";
import { commandLineProblem } from "../command-line-problem.ts";
import { VERSION } from "../version.ts";
import { addAuditCommand } from "./audit.ts";
import { addCompareCommand } from "./compare.ts";
import { addExportCommand } from "./export.ts";
import { addInitCommand } from "./init.ts";
import { addKeyCommands } from "./key.ts";
import { addListCommand } from "./list.ts";
import type { LogProgramContext, LogTools } from "./log-tools.ts";
import { addProveCommand } from "./prove.ts";
import { addPushCommand } from "./push.ts";
import { addReceiveCommand } from "./receive.ts";
import { addRestoreCommand } from "./restore.ts";
import { addShowCommand } from "./show.ts";
import { DEFAULT_COPIES_DIRECTORY, locateState, type StateOptions } from "./state.ts";
import { addStatsCommand } from "./stats.ts";
import { addTailCommand } from "./tail.ts";
import { addVerifyCommand } from "./verify.ts";

/** Every command, in the order of the help. */
const COMMANDS = [
  addListCommand,
  addTailCommand,
  addStatsCommand,
  addShowCommand,
  addProveCommand,
  addVerifyCommand,
  addCompareCommand,
  addRestoreCommand,
  addExportCommand,
  addAuditCommand,
  addKeyCommands,
  addPushCommand,
  addInitCommand,
  addReceiveCommand,
] as const;

const EXIT_HELP = `
Examples:
  signer-log list --since yesterday --kind refused
  signer-log list --name 'core.db*' --limit all --json
  signer-log show core.db.tar.gz.sig
  signer-log verify --checkpoint 2026-11-23.checkpoint

Exit statuses: 0 done; 64 bad request, nothing found; 65 a proof that proves
nothing, an audit that found something; 69 the log is broken; 70 internal;
74 its files cannot be read; 75 try again later; 78 configuration, or no log.
See signer-log(1).`;

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

function makeProgram(context: LogProgramContext, finish: (refusal?: Refusal) => void): Command {
  const program = new Command("signer-log")
    .description("Reads, proves and copies the log of a signing host.")
    .version(VERSION, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .option("--config <file>", `the configuration, which names the log (default: ${DEFAULT_CONFIG_FILE})`)
    .option(
      "--state <directory>",
      "the state directory itself, such as a copy of a log, instead of a configuration",
    )
    .option("--log <name>", "on a log host: the copy of this name")
    .option("--copies <directory>", `on a log host: where copies are (default: ${DEFAULT_COPIES_DIRECTORY})`)
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: () => undefined })
    .addHelpText("after", EXIT_HELP);

  const where = () => program.opts<StateOptions>();
  const tools: LogTools = {
    ...context,
    where,
    finish,
    withLog: async (work) => {
      const reader = LogReader.open(locateState(where()));
      try {
        if (reader.isCopy && reader.size === 0)
          throw new Fault(
            "no-state",
            "the copy is empty: on the signing host, signer-log push sends the log",
          );
        finish(await work(reader));
      } finally {
        reader.close();
      }
    },
  };
  for (const add of COMMANDS) add(program, tools);
  return program;
}
