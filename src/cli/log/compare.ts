import type { Command } from "commander";
import { readConfigFile } from "../../config/config-file.ts";
import { type Comparison, compareLog, type Difference, entriesInTree } from "../../log/compare.ts";
import { WHEN_BROKEN } from "../../log/halt.ts";
import { LogReader } from "../../log/log-reader.ts";
import { type HeldCopy, openCopyDirectory } from "../../log/restore/held-copy.ts";
import { openLogHostCopy } from "../../log/restore/log-host-copy.ts";
import { encodeVerifierKey, type VerifierKey } from "../../log/signed-note.ts";
import { Fault, isRefusal, type Refusal, refusal } from "../../outcome.ts";
import { findLogHost } from "./log-host-option.ts";
import type { LogTools } from "./log-tools.ts";
import { type Output, printable } from "./output.ts";
import { configFile, locateState } from "./state.ts";

interface CompareFlags {
  readonly copy?: string;
  readonly json?: boolean;
}

/** `signer-log compare`. */
export function addCompareCommand(program: Command, tools: LogTools): void {
  program
    .command("compare")
    .description("compare the log with a copy of it, and name the first entry that differs")
    .argument("[remote]", "name of a [[remote_log]] of type ssh (default: the only one)")
    .option("--copy <directory>", "a copy in a folder of this machine, instead of one on a log host")
    .option("--json", "what was found as one JSON object")
    .addHelpText(
      "after",
      `
Examples:
  signer-log compare loghost
  signer-log compare --copy /mnt/backup/repo

Status 0 where they are the same, and where the copy is merely behind.`,
    )
    .action((remote: string | undefined, options: CompareFlags) => compare(remote, options, tools));
}

async function compare(remote: string | undefined, options: CompareFlags, tools: LogTools): Promise<void> {
  const { copy: folder, json = false } = options;
  const { where, finish, output, onProgress } = tools;
  if (remote !== undefined && folder !== undefined)
    return finish(refusal("bad-request", "expected a log host's name or --copy, not both"));
  const reader = LogReader.open(locateState(where()));
  try {
    const verifier = reader.heldVerifier() ?? reader.statedVerifier();
    // Before the connection: a log host waits for no long pass over another's log.
    const sound = entriesInTree(reader, onProgress);
    onProgress?.(reader.size, reader.size);
    const copy = await openCopy(remote, folder, verifier, tools);
    if (isRefusal(copy)) return finish(copy);
    try {
      if (encodeVerifierKey(copy.verifier) !== encodeVerifierKey(verifier))
        return finish(refusal("bad-request", `${copy.what} is a copy of another log: its key is another`));
      const found = await compareLog(reader, sound, copy);
      await (json ? printJson(found, copy, output) : print(found, copy, output));
      return finish(judge(found, copy));
    } finally {
      copy.close();
    }
  } finally {
    reader.close();
  }
}

async function openCopy(
  remote: string | undefined,
  folder: string | undefined,
  verifier: VerifierKey,
  { where }: LogTools,
): Promise<HeldCopy | Refusal> {
  if (folder !== undefined) return openCopyDirectory(folder, []);
  const host = findLogHost(readConfigFile(configFile(where())), remote);
  return isRefusal(host) ? host : await openLogHostCopy(host, verifier);
}

async function print(found: Comparison, copy: HeldCopy, output: Output): Promise<void> {
  const { kind, logSize, copySize, common, difference } = found;
  const rows = [
    ["log", entries(logSize)],
    ["copy", `${entries(copySize)}, ${copy.what}`],
    ["the same", common === logSize && common === copySize ? "all" : `the first ${entries(common)}`],
    ["verdict", verdict(found)],
  ];
  for (const [label = "", value = ""] of rows) await output.line(`${label.padEnd(10)}${printable(value)}`);
  if (difference !== undefined) await printDifference(difference, output);
  if (kind === "copy-behind") await output.line("signer-log push sends what the copy lacks");
  await output.flush();
}

function verdict({ kind, logSize, copySize }: Comparison): string {
  const short = entries(Math.abs(logSize - copySize));
  switch (kind) {
    case "equal":
      return "the same";
    case "copy-behind":
      return `the copy is ${short} short, and the beginning of the log`;
    case "log-behind":
      return `the log is ${short} short, and the beginning of the copy`;
    case "contradiction":
      return "they contradict each other";
  }
}

async function printDifference({ seq, log, copy, members }: Difference, output: Output): Promise<void> {
  const where = members.length === 0 ? "" : `, in: ${members.join(", ")}`;
  await output.line();
  await output.line(printable(`entry ${seq} is the first that differs${where}`));
  await output.line("in the log:");
  await output.line(printable(log ?? "(missing)"));
  await output.line("in the copy:");
  await output.line(printable(copy ?? "(missing)"));
  if (log === copy) await output.line("The lines are the same: one of the trees is not made of its entries.");
}

async function printJson(found: Comparison, copy: HeldCopy, output: Output): Promise<void> {
  const { kind, logSize, copySize, common, difference } = found;
  await output.line(
    printable(
      JSON.stringify({
        verdict: kind,
        log: { size: logSize },
        copy: { size: copySize, what: copy.what },
        common,
        ...(difference && {
          difference: { ...difference, log: difference.log ?? null, copy: difference.copy ?? null },
        }),
      }),
    ),
  );
  await output.flush();
}

/** Throws Fault `log-broken` where the log is not what it was; all else is well. */
function judge({ kind, logSize, copySize, common, difference }: Comparison, copy: HeldCopy): undefined {
  switch (kind) {
    case "equal":
    case "copy-behind":
      return undefined;
    case "log-behind":
      throw new Fault(
        "log-broken",
        `the log lacks the last ${entries(copySize - logSize)} of ${copy.what}: it was rolled back, or its end was removed; signer-log restore puts them back`,
      );
    case "contradiction":
      throw new Fault(
        "log-broken",
        `entry ${difference?.seq ?? common} of the log is another one in ${copy.what}: ${WHEN_BROKEN}`,
      );
  }
}

function entries(count: number): string {
  return `${count} ${count === 1 ? "entry" : "entries"}`;
}
