import type { Database } from "./database.ts";
import type { EntryKind } from "./log-entry.ts";

/** Which entries are wanted; what is left out is not looked at. */
export interface LogFilter {
  /** At or after. */
  readonly since?: Date | undefined;
  /** Before. */
  readonly until?: Date | undefined;
  /** This entry and later ones, by number. */
  readonly from?: number | undefined;
  /** Entries before this one, by number. */
  readonly to?: number | undefined;
  readonly kind?: EntryKind | undefined;
  readonly client?: string | undefined;
  readonly type?: string | undefined;
  /** `*` stands for any characters; all others for themselves. */
  readonly name?: string | undefined;
}

/**
 * Lines of the entries that the filter lets through, in the order of the log. Times find their place by bisection, since
 * they only grow between two `clock-accepted` entries; what is left is read one entry at a time, in flat memory.
 * @param newest at most so many, the newest; left out: all
 */
export function* searchLog(
  database: Database,
  filter: LogFilter,
  newest?: number,
): Generator<string, void, undefined> {
  const { from = 0, to = Number.MAX_SAFE_INTEGER } = filter;
  const ranges = timeRanges(database, filter.since, filter.until).map(
    ([begin, end]) => [Math.max(begin, from), Math.min(end, to)] as const,
  );
  const { sql, values } = conditions(filter);
  const select = `SELECT line FROM entries WHERE seq >= ? AND seq < ?${sql} ORDER BY seq`;
  if (newest === undefined) {
    for (const [begin, end] of ranges) {
      for (const row of database.iterate(select, begin, end, ...values)) yield String(row["line"]);
    }
    return;
  }
  const found: string[] = [];
  for (const [begin, end] of ranges.toReversed()) {
    const rows = database.iterate(`${select} DESC LIMIT ?`, begin, end, ...values, newest - found.length);
    for (const row of rows) found.push(String(row["line"]));
  }
  yield* found.toReversed();
}

function conditions(filter: LogFilter): { readonly sql: string; readonly values: readonly string[] } {
  const wanted = [
    ["kind = ?", filter.kind],
    ["client = ?", filter.client],
    ["type = ?", filter.type],
    ["name GLOB ?", filter.name?.replace(/[?[]/g, "[$&]")],
  ] as const;
  const given = wanted.filter(
    (condition): condition is readonly [string, string] & typeof condition => condition[1] !== undefined,
  );
  return { sql: given.map(([sql]) => ` AND ${sql}`).join(""), values: given.map(([, value]) => value) };
}

/** Ranges of `seq` (end exclusive) whose times are in question: one for each stretch between two accepted clocks. */
function timeRanges(
  database: Database,
  since?: Date,
  until?: Date,
): readonly (readonly [begin: number, end: number])[] {
  const size = Number(database.get("SELECT max(seq) AS last FROM entries")?.["last"] ?? -1) + 1;
  const accepted = database.all("SELECT seq FROM entries WHERE kind = 'clock-accepted' ORDER BY seq");
  const bounds = [0, ...accepted.map(({ seq }) => Number(seq)), size];
  return bounds.slice(1).map((end, i) => {
    const begin = bounds[i] ?? 0;
    return [
      since === undefined ? begin : firstAt(database, begin, end, since),
      until === undefined ? end : firstAt(database, begin, end, until),
    ];
  });
}

/** The first entry of a stretch of growing times that is at or after `time`; `end` where none is. */
function firstAt(database: Database, begin: number, end: number, time: Date): number {
  let low = begin;
  let high = end;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const row = database.get("SELECT time FROM entries WHERE seq = ?", middle);
    if (Date.parse(String(row?.["time"])) < time.getTime()) low = middle + 1;
    else high = middle;
  }
  return low;
}
