import { randomBytes } from "node:crypto";
import type { TreeHead } from "./checkpoint.ts";
import type { Database } from "./database.ts";
import { type LedgerQueries, ledgerQueries } from "./ledger-queries.ts";
import { type EntryFields, encodeLogEntry, type LogEntry } from "./log-entry.ts";
import { nodeReader } from "./log-head.ts";
import { appendLeaf, hashLeaf, storedNodes, treeRoot } from "./merkle.ts";
import type { PackageList } from "./package-list.ts";
import { storePackageList } from "./package-shelf.ts";
import { encodePrivateRecord, type PrivateRecord, privateCommitment, SALT_BYTES } from "./private-record.ts";
import { countRefusal, takeSummaries } from "./refusal-counter.ts";

/** What is stored beside an entry. */
export interface Extra {
  /** What is about people; the entry gets the commitment to it. */
  readonly private?: PrivateRecord;
  /** The packages of a signed database; the entry's facts get the digest, as `packages_sha256`. */
  readonly packages?: PackageList;
}

export type RefusedFields = EntryFields & { readonly kind: "refused" };

/**
 * One transaction of the ledger, under its one lock: nobody else writes between its first question and its end. Everything
 * in it happens at the same time, or not at all.
 */
export interface LedgerTransaction extends LedgerQueries {
  /** The effective time of everything in this transaction; never before the last entry's. */
  readonly time: Date;
  /** The tree before the entry that is appended next. */
  readonly size: number;
  readonly root: Uint8Array;
  /** Appends an entry with what belongs beside it; returns it with its `seq` and `time`. */
  append(fields: EntryFields, extra?: Extra): LogEntry;
  /** Appends a refusal, or counts it where this client and code have had their ten entries of the hour: undefined. */
  refuse(fields: RefusedFields, extra?: Extra): LogEntry | undefined;
}

/** A transaction as the ledger holds it. */
export interface TransactionHandle {
  readonly transaction: LedgerTransaction;
  /** Appends a summary for each client and code whose hour of refusals is over. */
  readonly appendSummaries: () => void;
  /** Whether anything was appended. */
  readonly grew: () => boolean;
  /** From here on the transaction refuses to append. */
  readonly end: () => void;
}

/** A transaction's work, on a database that is in a write transaction and whose log has the head `head`. */
export function startTransaction(database: Database, head: TreeHead, time: Date): TransactionHandle {
  const read = nodeReader(database);
  let size = head.size;
  let root: Uint8Array | undefined = head.root;
  let ended = false;

  /** Work that was not waited for would write into somebody else's transaction. */
  function mustRun(): void {
    if (ended) throw new Error("this transaction of the ledger is over");
  }

  function append(fields: EntryFields, extra: Extra = {}): LogEntry {
    mustRun();
    const record = extra.private && encodePrivateRecord(extra.private);
    const salt = randomBytes(SALT_BYTES);
    const entry: LogEntry = {
      ...(extra.packages === undefined ? fields : withPackages(fields, extra.packages)),
      ...(record === undefined ? {} : { private: privateCommitment(salt, record) }),
      seq: size,
      time: time.toISOString(),
    };
    const line = encodeLogEntry(entry);
    database.run("INSERT INTO entries (seq, line) VALUES (?, ?)", size, line);
    let position = storedNodes(size);
    for (const node of appendLeaf(size, hashLeaf(Buffer.from(line)), read)) {
      database.run("INSERT INTO nodes (position, hash) VALUES (?, ?)", position++, node);
    }
    if (record !== undefined) {
      database.run("INSERT INTO private_records (seq, salt, record) VALUES (?, ?, ?)", size, salt, record);
    }
    if (extra.packages !== undefined) storePackageList(database, entry, extra.packages);
    size++;
    root = undefined;
    return entry;
  }

  const transaction: LedgerTransaction = {
    ...ledgerQueries(database),
    time,
    get size() {
      return size;
    },
    get root() {
      root ??= treeRoot(size, read);
      return root;
    },
    append,
    refuse(fields, extra) {
      mustRun();
      if (!countRefusal(database, time, fields.client, fields.code)) return undefined;
      return append(fields, extra);
    },
  };
  return {
    transaction,
    appendSummaries: () => {
      for (const summary of takeSummaries(database, time)) append(summary);
    },
    grew: () => size > head.size,
    end: () => {
      ended = true;
    },
  };
}

function withPackages(fields: EntryFields, packages: PackageList): EntryFields {
  if (fields.kind !== "signed") throw new TypeError("only a signed entry has a package list");
  return { ...fields, facts: { ...fields.facts, packages_sha256: packages.sha256 } };
}
