import type { LogEntry } from "../../log/log-entry.ts";
import { type Colour, coloured, type Look, printable } from "./output.ts";

/** Entries as a table, one line each. */

interface Column {
  readonly title: string;
  readonly right?: true;
  /** May become this narrow before columns are left out. */
  readonly least?: number;
  readonly cell: (entry: LogEntry) => string;
}

const COLUMNS = {
  seq: { title: "SEQ", right: true, cell: ({ seq }) => String(seq) },
  time: { title: "TIME (UTC)", cell: ({ time }) => time.slice(0, 19).replace("T", " ") },
  kind: { title: "KIND", cell: ({ kind }) => kind },
  client: { title: "CLIENT", least: 8, cell: (entry) => member(entry, "client") },
  type: { title: "TYPE", cell: (entry) => member(entry, "type") },
  // "extra.files.tar.gz"
  name: { title: "NAME", least: 18, cell: (entry) => member(entry, "name") },
  size: {
    title: "SIZE",
    right: true,
    cell: (entry) => ("size" in entry && entry.size !== undefined ? humanSize(entry.size) : ""),
  },
  // "not-recognised"
  about: { title: "SHA-256, OR WHY", least: 14, cell: about },
} satisfies Record<string, Column>;

type ColumnName = keyof typeof COLUMNS;
/** What goes first where the terminal is too narrow. */
const LEFT_OUT: readonly ColumnName[] = ["size", "type", "client"];
const GAP = "  ";

const COLOUR: Readonly<Record<LogEntry["kind"], Colour | undefined>> = {
  signed: "green",
  reissued: undefined,
  refused: "red",
  "refused-summary": "red",
  configured: "yellow",
  "clock-accepted": "yellow",
  restored: "yellow",
  started: "dim",
};

function member(entry: LogEntry, name: "client" | "type" | "name"): string {
  const value = name in entry ? entry[name as keyof LogEntry] : undefined;
  return typeof value === "string" ? value : "";
}

/** What matters most about an entry in a dozen characters. */
function about(entry: LogEntry): string {
  switch (entry.kind) {
    case "signed":
      return entry.sha256.slice(0, 12);
    case "reissued":
      return `again: ${entry.of}`;
    case "refused":
      return entry.code;
    case "refused-summary":
      return `${entry.count} more: ${entry.code}`;
    case "configured":
      return `rules ${entry.rules.slice(0, 12)}`;
    case "clock-accepted":
      return `was ${entry.previous.slice(0, 19).replace("T", " ")}`;
    case "restored":
      return `${entry.size} entries`;
    case "started":
      return entry.origin;
  }
}

/** Bytes as people read them: `12.1 KiB`. */
export function humanSize(bytes: number): string {
  const units = ["KiB", "MiB", "GiB", "TiB"];
  if (bytes < 1024) return `${bytes} B`;
  let value = bytes / 1024;
  let unit = 0;
  for (; value >= 1023.95 && unit < units.length - 1; unit++) value /= 1024;
  return `${value.toFixed(1)} ${units[unit]}`;
}

/** A table whose columns are as wide as its first rows need, and together no wider than the terminal. */
export interface Table {
  readonly header: string;
  readonly row: (entry: LogEntry) => string;
}

/**
 * Lays a table out for `sample`, the first rows. Cells of later ones that are longer are cut on a terminal, and stand out
 * elsewhere.
 * @param lastSeq the largest number that a row can have
 */
export function layOut(sample: readonly LogEntry[], look: Look, lastSeq: number): Table {
  const names = Object.keys(COLUMNS) as ColumnName[];
  const widths = new Map(names.map((name) => [name, width(COLUMNS[name], sample)]));
  widths.set("seq", Math.max(widths.get("seq") ?? 0, String(lastSeq).length));
  if (look.columns !== undefined) narrowTo(widths, look.columns);
  const line = (cellOf: (column: Column) => string, last: ColumnName | undefined) =>
    [...widths]
      .map(([name, cells]) => {
        const text = cellOf(COLUMNS[name]);
        return pad(COLUMNS[name], look.columns === undefined ? text : cut(text, cells), cells, name === last);
      })
      .join(GAP)
      .slice(0, look.columns);
  const last = [...widths.keys()].at(-1);
  return {
    header: coloured(
      look,
      "bold",
      line(({ title }) => title, last),
    ),
    row: (entry) =>
      coloured(
        look,
        COLOUR[entry.kind],
        line(({ cell }) => printable(cell(entry)), last),
      ),
  };
}

function width(column: Column, sample: readonly LogEntry[]): number {
  const longest = sample.reduce((most, entry) => Math.max(most, printable(column.cell(entry)).length), 0);
  return Math.max(longest, Math.min(column.title.length, longest === 0 ? 4 : column.title.length));
}

/** Leaves columns out until the rest fits at its narrowest, then gives back what is left, the last column first. */
function narrowTo(widths: Map<ColumnName, number>, columns: number): void {
  const wanted = new Map(widths);
  const free = () =>
    columns + GAP.length - [...widths.values()].reduce((sum, cells) => sum + cells + GAP.length, 0);
  for (const [name, cells] of wanted) {
    const { least = cells }: Column = COLUMNS[name];
    widths.set(name, Math.min(least, cells));
  }
  for (const name of LEFT_OUT) if (free() < 0) widths.delete(name);
  for (const [name, cells] of [...widths].toReversed()) {
    const more = Math.min((wanted.get(name) ?? cells) - cells, free());
    if (more > 0) widths.set(name, cells + more);
  }
}

function pad(column: Column, text: string, cells: number, last: boolean): string {
  if (column.right === true) return text.padStart(cells);
  return last ? text : text.padEnd(cells);
}

function cut(text: string, cells: number): string {
  return text.length > cells ? `${text.slice(0, Math.max(0, cells - 2))}..`.slice(0, cells) : text;
}
