import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Fault, isRefusal, quoted, type Refusal, refusal } from "../../outcome.ts";
import { type Checkpoint, parseCheckpoint } from "../checkpoint.ts";
import { nodeReader } from "../log-head.ts";
import type { LogReader } from "../log-reader.ts";
import { hashLeaf, type NodeReader, treeRoot } from "../merkle.ts";
import { isSignedBy, parseSignedNote, type VerifierKey } from "../signed-note.ts";
import type { ExportedHead } from "./exported-head.ts";
import { PublicFolder } from "./public-folder.ts";
import {
  encodeBundle,
  foldTile,
  fullTiles,
  newTiles,
  nodesFromTiles,
  partialFolder,
  TILE_HEIGHT,
  TILE_WIDTH,
  type Tile,
  tileKinds,
  tilePath,
} from "./tile.ts";

/** What an export did. */
export interface TilesExport {
  readonly kind: "tiles-export";
  /** Entries that the folder held. */
  readonly before: number;
  /** Entries that it holds now. */
  readonly size: number;
  /** Files written, the checkpoint included. */
  readonly files: number;
}

/** Name of the checkpoint's file (tlog-tiles, "Checkpoints"). */
export const CHECKPOINT_FILE = "checkpoint";
/** A longer note is none. */
export const MAX_CHECKPOINT_BYTES = 256 * 1024;

export interface TilesExportOptions {
  readonly verifier: VerifierKey;
  /** What {@link readPublished} read before the log was opened. */
  readonly published: string | undefined;
  readonly onProgress?: ((done: number, size: number) => void) | undefined;
}

/**
 * Brings a folder of tiles (https://c2sp.org/tlog-tiles) up to `head`, a head of the log. Only what is new is written; a file
 * that is there is never changed, but for the checkpoint, which comes last, when all that it is over is durable. What is
 * published was recomputed from the entries, as far as it is new; flat memory.
 *
 * `bad-request` for a folder of something else, or of another log. Faults: `log-broken` where the folder holds a head of this log's
 * key that is none of this log, or the log contradicts itself; `reply-not-delivered` where the folder cannot be written.
 */
export function exportTiles(
  reader: LogReader,
  head: ExportedHead,
  folder: string,
  { verifier, published, onProgress }: TilesExportOptions,
): TilesExport | Refusal {
  const target = new PublicFolder(folder);
  const earlier = openPublished(published, verifier, target, folder);
  if (isRefusal(earlier)) return earlier;
  if (earlier !== undefined) expectContinued(reader, earlier, folder);
  const before = earlier?.size ?? 0;
  const nodes = nodeReader(reader.database);
  if (Buffer.compare(treeRoot(head.size, nodesFromTiles(nodes)), head.root) !== 0)
    throw contradiction("the tree does not have the root of its checkpoint");
  if (before > head.size) return { kind: "tiles-export", before, size: before, files: 0 };

  let files = 0;
  for (const kind of tileKinds(head.size)) {
    if (kind === "entries") continue; // comes with the leaves
    for (const tile of newTiles(kind, before, head.size)) {
      if (kind === 0) {
        const lines = linesOf(reader, tile);
        files += put(target, { ...tile, kind: "entries" }, encodeBundle(lines));
        files += put(target, tile, Buffer.concat(leavesOf(lines, tile, nodes)));
        onProgress?.(tile.index * TILE_WIDTH + tile.width, head.size);
      } else files += put(target, tile, Buffer.concat(hashesOf(tile, nodes)));
    }
  }
  target.sync();
  // Somebody else's export may have come further meanwhile, from a newer view of the log: a published head never goes back.
  const now = openPublished(readPublished(folder), verifier, target, folder);
  if (isRefusal(now)) return now;
  if (now !== undefined && now.size > head.size)
    return { kind: "tiles-export", before, size: now.size, files };
  files += put(target, undefined, Buffer.from(head.note));
  target.sync();
  removeOldPartials(target, before, head.size);
  return { kind: "tiles-export", before, size: head.size, files };
}

/**
 * The checkpoint's file of a folder; undefined where there is none, empty where it is no file of a note's size. To be read before the log is opened: what an export that
 * runs at the same time publishes later may be newer than this view of the log.
 */
export function readPublished(folder: string): string | undefined {
  const path = join(folder, CHECKPOINT_FILE);
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) return undefined;
    return found.isFile() && found.size <= MAX_CHECKPOINT_BYTES ? readFileSync(path, "utf8") : "";
  } catch (cause) {
    const { code = "unknown" } = cause as NodeJS.ErrnoException;
    throw new Fault("reply-not-delivered", `${quoted(path, 200)} cannot be read (${code})`, { cause });
  }
}

