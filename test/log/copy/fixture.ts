import { cpSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { signCheckpoint } from "../../../src/log/checkpoint.ts";
import { configuredFields } from "../../../src/log/configured.ts";
import { type Append, LogCopy } from "../../../src/log/copy/log-copy.ts";
import { GrowingTree } from "../../../src/log/growing-tree.ts";
import { Ledger } from "../../../src/log/ledger.ts";
import { readLogKey } from "../../../src/log/log-key.ts";
import { LogReader } from "../../../src/log/log-reader.ts";
import { packageList } from "../../../src/log/package-list.ts";
import { verifyLog } from "../../../src/log/verify.ts";
import { at, freshDirectory, freshLedger, HOUR, MINUTE, ORIGIN, refused, sign } from "../fixture.ts";

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
    const now = at(HOUR + seq * 10 * MINUTE);
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

/** Another log that was the same as this one until now, with the same key: what a host has that was put back, or doubled. */
export function fork(directory: string): Ledger {
  const copied = join(freshDirectory(), "state");
  cpSync(directory, copied, { recursive: true });
  const ledger = Ledger.open(copied);
  onTestFinished(() => ledger.close());
  return ledger;
}

/** An append whose lines the log's key signs, whatever they say. */
export function signedAppend(directory: string, from: number, lines: readonly string[]): Append {
  const reader = LogReader.open(directory);
  const before = Array.from({ length: from }, (_, seq) => reader.line(seq) ?? "");
  reader.close();
  const tree = new GrowingTree();
  for (const line of [...before, ...lines]) tree.append(Buffer.from(line));
  const note = signCheckpoint({ size: tree.size, root: tree.root() }, readLogKey(directory, ORIGIN));
  const entries = lines.map((line, index) => ({
    seq: from + index,
    line,
    private: undefined,
    packages: undefined,
  }));
  return { from, to: from + lines.length, note, entries };
}

/** All that is kept as evidence of conflicts. */
export function evidenceOf(directory: string): readonly Readonly<Record<string, unknown>>[] {
  const folder = join(directory, "conflicts");
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .sort()
    .map((file) => JSON.parse(readFileSync(join(folder, file), "utf8")));
}
