import { Command, CommanderError } from "commander";
import { DEFAULT_CONFIG_FILE } from "../config/config.ts";
import { EXIT } from "../outcome.ts";
import { acceptCommand } from "./accept-command.ts";
import { takeEnvironment } from "./environment.ts";
import { run, say } from "./run.ts";
import { VERSION } from "./version.ts";

/** What loads openpgp.js or asks the machine about itself is imported when it is wanted: `accept` must start quickly. */
const environment = takeEnvironment();
const print = (line: string) => void process.stdout.write(`${line}\n`);

const program = new Command("signer")
  .description("Signs a distribution's repository databases and images, and logs what it signed.")
  .version(VERSION, "-V, --version", "print the version")
  .helpOption("-h, --help", "print this help")
  .option("--config <file>", "the configuration", DEFAULT_CONFIG_FILE)
  .exitOverride()
  .configureOutput({ outputError: () => undefined })
  .showHelpAfterError(false)
  .addHelpText(
    "after",
    "\nExit statuses: 0 done, 64 bad request, 65 bad file, 69 unavailable, 70 internal, 74 log not written,\n75 try later, 77 not permitted, 78 configuration. See signer(1).",
  );

let work: (() => Promise<number>) | undefined;
const configFile = (): string => program.opts<{ config: string }>().config;

program
  .command("accept")
  .description("answer one request of an SSH client: the forced command of authorized_keys")
  .requiredOption("--client <name>", "who the SSH key belongs to: the client of the rules")
  .action((options: { client: string }) => {
    work = () => acceptCommand(configFile(), options.client, environment);
  });

program
  .command("init")
  .description("make what the configuration names and is not there yet: state, log, log key, OpenPGP key")
  .option(
    "--origin <name>",
    "for a new configuration: the identity of the log, such as signer.example.org/repo",
  )
  .option("--state <directory>", "for a new configuration: where ledger and log live", "/var/lib/signer")
  .option("--user-id <text>", "for a new key: Name <mail@example.org>")
  .option("--key-expires <date>", "for a new key: YYYY-MM-DD; default: never")
  .option("--owner <account>", "the account that signs: keys and state become its own (root only)")
  .action((options) => {
    work = async () =>
      (await import("./init-command.ts")).initCommand({ config: configFile(), ...options }, print);
  });

program
  .command("check")
  .description("examine the whole installation and name everything that is wrong at once")
  .option("--user <account>", "the account that SSH logs into; default: the owner of the state directory")
  .option("--sshd-config <file>", "the configuration of sshd", "/etc/ssh/sshd_config")
  .action((options) => {
    work = async () =>
      (await import("./check-command.ts")).checkCommand({ config: configFile(), ...options }, print);
  });

const key = program
  .command("key")
  .description("show the keys that sign, and until when they can")
  .option("--json", "one JSON object for each key", false)
  .action((options: { json: boolean }) => {
    work = async () =>
      (await import("./key-command.ts")).keyListCommand(
        configFile(),
        options,
        environment.credentialsDirectory,
      );
  });

key
  .command("export")
  .description("print the public key, for keyrings")
  .argument("[key]", "its name in the configuration; may be left out where there is one")
  .option("--binary", "not armored", false)
  .action((name: string | undefined, options: { binary: boolean }) => {
    work = async () =>
      (await import("./key-command.ts")).keyExportCommand(
        configFile(),
        name,
        options,
        environment.credentialsDirectory,
      );
  });

program
  .command("clock")
  .description("what to do where the clock is behind the log")
  .command("accept")
  .description("log that the clock is right although the last entry lies after it")
  .action(() => {
    work = async () => (await import("./clock-command.ts")).clockAcceptCommand(configFile());
  });

await run("signer", async () => {
  try {
    program.parse();
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return 0;
    return error.code === "commander.help"
      ? EXIT["bad-request"]
      : say("signer", "bad-request", describe(error));
  }
  return work === undefined ? EXIT["bad-request"] : await work();
});

/** Commander's message without its prefix, on one line. */
function describe(error: CommanderError): string {
  return error.message.replace(/^error: /, "").replaceAll(/\s+/g, " ");
}
