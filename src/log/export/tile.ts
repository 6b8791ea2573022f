import { HASH_BYTES, hashChildren, type NodeReader } from "../merkle.ts";

/**
 * A log as static files (https://c2sp.org/tlog-tiles): where they are and what is in them. Pure.
 * A tile holds hashes of one level, up to 256 side by side; the one above it holds a hash for each full tile.
 */

/** Hashes in a full tile, entries in a full bundle (tlog-tiles, "Merkle Tree"). */
export const TILE_WIDTH = 256;
/** Levels of the tree from one level of tiles to the next: 2^8 is {@link TILE_WIDTH}. */
export const TILE_HEIGHT = 8;
/** Each entry of a bundle begins with its length, 16 bits, big-endian (tlog-tiles, "Log entries"). */
const LENGTH_BYTES = 2;

/** What a file under `tile/` holds: hashes of a level, or entries. */
export type TileKind = number | "entries";

/** One tile or bundle. */
export interface Tile {
  readonly kind: TileKind;
  /** From the left, zero-based. */
  readonly index: number;
  /** 1 to 256; less than 256 where it is partial. */
  readonly width: number;
}

/** Path below the log's prefix, with slashes: `tile/0/x001/067` or, partial, `tile/0/x001/067.p/112`. */
export function tilePath({ kind, index, width }: Tile): string {
  const full = `tile/${kind}/${indexPath(index)}`;
  return width === TILE_WIDTH ? full : `${full}.p/${width}`;
}

/** The folder that holds the partial ones of a tile. */
export function partialFolder({ kind, index }: Pick<Tile, "kind" | "index">): string {
  return `tile/${kind}/${indexPath(index)}.p`;
}

/** 1234067 is `x001/x234/067` (tlog-tiles, "Merkle Tree"). */
function indexPath(index: number): string {
  const digits = String(index);
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, "0").match(/.{3}/g) ?? [];
  return groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group)).join("/");
}

/** Number of hashes that tiles of `level` hold for a log of `size` entries: those of full subtrees of 256^level leaves. */
export function hashesAt(level: number, size: number): number {
  return Math.floor(size / TILE_WIDTH ** level);
}

/**
 * Tiles of a kind that a log of `size` entries has and one of `before` did not: full ones, from the left, and the partial one
 * at the end where there is one.
 */
export function* newTiles(kind: TileKind, before: number, size: number): Generator<Tile, void, undefined> {
  const level = kind === "entries" ? 0 : kind;
  const hashes = hashesAt(level, size);
  const full = Math.floor(hashes / TILE_WIDTH);
  for (let index = fullTiles(kind, before); index < full; index++) yield { kind, index, width: TILE_WIDTH };
  const width = hashes % TILE_WIDTH;
  if (width > 0) yield { kind, index: full, width };
}

/** Number of full tiles of a kind. */
export function fullTiles(kind: TileKind, size: number): number {
  return Math.floor(hashesAt(kind === "entries" ? 0 : kind, size) / TILE_WIDTH);
}

/** Kinds of tiles of a log of `size` entries: `entries`, and each level that has a hash. */
export function tileKinds(size: number): readonly TileKind[] {
  const kinds: TileKind[] = ["entries"];
  for (let level = 0; hashesAt(level, size) > 0; level++) kinds.push(level);
  return kinds;
}

/** The hash over the hashes of a full tile: the one that stands for it a level higher. */
export function foldTile(hashes: readonly Uint8Array[]): Uint8Array {
  let row = hashes;
  while (row.length > 1) row = pairs(row);
  const [root] = row;
  if (root === undefined) throw new RangeError("a tile has at least one hash");
  return root;
}

function pairs(row: readonly Uint8Array[]): readonly Uint8Array[] {
  const parents: Uint8Array[] = [];
  for (let i = 0; i < row.length; i += 2) {
    const [left, right] = [row[i], row[i + 1]];
    if (left === undefined || right === undefined)
      throw new RangeError("the width of a fold is a power of two");
    parents.push(hashChildren(left, right));
  }
  return parents;
}

/** Reads any node from the levels that tiles hold alone, as whoever has only the tiles must. */
export function nodesFromTiles(read: NodeReader): NodeReader {
  return (level, index) => {
    const above = level % TILE_HEIGHT;
    const width = 2 ** above;
    return foldTile(Array.from({ length: width }, (_, i) => read(level - above, index * width + i)));
  };
}

/** The entries of a bundle, each with its length. Throws a RangeError for one of more than 65,535 bytes. */
export function encodeBundle(lines: readonly string[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const line of lines) {
    const bytes = Buffer.from(line);
    const length = Buffer.alloc(LENGTH_BYTES);
    length.writeUInt16BE(bytes.length);
    parts.push(length, bytes);
  }
  return Buffer.concat(parts);
}

/** The longest bundle of entries of at most `maxEntryBytes`, in bytes. */
export function maxBundleBytes(maxEntryBytes: number): number {
  return TILE_WIDTH * (LENGTH_BYTES + maxEntryBytes);
}

/**
 * Reads exactly `width` entries; undefined where the bytes end early, go on, or an entry is no ASCII, which lines of a log
 * are. Controlled by: whoever serves the bundle.
 */
export function parseBundle(bytes: Buffer, width: number): readonly string[] | undefined {
  const lines: string[] = [];
  let position = 0;
  while (lines.length < width) {
    if (position + LENGTH_BYTES > bytes.length) return undefined;
    const begin = position + LENGTH_BYTES;
    position = begin + bytes.readUInt16BE(position);
    if (position > bytes.length) return undefined;
    const line = bytes.toString("latin1", begin, position);
    if (!/^[\x20-\x7e]*$/.test(line)) return undefined;
    lines.push(line);
  }
  return position === bytes.length ? lines : undefined;
}

/** Bytes of a tile of hashes. */
export function tileBytes(width: number): number {
  return width * HASH_BYTES;
}
