import { randomUUID } from "node:crypto";
import { lstatSync, renameSync, rmSync } from "node:fs";
import type { Command } from "commander";
import { writeNewFile } from "../../log/durable-file.ts";
import { type LogEntry, parseLogEntry } from "../../log/log-entry.ts";
import { proveEntry } from "../../log/proof/entry-proof.ts";
import type { VouchedHead } from "../../log/proof/vouched-head.ts";
import { Fault, isRefusal, quoted, type Refusal } from "../../outcome.ts";
import type { LogTools } from "./log-tools.ts";
import { findSubject, type Subject } from "./subject.ts";

export interface ProveOptions {
  /** File to write; stdout where left out. */
  readonly output?: string;
}

/** `signer-log prove`. */
export function addProveCommand(program: Command, { withLog, output, note }: LogTools): void {
  program
    .command("prove")
    .description(
      "write a proof that an entry is in the log (C2SP tlog-proof), to be verified without the log",
    )
    .argument(
      "<subject>",
      "what the entry is about, as for show: its number; a file; a signature file; or a digest",
    )
    .option("-o, --output <file>", "write the proof to this file (default: stdout)")
    .addHelpText(
      "after",
      `
Example:
  signer-log prove core.db.tar.gz.sig -o core.db.tar.gz.tlog-proof`,
    )
    .action((argument: string, options: ProveOptions) =>
      withLog(async (reader): Promise<Refusal | undefined> => {
        const subject = await findSubject(reader, argument);
        if (isRefusal(subject)) return subject;
        const { seq, of } = chooseEntry(subject);
        const { text, head } = proveEntry(reader, seq);
        if (of > 1) note?.(`${of} entries are about ${subject.what}: this is the proof of entry ${seq}`);
        if (options.output !== undefined) writeProof(options.output, text);
        if (head.witnesses.length === 0) note?.(vouching(head, seq));
        else if (options.output !== undefined) await output.line(vouching(head, seq));
        if (options.output === undefined) await output.line(text.slice(0, -1));
        await output.flush();
        return undefined;
      }),
    );
}

/** The entry that is meant, and of how many: the newest signature, or where there is none the newest entry. */
function chooseEntry({ lines }: Subject): { readonly seq: number; readonly of: number } {
  const entries = lines.map(parseLogEntry).filter((entry): entry is LogEntry => entry !== undefined);
  const chosen = entries.findLast(({ kind }) => kind === "signed") ?? entries.at(-1);
  if (chosen === undefined)
    throw new Fault("log-broken", "the log holds a line that is no entry; `signer-log verify` says more");
  return { seq: chosen.seq, of: lines.length };
}

function vouching({ size, witnesses }: VouchedHead, seq: number): string {
  const what = `entry ${seq} is in the log of ${size} entries`;
  return witnesses.length === 0
    ? `${what}; no witness vouches for it, only the log's own key`
    : `${what}, cosigned by ${witnesses.map((name) => quoted(name, 255)).join(", ")}`;
}

/**
 * Replaces the file as a whole, or leaves it as it is. Fault `reply-not-delivered` where it cannot be written, or is there and
 * no file: root can put one in the place of a device.
 */
function writeProof(file: string, text: string): void {
  const temporary = `${file}.${randomUUID()}.tmp`;
  try {
    if (lstatSync(file, { throwIfNoEntry: false })?.isFile() === false)
      throw new TypeError("no regular file");
    writeNewFile(temporary, text);
    renameSync(temporary, file);
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw new Fault("reply-not-delivered", `${quoted(file, 255)} cannot be written as a file`, { cause });
  }
}
