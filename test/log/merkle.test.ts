import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { EMPTY_ROOT, hashLeaf, nodePosition, storedNodes, treeRoot } from "../../src/log/merkle.ts";
import { treeOf } from "./memory-tree.ts";
import { LEAVES, LEVELS, ROOTS } from "./rfc6962-vectors.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

test("the root of no leaves is the hash of nothing", () => {
  expect(hex(EMPTY_ROOT)).toBe(ROOTS[0]);
  expect(hex(treeRoot(0, treeOf([]).read))).toBe(ROOTS[0]);
});

test("the roots of 1 to 8 leaves are the published ones", () => {
  for (let size = 1; size <= 8; size++) {
    expect(hex(treeRoot(size, treeOf(LEAVES.slice(0, size)).read)), `size ${size}`).toBe(ROOTS[size]);
  }
});

test("every node of the tree of 8 leaves is the published one", () => {
  const tree = treeOf(LEAVES);
  LEVELS.forEach((nodes, level) => {
    nodes.forEach((node, index) => {
      expect(hex(tree.read(level, index)), `node ${level}/${index}`).toBe(node);
    });
  });
});

test("a grown tree still has the root of every smaller size", () => {
  const tree = treeOf(LEAVES);
  for (let size = 0; size <= 8; size++) expect(hex(treeRoot(size, tree.read))).toBe(ROOTS[size]);
});

test("the root agrees with the definition of RFC 6962 at every size to 130", () => {
  const leaves = Array.from({ length: 130 }, (_, i) => Buffer.from(`leaf ${i}`));
  const tree = treeOf(leaves);
  for (let size = 1; size <= leaves.length; size++) {
    expect(hex(treeRoot(size, tree.read)), `size ${size}`).toBe(hex(definition(leaves.slice(0, size))));
  }
});

/** MTH of RFC 6962 §2.1, word for word, sharing nothing with the code under test. */
function definition(leaves: readonly Uint8Array[]): Buffer {
  const hash = createHash("sha256");
  if (leaves.length === 1)
    return hash
      .update("\0")
      .update(leaves[0] ?? "")
      .digest();
  let k = 1;
  while (k * 2 < leaves.length) k *= 2;
  return hash
    .update("\x01")
    .update(definition(leaves.slice(0, k)))
    .update(definition(leaves.slice(k)))
    .digest();
}

test("positions count every node once, in the order in which leaves complete them", () => {
  expect([nodePosition(0, 0), nodePosition(0, 1), nodePosition(1, 0), nodePosition(0, 2)]).toEqual([
    0, 1, 2, 3,
  ]);
  const positions = new Set<number>();
  for (let level = 0; level <= 6; level++) {
    for (let index = 0; index < 64 / 2 ** level; index++) positions.add(nodePosition(level, index));
  }
  expect(positions.size).toBe(127);
  expect(Math.max(...positions)).toBe(126);
  expect(storedNodes(64)).toBe(127);
});

test("positions and counts stay exact where 32 bits would not", () => {
  expect(storedNodes(2 ** 40)).toBe(2 ** 41 - 1);
  expect(nodePosition(40, 0)).toBe(2 ** 41 - 2);
  expect(nodePosition(0, 2 ** 40)).toBe(2 ** 41 - 1);
});

test("a root reads no more nodes than the size has one-bits", () => {
  const tree = treeOf(Array.from({ length: 1000 }, (_, i) => Buffer.from(`${i}`)));
  let reads = 0;
  const counting = (level: number, index: number) => {
    reads++;
    return tree.read(level, index);
  };
  treeRoot(1000, counting);
  expect(reads).toBe(6); // 1000 = 0b1111101000
});

test("a leaf and an interior node of the same bytes hash differently", () => {
  const left = hashLeaf(Buffer.from("a"));
  const right = hashLeaf(Buffer.from("b"));
  const root = treeRoot(2, treeOf([Buffer.from("a"), Buffer.from("b")]).read);
  expect(hex(hashLeaf(Buffer.concat([left, right])))).not.toBe(hex(root));
});
