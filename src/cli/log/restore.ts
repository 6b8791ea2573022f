import { type Command, InvalidArgumentError } from "commander";
import { type Config, isLogHost, type LogHostSource } from "../../config/config.ts";
import { readConfigFile } from "../../config/config-file.ts";
import { TOLERATED_LAG_MS } from "../../log/log-clock.ts";
import { type HeldCopy, openCopyDirectory } from "../../log/restore/held-copy.ts";
import { openLogHostCopy } from "../../log/restore/log-host-copy.ts";
import { askOthers } from "../../log/restore/other-log-hosts.ts";
import type { ReplacedLog } from "../../log/restore/replaced-log.ts";
import { type Restored, type RestoreOptions, restoreLog } from "../../log/restore/restore.ts";
import type { VerifierKey } from "../../log/signed-note.ts";
import { Fault, isRefusal, type Refusal, refusal } from "../../outcome.ts";
import { readWitnessKeyOption } from "./given-file.ts";
import { findLogHost } from "./log-host-option.ts";
import type { LogTools } from "./log-tools.ts";
import { type Output, printable } from "./output.ts";
import { configFile } from "./state.ts";

interface RestoreFlags {
  readonly from?: string;
  readonly copy?: string;
  readonly witness?: string;
  readonly logKey?: string;
  readonly discardUnacknowledged?: number;
}

/** `signer-log restore`. */
export function addRestoreCommand(program: Command, tools: LogTools): void {
  program
    .command("restore")
    .description("on a signing host: put the log back as a copy has it")
    .option(
      "--from <remote>",
      "name of a [[remote_log]] of type ssh or https: the copy that its log host has",
    )
    .option("--copy <directory>", "a copy in a folder of this machine")
    .option(
      "--witness <key>",
      "with --copy: who cosigned it, or @ and a file of the key (default: the configured ones)",
    )
    .option("--log-key <file>", "the backup of log.key, where the state directory has none: no copy holds it")
    .option(
      "--discard-unacknowledged <number>",
      "give up so many entries of the log that the copy does not have: their exact number",
      countOption,
    )
    .addHelpText(
      "after",
      `
The new log is made beside the old one, verified as a whole and against the
head that the log host cosigned last, and only then put in its place. What was
there goes to a folder of the state directory; nothing is deleted. Limits stay
used up; counters of refusals without entries start empty.

Examples:
  signer-log restore --from loghost
  signer-log restore --from loghost --log-key /media/backup/log.key`,
    )
    .action((flags: RestoreFlags) => restore(flags, tools));
}

function countOption(text: string): number {
  if (!/^[1-9][0-9]{0,14}$/.test(text)) throw new InvalidArgumentError("expected a number of entries");
  return Number(text);
}

async function restore(
  flags: RestoreFlags,
  { where, finish, output, now, onProgress }: LogTools,
): Promise<void> {
  const options = where();
  if (options.state !== undefined || options.log !== undefined)
    return finish(
      refusal("bad-request", "restore works on the log that the configuration names: expected --config"),
    );
  const config = readConfigFile(configFile(options));
  const silent: string[] = [];
  const openCopy = chooseCopy(flags, config, (name) => silent.push(name));
  if (isRefusal(openCopy)) return finish(openCopy);
  const outcome = await restoreLog({
    directory: config.stateDirectory,
    origin: config.origin,
    logKeyFile: flags.logKey,
    discard: flags.discardUnacknowledged,
    openCopy,
    now,
    onProgress,
  });
  if (isRefusal(outcome)) return finish(outcome);
  await print(outcome, silent, now, output);
  return finish();
}

/**
 * What to restore from.
 * @param onSilent told of log hosts that did not say how much they have
 */
