import { Command, CommanderError } from "commander";
import { DEFAULT_CLIENT_CONFIG_FILE } from "../../client/client-config.ts";
import { EXIT, type Refusal, refusal } from "../../outcome.ts";
import { commandLineProblem } from "../command-line-problem.ts";
import { VERSION } from "../version.ts";
import {
  askable,
  type ClientContext,
  type ClientTools,
  type GlobalOptions,
  readConfigOf,
} from "./client-tools.ts";
import { addKeyCommand } from "./key.ts";
import { addSignCommand } from "./sign.ts";
import { addStatusCommand } from "./status.ts";

const HELP = `
Examples:
  signer-client sign core.db.tar.gz core.files.tar.gz
  signer-client status
  signer-client key > repo.asc

Exit statuses: 0 done; 64 bad request; 65 not a database or image that is signed;
69 the signing host or its key is unavailable, or its signature is not good;
70 internal; 74 a signature could not be written; 75 over a limit or busy, try
again later; 77 not permitted; 78 configuration. See signer-client(1).`;

/** The whole command line of `signer-client`. Returns the exit status. */
export async function runClientProgram(argv: readonly string[], context: ClientContext): Promise<number> {
  let status: number = EXIT["bad-request"];
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

function makeProgram(context: ClientContext, finish: (refusal?: Refusal) => void): Command {
  const program = new Command("signer-client")
    .description("Has databases and images signed by the signing host, and verifies each signature.")
    .version(VERSION, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .option("--config <file>", `the client's configuration (default: ${DEFAULT_CLIENT_CONFIG_FILE})`)
    .option("--ssh-command <command>", 'reach the host through a program, such as "ssh -J gate"')
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: () => undefined })
    .addHelpText("after", HELP);
  const tools: ClientTools = {
    ...context,
    finish,
    readConfig: (via) => readConfigOf(context, program.opts<GlobalOptions>(), via),
    readSshConfig: () => askable(readConfigOf(context, program.opts<GlobalOptions>())),
  };
  for (const add of [addSignCommand, addKeyCommand, addStatusCommand]) add(program, tools);
  return program;
}
