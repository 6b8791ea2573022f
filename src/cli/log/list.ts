import { type Command, InvalidArgumentError, Option } from "commander";
import { ARTEFACT_TYPES } from "../../artefact/artefact.ts";
import { ENTRY_KINDS, type LogEntry, parseLogEntry } from "../../log/log-entry.ts";
import type { LogReader } from "../../log/log-reader.ts";
import type { LogFilter } from "../../log/log-search.ts";
import { type LogTools, MOMENTS, momentOption } from "./log-tools.ts";
import type { Output } from "./output.ts";
import { printable } from "./output.ts";
import { layOut, type Table } from "./table.ts";

export interface ListOptions {
  readonly filter: LogFilter;
  /** The newest so many; undefined: all. */
  readonly limit: number | undefined;
  /** Lines as they are stored. */
  readonly json: boolean;
}

/** Rows that a table is laid out by. */
const SAMPLE = 1000;

/** `signer-log list`: entries, oldest first. */
export async function list(reader: LogReader, options: ListOptions, output: Output): Promise<void> {
  const lines = reader.search(options.filter, options.limit);
  await (options.json ? printLines(lines, output) : printTable(lines, reader.size - 1, output));
  await output.flush();
}

async function printLines(lines: Iterable<string>, output: Output): Promise<void> {
  for (const line of lines) if (!(await output.line(printable(line)))) return;
}

async function printTable(lines: Iterable<string>, lastSeq: number, output: Output): Promise<void> {
  let table: Table | undefined;
  let waiting: LogEntry[] = [];
  const print = async (entries: readonly LogEntry[]): Promise<boolean> => {
    if (table === undefined) {
      if (entries.length === 0) return true;
      table = layOut(entries, output.look, lastSeq);
      await output.line(table.header);
    }
    for (const entry of entries) if (!(await output.line(table.row(entry)))) return false;
    return true;
  };
  for (const line of lines) {
    const entry = parseLogEntry(line);
    if (entry !== undefined) waiting.push(entry);
    else await output.line("(a line that is no entry: see signer-log verify)");
    if (waiting.length < SAMPLE) continue;
    if (!(await print(waiting))) return;
    waiting = [];
  }
  await print(waiting);
  // A bare prompt would leave open whether anything was looked at.
  if (table === undefined && output.look.columns !== undefined) await output.line("no such entry");
}

const DEFAULT_LIMIT = 50;

interface ListFlags extends LogFilter {
  readonly limit: number | "all";
  readonly json?: boolean;
}

function limitOption(text: string): number | "all" {
  if (text === "all") return text;
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new InvalidArgumentError("expected a number of entries, or all");
  return Number(text);
}

/** `signer-log list`. */
export function addListCommand(program: Command, { withLog, output, now }: LogTools): void {
  program
    .command("list")
    .description("entries, oldest first")
    .option("--since <moment>", "at or after", momentOption(now))
    .option("--until <moment>", "before", momentOption(now))
    .addOption(new Option("--kind <kind>", "of this kind").choices(ENTRY_KINDS))
    .addOption(new Option("--type <type>", "about this type").choices(ARTEFACT_TYPES))
    .option("--name <name>", "about this name; * stands for anything")
    .option("--client <name>", "by this client")
    .option("--limit <number>", "only the newest so many, or all", limitOption, DEFAULT_LIMIT)
    .option("--json", "each entry on a line, just as it is logged")
    .addHelpText("after", MOMENTS)
    .action(({ limit: newest, json = false, ...filter }: ListFlags) =>
      withLog(async (reader) => {
        await list(reader, { filter, json, limit: newest === "all" ? undefined : newest }, output);
        return undefined;
      }),
    );
}
