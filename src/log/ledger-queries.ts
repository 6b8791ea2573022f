import { Fault } from "../outcome.ts";
import type { Reads, Row } from "./database.ts";
import { type EntryKind, type LogEntry, parseLogEntry, type SignedEntry } from "./log-entry.ts";

/** What one signature stands for: two requests that agree in all of it may share a signature. */
export interface SameRequest {
  readonly client: string;
  readonly name: string | undefined;
  readonly type: string;
  /** Fingerprint of the key that signs. */
  readonly key: string;
  /** Lower-case hex. */
  readonly sha512: string;
}

/**
 * Questions that policy asks the ledger. Their cost depends on what they return, never on the length of the log.
 * Times are those of the entries, except that an entry before a `clock-accepted` one counts with that one's time where its
 * own is later: what was signed while the clock was ahead counts as of the acceptance, and neither blocks a limit for a
 * year nor escapes it.
 */
export interface LedgerQueries {
  /**
   * Times of the newest `count` `signed` entries of a rule, newest first.
   * @param name only entries of this name; `null`: only those without a name; left out: all
   */
  latestTimes(rule: string, count: number, name?: string | null): readonly Date[];
  /** The `rules` digest of the newest `configured` entry; undefined where there is none. */
  rulesInForce(): string | undefined;
  /** The newest `signed` entry of the same request, at or after `since`. */
  findSigned(what: SameRequest, since: Date): SignedEntry | undefined;
  /** Times of the newest `count` `reissued` entries of the signature of entry `of`, newest first. */
  reissueTimes(of: number, count: number): readonly Date[];
  /** Ids of the rules under which something was signed at or after `since`. */
  rulesSince(since: Date): readonly string[];
  /** The newest entry's `seq` and time. */
  newest(): { readonly seq: number; readonly time: Date };
}

/** Each is answered from an index of its own, in the order that it asks for; a test holds that. */
export const QUERIES = {
  clockAccepted: "SELECT seq, time FROM entries WHERE kind = 'clock-accepted' ORDER BY seq DESC",
  signedByRule: "SELECT seq, time FROM entries WHERE kind = 'signed' AND rule = ? ORDER BY seq DESC LIMIT ?",
  signedByRuleAndName:
    "SELECT seq, time FROM entries WHERE kind = 'signed' AND rule = ? AND name IS ? ORDER BY seq DESC LIMIT ?",
  configured: "SELECT line FROM entries WHERE kind = 'configured' ORDER BY seq DESC LIMIT 1",
  bySha512:
    "SELECT seq, time, kind, line FROM entries WHERE sha512_start = substr(?, 1, 16) ORDER BY seq DESC",
  reissuedOf: `SELECT seq, time FROM entries WHERE kind = 'reissued' AND "of" = ? ORDER BY seq DESC LIMIT ?`,
  // From each rule to the next one in the index: a GROUP BY would read every signature that there ever was.
  newestOfEachRule: `WITH RECURSIVE rules (rule) AS (
      SELECT min(rule) FROM entries WHERE kind = 'signed'
      UNION ALL
      SELECT (SELECT min(rule) FROM entries WHERE kind = 'signed' AND rule > rules.rule) FROM rules WHERE rule IS NOT NULL
    )
    SELECT rule, (SELECT time FROM entries WHERE kind = 'signed' AND rule = rules.rule ORDER BY seq DESC LIMIT 1) AS time
    FROM rules WHERE rule IS NOT NULL ORDER BY rule`,
} as const;

/** The ledger's answers; inside a transaction, as of what it has appended so far. */
export function ledgerQueries(database: Reads): LedgerQueries {
  return {
    latestTimes(rule, count, name) {
      const rows =
        name === undefined
          ? database.all(QUERIES.signedByRule, rule, count)
          : database.all(QUERIES.signedByRuleAndName, rule, name, count);
      const timeOf = cappedTimes(database);
      return rows.map(timeOf);
    },

    rulesInForce() {
      const row = database.get(QUERIES.configured);
      return row && entryOfKind("configured", row).rules;
    },

    findSigned(what, since) {
      const timeOf = cappedTimes(database);
      for (const row of database.iterate(QUERIES.bySha512, what.sha512)) {
        if (timeOf(row) < since) return undefined;
        if (row["kind"] !== "signed") continue;
        const entry = entryOfKind("signed", row);
        if (isSame(entry, what)) return entry;
      }
      return undefined;
    },

    reissueTimes(of, count) {
      const timeOf = cappedTimes(database);
      return database.all(QUERIES.reissuedOf, of, count).map(timeOf);
    },

    rulesSince(since) {
      return database
        .all(QUERIES.newestOfEachRule)
        .filter(({ time }) => Date.parse(String(time)) >= since.getTime())
        .map(({ rule }) => String(rule));
    },

    newest() {
      const row = database.get("SELECT seq, time FROM entries ORDER BY seq DESC LIMIT 1");
      if (row === undefined)
        throw new Fault("log-broken", "the log has no entry; signer-log verify says more");
      return { seq: Number(row["seq"]), time: new Date(String(row["time"])) };
    },
  };
}

/** The time that an entry counts with. The rows MUST be given newest first: the caps of newer ones go for older ones too. */
function cappedTimes(database: Reads): (row: Row) => Date {
  const accepted = database.all(QUERIES.clockAccepted);
  let next = 0;
  let cap = Number.POSITIVE_INFINITY;
  return ({ seq, time }) => {
    for (; Number(accepted[next]?.["seq"] ?? -1) > Number(seq); next++) {
      cap = Math.min(cap, Date.parse(String(accepted[next]?.["time"])));
    }
    return new Date(Math.min(Date.parse(String(time)), cap));
  };
}

function isSame(entry: SignedEntry, what: SameRequest): boolean {
  return (
    entry.sha512 === what.sha512 &&
    entry.client === what.client &&
    entry.name === what.name &&
    entry.type === what.type &&
    entry.key === what.key
  );
}

/** The entry of a row with a `line`; Fault `log-broken` where it is none, or of another kind. */
function entryOfKind<K extends EntryKind>(kind: K, row: Row): LogEntry & { readonly kind: K } {
  const entry = parseLogEntry(String(row["line"]));
  if (entry?.kind !== kind)
    throw new Fault(
      "log-broken",
      `the log holds a line that is no ${kind} entry; signer-log verify says more`,
    );
  return entry as LogEntry & { readonly kind: K };
}
