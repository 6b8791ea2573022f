import type { Database, Reads } from "./database.ts";

/**
 * How far the log was sent to each syslog collector. It is a sender's note and no acknowledgement: a collector gives none
 * (RFC 5425 has no such message).
 */

/** Number of entries that were sent to the collector of this name; 0 where nothing was. */
export function readForwarded(database: Reads, collector: string): number {
  const row = database.get("SELECT size FROM forwarded WHERE collector = ?", collector);
  return Number(row?.["size"] ?? 0);
}

/** Notes that the first `size` entries were sent; a note of more stays. In a write transaction or alone. */
export function storeForwarded(database: Database, collector: string, size: number): void {
  database.run(
    `INSERT INTO forwarded (collector, size) VALUES (?, ?)
     ON CONFLICT DO UPDATE SET size = excluded.size WHERE excluded.size > size`,
    collector,
    size,
  );
}
