import { Fault } from "../../outcome.ts";
import { type Comparison, compareLog } from "../compare.ts";
import type { Database } from "../database.ts";
import { openLogDatabase, stateKind } from "../log-file.ts";
import { LogReader } from "../log-reader.ts";
import type { VerifierKey } from "../signed-note.ts";
import { type VerifyOptions, verifyLog } from "../verify.ts";
import type { HeldCopy } from "./held-copy.ts";

/** The log that is in the place where a copy is to be restored. */
export type ReplacedLog =
  | { readonly kind: "missing" }
  /** SQLite cannot read it, or it is no log of this version. `why` is one line. */
  | { readonly kind: "unreadable"; readonly why: string }
  /** Verification finds something wrong with it. */
  | { readonly kind: "broken"; readonly why: string; readonly size: number; readonly sent: Forwarded }
  /** It agrees with itself. */
  | { readonly kind: "sound"; readonly size: number; readonly sent: Forwarded };

/** How many entries each syslog collector was sent. */
export type Forwarded = ReadonlyMap<string, number>;

/**
 * Takes the write lock of the log that is there, so that nothing is committed to it until the lock's connection is closed.
 * Undefined where there is none, or nothing that SQLite can lock. Fault `busy` where others hold it too long.
 */
export function lockLog(directory: string, busyTimeoutMs: number): Database | undefined {
  if (!hasLog(directory)) return undefined;
  let database: Database | undefined;
  try {
    database = openLogDatabase(directory, { busyTimeoutMs });
    database.exec("BEGIN IMMEDIATE");
    return database;
  } catch (error) {
    database?.close();
    if (isBroken(error)) return undefined;
    throw error;
  }
}

/** Verifies the log that is there, the whole of it. Controlled by: whoever could write it. */
export function examineLog(
  directory: string,
  verifier: VerifierKey,
  onProgress?: VerifyOptions["onProgress"],
): ReplacedLog {
  if (!hasLog(directory)) return { kind: "missing" };
  let reader: LogReader;
  try {
    reader = LogReader.open(directory);
  } catch (error) {
    if (isBroken(error)) return { kind: "unreadable", why: error.message };
    throw error;
  }
  try {
    const { size } = reader;
    const verified = verifyLog(reader, { verifier, ...(onProgress === undefined ? {} : { onProgress }) });
    onProgress?.(size, size);
    const sent = forwarded(reader.database);
    if (verified.kind === "sound") return { kind: "sound", size, sent };
    const { seq, what } = verified;
    return { kind: "broken", why: seq === undefined ? what : `entry ${seq}: ${what}`, size, sent };
  } finally {
    reader.close();
  }
}

/** Holds a sound log against the copy that may replace it. */
export async function compareSound(directory: string, copy: HeldCopy): Promise<Comparison> {
  const reader = LogReader.open(directory);
  try {
    return await compareLog(reader, reader.size, copy);
  } finally {
    reader.close();
  }
}

function hasLog(directory: string): boolean {
  const kind = stateKind(directory);
  return kind === "log" || kind === "log-without-key";
}

function forwarded(database: Database): Forwarded {
  try {
    const rows = database.all("SELECT collector, size FROM forwarded");
    const known = rows.filter(({ collector, size }) => collector !== "" && Number(size) >= 0);
    return new Map(known.map(({ collector, size }) => [String(collector), Number(size)]));
  } catch (error) {
    if (isBroken(error)) return new Map();
    throw error;
  }
}

function isBroken(error: unknown): error is Fault {
  return error instanceof Fault && error.code === "log-broken";
}
