import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EMPTY_ROOT, hashLeaf, treeRoot } from "../../src/log/merkle.ts";
import {
  consistencyProof,
  inclusionProof,
  type Proof,
  verifyConsistency,
  verifyInclusion,
} from "../../src/log/merkle-proof.ts";
import { treeOf } from "./memory-tree.ts";
import { LEAVES, LEVELS, ROOTS } from "./rfc6962-vectors.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const bytes = (text: string | undefined) => Buffer.from(text ?? "", "hex");
const node = (level: number, index: number) => LEVELS[level]?.[index] ?? "";
const published = treeOf(LEAVES);

const SIZE = 67;
const leaves = Array.from({ length: SIZE }, (_, i) => Buffer.from(`leaf ${i}`));
const tree = treeOf(leaves);
const roots = Array.from({ length: SIZE + 1 }, (_, size) => treeRoot(size, tree.read));
const root = (size: number) => roots[size] ?? EMPTY_ROOT;
const leaf = (index: number) => hashLeaf(leaves[index] ?? Buffer.of());

describe("published proofs", () => {
  test.each([
    [0, 1, []],
    [0, 8, [node(0, 1), node(1, 1), node(2, 1)]],
    [5, 8, [node(0, 4), node(1, 3), node(2, 0)]],
    [2, 3, [node(1, 0)]],
    [1, 5, [node(0, 0), node(1, 1), node(0, 4)]],
  ] as const)("leaf %i is in the tree of %i leaves", (index, size, hashes) => {
    const proof = inclusionProof(index, size, published.read);
    expect(proof.map(hex)).toEqual(hashes);
    expect(verifyInclusion(bytes(node(0, index)), index, size, proof, bytes(ROOTS[size]))).toBe(true);
  });

  test.each([
    [1, 1, []],
    [1, 8, [node(0, 1), node(1, 1), node(2, 1)]],
    [2, 5, [node(1, 1), node(0, 4)]],
    [6, 8, [node(1, 2), node(1, 3), node(2, 0)]],
  ] as const)("the tree of %i leaves begins the tree of %i", (first, second, hashes) => {
    const proof = consistencyProof(first, second, published.read);
    expect(proof.map(hex)).toEqual(hashes);
    expect(verifyConsistency(first, second, bytes(ROOTS[first]), bytes(ROOTS[second]), proof)).toBe(true);
  });
});

test("every leaf of every size has a proof that verifies, and for no other index or size", () => {
  for (let size = 1; size <= SIZE; size++) {
    for (let index = 0; index < size; index++) {
      const proof = inclusionProof(index, size, tree.read);
      expect(verifyInclusion(leaf(index), index, size, proof, root(size))).toBe(true);
      expect(verifyInclusion(leaf(index), index + 1, size, proof, root(size))).toBe(false);
      expect(verifyInclusion(leaf(index), index - 1, size, proof, root(size))).toBe(false);
      expect(verifyInclusion(leaf((index + 1) % SIZE), index, size, proof, root(size))).toBe(false);
    }
  }
});

test("every size is shown to begin every larger one", () => {
  for (let second = 0; second <= SIZE; second++) {
    for (let first = 0; first <= second; first++) {
      const proof = consistencyProof(first, second, tree.read);
      expect(verifyConsistency(first, second, root(first), root(second), proof), `${first} ${second}`).toBe(
        true,
      );
    }
  }
});

/** Ways to bend a proof: one bit of one hash, one hash less, one more, two swapped, a short hash. */
const bend = fc.oneof(
  fc.record({ kind: fc.constant("flip" as const), at: fc.nat(), bit: fc.nat(255) }),
  fc.record({ kind: fc.constant("drop" as const), at: fc.nat() }),
  fc.record({
    kind: fc.constant("insert" as const),
    at: fc.nat(),
    value: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  }),
  fc.record({ kind: fc.constant("shorten" as const), at: fc.nat() }),
);

function bent(proof: Proof, how: typeof bend extends fc.Arbitrary<infer T> ? T : never): Proof | undefined {
  const copy = proof.map((hash) => Uint8Array.from(hash));
  const at = copy.length === 0 ? 0 : how.at % copy.length;
  const target = copy[at];
  if (how.kind === "insert") return copy.toSpliced(at, 0, how.value);
  if (target === undefined) return undefined;
  if (how.kind === "drop") return copy.toSpliced(at, 1);
  if (how.kind === "shorten") return copy.with(at, target.subarray(1));
  target[how.bit >> 3] = (target[how.bit >> 3] ?? 0) ^ (1 << (how.bit & 7));
  return copy;
}

