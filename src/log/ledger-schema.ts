/**
 * The ledger's SQLite schema. `line` is the entry; every other column of `entries` is computed from it by SQLite itself, so
 * that what limits are counted by cannot differ from what is logged. `signer-log verify` compares the schema of a
 * log with this text, triggers included.
 */

/** `PRAGMA application_id`: "sign" in ASCII. */
export const APPLICATION_ID = 0x7369676e;
/** `PRAGMA user_version`: raised with every change below. */
export const SCHEMA_VERSION = 2;

export const SCHEMA = `
CREATE TABLE entries (
  seq INTEGER PRIMARY KEY,
  line TEXT NOT NULL,
  time TEXT AS (line ->> '$.time'),
  kind TEXT AS (line ->> '$.kind'),
  client TEXT AS (line ->> '$.client'),
  rule TEXT AS (line ->> '$.rule'),
  type TEXT AS (line ->> '$.type'),
  name TEXT AS (line ->> '$.name'),
  "of" INTEGER AS (line ->> '$.of'),
  sha256_start TEXT AS (substr(line ->> '$.sha256', 1, 16)),
  sha512_start TEXT AS (substr(line ->> '$.sha512', 1, 16))
) STRICT;
CREATE INDEX signed_by_rule ON entries (rule) WHERE kind = 'signed';
CREATE INDEX signed_by_rule_and_name ON entries (rule, name) WHERE kind = 'signed';
CREATE INDEX reissued_of ON entries ("of") WHERE kind = 'reissued';
CREATE INDEX configured ON entries (kind) WHERE kind = 'configured';
CREATE INDEX clock_accepted ON entries (kind) WHERE kind = 'clock-accepted';
CREATE INDEX by_sha256 ON entries (sha256_start) WHERE sha256_start IS NOT NULL;
CREATE INDEX by_sha512 ON entries (sha512_start) WHERE sha512_start IS NOT NULL;
CREATE TRIGGER entries_insert BEFORE INSERT ON entries
  WHEN NEW.seq IS NOT (SELECT coalesce(max(seq) + 1, 0) FROM entries)
  BEGIN SELECT raise(ABORT, 'entries are appended'); END;
CREATE TRIGGER entries_update BEFORE UPDATE ON entries BEGIN SELECT raise(ABORT, 'entries never change'); END;
CREATE TRIGGER entries_delete BEFORE DELETE ON entries BEGIN SELECT raise(ABORT, 'entries are never deleted'); END;

CREATE TABLE nodes (
  position INTEGER PRIMARY KEY,
  hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE TRIGGER nodes_insert BEFORE INSERT ON nodes
  WHEN NEW.position IS NOT (SELECT coalesce(max(position) + 1, 0) FROM nodes)
  BEGIN SELECT raise(ABORT, 'nodes are appended'); END;
CREATE TRIGGER nodes_update BEFORE UPDATE ON nodes BEGIN SELECT raise(ABORT, 'nodes never change'); END;
CREATE TRIGGER nodes_delete BEFORE DELETE ON nodes BEGIN SELECT raise(ABORT, 'nodes are never deleted'); END;

CREATE TABLE head (
  id INTEGER PRIMARY KEY CHECK (id = 0),
  checkpoint TEXT NOT NULL
) STRICT;
CREATE TRIGGER head_delete BEFORE DELETE ON head BEGIN SELECT raise(ABORT, 'the head is never deleted'); END;

CREATE TABLE private_records (
  seq INTEGER PRIMARY KEY REFERENCES entries (seq),
  salt BLOB NOT NULL CHECK (length(salt) = 16),
  record TEXT NOT NULL
) STRICT;
CREATE TRIGGER private_records_update BEFORE UPDATE ON private_records
  BEGIN SELECT raise(ABORT, 'private records never change'); END;
CREATE TRIGGER private_records_delete BEFORE DELETE ON private_records
  BEGIN SELECT raise(ABORT, 'private records are never deleted'); END;

CREATE TABLE package_lists (
  client TEXT NOT NULL,
  type TEXT NOT NULL,
  name TEXT NOT NULL,
  seq INTEGER NOT NULL REFERENCES entries (seq),
  sha256 TEXT NOT NULL,
  list TEXT NOT NULL,
  PRIMARY KEY (client, type, name)
) STRICT;
CREATE UNIQUE INDEX package_lists_by_age ON package_lists (client, seq);
CREATE UNIQUE INDEX package_lists_by_entry ON package_lists (seq);

CREATE TABLE refusals (
  client TEXT NOT NULL,
  code TEXT NOT NULL,
  since TEXT NOT NULL,
  logged INTEGER NOT NULL,
  further INTEGER NOT NULL,
  first TEXT,
  last TEXT,
  PRIMARY KEY (client, code)
) STRICT, WITHOUT ROWID;

CREATE TABLE acknowledgements (
  witness TEXT PRIMARY KEY,
  size INTEGER NOT NULL,
  note TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE forwarded (
  collector TEXT PRIMARY KEY,
  size INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`;
