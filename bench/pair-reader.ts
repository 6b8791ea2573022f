import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";

/**
 * A client that fetches a database, then its signature, as fast as it can, until its stdin ends. Arguments: the database's path,
 * and a folder that gets each file it saw, named by its digest. Then it says as JSON how often it saw which pair, `DB SIG`, each a
 * digest, or `-` where there was none.
 */
const [path = "", folder = ""] = process.argv.slice(2);
let reading = true;
process.stdin.resume().on("end", () => {
  reading = false;
});
const files = new Map<string, Buffer>();
const pairs = new Map<string, number>();
console.log("reading");
while (reading) {
  const pair = `${read(path)} ${read(`${path}.sig`)}`;
  pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
  await setImmediate();
}
for (const [digest, content] of files) writeFileSync(join(folder, digest), content);
console.log(JSON.stringify(Object.fromEntries(pairs)));

function read(file: string): string {
  try {
    const content = readFileSync(file);
    const digest = createHash("sha256").update(content).digest("hex");
    files.set(digest, content);
    return digest;
  } catch {
    return "-";
  }
}
