/** What one line of the table compares: us with a peer, measured in the same run. */
export interface Comparison {
  readonly what: string;
  readonly peer: string;
  /** Wall time in ms; a number of something else where `unit` names it. */
  readonly ours: number;
  readonly theirs: number;
  /** What is counted instead of time, in the plural. */
  readonly unit?: string;
  /** Most times as long as the peer that we mean to take; left out: the line is there for orientation. */
  readonly aim?: number;
  /** Peak of our resident memory; undefined where it is not known, left out where another line has it. */
  readonly peakBytes?: number | undefined;
  /** Most memory that we mean to take; left out: {@link MEMORY_AIM_BYTES}. */
  readonly peakAimBytes?: number;
}

/** Most memory that a request may take, whatever it sends. */
export const MEMORY_AIM_BYTES = 150e6;

const HEADER = ["", "ours", "peer", "", "ratio", "aim", "peak memory"] as const;

/** The comparisons as a table, one line each. */
export function table(comparisons: readonly Comparison[]): string {
  const rows = [HEADER, ...comparisons.map(cells)];
  const widths = HEADER.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function cells({
  what,
  peer,
  ours,
  theirs,
  unit,
  aim,
  peakBytes,
  peakAimBytes = MEMORY_AIM_BYTES,
}: Comparison): readonly string[] {
  const ratio = ours / theirs;
  return [
    what,
    amount(ours, unit),
    amount(theirs, unit),
    peer,
    ratio.toFixed(2),
    aim === undefined ? "" : `${aim} ${ratio <= aim ? "met" : "missed"}`,
    peakBytes === undefined
      ? ""
      : `${(peakBytes / 1e6).toFixed(0)} MB ${peakBytes <= peakAimBytes ? "met" : "missed"}`,
  ];
}

function amount(value: number, unit: string | undefined): string {
  return unit === undefined ? time(value) : `${value} ${unit}`;
}

function time(ms: number): string {
  if (ms < 10) return `${ms.toFixed(2)} ms`;
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(2)} s`;
}
