import { hash } from "node:crypto";

/**
 * The Merkle tree of RFC 6962 §2.1 over stored nodes. Pure: nodes come from a {@link NodeReader}.
 * A node is named by its level (0: leaves) and its index from the left; only nodes whose subtree is full are stored,
 * so a stored node never changes.
 */

/** SHA-256, 32 bytes. */
export const HASH_BYTES = 32;

/** Root of the tree without leaves (RFC 6962 §2.1: SHA-256 of nothing). */
export const EMPTY_ROOT: Uint8Array = sha256();

/**
 * Reads one stored node. Asked only for nodes that a tree of the size in question has stored; implementations MUST
 * throw where one is missing, and MUST return 32 bytes.
 */
export type NodeReader = (level: number, index: number) => Uint8Array;

function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  return hash("sha256", Buffer.concat(parts), "buffer");
}

const LEAF_PREFIX = Uint8Array.of(0x00); // RFC 6962 §2.1
const NODE_PREFIX = Uint8Array.of(0x01); // RFC 6962 §2.1

/** Hash of a leaf: SHA-256(0x00 ‖ bytes), RFC 6962 §2.1. */
export function hashLeaf(bytes: Uint8Array): Uint8Array {
  return sha256(LEAF_PREFIX, bytes);
}

/** Hash of an interior node: SHA-256(0x01 ‖ left ‖ right), RFC 6962 §2.1. */
export function hashChildren(left: Uint8Array, right: Uint8Array): Uint8Array {
  return sha256(NODE_PREFIX, left, right);
}

/** Number of nodes stored for a tree of `size` leaves: 2·size minus the one-bits of size. */
export function storedNodes(size: number): number {
  let total = 0;
  for (let width = size; width > 0; width = Math.floor(width / 2)) total += width;
  return total;
}

/**
 * Place of a node in the order in which nodes come into being: each leaf, followed by the parents that it completes.
 * Append-only, so storage sorted by it grows at its end alone. Level 0, index 0 is 0.
 */
export function nodePosition(level: number, index: number): number {
  const lastLeaf = (index + 1) * 2 ** level - 1;
  return storedNodes(lastLeaf) + level;
}

/** The largest power of two smaller than `size`, which is at least 2: where RFC 6962 §2.1 splits a tree. */
export function splitPoint(size: number): number {
  let split = 1;
  while (split * 2 < size) split *= 2;
  return split;
}

/**
 * Hash of the subtree over leaves `begin` to `begin + size` (exclusive), size at least 1, `begin` a multiple of the
 * power of two that covers `size`, as every subtree of RFC 6962 §2.1 is. Reads O(log size) nodes.
 */
export function subtreeHash(begin: number, size: number, read: NodeReader): Uint8Array {
  let level = 0;
  let width = 1;
  for (; width < size; width *= 2) level++;
  if (width === size) return read(level, begin / size);
  const split = width / 2;
  return hashChildren(subtreeHash(begin, split, read), subtreeHash(begin + split, size - split, read));
}

/** Root of the tree of the first `size` leaves, in O(log size) reads. `size` may be any size the log ever had. */
export function treeRoot(size: number, read: NodeReader): Uint8Array {
  return size === 0 ? EMPTY_ROOT : subtreeHash(0, size, read);
}

/**
 * The nodes that come into being when a leaf is appended to a tree of `size` leaves: the leaf's hash, then each parent
 * that it completes, lowest first. They take the positions from `storedNodes(size)` on. O(log size) reads.
 */
export function appendLeaf(size: number, leafHash: Uint8Array, read: NodeReader): readonly Uint8Array[] {
  const nodes = [leafHash];
  let node = leafHash;
  let index = size;
  for (let level = 0; index % 2 === 1; level++) {
    node = hashChildren(read(level, index - 1), node);
    nodes.push(node);
    index = (index - 1) / 2;
  }
  return nodes;
}
