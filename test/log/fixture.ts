import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { onTestFinished } from "vitest";
import type { Fingerprint } from "../../src/keys/signing-key.ts";
import type { Checkpoint } from "../../src/log/checkpoint.ts";
import { Ledger, type Receipt, type SignatureRecord } from "../../src/log/ledger.ts";
import type { Extra, LedgerTransaction, RefusedFields } from "../../src/log/ledger-transaction.ts";
import { type LogEntry, parseLogEntry } from "../../src/log/log-entry.ts";
import { LogReader } from "../../src/log/log-reader.ts";
import { encodeLogNotations } from "../../src/log/notations.ts";
import type { VerifierKey } from "../../src/log/signed-note.ts";
import { verifyLog } from "../../src/log/verify.ts";
import { encodeSignature } from "../../src/openpgp/signature.ts";
import { isRefusal } from "../../src/outcome.ts";

export const ORIGIN = "signer.example.org/repo";
export const KEY = "0123456789ABCDEF0123456789ABCDEF01234567";
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

export interface Wanted {
  readonly rule?: string;
  readonly client?: string;
  readonly type?: "db" | "files" | "iso";
  /** `null`: without a name. */
  readonly name?: string | null;
  /** Stands for the artefact's bytes; left out: fresh ones. */
  readonly content?: string;
  readonly expiresAfterSeconds?: number;
  readonly extra?: Extra;
}

/** What `sign.ts` would log for an artefact, its signature well-formed and with the right claims, though of random numbers. */
export function signatureRecord(tx: LedgerTransaction, wanted: Wanted = {}): SignatureRecord {
  const {
    rule = "repos-db",
    client = "repos",
    type = "db",
    content = randomBytes(8).toString("hex"),
  } = wanted;
  const name = wanted.name === undefined ? "core.db.tar.gz" : (wanted.name ?? undefined);
  const createdAt = new Date(Math.floor(tx.time.getTime() / 1000) * 1000);
  const { expiresAfterSeconds } = wanted;
  const signature = encodeSignature(
    {
      algorithm: "eddsa-legacy",
      issuerFingerprint: KEY as Fingerprint,
      createdAt,
      expiresAfterSeconds,
      notations: encodeLogNotations({ domain: "signer.example.org", type, name, tree: tx }),
    },
    randomBytes(64),
    [Buffer.concat([Buffer.of(1), randomBytes(31)]), Buffer.concat([Buffer.of(1), randomBytes(31)])],
  );
  return {
    kind: "signature-record",
    fields: {
      kind: "signed",
      client,
      rule,
      type,
      ...(name === undefined ? {} : { name }),
      size: content.length,
      sha256: createHash("sha256").update(content).digest("hex"),
      sha512: createHash("sha512").update(content).digest("hex"),
      key: KEY,
      signature: Buffer.from(signature).toString("base64"),
      ...(expiresAfterSeconds === undefined
        ? {}
        : { expires: new Date(createdAt.getTime() + expiresAfterSeconds * 1000).toISOString() }),
      facts: { packages: 1 },
    },
    ...(wanted.extra === undefined ? {} : { extra: wanted.extra }),
  };
}

/** Logs a signature; the receipt. */
export async function sign(ledger: Ledger, now: Date, wanted: Wanted = {}): Promise<Receipt> {
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
