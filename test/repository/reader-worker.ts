import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";

/**
 * A client that fetches a database, then its signature, as fast as it can, until its stdin ends. Arguments: the database's path.
 * Then it says how often, how often one was missing, and how often the signature was of another state or of none.
 */
const [path = ""] = process.argv.slice(2);
let reading = true;
process.stdin.resume().on("end", () => {
  reading = false;
});
const digests = new Set<string>();
const strangers = new Set<string>();
const seen = { polls: 0, missing: 0, mismatched: 0, strange: 0 };
console.log("reading");
while (reading) {
  seen.polls++;
  try {
    const digest = createHash("sha256").update(readFileSync(path)).digest("hex");
    const signed = readFileSync(`${path}.sig`, "latin1").slice(0, 64);
    digests.add(digest);
    if (signed !== digest) {
      seen.mismatched++;
      strangers.add(signed);
    }
  } catch {
    seen.missing++;
  }
  await setImmediate();
}
seen.strange = [...strangers].filter((digest) => !digests.has(digest)).length;
console.log(JSON.stringify(seen));