test("a bent inclusion proof, leaf, root or size is refused", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: SIZE }),
      fc.nat(),
      bend,
      fc.integer({ min: 1, max: SIZE }),
      (size, at, how, other) => {
        const index = at % size;
        const proof = inclusionProof(index, size, tree.read);
        const broken = bent(proof, how);
        if (broken !== undefined)
          expect(verifyInclusion(leaf(index), index, size, broken, root(size))).toBe(false);
        if (other !== size) expect(verifyInclusion(leaf(index), index, size, proof, root(other))).toBe(false);
      },
    ),
    { numRuns: 500 },
  );
});

test("a bent consistency proof or root is refused", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: SIZE }),
      fc.nat(),
      bend,
      fc.integer({ min: 0, max: SIZE }),
      (second, at, how, other) => {
        const first = at % (second + 1);
        const proof = consistencyProof(first, second, tree.read);
        const broken = bent(proof, how);
        if (broken !== undefined)
          expect(verifyConsistency(first, second, root(first), root(second), broken)).toBe(false);
        if (other !== first)
          expect(verifyConsistency(first, second, root(other), root(second), proof)).toBe(false);
        if (other !== second && first !== 0) {
          expect(verifyConsistency(first, second, root(first), root(other), proof)).toBe(false);
        }
      },
    ),
    { numRuns: 500 },
  );
});

test("a rewritten leaf before the first size has no consistency proof", () => {
  for (let changed = 0; changed < 8; changed++) {
    const forged = treeOf(leaves.map((bytes, index) => (index === changed ? Buffer.from("forged") : bytes)));
    const proof = consistencyProof(8, SIZE, forged.read);
    expect(verifyConsistency(8, SIZE, root(8), treeRoot(SIZE, forged.read), proof)).toBe(false);
  }
});

test("numbers that no tree has are refused, not computed with", () => {
  const proof = inclusionProof(3, 8, tree.read);
  for (const bad of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
    expect(verifyInclusion(leaf(3), bad, 8, proof, root(8))).toBe(false);
    expect(verifyInclusion(leaf(3), 3, bad, proof, root(8))).toBe(false);
    expect(verifyConsistency(bad, 8, root(3), root(8), proof)).toBe(false);
    expect(verifyConsistency(3, bad, root(3), root(8), proof)).toBe(false);
    expect(() => inclusionProof(bad, 8, tree.read)).toThrow(RangeError);
    expect(() => inclusionProof(3, bad, tree.read)).toThrow(RangeError);
    expect(() => consistencyProof(bad, 8, tree.read)).toThrow(RangeError);
    expect(() => consistencyProof(3, bad, tree.read)).toThrow(RangeError);
  }
  for (const bad of [-1, 1.5, 2 ** 53]) expect(verifyConsistency(bad, bad, root(3), root(3), [])).toBe(false);
  expect(() => inclusionProof(8, 8, tree.read)).toThrow(RangeError);
  expect(() => consistencyProof(9, 8, tree.read)).toThrow(RangeError);
  expect(verifyInclusion(leaf(8), 8, 8, [], root(8))).toBe(false);
  expect(verifyConsistency(9, 8, root(9), root(8), [])).toBe(false);
});

test("what is no hash is refused, even where it equals itself", () => {
  const short = root(1).subarray(1);
  expect(verifyConsistency(1, 1, short, short, [])).toBe(false);
  expect(verifyInclusion(short, 0, 1, [], short)).toBe(false);
});

test("the empty tree begins every tree, with its own root and an empty proof only", () => {
  expect(verifyConsistency(0, 5, EMPTY_ROOT, root(5), [])).toBe(true);
  expect(verifyConsistency(0, 5, root(5), root(5), [])).toBe(false);
  expect(verifyConsistency(0, 5, EMPTY_ROOT, root(5), [root(5)])).toBe(false);
  expect(verifyConsistency(5, 5, root(5), root(5), [root(5)])).toBe(false);
  expect(verifyConsistency(3, 5, root(3), root(5), [])).toBe(false);
});
