import type { LogEntry } from "../log/log-entry.ts";
import { parseLogEntry } from "../log/log-entry.ts";
import type { LogReader } from "../log/log-reader.ts";
import { hashLeaf } from "../log/merkle.ts";
import { coloured, type Output, printable } from "./log-output.ts";
import { humanSize } from "./log-table.ts";

export interface ShowOptions {
  /** Lines as they are stored. */
  readonly json: boolean;
  /** What is about people, too. */
  readonly private: boolean;
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
const LABEL_WIDTH = 18;

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
  await output.line(coloured(output.look, "bold", `entry ${entry.seq}`));
  for (const [label, value] of describe(entry)) await field(output, label, value);
  await field(output, "leaf", Buffer.from(hashLeaf(Buffer.from(line))).toString("hex"));
  if (!options.private) return;
  const record = reader.privateRecord(entry.seq);
  if (record === undefined) await field(output, "private record", "none");
  for (const [label, value] of Object.entries(record ?? {}))
    await field(output, `private ${label}`, String(value));
}

async function field(output: Output, label: string, value: string): Promise<void> {
  await output.line(
    `  ${coloured(output.look, "dim", printable(label).padEnd(LABEL_WIDTH))}  ${printable(value)}`,
  );
}

function* describe(entry: LogEntry): Generator<readonly [label: string, value: string]> {
  const members = new Map<string, unknown>(Object.entries(entry));
  for (const label of [...FIRST, ...[...members.keys()].sort()]) {
    const value = members.get(label);
    if (members.delete(label) && label !== "seq") yield* describeMember(label, value);
  }
}

function* describeMember(label: string, value: unknown): Generator<readonly [label: string, value: string]> {
  if (label === "size") yield [label, `${value} (${humanSize(Number(value))})`];
  else if (label === "private") yield ["private", `${value} (commitment; --private shows the record)`];
  else if (Array.isArray(value)) for (const item of value) yield [label, String(item)];
  else if (typeof value === "object" && value !== null) {
    for (const [key, fact] of Object.entries(value)) yield [`${label} ${key}`, String(fact)];
  } else yield [label, String(value)];
}