function chooseCopy(
  flags: RestoreFlags,
  config: Config,
  onSilent: (name: string) => void,
): RestoreOptions["openCopy"] | Refusal {
  const { from, copy, witness } = flags;
  if ((from === undefined) === (copy === undefined))
    return refusal("bad-request", "expected --from and a log host's name, or --copy and a folder");
  if (from !== undefined) {
    if (witness !== undefined)
      return refusal(
        "bad-request",
        "--witness goes with --copy: the configuration says who cosigns on a log host",
      );
    const host = findLogHost(config, from);
    return isRefusal(host) ? host : (verifier) => openNewest(host, config, verifier, onSilent);
  }
  const given = witness === undefined ? undefined : readWitnessKeyOption("--witness", witness);
  if (isRefusal(given)) return given;
  const configured = config.remoteLogs.filter(isLogHost).map((remote) => remote.witness);
  const witnesses = given === undefined ? configured : [given];
  if (witnesses.length === 0)
    return refusal(
      "bad-request",
      "the configuration names no witness: expected --witness and the key that cosigned the copy",
    );
  return () => openCopyDirectory(copy ?? "", witnesses);
}

/** The copy on a log host, where no other one has more of the log. */
async function openNewest(
  host: LogHostSource,
  { remoteLogs }: Config,
  verifier: VerifierKey,
  onSilent: (name: string) => void,
): Promise<HeldCopy> {
  const others = remoteLogs.filter(isLogHost).filter(({ name }) => name !== host.name);
  const asked = await askOthers(others, verifier);
  const copy = await openLogHostCopy(host, verifier);
  const ahead = asked.find(({ size }) => size !== undefined && size > copy.size);
  if (ahead !== undefined) {
    copy.close();
    throw new Fault(
      "log-broken",
      `nothing is restored: ${ahead.name} holds ${ahead.size} entries of the log, ${host.name} ${copy.size}: expected --from ${ahead.name}`,
    );
  }
  for (const { name, size } of asked) if (size === undefined) onSilent(name);
  return copy;
}

async function print(
  restored: Restored,
  silent: readonly string[],
  now: Date,
  output: Output,
): Promise<void> {
  if (restored.kind === "completed") {
    await output.line("completed what an interrupted restore had begun");
    await output.line(`what was there is in ${printable(restored.aside)}`);
    return void (await output.flush());
  }
  const { acknowledgement, log, discarded, withKey } = restored;
  const { checkpoint, witness, cosignedAt } = acknowledgement;
  const rows = [
    ["from", restored.from],
    ["entries", `${checkpoint.size}, of which ${log.verified.signatures} signatures`],
    ["private records", String(log.verified.privateRecords)],
    ["package lists", String(log.verified.packageLists)],
    ["root", Buffer.from(checkpoint.root).toString("base64")],
    ["cosigned", `by ${witness.name} at ${cosignedAt.toISOString()}`],
    ["log key", withKey ? "put in place from the given file" : "the one in the state directory"],
    ["replaced", describe(restored.replaced)],
    ...(discarded > 0
      ? [["discarded", `${discarded}: entries of the replaced log that the copy does not have`]]
      : []),
    ["aside", restored.aside],
    ["logged as", `entry ${log.entry.seq}`],
  ];
  for (const [label = "", value = ""] of rows) await output.line(`${label.padEnd(17)}${printable(value)}`);
  await output.line(
    "limits count from these entries as before; counters of refusals without entries start empty",
  );
  for (const name of silent)
    await output.line(
      `${name} did not answer: where it holds more of the log than this, it will contradict it`,
    );
  if (Date.parse(log.entry.time) - now.getTime() >= TOLERATED_LAG_MS)
    await output.line(
      "the clock is behind the log: nothing is signed before it is set, or signer clock accept says that it is right",
    );
  await output.flush();
}

function describe(replaced: ReplacedLog): string {
  switch (replaced.kind) {
    case "missing":
      return "nothing: there was no log";
    case "unreadable":
      return `a log that could not be read: ${replaced.why}`;
    case "broken":
      return `a broken log of ${replaced.size} entries: ${replaced.why}`;
    case "sound":
      return `a sound log of ${replaced.size} entries`;
  }
}
