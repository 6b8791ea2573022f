import { DatabaseSync } from "node:sqlite";
import { EXIT, quoted } from "../outcome.ts";
import { Contradiction } from "./contradiction.ts";
import type { Database, Row } from "./database.ts";
import { SCHEMA } from "./ledger-schema.ts";
import { isEntryTime } from "./log-entry.ts";
import { packageListDigest, parsePackageList } from "./package-list.ts";
import type { ExpectedLists } from "./package-shelf.ts";

/** Holds the package lists against those that the entries name; returns how many there are. */
export function checkPackageLists(database: Database, expected: ExpectedLists): number {
  let count = 0;
  for (const { client, type, name, seq, sha256 } of expected.lists()) {
    const row = database.get(
      "SELECT seq, list FROM package_lists WHERE client = ? AND type = ? AND name = ? AND sha256 = ?",
      client,
      type,
      name,
      sha256,
    );
    const list = String(row?.["list"]);
    if (row?.["seq"] !== seq) throw new Contradiction(seq, "the entry's package list is missing");
    if (packageListDigest(list) !== sha256 || parsePackageList(list) === undefined) {
      throw new Contradiction(seq, "the entry's package list was changed");
    }
    count++;
  }
  if (database.get("SELECT count(*) AS n FROM package_lists")?.["n"] !== count) {
    throw new Contradiction(undefined, "there are package lists that no entry names");
  }
  return count;
}

/** Counters of refusals without entries: nothing commits to them until they are summed up, so only nonsense is found. */
export function checkRefusals(database: Database): void {
  for (const row of database.iterate("SELECT * FROM refusals")) {
    if (!isCounter(row))
      throw new Contradiction(undefined, "a counter of refusals is not one that this program keeps");
  }
}

function isCounter({ code, since, logged, further, first, last }: Row): boolean {
  const withEntries = Number(logged) >= 1 && Number(logged) <= 10;
  const known = typeof code === "string" && Object.hasOwn(EXIT, code) && isEntryTime(since);
  if (further === 0) return known && withEntries && first === null && last === null;
  const ordered =
    isEntryTime(first) &&
    isEntryTime(last) &&
    String(since) <= String(first) &&
    String(first) <= String(last);
  return known && logged === 10 && Number(further) > 0 && ordered;
}

/** The file itself: schema, triggers, indexes as this program makes them, and SQLite's own check of its pages. */
export function checkFile(database: Database): void {
  const select = "SELECT type, name, sql FROM sqlite_schema ORDER BY name";
  const found = new Map(database.all(select).map((row) => [String(row["name"]), JSON.stringify(row)]));
  const sound = new DatabaseSync(":memory:");
  try {
    sound.exec(SCHEMA);
    for (const row of sound.prepare(select).all()) {
      const name = String(row["name"]);
      if (found.get(name) !== JSON.stringify(row))
        throw new Contradiction(undefined, `the database's ${name} is missing or was changed`);
      found.delete(name);
    }
  } finally {
    sound.close();
  }
  const [extra] = found.keys();
  if (extra !== undefined)
    throw new Contradiction(undefined, `the database has something of its own: ${quoted(extra)}`);
  const result = database.get("PRAGMA integrity_check(1)")?.["integrity_check"];
  if (result !== "ok")
    throw new Contradiction(undefined, `sqlite finds the database damaged: ${quoted(String(result), 200)}`);
}
