import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { LOG_FILE } from "../../src/log/log-file.ts";

/**
 * Changes the lines of a log as somebody would who has the file and knows its schema: past the triggers, which are there again
 * afterwards. For a copy of a log.
 */
export function forgeLog(stateDirectory: string, from: string, to: string): void {
  const database = new DatabaseSync(join(stateDirectory, LOG_FILE));
  try {
    const trigger = database.prepare("SELECT sql FROM sqlite_schema WHERE name = 'entries_update'").get();
    database.exec("DROP TRIGGER entries_update");
    database.prepare("UPDATE entries SET line = replace(line, ?, ?)").run(from, to);
    database.exec(String(trigger?.["sql"]));
  } finally {
    database.close();
  }
}
