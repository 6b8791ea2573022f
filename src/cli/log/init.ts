import { existsSync, readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { LogCopy } from "../../log/copy/log-copy.ts";
import { LOG_PUBLIC_FILE } from "../../log/copy/log-public.ts";
import { encodeVerifierKey, isKeyName, type VerifierKey } from "../../log/signed-note.ts";
import { Fault, isRefusal, type Refusal, refusal } from "../../outcome.ts";
import { readLogKeyOption } from "./given-file.ts";
import type { LogTools } from "./log-tools.ts";
import { DEFAULT_COPIES_DIRECTORY, locateCopy } from "./state.ts";

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
    .option(
      "--verifier <key>",
      "the log's key, as signer-log key prints it on the signing host, or @ and a file of it",
    )
    .option("--witness <name>", "the name to cosign under, such as log.example.org/repo")
    .addHelpText("after", HELP)
    .action(async (options: InitOptions) => tools.finish(await initCommand(options, tools)));
}

/** {@link InitOptions} as values; what is left out only suits a copy that is there. */
interface Wanted {
  readonly verifier: VerifierKey | undefined;
  readonly witness: string | undefined;
}

async function initCommand(options: InitOptions, { where, output }: LogTools): Promise<Refusal | undefined> {
  const { log, copies = DEFAULT_COPIES_DIRECTORY } = where();
  const directory = locateCopy({ ...where(), copies: resolve(copies) });
  if (directory === undefined || log === undefined)
    return refusal("bad-request", "expected --log NAME, the name of the copy on this host");
  const verifier =
    options.verifier === undefined ? undefined : readLogKeyOption("--verifier", options.verifier);
  if (isRefusal(verifier)) return verifier;
  const wanted = { verifier, witness: options.witness };
  const found = existsSync(join(directory, LOG_PUBLIC_FILE));
  const copy = found ? openSame(directory, wanted) : create(directory, wanted);
  if (isRefusal(copy)) return copy;
  const account = userInfo();
  const lines = [
    `${found ? "found" : "made "}        copy of ${copy.verifier.name} in ${directory}`,
    `log key      ${encodeVerifierKey(copy.verifier)}`,
    `witness key  ${encodeVerifierKey(copy.witness)}`,
    "",
    "authorized_keys of this account; PUBLIC-KEY is that of an SSH key made on the signing host, ADDRESS its address:",
    authorizedKeysLine(log, resolve(copies)),
    "",
    "signer.toml of the signing host; HOST is this one, as it is reached from there:",
    ...remoteLogTable(encodeVerifierKey(copy.witness), account.username),
    "",
    ...(account.uid === 0
      ? ["this account is root: better run it as another one, that does nothing else"]
      : []),
    "next, on the signing host: signer check, signer-log push",
  ];
  copy.close();
  for (const line of lines) await output.line(line);
  await output.flush();
  return undefined;
}

function create(directory: string, { verifier, witness }: Wanted): LogCopy | Refusal {
  if (verifier === undefined)
    return refusal("bad-request", "expected --verifier KEY, as signer-log key prints it on the signing host");
  if (witness === undefined || !isKeyName(witness))
    return refusal(
      "bad-request",
      "expected --witness NAME without spaces and +, such as log.example.org/repo",
    );
  if (witness === verifier.name)
    return refusal("bad-request", "expected a --witness name other than the log's own: it is another key");
  return LogCopy.create(directory, { verifier, witnessName: witness });
}

/** The copy that is there; what the command line says of it must be so. */
function openSame(directory: string, { verifier, witness }: Wanted): LogCopy {
  const copy = LogCopy.open(directory);
  const own = { verifier: encodeVerifierKey(copy.verifier), witness: copy.witness.name };
  let differs: string | undefined;
  if (verifier !== undefined && encodeVerifierKey(verifier) !== own.verifier)
    differs = `of the log ${own.verifier}`;
  else if (witness !== undefined && witness !== own.witness) differs = `with the witness ${own.witness}`;
  if (differs === undefined) return copy;
  copy.close();
  throw new Fault("bad-configuration", `${directory} is a copy already, ${differs}: it was left as it is`);
}

/** The line of authorized_keys (sshd(8)) that lets the signing host in, and to nothing else. */
function authorizedKeysLine(log: string, copies: string): string {
  const where = copies === DEFAULT_COPIES_DIRECTORY ? "" : ` --copies ${copies}`;
  return `restrict,from="ADDRESS",command="${EXECUTABLE} receive --log ${log}${where}" ssh-ed25519 PUBLIC-KEY signer`;
}

/** The table of signer.toml(5), but for what only the signing host knows. */
function remoteLogTable(witness: string, user: string): readonly string[] {
  return [
    "[[remote_log]]",
    'type = "ssh"',
    'name = "loghost"',
    'host = "HOST"',
    `user = "${user}"`,
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
