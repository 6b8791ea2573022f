import { setTimeout as sleep } from "node:timers/promises";
import { type Command, InvalidArgumentError, Option } from "commander";
import { ARTEFACT_TYPES } from "../../artefact/artefact.ts";
import { ENTRY_KINDS, parseLogEntry } from "../../log/log-entry.ts";
import { followLog } from "../../log/log-follow.ts";
import { LogReader } from "../../log/log-reader.ts";
import type { LogFilter } from "../../log/log-search.ts";
import type { LogTools } from "./log-tools.ts";
import { type Output, printable } from "./output.ts";
import { locateState } from "./state.ts";
import { layOut } from "./table.ts";

export interface TailOptions {
  /** The state directory, or a copy's. */
  readonly directory: string;
  /** Which entries; those of time and number are `list`'s. */
  readonly filter: Pick<LogFilter, "kind" | "type" | "name" | "client">;
  /** How many of the newest to begin with. */
  readonly lines: number;
  /** Lines as they are stored. */
  readonly json: boolean;
  /** Resolves when it is time to look for new entries; undefined: only what is there. */
  readonly wait: (() => Promise<void>) | undefined;
}

/** Newest entries that a table is laid out for: more than are printed, since others like them follow. */
const SAMPLE = 200;

/**
 * `signer-log tail`: the newest entries, and with `wait` what the log grows by, until nobody reads any more or the log is not
 * the one that it was ({@link followLog}). Nothing of the log is held while it waits or prints.
 */
export async function tail(options: TailOptions, output: Output): Promise<void> {
  const { directory, filter, wait } = options;
  const { lines, sample, head } = readEnd(options);
  const print = options.json
    ? printLine
    : tableRow([...sample, ...lines], head.size, wait !== undefined, output);
  if (!(await printAll(lines, print, output)) || wait === undefined) return;
  for await (const more of followLog({ directory, seen: head, filter, wait })) {
    if (!(await printAll(more, print, output))) return;
  }
}

function readEnd({ directory, filter, lines }: TailOptions) {
  const reader = LogReader.open(directory);
  try {
    return {
      lines: lines === 0 ? [] : [...reader.search(filter, lines)],
      sample: [...reader.search({}, SAMPLE)],
      head: { size: reader.size, root: reader.rootAt(reader.size) },
    };
  } finally {
    reader.close();
  }
}

/** Prints a line of the log; false where nobody reads any more. */
type Print = (line: string, output: Output) => Promise<boolean>;

async function printAll(lines: readonly string[], print: Print, output: Output): Promise<boolean> {
  for (const line of lines) if (!(await print(line, output))) return false;
  return await output.flush();
}

const printLine: Print = (line, output) => output.line(printable(line));

/** Rows under a header, which comes before the first of them. */
function tableRow(sample: readonly string[], size: number, growing: boolean, { look }: Output): Print {
  const entries = sample.flatMap((line) => parseLogEntry(line) ?? []);
  // A digit to spare: the column of numbers never changes its width.
  const { header, row } = layOut(entries, look, growing ? size * 10 : size - 1);
  let first = true;
  return async (line, output) => {
    const entry = parseLogEntry(line);
    if (entry === undefined) return await output.line("(a line that is no entry: see signer-log verify)");
    if (first && !(await output.line(header))) return false;
    first = false;
    return await output.line(row(entry));
  };
}

const DEFAULT_LINES = 10;
/** Looks at the log for new entries: twice a second. */
const POLL_MS = 500;

interface TailFlags {
  readonly lines: number;
  readonly follow?: boolean;
  readonly json?: boolean;
}

function linesOption(text: string): number {
  if (!/^(?:0|[1-9][0-9]{0,5})$/.test(text)) throw new InvalidArgumentError("expected 0 to 999999 entries");
  return Number(text);
}

/** `signer-log tail`. */
export function addTailCommand(program: Command, { where, finish, output }: LogTools): void {
  program
    .command("tail")
    .description("the newest entries, and with -f what comes, as it comes")
    .option("-n, --lines <number>", "begin with the newest so many", linesOption, DEFAULT_LINES)
    .option("-f, --follow", "go on with new entries until interrupted")
    .addOption(new Option("--kind <kind>", "of this kind").choices(ENTRY_KINDS))
    .addOption(new Option("--type <type>", "about this type").choices(ARTEFACT_TYPES))
    .option("--name <name>", "about this name; * stands for anything")
    .option("--client <name>", "by this client")
    .option("--json", "each entry on a line, just as it is logged")
    .addHelpText("after", "\nExample:\n  signer-log tail -f --kind refused")
    .action(async ({ lines, follow, json = false, ...filter }: TailFlags & TailOptions["filter"]) => {
      const wait = follow === true ? () => sleep(POLL_MS) : undefined;
      await tail({ directory: locateState(where()), filter, lines, json, wait }, output);
      finish();
    });
}
