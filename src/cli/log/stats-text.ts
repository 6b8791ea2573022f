import type { Group, Grouping, Tally } from "../../log/log-statistics.ts";
import { textTable } from "../text-table.ts";
import { gauge, LEGEND, tallyBar } from "./chart.ts";
import { coloured, type Output, printable } from "./output.ts";
import type { Acknowledged, LimitUse, Statistics } from "./stats.ts";

/** The statistics as people read them: a block for each question, with a blank line between. */

/** Columns of output that is no terminal. */
const DEFAULT_COLUMNS = 80;
/** Rows of a table of types, clients or names. */
const MAX_ROWS = 10;
/** Days without anything are shown where there are at most so many days; a longer table is of those with something. */
const MAX_EMPTY_DAYS = 92;
const DAY_MS = 86_400_000;

/** Prints all of it; stops where nobody reads any more. */
export async function printStatistics(statistics: Statistics, output: Output): Promise<void> {
  for (const [i, block] of blocks(statistics, output).entries()) {
    if (i > 0 && !(await output.line())) return;
    for (const line of block) if (!(await output.line(line))) return;
  }
}

function blocks(statistics: Statistics, output: Output): readonly (readonly string[])[] {
  const { log, limits, witnesses } = statistics;
  const counted = log.days.groups.length > 0;
  return [
    summary(statistics),
    counted ? days(statistics, output) : [],
    counted ? groupTable("TYPE", log.types, output) : [],
    counted ? groupTable("CLIENT", log.clients, output) : [],
    counted ? groupTable("NAME", log.names, output) : [],
    log.refusals.length > 0 ? refusals(statistics, output) : [],
    limitTable(limits, output),
    witnessTable(witnesses, output),
  ].filter((block) => block.length > 0);
}

function summary({ since, until, log }: Statistics): readonly string[] {
  const { signed, reissued, refused } = log.total;
  return [
    `${moment(since)} to ${moment(until)} UTC: ${log.entries} entries`,
    `${signed} signed, ${reissued} reissued, ${refused} refused`,
    ...(log.unreadable === 0 ? [] : [`lines that are no entries: ${log.unreadable}; see signer-log verify`]),
  ];
}

const moment = (date: Date) => date.toISOString().slice(0, 16).replace("T", " ");

const EMPTY: Tally = { signed: 0, reissued: 0, refused: 0 };
const sizeOf = ({ signed, reissued, refused }: Tally) => signed + reissued + refused;

/** A row for each day, with its bar in what is left of the width. */
function days({ until, log }: Statistics, output: Output): readonly string[] {
  const rows = everyDay(log.days.groups, until);
  const most = Math.max(...rows.map(sizeOf));
  const layout = layOut("DAY (UTC)", rows);
  const width = Math.max(10, (output.look.columns ?? DEFAULT_COLUMNS) - layout.width - 2);
  return [
    heading(`${layout.header}  ${LEGEND}`, output),
    ...rows.map((row) => `${layout.row(row)}  ${tallyBar(row, most, width, output.look)}`.trimEnd()),
  ];
}

/** From the first day with something to the last that is counted, those without anything too, where they are not too many. */
function everyDay(groups: readonly Group[], until: Date): readonly Group[] {
  const first = Date.parse(groups[0]?.key ?? "");
  const last = Math.max(Date.parse(groups.at(-1)?.key ?? ""), until.getTime() - 1);
  const count = Math.floor((last - first) / DAY_MS) + 1;
  if (!(count <= MAX_EMPTY_DAYS)) return groups;
  const known = new Map(groups.map((group) => [group.key, group]));
  return Array.from({ length: count }, (_, i) => {
    const key = new Date(first + i * DAY_MS).toISOString().slice(0, 10);
    return known.get(key) ?? { key, ...EMPTY };
  });
}

function groupTable(title: string, { groups, others }: Grouping, output: Output): readonly string[] {
  const rest = [...groups.slice(MAX_ROWS), others].reduce<Tally>(add, EMPTY);
  const rows = [
    ...groups.slice(0, MAX_ROWS),
    ...(sizeOf(rest) === 0 ? [] : [{ key: "(others)", ...rest }]),
  ].map((row) => ({ ...row, key: printable(row.key) }));
  const layout = layOut(title, rows);
  return [heading(layout.header, output), ...rows.map(layout.row)];
}

const add = (one: Tally, other: Tally): Tally => ({
  signed: one.signed + other.signed,
  reissued: one.reissued + other.reissued,
  refused: one.refused + other.refused,
});

/** Columns for a title and the three numbers, as wide as the rows need. */
function layOut(title: string, rows: readonly Group[]) {
  const keyWidth = Math.max(title.length, ...rows.map(({ key }) => key.length));
  const columns = (["signed", "reissued", "refused"] as const).map((what) => ({
    what,
    width: Math.max(what.length, ...rows.map((row) => String(row[what]).length)),
  }));
  const line = (key: string, cell: (what: keyof Tally) => string) =>
    [key.padEnd(keyWidth), ...columns.map(({ what, width }) => cell(what).padStart(width))].join("  ");
  return {
    width: keyWidth + columns.reduce((sum, column) => sum + 2 + column.width, 0),
    header: line(title, (what) => what.toUpperCase()),
    row: (group: Group) => line(group.key, (what) => String(group[what])),
  };
}

function refusals({ log }: Statistics, output: Output): readonly string[] {
  const rows = log.refusals.map(({ code, count }) => [code, String(count)] as const);
  return table(["REFUSED WITH", "TIMES"], rows, output);
}

function limitTable(limits: readonly LimitUse[] | undefined, output: Output): readonly string[] {
  if (limits === undefined)
    return ["limits: in the configuration of the signing host, which is not looked at for a copy"];
  if (limits.length === 0) return ["limits: no rule has any"];
  const rows = limits.map(
    ({ rule, limit, name, used, of, nextAt }) =>
      [
        rule,
        name === undefined ? "all" : name,
        limit,
        `${gauge(used, of)} ${used} used, ${nextAt === undefined ? `${of - used} left` : `next at ${moment(nextAt)}`}`,
      ] as const,
  );
  return table(["LIMIT OF RULE", "FOR NAME", "ALLOWS", "NOW"], rows, output);
}

function witnessTable(witnesses: readonly Acknowledged[], output: Output): readonly string[] {
  if (witnesses.length === 0) return ["witnesses: none has acknowledged this log"];
  const rows = witnesses.map(
    ({ witness, size, missing, cosignedAt }) =>
      [
        witness,
        String(size),
        String(missing),
        cosignedAt === undefined ? "never" : moment(cosignedAt),
      ] as const,
  );
  return table(["WITNESS", "ENTRIES ACKNOWLEDGED", "NOT YET", "LAST (UTC)"], rows, output);
}

/** Rows of text under a header. */
function table(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  output: Output,
): readonly string[] {
  const { header, lines } = textTable(
    titles.map((title) => ({ title })),
    rows,
  );
  return [heading(header, output), ...lines];
}

function heading(text: string, { look }: Output): string {
  return coloured(look, "bold", text);
}
