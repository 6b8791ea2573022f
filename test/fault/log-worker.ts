import { writeSync } from "node:fs";
import { Ledger } from "../../src/log/ledger.ts";
import { Fault, isRefusal, refusal } from "../../src/outcome.ts";
import { ORIGIN, signatureRecord } from "../log/signature-record.ts";

/**
 * A process that signs, for tests that take its disk, its life or its patience away. Arguments: state directory, how many
 * signatures, the limit of all of them together, and how many callers ask for that many each at once (default 1: then each
 * signature is in a transaction of its own). Each signature that could be delivered is a line `signed SEQ SHA256`, said before
 * its caller asks for the next; then why it ended: `done`, `refused CODE` or `fault CODE`. With `create` for the number it
 * makes the log instead.
 */

const [directory = "", wanted = "1", limit = "1000000", callers = "1"] = process.argv.slice(2);

function say(line: string): void {
  writeSync(1, `${line}\n`);
}

try {
  const ledger =
    wanted === "create"
      ? Ledger.create(directory, { origin: ORIGIN, now: new Date() })
      : Ledger.open(directory);
  const ends = await Promise.all(Array.from({ length: Number(callers) }, () => signMany(ledger)));
  say(ends.find((end) => end !== "done") ?? "done");
  ledger.close();
} catch (error) {
  if (!(error instanceof Fault)) throw error;
  say(`fault ${error.code}`);
}

async function signMany(ledger: Ledger): Promise<string> {
  for (let i = 0; i < (wanted === "create" ? 0 : Number(wanted)); i++) {
    const receipt = await ledger.sign(new Date(), async (tx) =>
      tx.latestTimes("repos-db", Number(limit)).length >= Number(limit)
        ? refusal("over-limit", "enough")
        : signatureRecord(tx, { extra: { private: { address: "192.0.2.10" } } }),
    );
    if (isRefusal(receipt)) return `refused ${receipt.code}`;
    say(`signed ${receipt.entry.seq} ${receipt.entry.sha256}`);
  }
  return "done";
}
