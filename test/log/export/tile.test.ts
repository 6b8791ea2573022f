import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  encodeBundle,
  foldTile,
  fullTiles,
  newTiles,
  nodesFromTiles,
  parseBundle,
  type Tile,
  type TileKind,
  tileKinds,
  tilePath,
} from "../../../src/log/export/tile.ts";
import { treeRoot } from "../../../src/log/merkle.ts";
import { MemoryTree } from "../memory-tree.ts";

const count = (kind: TileKind, before: number, size: number) => [...newTiles(kind, before, size)];

describe("paths of tiles", () => {
  test.each([
    [0, "tile/0/000"],
    [67, "tile/0/067"],
    [999, "tile/0/999"],
    [1000, "tile/0/x001/000"],
    [1_234_067, "tile/0/x001/x234/067"], // the specification's example
    [12_345_067, "tile/0/x012/x345/067"],
  ])("of number %d is %s", (index, path) => {
    expect(tilePath({ kind: 0, index, width: 256 })).toBe(path);
  });

  test("of a partial one ends in its width", () => {
    expect(tilePath({ kind: "entries", index: 1000, width: 112 })).toBe("tile/entries/x001/000.p/112");
    expect(tilePath({ kind: 1, index: 0, width: 1 })).toBe("tile/1/000.p/1");
  });
});

describe("tiles of a log", () => {
  test("of 70,000 entries are those of the specification's example", () => {
    expect(tileKinds(70_000)).toEqual(["entries", 0, 1, 2]);
    const summary = (kind: TileKind) => {
      const tiles = count(kind, 0, 70_000);
      return [tiles.filter(({ width }) => width === 256).length, tiles.at(-1)?.width];
    };
    expect(summary("entries")).toEqual([273, 112]);
    expect(summary(0)).toEqual([273, 112]);
    expect(summary(1)).toEqual([1, 17]);
    expect(summary(2)).toEqual([0, 1]);
  });

  test("of 256 entries are a full one and one of a single hash above it", () => {
    expect(count(0, 0, 256)).toEqual([{ kind: 0, index: 0, width: 256 }]);
    expect(count(1, 0, 256)).toEqual([{ kind: 1, index: 0, width: 1 }]);
  });

  test("that a log has grown by, together with the full ones before, are those of the log", () => {
    fc.assert(
      fc.property(fc.nat(200_000), fc.nat(200_000), (one, other) => {
        const [before, size] = [Math.min(one, other), Math.max(one, other)];
        for (const kind of tileKinds(size)) {
          const old: Tile[] = Array.from({ length: fullTiles(kind, before) }, (_, index) => ({
            kind,
            index,
            width: 256,
          }));
          expect([...old, ...count(kind, before, size)]).toEqual(count(kind, 0, size));
        }
      }),
      { numRuns: 50 },
    );
  });

  test("give the root of the tree without any other node", () => {
    const tree = new MemoryTree();
    for (let size = 1; size <= 700; size++) {
      tree.append(Buffer.from(String(size)));
      if (size % 7 !== 0 && size % 256 > 1) continue;
      const read = (level: number, index: number) => {
        expect(level % 8).toBe(0);
        return tree.read(level, index);
      };
      expect(treeRoot(size, nodesFromTiles(read))).toEqual(treeRoot(size, tree.read));
    }
  });

  test("are folded from full rows only", () => {
    const hash = Buffer.alloc(32);
    expect(() => foldTile([hash, hash, hash])).toThrow(RangeError);
    expect(() => foldTile([])).toThrow(RangeError);
  });
});

describe("an entry bundle", () => {
  const lines = ["{}", "x".repeat(300), ""];
  const bundle = Buffer.from(encodeBundle(lines));

  test("gives each entry its length in sixteen bits", () => {
    expect(bundle.subarray(0, 6).toString("latin1")).toBe("\x00\x02{}\x01\x2c");
    expect(parseBundle(bundle, 3)).toEqual(lines);
  });

  test("is refused cut off anywhere, longer, of another number of entries, or with what is no text", () => {
    for (let length = 0; length < bundle.length; length++)
      expect(parseBundle(bundle.subarray(0, length), 3)).toBeUndefined();
    expect(parseBundle(Buffer.concat([bundle, Buffer.alloc(1)]), 3)).toBeUndefined();
    expect(parseBundle(bundle, 2)).toBeUndefined();
    expect(parseBundle(bundle, 4)).toBeUndefined();
    for (const octet of [0x0a, 0x1b, 0x7f, 0x80, 0xff])
      expect(parseBundle(Buffer.of(0, 1, octet), 1)).toBeUndefined();
  });

  test("cannot hold an entry that its length does not fit", () => {
    expect(() => encodeBundle(["x".repeat(65_536)])).toThrow(RangeError);
  });
});
