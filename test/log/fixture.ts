import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { onTestFinished } from "vitest";

import type { Checkpoint } from "../../src/log/checkpoint.ts";
import { Ledger, type RecordedSignature } from "../../src/log/ledger.ts";
import type { RefusedFields } from "../../src/log/ledger-transaction.ts";
import { type LogEntry, parseLogEntry } from "../../src/log/log-entry.ts";
import { LogReader } from "../../src/log/log-reader.ts";

import type { VerifierKey } from "../../src/log/signed-note.ts";
import { verifyLog } from "../../src/log/verify.ts";

import { isRefusal } from "../../src/outcome.ts";
import { ORIGIN, signatureRecord, type Wanted } from "./signature-record.ts";

export { ORIGIN };
/** When the logs of tests begin. */
export const START = new Date("2026-11-23T12:00:00.000Z");
export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** So many milliseconds after {@link START}. */
export function at(ms: number): Date {
  return new Date(START.getTime() + ms);
}

/** A directory that goes with the test. */
export function freshDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "signer-log-test-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** A new ledger in a directory of its own, closed with the test. */
export function freshLedger(now = START): { readonly ledger: Ledger; readonly directory: string } {
  const directory = join(freshDirectory(), "state");
  const ledger = Ledger.create(directory, { origin: ORIGIN, now });
  onTestFinished(() => ledger.close());
  return { ledger, directory };
}

/** Another process's view of the same log, closed with the test. */
export function reopen(directory: string, busyTimeoutMs = 5000): Ledger {
  const ledger = Ledger.open(directory, { origin: ORIGIN, busyTimeoutMs });
  onTestFinished(() => ledger.close());
  return ledger;
}

/** Logs a signature; the receipt. */
export async function sign(ledger: Ledger, now: Date, wanted: Wanted = {}): Promise<RecordedSignature> {
  const receipt = await ledger.sign(now, async (tx) => signatureRecord(tx, wanted));
  if (isRefusal(receipt)) throw new Error("nothing refuses here");
  return receipt;
}

/** A refusal as `sign.ts` would log it. */
export function refused(wanted: Partial<RefusedFields> = {}): RefusedFields {
  return {
    kind: "refused",
    client: "repos",
    code: "not-recognised",
    reason: "expected a database",
    ...wanted,
  };
}

/** Changes a log as somebody with write access to its file would: no triggers, no foreign keys. */
export function tamper(directory: string, sql: string): void {
  const database = new DatabaseSync(join(directory, "log.db"), { enableForeignKeyConstraints: false });
  const triggers = database.prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").all();
  for (const { name } of triggers) database.exec(`DROP TRIGGER ${name}`);
  database.exec(sql);
  for (const trigger of triggers) database.exec(String(trigger["sql"]));
  database.close();
}

/** The code of the Fault with which a promise rejects or a function throws; anything else is thrown on. */
export async function faultCode(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    if (error instanceof Error && error.name === "Fault" && "code" in error) return String(error.code);
    throw error;
  }
  return "no fault";
}

/** All lines of a log. */
export function linesOf(directory: string): readonly string[] {
  const reader = LogReader.open(directory);
  try {
    return [...reader.search({})];
  } finally {
    reader.close();
  }
}

/** All entries of a log, as far as they parse. */
export function entriesOf(directory: string): readonly LogEntry[] {
  return linesOf(directory).flatMap((line) => parseLogEntry(line) ?? []);
}

/** What verification says of a log: `sound`, or the entry (`-` for none) and what is wrong. */
export function verdict(
  directory: string,
  options: { readonly verifier?: VerifierKey; readonly checkpoint?: Checkpoint } = {},
): string {
  const reader = LogReader.open(directory);
  try {
    const verifier = options.verifier ?? reader.statedVerifier();
    const result = verifyLog(reader, { ...options, verifier });
    return result.kind === "sound" ? "sound" : `${result.seq ?? "-"}: ${result.what}`;
  } finally {
    reader.close();
  }
}
