import { appendLeaf, hashLeaf, type NodeReader, nodePosition, storedNodes } from "../../src/log/merkle.ts";

/** A tree in memory, its nodes in the order of their positions, as the ledger stores them. */
export class MemoryTree {
  readonly nodes: Uint8Array[] = [];
  size = 0;

  readonly read: NodeReader = (level, index) => {
    const node = this.nodes[nodePosition(level, index)];
    if (node === undefined) throw new Error(`node ${level}/${index} is not stored`);
    return node;
  };

  append(leaf: Uint8Array): void {
    const fresh = appendLeaf(this.size, hashLeaf(leaf), this.read);
    if (storedNodes(this.size) !== this.nodes.length) throw new Error("positions do not follow each other");
    this.nodes.push(...fresh);
    this.size++;
  }
}

/** A tree of the given leaves. */
export function treeOf(leaves: readonly Uint8Array[]): MemoryTree {
  const tree = new MemoryTree();
  for (const leaf of leaves) tree.append(leaf);
  return tree;
}
