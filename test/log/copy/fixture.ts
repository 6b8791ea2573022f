import { join } from "node:path";
import { onTestFinished } from "vitest";
import { configuredFields } from "../../../src/log/configured.ts";
import { type Append, LogCopy } from "../../../src/log/copy/log-copy.ts";
import type { Ledger } from "../../../src/log/ledger.ts";
import { LogReader } from "../../../src/log/log-reader.ts";
import { packageList } from "../../../src/log/package-list.ts";
import { verifyLog } from "../../../src/log/verify.ts";
import { at, freshDirectory, freshLedger, HOUR, MINUTE, refused, sign } from "../fixture.ts";

export const WITNESS_NAME = "log.example.org/repo";

/** A log of `size` entries, of all kinds that there are: private records, package lists that change, a reissue. */
export async function sampleLog(
  size: number,
): Promise<{ readonly ledger: Ledger; readonly directory: string }> {
  const made = freshLedger();
  await growLog(made.ledger, size);
  return made;
}

/** Appends until the log has `size` entries. */
export async function growLog(ledger: Ledger, size: number, name = "core.db.tar.gz"): Promise<void> {
  for (let seq = ledger.queries.newest().seq + 1; seq < size; seq++) {
    const now = at(HOUR + seq * MINUTE);
    if (seq === 1) await ledger.transact(now, (tx) => tx.append(configuredFields(["one rule"])));
    else if (seq % 5 === 0)
      await ledger.recordRefusal(now, refused({ reason: `${seq}` }), { private: { for: "alice" } });
    else {
      const packages = packageList([
        { name: "acl", version: `2.3.${Math.floor(seq / 3)}-1`, sha256: undefined },
      ]);
      await sign(ledger, now, { name, extra: { packages, private: { address: "192.0.2.10" } } });
    }
  }
}

/** An empty copy of a log, closed with the test. */
export function freshCopy(ledger: Ledger): { readonly copy: LogCopy; readonly directory: string } {
  const directory = join(freshDirectory(), "copy");
  const copy = LogCopy.create(directory, { verifier: ledger.verifier, witnessName: WITNESS_NAME });
  onTestFinished(() => copy.close());
  return { copy, directory };
}

/** Another process's view of a copy, closed with the test. */
export function reopenCopy(directory: string): LogCopy {
  const copy = LogCopy.open(directory);
  onTestFinished(() => copy.close());
  return copy;
}

/** What a sender sends of a log. */
export function appendOf(ledger: Ledger, from: number, to: number): Append {
  const source = ledger.source();
  try {
    return { from, to, note: source.checkpointAt(to), entries: [...source.entries(from, to)] };
  } finally {
    source.close();
  }
}

/** What verification says of a copy: `sound`, or what is wrong. */
export function copyVerdict(directory: string): string {
  const reader = LogReader.open(directory);
  try {
    const verifier = reader.heldVerifier();
    if (verifier === undefined) return "no key is beside the copy";
    const result = verifyLog(reader, { verifier });
    return result.kind === "sound" ? "sound" : `${result.seq ?? "-"}: ${result.what}`;
  } finally {
    reader.close();
  }
}
