import { EMPTY_ROOT, HASH_BYTES, hashChildren, type NodeReader, splitPoint, subtreeHash } from "./merkle.ts";

/** Inclusion and consistency proofs (RFC 6962 §2.1.1 and §2.1.2), made from stored nodes and verified without them. */

/** Hashes of a proof, in the order of RFC 6962; at most 2·log2(size). */
export type Proof = readonly Uint8Array[];

function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/**
 * Proof that leaf `index` is in the tree of `size` leaves (PATH, RFC 6962 §2.1.1).
 * Throws a RangeError unless 0 ≤ index < size; `size` MUST NOT exceed the log that `read` reads.
 */
export function inclusionProof(index: number, size: number, read: NodeReader): Proof {
  if (!isSize(index) || !isSize(size) || index >= size) {
    throw new RangeError("an inclusion proof needs 0 <= index < size");
  }
  const proof: Uint8Array[] = [];
  let begin = 0;
  let width = size;
  while (width > 1) {
    const split = splitPoint(width);
    if (index - begin < split) {
      proof.unshift(subtreeHash(begin + split, width - split, read));
      width = split;
    } else {
      proof.unshift(subtreeHash(begin, split, read));
      begin += split;
      width -= split;
    }
  }
  return proof;
}

/**
 * Whether `proof` leads from the leaf's hash at `index` to `root` in a tree of `size` leaves (RFC 9162 §2.1.3.2).
 * Every argument may be a stranger's; nonsense is `false`.
 */
export function verifyInclusion(
  leafHash: Uint8Array,
  index: number,
  size: number,
  proof: Proof,
  root: Uint8Array,
): boolean {
  if (!isSize(index) || !isSize(size) || index >= size || !areHashes([leafHash, root, ...proof]))
    return false;
  let node = leafHash;
  let position = index;
  let last = size - 1;
  for (const sibling of proof) {
    if (last === 0) return false;
    if (position % 2 === 1 || position === last) {
      node = hashChildren(sibling, node);
      while (position % 2 === 0 && position !== 0) {
        position /= 2;
        last = Math.floor(last / 2);
      }
    } else {
      node = hashChildren(node, sibling);
    }
    position = Math.floor(position / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && equal(node, root);
}

/**
 * Proof that the tree of `first` leaves is the beginning of the tree of `second` (PROOF, RFC 6962 §2.1.2).
 * Empty where first is 0 or equals second. Throws a RangeError unless 0 ≤ first ≤ second.
 */
export function consistencyProof(first: number, second: number, read: NodeReader): Proof {
  if (!isSize(first) || !isSize(second) || first > second) {
    throw new RangeError("a consistency proof needs 0 <= first <= second");
  }
  if (first === 0 || first === second) return [];
  const proof: Uint8Array[] = [];
  let begin = 0;
  let width = second;
  // Descends along the right edge of the first tree until its end is the end of a subtree.
  while (begin + width !== first) {
    const split = splitPoint(width);
    if (first - begin <= split) {
      proof.unshift(subtreeHash(begin + split, width - split, read));
      width = split;
    } else {
      proof.unshift(subtreeHash(begin, split, read));
      begin += split;
      width -= split;
    }
  }
  // Whoever verifies knows the first root; the subtree is told only where it is not the whole first tree.
  if (begin !== 0) proof.unshift(subtreeHash(begin, width, read));
  return proof;
}

/**
 * Whether `proof` shows that the tree of `first` leaves with `firstRoot` is the beginning of the tree of `second` leaves
 * with `secondRoot` (RFC 9162 §2.1.4.2). Every argument may be a stranger's; nonsense is `false`.
 */
export function verifyConsistency(
  first: number,
  second: number,
  firstRoot: Uint8Array,
  secondRoot: Uint8Array,
  proof: Proof,
): boolean {
  if (!isSize(first) || !isSize(second) || first > second) return false;
  if (!areHashes([firstRoot, secondRoot, ...proof])) return false;
  if (first === second) return proof.length === 0 && equal(firstRoot, secondRoot);
  if (first === 0) return proof.length === 0 && equal(firstRoot, EMPTY_ROOT);
  let position = first - 1;
  let last = second - 1;
  while (position % 2 === 1) {
    position = Math.floor(position / 2);
    last = Math.floor(last / 2);
  }
  // Where the first tree is one full subtree, its root begins the path; otherwise the proof says what does.
  const path = position === 0 ? [firstRoot, ...proof] : proof;
  const [start, ...rest] = path;
  if (start === undefined) return false;
  let firstNode = start;
  let secondNode = start;
  for (const node of rest) {
    if (last === 0) return false;
    if (position % 2 === 1 || position === last) {
      firstNode = hashChildren(node, firstNode);
      secondNode = hashChildren(node, secondNode);
      while (position % 2 === 0 && position !== 0) {
        position /= 2;
        last = Math.floor(last / 2);
      }
    } else {
      secondNode = hashChildren(secondNode, node);
    }
    position = Math.floor(position / 2);
    last = Math.floor(last / 2);
  }
  return last === 0 && equal(firstNode, firstRoot) && equal(secondNode, secondRoot);
}

function areHashes(hashes: readonly Uint8Array[]): boolean {
  return hashes.every((hash) => hash.length === HASH_BYTES);
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
