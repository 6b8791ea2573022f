import { printable } from "./log/output.ts";

/** A column of a table of text. */
export interface TextColumn {
  readonly title: string;
  /** For numbers: aligned at their end. */
  readonly right?: true;
}

/**
 * Rows under a header, one line each, the columns as wide as they need and two spaces apart. Cells may hold a stranger's
 * text: it is shown escaped.
 */
export function textTable(
  columns: readonly TextColumn[],
  rows: readonly (readonly string[])[],
): { readonly header: string; readonly lines: readonly string[] } {
  const safe = rows.map((row) => row.map(printable));
  const widths = columns.map(({ title }, i) =>
    Math.max(title.length, ...safe.map((row) => row[i]?.length ?? 0)),
  );
  const line = (row: readonly string[]): string =>
    columns
      .map(({ right }, i) => {
        const [cell = "", width = 0] = [row[i], widths[i]];
        return right === true ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd();
  return { header: line(columns.map(({ title }) => title)), lines: safe.map(line) };
}
