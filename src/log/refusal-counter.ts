import type { Code } from "../outcome.ts";
import type { Database } from "./database.ts";
import type { EntryFields } from "./log-entry.ts";

/**
 * Keeps a flood of refusals small: of each client and code the first ten of an hour become entries, further ones a number
 * in one row, which becomes one `refused-summary` after the hour. The hour begins with the first refusal.
 */

const LOGGED_PER_HOUR = 10;
const HOUR_MS = 3_600_000;
/** Rows that may wait at once; clients beyond share the row of {@link ANYONE}. */
const MAX_ROWS = 1000;
/** Stands for all clients that no rule names: their names must not fill the table. */
const ANYONE = "";

/** Counts a refusal at `time`; whether it is one of those that become entries. */
export function countRefusal(database: Database, time: Date, client: string, code: Code): boolean {
  const counted = code === "unknown-client" ? ANYONE : bucketOf(database, client, code);
  const at = time.toISOString();
  const row = database.get("SELECT logged FROM refusals WHERE client = ? AND code = ?", counted, code);
  if (row === undefined) {
    database.run(
      "INSERT INTO refusals (client, code, since, logged, further) VALUES (?, ?, ?, 1, 0)",
      counted,
      code,
      at,
    );
    return true;
  }
  if (Number(row["logged"]) < LOGGED_PER_HOUR) {
    database.run("UPDATE refusals SET logged = logged + 1 WHERE client = ? AND code = ?", counted, code);
    return true;
  }
  // Within the hour the clock may have been set back: the latest is not always the last one.
  database.run(
    `UPDATE refusals SET further = further + 1, first = min(coalesce(first, ?1), ?1), last = max(coalesce(last, ?1), ?1)
     WHERE client = ?2 AND code = ?3`,
    at,
    counted,
    code,
  );
  return false;
}

function bucketOf(database: Database, client: string, code: Code): string {
  if (database.get("SELECT 1 FROM refusals WHERE client = ? AND code = ?", client, code) !== undefined)
    return client;
  return Number(database.get("SELECT count(*) AS n FROM refusals")?.["n"]) < MAX_ROWS ? client : ANYONE;
}

/**
 * Takes the rows whose hour is over at `time` (or lies in its future: the clock was set back) out of the table, and returns
 * the summaries that are to be appended for them.
 */
export function takeSummaries(database: Database, time: Date): readonly EntryFields[] {
  const over = "since <= ? OR since > ?";
  const bounds = [new Date(time.getTime() - HOUR_MS).toISOString(), time.toISOString()];
  const rows = database.all(`SELECT * FROM refusals WHERE ${over} ORDER BY client, code`, ...bounds);
  if (rows.length === 0) return [];
  database.run(`DELETE FROM refusals WHERE ${over}`, ...bounds);
  return rows
    .filter((row) => Number(row["further"]) > 0)
    .map((row) => ({
      kind: "refused-summary",
      ...(row["client"] === ANYONE ? {} : { client: String(row["client"]) }),
      code: row["code"] as Code,
      count: Number(row["further"]),
      from: String(row["first"]),
      to: String(row["last"]),
    }));
}
