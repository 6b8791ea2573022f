import { join } from "node:path";
import { Fault, quoted } from "../../outcome.ts";
import { Contradiction } from "../contradiction.ts";
import { maxBundleBytes, parseBundle, TILE_WIDTH, tilePath } from "../export/tile.ts";
import { CHECKPOINT_FILE, MAX_CHECKPOINT_BYTES } from "../export/tiles-export.ts";
import { MAX_ENTRY_BYTES } from "../log-entry.ts";
import type { AuditedLog } from "./audited-log.ts";
import { isUnreadable, readSmallFile } from "./regular-file.ts";

/**
 * An exported log (https://c2sp.org/tlog-tiles) in a folder, such as a mirror of the one that is served. Only its checkpoint and
 * its entries are read: whoever has all entries needs no tiles to recompute the tree. Controlled by: whoever filled the
 * folder. Fault `no-state` where there is no checkpoint in it.
 */
export function publishedLog(folder: string): AuditedLog {
  const note = readSmallFile(join(folder, CHECKPOINT_FILE), MAX_CHECKPOINT_BYTES);
  if (isUnreadable(note))
    throw new Fault(
      "no-state",
      `${quoted(folder, 200)} holds no exported log: its checkpoint: ${note.reason}`,
    );
  const checkpoint = note.toString("utf8");
  return {
    checkpoint,
    cosigned: [checkpoint],
    *lines(size) {
      for (let index = 0; index * TILE_WIDTH < size; index++)
        yield* readBundle(folder, index, Math.min(TILE_WIDTH, size - index * TILE_WIDTH));
    },
  };
}

function readBundle(folder: string, index: number, width: number): readonly string[] {
  const read = (partial: number) => {
    const name = tilePath({ kind: "entries", index, width: partial });
    return {
      name,
      bytes: readSmallFile(join(folder, name), maxBundleBytes(MAX_ENTRY_BYTES)),
      width: partial,
    };
  };
  let bundle = read(width);
  // The full one stands for a partial one that was deleted (tlog-tiles, "Partial Tiles").
  if (width < TILE_WIDTH && isUnreadable(bundle.bytes) && bundle.bytes.missing) {
    const full = read(TILE_WIDTH);
    if (!isUnreadable(full.bytes)) bundle = full;
  }
  const { name, bytes } = bundle;
  if (isUnreadable(bytes)) throw new Contradiction(undefined, `${name} of the exported log: ${bytes.reason}`);
  const lines = parseBundle(bytes, bundle.width);
  if (lines === undefined)
    throw new Contradiction(undefined, `${name} of the exported log is no bundle of ${bundle.width} entries`);
  return lines.slice(0, width);
}
