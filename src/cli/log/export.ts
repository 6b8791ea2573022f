import { closeSync, fsyncSync, openSync, renameSync, statSync, unlinkSync, writeSync } from "node:fs";
import { type Command, InvalidArgumentError } from "commander";
import { exportedHead } from "../../log/export/exported-head.ts";
import { exportTiles, readPublished } from "../../log/export/tiles-export.ts";
import type { LogReader } from "../../log/log-reader.ts";
import type { LogFilter } from "../../log/log-search.ts";
import { Fault, isRefusal, quoted, type Refusal, refusal } from "../../outcome.ts";
import { type LogTools, MOMENTS } from "./log-tools.ts";
import { parseMoment } from "./moment.ts";
import { type Output, printable } from "./output.ts";

interface ExportFlags {
  readonly json?: boolean;
  readonly output?: string;
  readonly since?: Bound;
  readonly until?: Bound;
  readonly tiles?: string;
  readonly cosigned?: boolean;
  readonly quiet?: boolean;
}

/** Where an export begins or ends: an entry's number, or a time. */
type Bound = number | Date;

/** `signer-log export`. */
export function addExportCommand(program: Command, tools: LogTools): void {
  program
    .command("export")
    .description("the public part of the log, for others: without what is about people")
    .option("--json", "entries, each on a line, just as it is logged")
    .option("-o, --output <file>", "json: into this file, once it is complete (default: stdout)")
    .option("--since <moment|number>", "json: at or after", boundOption(tools.now))
    .option("--until <moment|number>", "json: before", boundOption(tools.now))
    .option(
      "--tiles <directory>",
      "a folder for any web server (C2SP tlog-tiles); what is new is added to it",
    )
    .option("--cosigned", "tiles: up to the newest head that a witness cosigned, not the newest of all")
    .option("--quiet", "tiles: print nothing where all is well")
    .addHelpText(
      "after",
      `${MOMENTS}
A number is that of an entry.

Examples:
  signer-log export --json --since yesterday -o entries.jsonl
  signer-log export --tiles /srv/http/log`,
    )
    .action((flags: ExportFlags) => {
      const impossible = impossibleTogether(flags);
      if (impossible !== undefined) return tools.finish(refusal("bad-request", impossible));
      const { tiles } = flags;
      if (tiles === undefined) return tools.withLog((reader) => exportLines(reader, flags, tools));
      const target = { folder: tiles, published: readPublished(tiles) };
      return tools.withLog((reader) => exportFolder(reader, target, flags, tools));
    });
}

function boundOption(now: Date): (text: string) => Bound {
  return (text) => {
    const bound = /^(0|[1-9][0-9]{0,14})$/.test(text) ? Number(text) : parseMoment(text, now);
    if (bound === undefined)
      throw new InvalidArgumentError(
        "expected the number of an entry, or a moment such as 2026-11-23, yesterday or 2d",
      );
    return bound;
  };
}

function impossibleTogether({
  json,
  tiles,
  output,
  since,
  until,
  cosigned,
  quiet,
}: ExportFlags): string | undefined {
  if ((json === true) === (tiles !== undefined)) return "expected --json or --tiles DIRECTORY";
  if (tiles !== undefined && (output ?? since ?? until) !== undefined)
    return "--output, --since and --until go with --json: tiles are of the whole log";
  if (json === true && (cosigned ?? quiet) !== undefined) return "--cosigned and --quiet go with --tiles";
  return undefined;
}

async function exportLines(
  reader: LogReader,
  { since, until, output: file = "-" }: ExportFlags,
  { output }: LogTools,
): Promise<Refusal | undefined> {
  const filter: LogFilter = {
    ...(typeof since === "number" ? { from: since } : { since }),
    ...(typeof until === "number" ? { to: until } : { until }),
  };
  const lines = reader.search(filter);
  if (file !== "-") return writeLines(file, lines);
  await printLines(lines, output);
  return undefined;
}

async function printLines(lines: Iterable<string>, output: Output): Promise<void> {
  for (const line of lines) if (!(await output.line(printable(line)))) break;
  await output.flush();
}

/** Bytes that are gathered before they are written. */
const GATHER = 64 * 1024;

/** Writes a file that takes the place of an older one only when it is complete and durable. */
function writeLines(file: string, lines: Iterable<string>): Refusal | undefined {
  const unfinished = `${file}.unfinished-${process.pid}`;
  let descriptor: number | undefined;
  try {
    // Never a rename over /dev/null.
    if (statSync(file, { throwIfNoEntry: false })?.isFile() === false)
      return refusal("bad-request", `--output ${quoted(file, 200)}: expected a regular file`);
    descriptor = openSync(unfinished, "wx");
    let gathered = "";
    for (const line of lines) {
      gathered += `${printable(line)}\n`;
      if (gathered.length < GATHER) continue;
      writeAll(descriptor, gathered);
      gathered = "";
    }
    writeAll(descriptor, gathered);
    fsyncSync(descriptor);
    renameSync(unfinished, file);
    return undefined;
  } catch (cause) {
    if (descriptor !== undefined) unlinkSync(unfinished);
    const code = (cause as NodeJS.ErrnoException).code;
    if (cause instanceof Fault || code === undefined) throw cause;
    throw new Fault("reply-not-delivered", `${quoted(file, 200)} cannot be written (${code})`, { cause });
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

function writeAll(descriptor: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let written = 0; written < bytes.length; ) written += writeSync(descriptor, bytes, written);
}

async function exportFolder(
  reader: LogReader,
  { folder, published }: { readonly folder: string; readonly published: string | undefined },
  { cosigned = false, quiet = false }: ExportFlags,
  { output, onProgress }: LogTools,
): Promise<Refusal | undefined> {
  const verifier = reader.heldVerifier() ?? reader.statedVerifier();
  const head = exportedHead(reader, verifier, { cosigned });
  if (isRefusal(head)) return head;
  const done = exportTiles(reader, head, folder, { verifier, published, onProgress });
  if (isRefusal(done)) return done;
  onProgress?.(head.size, head.size);
  if (quiet) return undefined;
  const { before, size, files } = done;
  const witnesses =
    head.witnesses.length === 0 ? "" : `, cosigned by ${head.witnesses.map(printable).join(", ")}`;
  if (files === 0) await output.line(`nothing new: the folder holds ${size} entries`);
  else await output.line(`${size} entries, ${size - before} of them new; ${files} files written${witnesses}`);
  await output.flush();
  return undefined;
}
