import { Command, CommanderError, Option } from "commander";
import { DEFAULT_CONFIG_FILE, MODES } from "../config/config.ts";
import { EXIT } from "../outcome.ts";
import { acceptCommand } from "./accept-command.ts";
import { addCaCommand } from "./ca-command.ts";
import { commandLineProblem } from "./command-line-problem.ts";
import type { Environment } from "./environment.ts";
import { say } from "./run.ts";
import { VERSION } from "./version.ts";

const EXIT_HELP = `
Exit statuses: 0 done; 64 bad request; 65 the file is not what may be signed;
69 key, clock or broken log; 70 internal; 74 the log could not be written;
75 try again later; 77 not permitted; 78 configuration. See signer(1).`;

const print = (line: string): void => void process.stdout.write(`${line}\n`);

/**
 * The whole command line of `signer`. Returns the exit status. What only one command needs (openpgp.js, questions to the
 * machine) is imported when that command runs.
 * @param argv without the runtime and the script
 */
export async function runProgram(argv: readonly string[], environment: Environment): Promise<number> {
  let status: number = EXIT["bad-request"];
  let failed: NodeJS.ErrnoException | undefined;
  process.stdout.on("error", (error) => {
    failed ??= error;
  });
  const program = makeProgram(environment, (result) => {
    status = result;
  });
  try {
    await program.parseAsync(argv, { from: "user" });
    await new Promise<void>((resolve) => process.stdout.write("", () => resolve()));
    // A reader that goes away (`| head`) is no error; a full disk is. What accept could not deliver it has said itself.
    if (failed === undefined || failed.code === "EPIPE" || status !== 0) return status;
    return say("signer", "reply-not-delivered", "stdout cannot be written");
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return 0;
    if (error.code === "commander.help") return EXIT["bad-request"];
    return say("signer", "bad-request", commandLineProblem(error));
  }
}

function makeProgram(environment: Environment, finish: (status: number) => void): Command {
  const program = new Command("signer")
    .description("Signs a distribution's repository databases and images, and logs what it signed.")
    .version(VERSION, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .option("--config <file>", `the configuration (default: ${DEFAULT_CONFIG_FILE})`)
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: () => undefined })
    .addHelpText("after", EXIT_HELP);
  const config = (): string => program.opts<{ config?: string }>().config ?? DEFAULT_CONFIG_FILE;

  program
    .command("accept")
    .description("answer one request of an SSH client: the forced command of authorized_keys")
    .requiredOption("--client <name>", "who the SSH key belongs to: the client of the rules")
    .option("--socket <path>", "in split mode: this client's socket, without reading the configuration")
    .action(async ({ client, socket }: { client: string; socket?: string }) =>
      finish(await acceptCommand({ config: config(), client, socket }, environment)),
    );

  program
    .command("serve")
    .description("in split mode: the service that owns keys and log, and signs for the forced command")
    .action(async () => {
      const { serveCommand } = await import("./serve-command.ts");
      finish(await serveCommand(config(), environment));
    });

  program
    .command("status")
    .description("how the host is: service, requests, limits, keys, log, remote logs; for administrators")
    .option("--json", "all of it as one line of JSON")
    .addHelpText("after", "\nEnds with 69 where something is in the way of signing.")
    .action(async ({ json = false }: { json?: boolean }) => {
      const { statusCommand } = await import("./status-command.ts");
      finish(await statusCommand(config(), { json }));
    });

  program
    .command("init")
    .description("make what the configuration names and is not there yet: state, log, log key, OpenPGP key")
    .option("--origin <name>", "for a new configuration: the log's identity, such as signer.example.org/repo")
    .addOption(
      new Option("--mode <mode>", "for a new configuration: who signs (docs/SPLIT.md)")
        .choices(MODES)
        .default("standalone"),
    )
    .option("--state <directory>", "for a new configuration: where ledger and log live", "/var/lib/signer")
    .option("--user-id <text>", "for a new key: Name <mail@example.org>")
    .option("--key-expires <date>", "for a new key: YYYY-MM-DD (default: never)")
    .option("--owner <account>", "the account that signs: keys and state become its own (root only)")
    .action(async (options) => {
      const { initCommand } = await import("./init-command.ts");
      finish(await initCommand({ config: config(), ...options }, print));
    });

  program
    .command("check")
    .description("examine the whole installation and name everything that is wrong at once")
    .option(
      "--user <account>",
      "the account that SSH logs into (default: who owns the state; in split mode, who may connect)",
    )
    .option("--sshd-config <file>", "the configuration of sshd", "/etc/ssh/sshd_config")
    .action(async (options) => {
      const { checkCommand } = await import("./check-command.ts");
      finish(await checkCommand({ config: config(), ...options }, print));
    });

  const key = program
    .command("key")
    .description("show the keys that sign, and until when they can")
    .option("--json", "one JSON object for each key")
    .action(async ({ json = false }: { json?: boolean }) => {
      const { keyListCommand } = await import("./key-command.ts");
      finish(await keyListCommand(config(), { json }));
    });

  key
    .command("export")
    .description("print the public key, for keyrings")
    .argument("[key]", "its name in the configuration; may be left out where there is one")
    .option("--binary", "not armored")
    .action(async (name: string | undefined, { binary = false }: { binary?: boolean }) => {
      const { keyExportCommand } = await import("./key-command.ts");
      finish(await keyExportCommand(config(), name, { binary }));
    });

  program
    .command("sender")
    .description(
      "connect the signing service of split mode with the remote logs: a process of an account of its own",
    )
    .option("--socket <path>", "where to listen (default: [sender] of the configuration)")
    .action(async ({ socket }: { socket?: string }) => {
      const { senderCommand } = await import("./sender-command.ts");
      finish(await senderCommand(config(), socket, environment));
    });

  program
    .command("pull")
    .description(
      "fetch work from the repository servers of [[sources]], have it signed, take the answers there",
    )
    .option("--once", "ask each of them once, do what there is to do, and end")
    .option("--source <name>", "this one alone")
    .action(async (options: { once?: boolean; source?: string }) => {
      const { pullCommand } = await import("./pull-command.ts");
      finish(await pullCommand({ config: config(), ...options }, environment, print));
    });

  program
    .command("clock")
    .description("what to do where the clock is behind the log")
    .command("accept")
    .description("log that the clock is right although the last entry lies after it")
    .action(async () => {
      const { clockAcceptCommand } = await import("./clock-command.ts");
      finish(await clockAcceptCommand(config()));
    });

  addCaCommand(program, {
    print,
    finish: (refused) => finish(refused === undefined ? 0 : say("signer", refused.code, refused.reason)),
  });

  return program;
}