/** The head that the folder holds, signed by the log's key; undefined where it holds nothing yet. */
function openPublished(
  published: string | undefined,
  verifier: VerifierKey,
  target: PublicFolder,
  folder: string,
): Checkpoint | undefined | Refusal {
  if (published === undefined) {
    return target.names().every((name) => name === "tile" || name === CHECKPOINT_FILE)
      ? undefined
      : refusal(
          "bad-request",
          `${quoted(folder, 200)} holds files and no exported log: expected a folder of its own`,
        );
  }
  const note = parseSignedNote(published);
  const checkpoint = note && parseCheckpoint(note.text);
  if (note === undefined || checkpoint === undefined)
    return refusal(
      "bad-request",
      `${quoted(folder, 200)} holds a file ${CHECKPOINT_FILE} that is no checkpoint of a log`,
    );
  if (checkpoint.origin === verifier.name && isSignedBy(note, verifier)) return checkpoint;
  const which = checkpoint.origin === verifier.name ? "a log of another key" : "another log";
  return refusal(
    "bad-request",
    `${quoted(folder, 200)} holds ${which}, ${quoted(checkpoint.origin, 255)}: expected a folder of its own`,
  );
}

/** The log's own key signed what is published: where it is no head of this log, this is not the log that it was. */
function expectContinued(reader: LogReader, { size, root }: Checkpoint, folder: string): void {
  if (size > reader.size)
    throw new Fault(
      "log-broken",
      `${quoted(folder, 200)} holds ${size} entries of this log, which has ${reader.size}: its end was removed`,
    );
  if (!equal(reader.rootAt(size), root))
    throw new Fault(
      "log-broken",
      `${quoted(folder, 200)} holds ${size} entries that are not the ones of this log, signed with its key`,
    );
}

/** Writes a tile or, undefined, the checkpoint, unless it is there; the number of files written. */
function put(target: PublicFolder, tile: Tile | undefined, bytes: Uint8Array): 0 | 1 {
  const name = tile === undefined ? CHECKPOINT_FILE : tilePath(tile);
  const path = target.path(name);
  const found = statSync(path, { throwIfNoEntry: false });
  if (found !== undefined) {
    const same = found.isFile() && found.size === bytes.length && readFileSync(path).equals(bytes);
    if (same) {
      target.keep(name);
      return 0;
    }
    if (tile !== undefined)
      throw new Fault(
        "log-broken",
        `${quoted(path, 200)} is there and is not what this log has: it, or this log, was changed`,
      );
  }
  target.write(name, bytes);
  return 1;
}

function linesOf(reader: LogReader, { index, width }: Tile): readonly string[] {
  const begin = index * TILE_WIDTH;
  const rows = reader.database.all(
    "SELECT line FROM entries WHERE seq >= ? AND seq < ? ORDER BY seq",
    begin,
    begin + width,
  );
  if (rows.length !== width) throw contradiction(`an entry from ${begin} to ${begin + width - 1} is missing`);
  return rows.map(({ line }) => String(line));
}

/** Hashes of the lines, which are those in the tree. */
function leavesOf(
  lines: readonly string[],
  { index, width }: Tile,
  nodes: NodeReader,
): readonly Uint8Array[] {
  const leaves = lines.map((line) => hashLeaf(Buffer.from(line)));
  if (width === TILE_WIDTH && equal(foldTile(leaves), nodes(TILE_HEIGHT, index))) return leaves;
  const wrong = leaves.findIndex((leaf, i) => !equal(leaf, nodes(0, index * TILE_WIDTH + i)));
  if (wrong >= 0) throw contradiction(`entry ${index * TILE_WIDTH + wrong} is not the one in the tree`);
  if (width === TILE_WIDTH) throw contradiction(`node ${TILE_HEIGHT}/${index} is not that of its entries`);
  return leaves;
}

function hashesOf({ kind, index, width }: Tile, nodes: NodeReader): readonly Uint8Array[] {
  const level = Number(kind) * TILE_HEIGHT;
  const hashes = Array.from({ length: width }, (_, i) => nodes(level, index * TILE_WIDTH + i));
  if (width === TILE_WIDTH && !equal(foldTile(hashes), nodes(level + TILE_HEIGHT, index)))
    throw contradiction(`node ${level + TILE_HEIGHT}/${index} is not that of its entries`);
  return hashes;
}

/** Partial tiles whose full ones are there now; a client that still wants one takes the full one (tlog-tiles, "Partial Tiles"). */
function removeOldPartials(target: PublicFolder, before: number, size: number): void {
  for (const kind of tileKinds(size)) {
    for (let index = fullTiles(kind, before); index < fullTiles(kind, size); index++)
      target.removeNumbered(partialFolder({ kind, index }));
  }
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function contradiction(what: string): Fault {
  return new Fault("log-broken", `${what}; \`signer-log verify\` says more`);
}
