import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { LogCopy } from "../../log/copy/log-copy.ts";
import { LOG_PUBLIC_FILE } from "../../log/copy/log-public.ts";
import { encodeVerifierKey, isKeyName, parseVerifierKey } from "../../log/signed-note.ts";
import { Fault, isRefusal, type Refusal, refusal } from "../../outcome.ts";
import type { LogTools } from "./log-tools.ts";
import { DEFAULT_COPIES_DIRECTORY, locateCopy, type StateOptions } from "./state.ts";

interface InitOptions {
  readonly verifier?: string;
  readonly witness?: string;
}

/** The path that a package installs the executable under. */
const EXECUTABLE = "/usr/bin/signer-log";
const HOST_KEY_FILE = "/etc/ssh/ssh_host_ed25519_key.pub";

const HELP = `
Run it on the log host, as the account that keeps the copies and that the
signing host logs in to. Where the copy is there already, it only prints.

Example:
  signer-log init --log repo --witness log.example.org/repo \\
    --verifier signer.example.org/repo+b0a00b1f+AQ4RcMkm...`;

/** `signer-log init`: makes a copy of a log, empty, and prints what goes into whose configuration. */
export function addInitCommand(program: Command, tools: LogTools): void {
  program
    .command("init")
    .description("on a log host: make an empty copy of a log, and a witness key for it")
    .option("--verifier <key>", "the log's key, as signer-log key prints it on the signing host")
    .option("--witness <name>", "the name to cosign under, such as log.example.org/repo")
    .addHelpText("after", HELP)
    .action(async (options: InitOptions) => tools.finish(await initCommand(options, tools)));
}

async function initCommand(options: InitOptions, { where, output }: LogTools): Promise<Refusal | undefined> {
  const directory = locateCopy(where());
  const { log, copies } = where();
  if (directory === undefined || log === undefined)
    return refusal("bad-request", "expected --log NAME, the name of the copy on this host");
  const found = existsSync(join(directory, LOG_PUBLIC_FILE));
  const copy = found ? openSame(directory, options) : create(directory, options);
  if (isRefusal(copy)) return copy;
  const { verifier, witness } = copy;
  copy.close();
  const lines = [
    `${found ? "found" : "made "}        copy of ${verifier.name} in ${directory}`,
    `log key      ${encodeVerifierKey(verifier)}`,
    `witness key  ${encodeVerifierKey(witness)}`,
    "",
    "authorized_keys of this account; PUBLIC-KEY is that of an SSH key made on the signing host, ADDRESS its address:",
    authorizedKeysLine(log, copies),
    "",
    "signer.toml of the signing host:",
    ...remoteLogTable(encodeVerifierKey(witness)),
    "",
    "next, on the signing host: signer check, signer-log push",
  ];
  for (const line of lines) await output.line(line);
  await output.flush();
  return undefined;
}

function create(directory: string, { verifier, witness }: InitOptions): LogCopy | Refusal {
  const key = verifier === undefined ? undefined : parseVerifierKey(verifier.trim());
  if (key === undefined)
    return refusal(
      "bad-request",
      "expected --verifier NAME+ID+KEY, as signer-log key prints it on the signing host",
    );
  if (witness === undefined || !isKeyName(witness))
    return refusal(
      "bad-request",
      "expected --witness NAME without spaces and +, such as log.example.org/repo",
    );
  if (witness === key.name)
    return refusal("bad-request", "expected a --witness name other than the log's own: it is another key");
  return LogCopy.create(directory, { verifier: key, witnessName: witness });
}

/** The copy that is there; what the command line says of it must be so. */
function openSame(directory: string, { verifier, witness }: InitOptions): LogCopy {
  const copy = LogCopy.open(directory);
  const differs =
    verifier !== undefined && verifier.trim() !== encodeVerifierKey(copy.verifier)
      ? `a log with the key ${encodeVerifierKey(copy.verifier)}`
      : witness !== undefined && witness !== copy.witness.name
        ? `the witness ${copy.witness.name}`
        : undefined;
  if (differs === undefined) return copy;
  copy.close();
  throw new Fault("bad-configuration", `${directory} is a copy already, of ${differs}: it was left as it is`);
}

/** The line of authorized_keys (sshd(8)) that lets the signing host in, and to nothing else. */
function authorizedKeysLine(log: string, copies: StateOptions["copies"]): string {
  const where = copies === undefined || copies === DEFAULT_COPIES_DIRECTORY ? "" : ` --copies ${copies}`;
  return `restrict,from="ADDRESS",command="${EXECUTABLE} receive --log ${log}${where}" ssh-ed25519 PUBLIC-KEY signer`;
}

/** The table of signer.toml(5), but for what only the signing host knows. */
function remoteLogTable(witness: string): readonly string[] {
  return [
    "[[remote_log]]",
    'type = "ssh"',
    'name = "loghost"',
    'host = "HOST"                       # this host, as the signing host reaches it',
    'user = "signer-log"',
    'key = "/etc/signer/loghost.ssh"     # made there: ssh-keygen -t ed25519 -N "" -f /etc/signer/loghost.ssh',
    `host_key = "${hostKey() ?? "ssh-ed25519 HOST-KEY"}"`,
    `witness = "${witness}"`,
    "required = true",
  ];
}

/** This host's SSH key, where sshd keeps it as everywhere: type and base64, without the comment. */
function hostKey(): string | undefined {
  try {
    return /^ssh-ed25519 [A-Za-z0-9+/=]+/.exec(readFileSync(HOST_KEY_FILE, "utf8"))?.[0];
  } catch {
    return undefined;
  }
}
