import { Fault } from "../outcome.ts";
import { openCheckpoint, parseCheckpoint, type TreeHead } from "./checkpoint.ts";
import type { Database, Reads } from "./database.ts";
import { parseLogEntry } from "./log-entry.ts";
import { hashLeaf, type NodeReader, nodePosition, storedNodes, treeRoot } from "./merkle.ts";
import { parseSignedNote, parseVerifierKey, type VerifierKey } from "./signed-note.ts";

/** Both ends of the log, read and compared in O(log n): what it began as, and its newest head. */

/** Reads stored nodes; Fault `log-broken` where one is missing. */
export function nodeReader(database: Database): NodeReader {
  return (level, index) => {
    const hash = database.get("SELECT hash FROM nodes WHERE position = ?", nodePosition(level, index))?.[
      "hash"
    ];
    if (!(hash instanceof Uint8Array)) throw broken(`the tree lacks node ${level}/${index}`);
    return hash;
  };
}

/** The key that the log's first entry names, whose name is the log's origin. */
export function readVerifier(database: Database): VerifierKey {
  const line = database.get("SELECT line FROM entries WHERE seq = 0")?.["line"];
  const entry = typeof line === "string" ? parseLogEntry(line) : undefined;
  const key = entry?.kind === "started" ? parseVerifierKey(entry.verifier) : undefined;
  if (entry?.kind !== "started" || key?.name !== entry.origin)
    throw broken("the log does not begin with its origin and key");
  return key;
}

/** The newest signed checkpoint, whole, as it is stored. */
export function readCheckpoint(database: Reads): string {
  const checkpoint = database.get("SELECT checkpoint FROM head")?.["checkpoint"];
  if (typeof checkpoint !== "string") throw broken("the log has no checkpoint");
  return checkpoint;
}

/** A head, and the time of its last entry. */
export interface LogHead extends TreeHead {
  readonly lastTime: Date;
}

/**
 * The log's head, where all that says something about it agrees: the number of entries and of nodes, the last entry's hash,
 * the root of the right edge, the newest checkpoint. Fault `log-broken` otherwise.
 * The caller MUST hold a transaction, or a commit of somebody else between two reads looks like a broken log.
 * @param verifier also verifies the checkpoint's signature with it
 */
export function readHead(database: Database, verifier?: VerifierKey): LogHead {
  const row = database.get("SELECT seq, line FROM entries ORDER BY seq DESC LIMIT 1");
  const line = String(row?.["line"]);
  const last = parseLogEntry(line);
  if (last === undefined || last.seq !== row?.["seq"]) throw broken("the log's last line is no entry");
  const size = last.seq + 1;
  const nodes = Number(database.get("SELECT max(position) AS last FROM nodes")?.["last"] ?? -1) + 1;
  if (nodes !== storedNodes(size)) throw broken(`the tree does not have the nodes of ${size} entries`);
  const read = nodeReader(database);
  if (Buffer.compare(hashLeaf(Buffer.from(line)), read(0, size - 1)) !== 0) {
    throw broken(`entry ${size - 1} is not the one in the tree`);
  }
  const root = treeRoot(size, read);
  const note = readCheckpoint(database);
  const checkpoint =
    verifier === undefined
      ? parseCheckpoint(parseSignedNote(note)?.text ?? "")
      : openCheckpoint(note, verifier);
  if (checkpoint === undefined) throw broken("the newest checkpoint is not one of this log");
  if (checkpoint.size !== size) {
    throw broken(`the newest checkpoint is of ${checkpoint.size} entries, the log has ${size}`);
  }
  if (Buffer.compare(checkpoint.root, root) !== 0)
    throw broken("the tree does not have the root of the newest checkpoint");
  return { size, root, lastTime: new Date(last.time) };
}

function broken(what: string): Fault {
  return new Fault("log-broken", `${what}; \`signer-log verify\` says more`);
}
