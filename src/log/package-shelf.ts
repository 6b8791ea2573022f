import type { Database } from "./database.ts";
import type { LogEntry } from "./log-entry.ts";
import type { PackageList } from "./package-list.ts";

/**
 * The package lists beside the log: of each client, type and name the newest. Older ones would be hundreds of
 * megabytes a day; their digests stay in the entries.
 */

/** Lists that one client may have; beyond, the one that has been the same for the longest goes. */
export const MAX_LISTS_PER_CLIENT = 1000;

/** Stores the list of a signed entry, unless the same one is there: then nothing is written. */
export function storePackageList(database: Database, entry: LogEntry, list: PackageList): void {
  if (entry.kind !== "signed") throw new TypeError("only a signed entry has a package list");
  const shelf = [entry.client, entry.type, entry.name ?? ""] as const;
  const old = database.get(
    "SELECT sha256 FROM package_lists WHERE client = ? AND type = ? AND name = ?",
    ...shelf,
  );
  if (old?.["sha256"] === list.sha256) return;
  database.run(
    `INSERT INTO package_lists (client, type, name, seq, sha256, list) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET seq = excluded.seq, sha256 = excluded.sha256, list = excluded.list`,
    ...shelf,
    entry.seq,
    list.sha256,
    list.text,
  );
  if (old !== undefined) return;
  database.run(
    `DELETE FROM package_lists WHERE client = ?1 AND seq <= (
       SELECT seq FROM package_lists WHERE client = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ${MAX_LISTS_PER_CLIENT})`,
    entry.client,
  );
}

/** Which lists are to be there, followed entry by entry: what `storePackageList` would have stored. For verification. */
export class ExpectedLists {
  readonly #clients = new Map<string, Map<string, { readonly seq: number; readonly sha256: string }>>();

  /** Takes in the next entry of the log. */
  add(entry: LogEntry): void {
    if (entry.kind !== "signed") return;
    const sha256 = entry.facts["packages_sha256"];
    if (typeof sha256 !== "string") return;
    const lists = this.#clients.get(entry.client) ?? new Map();
    this.#clients.set(entry.client, lists);
    const key = `${entry.type}/${entry.name ?? ""}`;
    if (lists.get(key)?.sha256 === sha256) return;
    // Taken out first, so that the map stays in the order in which lists changed.
    lists.delete(key);
    lists.set(key, { seq: entry.seq, sha256 });
    const [oldest] = lists.keys();
    if (lists.size > MAX_LISTS_PER_CLIENT && oldest !== undefined) lists.delete(oldest);
  }

  /** All lists expected, with the entry that brought each. */
  *lists(): Generator<{ client: string; type: string; name: string; seq: number; sha256: string }> {
    for (const [client, lists] of this.#clients) {
      for (const [key, list] of lists) {
        const slash = key.indexOf("/");
        yield { client, type: key.slice(0, slash), name: key.slice(slash + 1), ...list };
      }
    }
  }
}
