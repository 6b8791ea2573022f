import { appendLeaf, hashLeaf, treeRoot } from "./merkle.ts";

/**
 * A tree that only grows, of which nothing is kept but the full subtrees at its right edge: log2(size) hashes. For
 * recomputing a log of any length entry by entry.
 */
export class GrowingTree {
  /** By level, the hash of the last full subtree of 2^level leaves. */
  readonly #edge: Uint8Array[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Appends a leaf; returns the nodes that come into being, in the order of their positions. */
  append(leaf: Uint8Array): readonly Uint8Array[] {
    const nodes = appendLeaf(this.#size, hashLeaf(leaf), this.#read);
    for (const [level, node] of nodes.entries()) this.#edge[level] = node;
    this.#size++;
    return nodes;
  }

  /** RFC 6962 root of the leaves so far. */
  root(): Uint8Array {
    return treeRoot(this.#size, this.#read);
  }

  /** Appending and the root ask only for the last full subtree of a level. */
  readonly #read = (level: number): Uint8Array => {
    const node = this.#edge[level];
    if (node === undefined) throw new Error(`the tree has no full subtree of level ${level}`);
    return node;
  };
}
