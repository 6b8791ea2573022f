import { createHash, randomInt } from "node:crypto";
import { Ledger } from "../../src/log/ledger.ts";
import type { SignedFields } from "../../src/log/log-entry.ts";
import { LogReader } from "../../src/log/log-reader.ts";
import { proveEntry } from "../../src/log/proof/entry-proof.ts";
import { DAY_MS, KEY, NO_SIGNATURE, ORIGIN, RULE } from "./log-generator.ts";

/** What people and programs do with a log every day, each from opening it to closing it, as a process does. */

export interface LogOperation {
  readonly what: string;
  /** @param end time of the log's last entry when it was made */
  readonly run: (directory: string, end: Date) => Promise<void>;
  /** Most times as long as with ten entries that we mean to take. */
  readonly aim: number;
}

let appended = 0;

/** The transaction of `accept`: the questions that policy asks, then the entry; its signature was made beforehand. */
async function append(directory: string, end: Date): Promise<void> {
  const ledger = Ledger.open(directory, { origin: ORIGIN });
  try {
    const now = new Date(end.getTime() + ++appended * 1000);
    const fields = signedFields(`fresh ${appended}`);
    await ledger.sign(now, async (transaction) => {
      transaction.rulesInForce();
      transaction.latestTimes(RULE, 5);
      transaction.latestTimes(RULE, 5, NAME);
      transaction.findSigned(
        { client: "repos", name: NAME, type: "db", key: KEY, sha512: fields.sha512 },
        new Date(now.getTime() - DAY_MS),
      );
      return { kind: "signature-record", fields: { kind: "signed", ...fields } };
    });
  } finally {
    ledger.close();
  }
}

const NAME = "core.db.tar.gz";

function signedFields(content: string): SignedFields {
  return {
    client: "repos",
    rule: RULE,
    type: "db",
    name: NAME,
    size: content.length,
    sha256: createHash("sha256").update(content).digest("hex"),
    sha512: createHash("sha512").update(content).digest("hex"),
    key: KEY,
    signature: NO_SIGNATURE,
    facts: { packages: 270 },
  };
}

async function withReader(directory: string, work: (reader: LogReader) => void): Promise<void> {
  const reader = LogReader.open(directory);
  try {
    work(reader);
  } finally {
    reader.close();
  }
}

/** Any entry but the first. */
const anyEntry = ({ size }: LogReader) => randomInt(1, size);

async function showByNumber(directory: string): Promise<void> {
  await withReader(directory, (reader) => {
    if (reader.entry(anyEntry(reader)) === undefined) throw new Error("no such entry");
  });
}

async function showByDigest(directory: string): Promise<void> {
  await withReader(directory, (reader) => {
    const entry = reader.entry(anyEntry(reader));
    const digest = entry?.kind === "signed" || entry?.kind === "refused" ? entry.sha256 : undefined;
    if (digest === undefined || reader.byDigest(digest.slice(0, 16)).length < 1)
      throw new Error("no such digest");
  });
}

async function prove(directory: string): Promise<void> {
  await withReader(directory, (reader) => void proveEntry(reader, anyEntry(reader)));
}

/** The last day before the log's end, which is the same nine entries whatever was appended since. */
async function listLastDay(directory: string, end: Date): Promise<void> {
  await withReader(directory, (reader) => {
    const since = new Date(end.getTime() - DAY_MS);
    const until = new Date(end.getTime() + 1);
    const lines = [...reader.search({ since, until })];
    if (lines.length !== 9) throw new Error(`${lines.length} entries of the last day`);
  });
}

export const LOG_OPERATIONS: readonly LogOperation[] = [
  { what: "append", run: append, aim: 1.3 },
  { what: "show by number", run: showByNumber, aim: 2 },
  { what: "show by digest", run: showByDigest, aim: 2 },
  { what: "prove", run: prove, aim: 2 },
  { what: "list of the last day", run: listLastDay, aim: 2 },
];
