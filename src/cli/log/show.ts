import type { Command } from "commander";
import type { LogEntry } from "../../log/log-entry.ts";
import { parseLogEntry } from "../../log/log-entry.ts";
import type { LogReader } from "../../log/log-reader.ts";
import { hashLeaf } from "../../log/merkle.ts";
import { isRefusal } from "../../outcome.ts";
import type { LogTools } from "./log-tools.ts";
import { coloured, type Output, printable } from "./output.ts";
import { findSubject } from "./subject.ts";
import { humanSize } from "./table.ts";

export interface ShowOptions {
  /** Lines as they are stored. */
  readonly json?: boolean;
  /** What is about people, too. */
  readonly private?: boolean;
}

/** Order in which members are printed; others follow. */
const FIRST = [
  "time",
  "kind",
  "client",
  "rule",
  "type",
  "name",
  "size",
  "sha256",
  "sha512",
  "code",
  "reason",
  "key",
  "expires",
];
/** Facts that are times, in seconds since 1970. */
const SECONDS: ReadonlySet<string> = new Set(["newest_build_date"]);

/** `signer-log show`: all there is about entries, given as their lines. */
export async function show(
  reader: LogReader,
  lines: readonly string[],
  options: ShowOptions,
  output: Output,
): Promise<void> {
  for (const [i, line] of lines.entries()) {
    if (options.json) await output.line(printable(line));
    else {
      if (i > 0) await output.line();
      await showEntry(reader, line, options, output);
    }
  }
  await output.flush();
}

async function showEntry(
  reader: LogReader,
  line: string,
  options: ShowOptions,
  output: Output,
): Promise<void> {
  const entry = parseLogEntry(line);
  if (entry === undefined) return void (await output.line(`(a line that is no entry) ${printable(line)}`));
  const fields = [
    ...describe(entry),
    ["leaf", Buffer.from(hashLeaf(Buffer.from(line))).toString("hex")] as const,
  ];
  if (options.private === true) fields.push(...describePrivate(reader, entry.seq));
  const width = Math.max(...fields.map(([label]) => printable(label).length));
  await output.line(coloured(output.look, "bold", `entry ${entry.seq}`));
  for (const [label, value] of fields) {
    const name = coloured(output.look, "dim", printable(label).padEnd(width));
    await output.line(`  ${name}  ${printable(value)}`);
  }
}

type Field = readonly [label: string, value: string];

function describePrivate(reader: LogReader, seq: number): readonly Field[] {
  const record = reader.privateRecord(seq);
  if (record === undefined) return [["private record", "none"]];
  return Object.entries(record).map(([label, value]) => [`private ${label}`, String(value)]);
}

function* describe(entry: LogEntry): Generator<Field> {
  const members = new Map<string, unknown>(Object.entries(entry));
  for (const label of [...FIRST, ...[...members.keys()].sort()]) {
    const value = members.get(label);
    if (members.delete(label) && label !== "seq") yield* describeMember(entry.kind, label, value);
  }
}

function* describeMember(kind: LogEntry["kind"], label: string, value: unknown): Generator<Field> {
  if (label === "size" && kind !== "restored") yield [label, describeSize(Number(value))];
  else if (label === "private") yield ["private", `${value} (commitment; --private shows the record)`];
  else if (Array.isArray(value)) for (const item of value) yield [label, String(item)];
  else if (typeof value === "object" && value !== null) {
    for (const [key, fact] of Object.entries(value)) yield [`${label} ${key}`, describeFact(key, fact)];
  } else yield [label, String(value)];
}

function describeSize(bytes: number): string {
  return bytes < 1024 ? `${bytes} bytes` : `${bytes} bytes (${humanSize(bytes)})`;
}

function describeFact(name: string, fact: unknown): string {
  const date = new Date(Number(fact) * 1000);
  const isTime = SECONDS.has(name) && !Number.isNaN(date.getTime());
  return isTime ? `${fact} (${date.toISOString().replace(".000", "")})` : String(fact);
}

/** `signer-log show`. */
export function addShowCommand(program: Command, { withLog, output }: LogTools): void {
  program
    .command("show")
    .description("all there is about an entry")
    .argument(
      "<subject>",
      "its number; a file, by its bytes; a signature file, by its notations; or a digest, 8 hex digits or more",
    )
    .option("--json", "the entry on a line, just as it is logged")
    .option("--private", "what is about people too: who asked, from which address, with which SSH key")
    .action((argument: string, options: ShowOptions) =>
      withLog(async (reader) => {
        const subject = await findSubject(reader, argument);
        if (isRefusal(subject)) return subject;
        await show(reader, subject.lines, options, output);
        return undefined;
      }),
    );
}
