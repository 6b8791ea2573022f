import type { Row } from "./database.ts";
import { GrowingTree } from "./growing-tree.ts";
import type { LogReader } from "./log-reader.ts";
import type { HeldCopy } from "./restore/held-copy.ts";

/** A log held against a copy of it. */
export interface Comparison {
  /**
   * `equal`; `copy-behind` and `log-behind`: the one is the beginning of the other; `contradiction`: they part before the
   * shorter one ends.
   */
  readonly kind: "equal" | "copy-behind" | "log-behind" | "contradiction";
  readonly logSize: number;
  readonly copySize: number;
  /** How many entries, from the first on, are the same. */
  readonly common: number;
  /** The first entry that differs, of a contradiction. */
  readonly difference: Difference | undefined;
}

/** An entry that is not the same in two logs. */
export interface Difference {
  readonly seq: number;
  /** The stored lines; undefined where there is none. */
  readonly log: string | undefined;
  readonly copy: string | undefined;
  /** Names of the members that differ, sorted; empty where a line is no JSON object, or where only the trees differ. */
  readonly members: readonly string[];
}

/**
 * Compares a log with a copy, asking the copy for O(log n) roots and one entry. The copy is believed that its tree is that of
 * its entries, which whoever holds it verifies.
 * @param sound how many of the log's first entries are those of its tree: {@link entriesInTree} says, or verification
 */
export async function compareLog(log: LogReader, sound: number, copy: HeldCopy): Promise<Comparison> {
  const { size: logSize } = log;
  const { size: copySize } = copy;
  const shorter = Math.min(logSize, copySize);
  const common = await lastSize(
    Math.min(shorter, sound),
    async (size) => Buffer.compare(log.rootAt(size), await copy.rootOf(size)) === 0,
  );
  const difference = common < shorter ? await differenceAt(common, log, copy) : undefined;
  return { kind: relation(logSize, copySize, common), logSize, copySize, common, difference };
}

function relation(logSize: number, copySize: number, common: number): Comparison["kind"] {
  if (common < Math.min(logSize, copySize)) return "contradiction";
  if (logSize === copySize) return "equal";
  return copySize < logSize ? "copy-behind" : "log-behind";
}

/**
 * The largest size up to `limit` at which two logs have the same root: how many of their first entries are the same. Asks
 * at most log2(limit) + 2 times, since logs that part never come together again.
 */
export async function lastSize(
  limit: number,
  sameRootAt: (size: number) => Promise<boolean>,
): Promise<number> {
  if (limit === 0 || (await sameRootAt(limit))) return limit;
  let same = 0; // The tree without leaves is the same everywhere.
  let different = limit;
  while (different - same > 1) {
    const middle = Math.floor((same + different) / 2);
    if (await sameRootAt(middle)) same = middle;
    else different = middle;
  }
  return same;
}

/**
 * How many entries, from the first on, are the ones that the tree was made of: all, unless something was changed beneath the
 * tree. One pass over the log.
 */
export function entriesInTree(
  { database, size }: LogReader,
  onProgress?: (done: number, size: number) => void,
): number {
  const tree = new GrowingTree();
  const nodes = database.iterate("SELECT hash FROM nodes ORDER BY position");
  const rows = database.iterate("SELECT seq, line FROM entries ORDER BY seq");
  try {
    for (const { seq, line } of rows) {
      const sound = tree.size;
      if (seq !== sound) return sound;
      for (const node of tree.append(Buffer.from(String(line)))) {
        const { value } = nodes.next() as { value: Row | undefined };
        const hash = value?.["hash"];
        if (!(hash instanceof Uint8Array) || Buffer.compare(hash, node) !== 0) return sound;
      }
      if (tree.size % 10_000 === 0) onProgress?.(tree.size, size);
    }
    return tree.size;
  } finally {
    rows.return();
    nodes.return();
  }
}

async function differenceAt(seq: number, log: LogReader, copy: HeldCopy): Promise<Difference> {
  let line: string | undefined;
  for await (const entry of copy.entries(seq, seq + 1)) line = entry.line;
  const own = log.line(seq);
  return { seq, log: own, copy: line, members: differingMembers(own, line) };
}

function differingMembers(a: string | undefined, b: string | undefined): readonly string[] {
  const left = membersOf(a);
  const right = membersOf(b);
  if (left === undefined || right === undefined) return [];
  return [...new Set([...left.keys(), ...right.keys()])]
    .filter((name) => left.get(name) !== right.get(name))
    .sort();
}

/** Members with their values as text. Either line may be anything: what cannot be read has none. */
function membersOf(line: string | undefined): ReadonlyMap<string, string> | undefined {
  try {
    const value: unknown = JSON.parse(line ?? "");
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    return new Map(Object.entries(value).map(([name, member]) => [name, JSON.stringify(member)]));
  } catch {
    return undefined;
  }
}
