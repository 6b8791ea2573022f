import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";

/**
 * A client that fetches a database, then its signature, as fast as it can, until its stdin ends. Argument: the database's path.
 * Then it says how often, how often one was missing, and when it saw a signature of another state: from before it opened the
 * first to after it had read the second, in ns of the machine's monotonic clock.
 */
const [path = ""] = process.argv.slice(2);
let reading = true;
process.stdin.resume().on("end", () => {
  reading = false;
});
const seen = { polls: 0, missing: 0, mismatches: [] as [string, string][] };
console.log("reading");
while (reading) {
  seen.polls++;
  const began = process.hrtime.bigint();
  try {
    const digest = createHash("sha256").update(readFileSync(path)).digest("hex");
    const signed = readFileSync(`${path}.sig`, "latin1").slice(0, 64);
    if (signed !== digest) seen.mismatches.push([String(began), String(process.hrtime.bigint())]);
  } catch {
    seen.missing++;
  }
  await setImmediate();
}
console.log(JSON.stringify(seen));
