import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { type Checkpoint, openCheckpoint } from "../../log/checkpoint.ts";
import type { LogReader } from "../../log/log-reader.ts";
import {
  encodeVerifierKey,
  parseSignedNote,
  parseVerifierKey,
  type VerifierKey,
} from "../../log/signed-note.ts";
import { verifyLog } from "../../log/verify.ts";
import { Fault, isRefusal, type Refusal, refusal } from "../../outcome.ts";
import type { LogTools } from "./log-tools.ts";
import type { Output } from "./output.ts";

export interface VerifyCommandOptions {
  /** File of a checkpoint kept elsewhere; `-` for stdin. */
  readonly checkpoint?: string;
  /** The log's key, in C2SP's form, where the one beside the log is not to be trusted. */
  readonly key?: string;
  readonly quiet?: boolean;
  /** Shows how far it is; undefined where nobody watches. */
  readonly onProgress?: (done: number, size: number) => void;
}

/** A checkpoint with the cosignatures of many witnesses is far below this. */
const MAX_CHECKPOINT_BYTES = 256 * 1024;

/** `signer-log verify`: prints what agreed. What does not is a Fault `log-broken` that says which entry, and what. */
export async function verify(
  reader: LogReader,
  options: VerifyCommandOptions,
  output: Output,
): Promise<Refusal | undefined> {
  const verifier = chooseVerifier(reader, options.key);
  if (isRefusal(verifier)) return verifier;
  const checkpoint =
    options.checkpoint === undefined ? undefined : readCheckpointFile(options.checkpoint, verifier);
  if (isRefusal(checkpoint)) return checkpoint;
  const result = verifyLog(reader, {
    verifier,
    ...(checkpoint === undefined ? {} : { checkpoint }),
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
  });
  options.onProgress?.(reader.size, reader.size);
  if (result.kind === "broken") {
    throw new Fault(
      "log-broken",
      result.seq === undefined ? result.what : `entry ${result.seq}: ${result.what}`,
    );
  }
  if (options.quiet) return undefined;
  const facts = [
    ["origin", verifier.name],
    ["key", encodeVerifierKey(verifier)],
    ["entries", String(result.size)],
    ["signatures", String(result.signatures)],
    ["private records", String(result.privateRecords)],
    ["package lists", String(result.packageLists)],
    ["last entry", result.lastTime],
    ["root", Buffer.from(result.root).toString("base64")],
    ...(checkpoint === undefined
      ? []
      : [["continues", `the given checkpoint of ${checkpoint.size} entries`]]),
  ] as const;
  for (const [label = "", value = ""] of facts) await output.line(`${label.padEnd(16)}  ${value}`);
  await output.line("entries, tree, checkpoint, signatures and what is kept beside them agree");
  if (checkpoint === undefined) {
    await output.line("(only --checkpoint, with one kept elsewhere, shows that the end was not cut off)");
  }
  await output.flush();
  return undefined;
}

/** `signer-log checkpoint`: the newest one, where the log's key signed it; a note that it did not could hold anything. */
export async function printCheckpoint(reader: LogReader, output: Output): Promise<void> {
  const note = reader.checkpoint();
  if (openCheckpoint(note, reader.heldVerifier() ?? reader.statedVerifier()) === undefined) {
    throw new Fault("log-broken", "the newest checkpoint is not signed by the log's key");
  }
  await output.line(note.slice(0, -1));
  await output.flush();
}

/** The key on the command line; else the one beside the log; else, in a mere copy, the one that the log states. */
function chooseVerifier(reader: LogReader, key: string | undefined): VerifierKey | Refusal {
  if (key === undefined) return reader.heldVerifier() ?? reader.statedVerifier();
  return (
    parseVerifierKey(key) ?? refusal("bad-request", "--key is NAME+ID+BASE64, as signer-log key prints it")
  );
}

function readCheckpointFile(file: string, verifier: VerifierKey): Checkpoint | Refusal {
  const note = readText(file);
  if (note === undefined || parseSignedNote(note) === undefined) {
    return refusal("bad-request", "--checkpoint is a file that signer-log checkpoint wrote");
  }
  const checkpoint = openCheckpoint(note, verifier);
  if (checkpoint === undefined) {
    throw new Fault(
      "log-broken",
      "the given checkpoint is not signed with this log's key: it is of another log, or this one was replaced",
    );
  }
  return checkpoint;
}

function readText(file: string): string | undefined {
  try {
    const bytes = readFileSync(file === "-" ? 0 : file);
    if (bytes.length > MAX_CHECKPOINT_BYTES) return undefined;
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** `signer-log verify`. */
export function addVerifyCommand(program: Command, { withLog, output, onProgress }: LogTools): void {
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
}
