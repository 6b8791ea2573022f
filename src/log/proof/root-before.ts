import { EMPTY_ROOT, hashChildren } from "../merkle.ts";
import type { Proof } from "../merkle-proof.ts";

/**
 * Root of the tree of the leaves before leaf `index`, out of the leaf's inclusion proof in a tree of `size` leaves, which MUST
 * have been verified: the siblings to the left of the path are the full subtrees that the smaller tree is made of
 * (RFC 6962 §2.1 splits both at the same places).
 */
export function rootBefore(index: number, size: number, path: Proof): Uint8Array {
  let root: Uint8Array | undefined;
  let position = index;
  let last = size - 1;
  for (const sibling of path) {
    // A node without a right sibling is its own parent (RFC 9162 §2.1.3.2).
    while (position === last && position % 2 === 0 && position > 0) {
      position /= 2;
      last /= 2;
    }
    if (position % 2 === 1) root = root === undefined ? sibling : hashChildren(sibling, root);
    position = Math.floor(position / 2);
    last = Math.floor(last / 2);
  }
  return root ?? EMPTY_ROOT;
}
