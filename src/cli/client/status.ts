import type { Command } from "commander";
import { askHost } from "../../client/ask-host.ts";
import { type HostStatus, parseHostStatus } from "../../client/host-status.ts";
import { Fault, isRefusal } from "../../outcome.ts";
import { printable } from "../log/output.ts";
import { humanSize } from "../log/table.ts";
import { type ClientTools, writeOut } from "./client-tools.ts";

/** `status [--json]` */
export function addStatusCommand(program: Command, tools: ClientTools): void {
  program
    .command("status")
    .description("what may be signed, what is left of each limit, until when the keys live")
    .option("--json", "the host's own answer: one line of JSON")
    .action(async ({ json }: { readonly json?: true }) => {
      const config = tools.readSshConfig();
      if (isRefusal(config)) return tools.finish(config);
      const answer = await askHost(config, { kind: "status", format: "json" }, tools.signal);
      if (isRefusal(answer)) return tools.finish(answer);
      const status = parseHostStatus(answer);
      if (status === undefined) throw new Fault("host-unreachable", "expected a signing host's status");
      await writeOut(tools.stdout, json ? statusLine(status) : statusTables(status));
      tools.finish();
    });
}

/** One line of JSON in ASCII: JSON itself lets U+009B through, with which a terminal begins a control sequence (ECMA-48 §5.4). */
function statusLine(status: HostStatus): string {
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return `${JSON.stringify(status).replace(/[^\x20-\x7e]/g, escaped)}\n`;
}

type Row = readonly string[];

/** Rules with their limits, and keys, as two tables. Nothing in it but printable ASCII. */
export function statusTables({ client, time, rules, keys }: HostStatus): string {
  const ruleRows = rules.flatMap(({ id, type, names, max_size, limits, per_name }) => {
    const left: Row[] = [
      ...limits.map((limit) => ["", describeLimit(limit)]),
      ...per_name.flatMap(({ name, limits: ofName }) =>
        ofName.map((limit) => [name ?? "without a name", describeLimit(limit)]),
      ),
    ];
    const [[first = "", firstLeft = ""] = [names?.join(" ") ?? "any", "no limit"], ...rest] = left;
    const label = first === "" ? (names?.join(" ") ?? "any") : first;
    return [
      [id, type, humanSize(max_size), firstLeft, label],
      ...rest.map(([name = "", text = ""]) => ["", "", "", text, name]),
    ];
  });
  const keyRows = keys.map(({ name, algorithm, fingerprint, expires, problem }) => [
    name,
    algorithm,
    problem ?? (expires === undefined ? "never expires" : `until ${expires.slice(0, 10)}`),
    fingerprint,
  ]);
  return [
    `client ${printable(client)}, ${printable(time)}\n`,
    table([["RULE", "TYPE", "AT MOST", "LEFT", "NAMES"], ...ruleRows]),
    table([["KEY", "ALGORITHM", "SIGNS", "FINGERPRINT"], ...keyRows]),
  ].join("\n");
}

function describeLimit({ limit, left, next }: HostStatus["rules"][number]["limits"][number]): string {
  return next === undefined
    ? `${left} of ${limit}`
    : `0 of ${limit}, next ${next.slice(0, 16).replace("T", " ")} UTC`;
}

/** Columns as wide as they need, two spaces apart. */
function table(rows: readonly Row[]): string {
  const cells = rows.map((row) => row.map(printable));
  const widths = (cells[0] ?? []).map((_, column) =>
    cells.reduce((most, row) => Math.max(most, row[column]?.length ?? 0), 0),
  );
  const lines = cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return `${lines.join("\n")}\n`;
}
