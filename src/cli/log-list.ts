import { type LogEntry, parseLogEntry } from "../log/log-entry.ts";
import type { LogReader } from "../log/log-reader.ts";
import type { LogFilter } from "../log/log-search.ts";
import type { Output } from "./log-output.ts";
import { printable } from "./log-output.ts";
import { layOut, type Table } from "./log-table.ts";

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
