import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { openCheckpoint } from "../../../src/log/checkpoint.ts";
import { hashLeaf, treeRoot } from "../../../src/log/merkle.ts";
import {
  consistencyProof,
  inclusionProof,
  verifyConsistency,
  verifyInclusion,
} from "../../../src/log/merkle-proof.ts";
import { openProof } from "../../../src/log/proof/proof-verification.ts";
import { encodeTlogProof } from "../../../src/log/proof/tlog-proof.ts";
import { encodeVerifierKey } from "../../../src/log/signed-note.ts";
import { isRefusal } from "../../../src/outcome.ts";
import { run } from "../../support/run.ts";
import { freshDirectory } from "../fixture.ts";
import { treeOf } from "../memory-tree.ts";
import { LEAVES, LEVELS, ROOTS } from "../rfc6962-vectors.ts";
import { newWitness, SampleLog } from "./fixture.ts";
import { askSecond, SECOND } from "./second-implementation.ts";
import {
  SIGSUM_CHECKPOINT,
  SIGSUM_COSIGNED_AT,
  SIGSUM_INDEX,
  SIGSUM_LEAF,
  SIGSUM_LOG,
  SIGSUM_PATH,
  SIGSUM_ROOT,
  SIGSUM_SIZE,
  SIGSUM_WITNESS,
} from "./sigsum-vector.ts";

/*
 * Everything that proves something is put to a verifier in Python, too, which shares no code with this one: what ours accepts it
 * accepts, and what ours refuses it refuses.
 */

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const BIGGEST = 70;
const witness = newWitness();
let log: SampleLog;
beforeAll(() => {
  log = new SampleLog(BIGGEST);
});

/** What both say of a proof: `true` accepted, `false` refused. */
async function bothOn(proofs: readonly Uint8Array[]): Promise<readonly (readonly [boolean, boolean])[]> {
  const keys = { log: log.signer.verifier, witnesses: [witness.key] };
  const request = {
    do: "proof",
    key: encodeVerifierKey(keys.log),
    witnesses: keys.witnesses.map(encodeVerifierKey),
  };
  const answers = await askSecond(proofs.map((proof) => ({ ...request, proof: hex(proof) })));
  return proofs.map((proof, i) => [!isRefusal(openProof(decoded(proof), keys)), answers[i]?.ok === true]);
}

/** As the command line reads a file; what is not UTF-8 is no proof. */
function decoded(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return "";
  }
}

describe("published vectors:", () => {
  test("the trees of RFC 6962 have their roots, and their proofs verify", async () => {
    const root = (size: number) => ({ do: "root", leaves: LEAVES.slice(0, size).map(hex) });
    const answers = await askSecond(ROOTS.map((_, size) => root(size)));
    expect(answers.map((answer) => answer["root"])).toEqual(ROOTS);
    const node = (level: number, index: number) => LEVELS[level]?.[index];
    const inclusions = (
      [
        [0, 1, []],
        [0, 8, [node(0, 1), node(1, 1), node(2, 1)]],
        [5, 8, [node(0, 4), node(1, 3), node(2, 0)]],
        [2, 3, [node(1, 0)]],
        [1, 5, [node(0, 0), node(1, 1), node(0, 4)]],
      ] as const
    ).map(([index, size, path]) => ({
      do: "inclusion",
      leaf: node(0, index),
      index,
      size,
      path,
      root: ROOTS[size],
    }));
    const consistencies = (
      [
        [1, 1, []],
        [1, 8, [node(0, 1), node(1, 1), node(2, 1)]],
        [2, 5, [node(1, 1), node(0, 4)]],
        [6, 8, [node(1, 2), node(1, 3), node(2, 0)]],
      ] as const
    ).map(([first, second, proof]) => ({
      do: "consistency",
      first,
      second,
      roots: [ROOTS[first], ROOTS[second]],
      proof,
    }));
    for (const answer of await askSecond([...inclusions, ...consistencies]))
      expect(answer).toEqual({ ok: true });
    const moved = inclusions.map((request) => ({ ...request, index: request.index ^ 1 }));
    for (const answer of await askSecond(moved)) expect(answer).toMatchObject({ ok: false });
  });

  test("an entry of a public log is proven by both, with its witness", async () => {
    const leaf = hashLeaf(SIGSUM_LEAF);
    expect(verifyInclusion(leaf, SIGSUM_INDEX, SIGSUM_SIZE, SIGSUM_PATH, SIGSUM_ROOT)).toBe(true);
    expect(openCheckpoint(SIGSUM_CHECKPOINT, SIGSUM_LOG)?.size).toBe(SIGSUM_SIZE);
    const proof = encodeTlogProof({
      extra: SIGSUM_LEAF,
      index: SIGSUM_INDEX,
      path: SIGSUM_PATH,
      checkpoint: SIGSUM_CHECKPOINT,
    });
    const [answer] = await askSecond([
      {
        do: "proof",
        proof: hex(Buffer.from(proof)),
        key: encodeVerifierKey(SIGSUM_LOG),
        witnesses: [encodeVerifierKey(SIGSUM_WITNESS)],
      },
    ]);
    expect(answer).toMatchObject({
      ok: true,
      index: SIGSUM_INDEX,
      size: SIGSUM_SIZE,
      root: hex(SIGSUM_ROOT),
      cosigned: [SIGSUM_COSIGNED_AT.getTime() / 1000],
    });
  });
});

test("every entry of every tree up to 70 is proven to both", async () => {
  const proofs: Buffer[] = [];
  for (let size = 1; size <= BIGGEST; size++) {
    for (let index = 0; index < size; index++) proofs.push(Buffer.from(log.proof(index, size, witness)));
  }
  for (const verdicts of await bothOn(proofs)) expect(verdicts).toEqual([true, true]);
});

test("every tree up to 70 is shown to begin the larger ones, to both, and with another root to neither", async () => {
  const leaves = Array.from({ length: BIGGEST }, (_, i) => Buffer.from(`leaf ${i}`));
  const { read } = treeOf(leaves);
  const requests: object[] = [];
  const ours: boolean[] = [];
  for (let second = 0; second <= BIGGEST; second++) {
    for (let first = 0; first <= second; first++) {
      const proof = consistencyProof(first, second, read);
      // Every fifth with the wrong root of one size or the other.
      const shift = (first + second) % 5 === 0 ? 1 : 0;
      const roots = [treeRoot(Math.max(first - shift, 0), read), treeRoot(second, read)] as const;
      requests.push({ do: "consistency", first, second, roots: roots.map(hex), proof: proof.map(hex) });
      ours.push(verifyConsistency(first, second, roots[0], roots[1], proof));
    }
  }
  const theirs = await askSecond(requests);
  expect(theirs.map(({ ok }) => ok)).toEqual(ours);
  expect(new Set(ours).size).toBe(2);
});

test("paths that are bent, cut, too long or of other numbers are refused by both", async () => {
  const leaves = Array.from({ length: BIGGEST }, (_, i) => Buffer.from(`leaf ${i}`));
  const { read } = treeOf(leaves);
  const requests: object[] = [];
  const ours: boolean[] = [];
  for (let size = 1; size <= BIGGEST; size += 3) {
    for (let index = 0; index < size; index += 5) {
      const [leaf, root] = [hashLeaf(leaves[index] ?? Buffer.of()), treeRoot(size, read)];
      const path = inclusionProof(index, size, read);
      const flipped = path.map((hash, i) => (i === index % path.length ? root : hash));
      for (const [at, of, hashes] of [
        [index, size, path],
        [index, size, flipped],
        [index, size, path.slice(1)],
        [index, size, path.slice(0, -1)],
        [index, size, [...path, root]],
        [index, size, path.toReversed()],
        [index ^ 1, size, path],
        [index, size + 1, path],
        [index, Math.max(size - 1, 1), path],
        [size, size, path],
        [index, 2 ** 40, path],
      ] as const) {
        requests.push({
          do: "inclusion",
          leaf: hex(leaf),
          index: at,
          size: of,
          path: hashes.map(hex),
          root: hex(root),
        });
        ours.push(verifyInclusion(leaf, at, of, hashes, root));
      }
    }
  }
  const theirs = await askSecond(requests);
  expect(theirs.map(({ ok }) => ok)).toEqual(ours);
  expect(new Set(ours).size).toBe(2);
});

test("both judge alike of proofs with any byte bent, any line gone, doubled or moved", async () => {
  const good = Buffer.from(log.proof(41, 59, witness));
  const lines = good.toString().split("\n").slice(0, -1);
  const joined = (some: readonly string[]) => Buffer.from(`${some.join("\n")}\n`);
  const bent = [good];
  for (let i = 0; i < good.length; i += i < good.indexOf("\n\n") ? 11 : 5) {
    const copy = Buffer.from(good);
    copy[i] = (copy[i] ?? 0) ^ (1 << (i % 8));
    bent.push(copy);
  }
  for (const [i, line] of lines.entries()) {
    bent.push(joined(lines.toSpliced(i, 1)), joined(lines.toSpliced(i, 0, line)));
    bent.push(joined(lines.toSpliced(i, 2, lines[i + 1] ?? "", line)), joined(lines.with(i, `${line} `)));
    bent.push(joined(lines.with(i, `${line}\r`)), joined(lines.with(i, "")));
  }
  bent.push(Buffer.concat([good, Buffer.from("\n")]), good.subarray(0, -1), Buffer.from(`\ufeff${good}`));
  const verdicts = await bothOn(bent);
  for (const [i, [ours, theirs]] of verdicts.entries())
    expect(theirs, JSON.stringify(bent[i]?.toString())).toBe(ours);
  const accepted = bent.filter((_, i) => verdicts[i]?.[0] === true).map((text) => text.toString());
  // The good one; a signature line that comes twice, or before the other.
  expect(new Set(accepted).size).toBe(4);
});

/** A folder of C2SP tiles, written here from the specification: entries, level 0 and the checkpoint. */
function writeTiles(size: number): string {
  const folder = freshDirectory();
  const write = (name: string, content: Uint8Array | string) => {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  };
  const entries = log.lines.slice(0, size).map((line) => Buffer.from(line));
  const bundle = entries.flatMap((entry) => [Buffer.of(entry.length >> 8, entry.length & 0xff), entry]);
  write("checkpoint", log.checkpoint(size, witness));
  write(`tile/entries/000.p/${size}`, Buffer.concat(bundle));
  write(`tile/0/000.p/${size}`, Buffer.concat(entries.map(hashLeaf)));
  return folder;
}

test("the second implementation recomputes a folder of tiles, and finds a changed entry, tile or checkpoint", async () => {
  const key = encodeVerifierKey(log.signer.verifier);
  const tiles = async (folder: string) => {
    const args = ["--key", key, "--witness", encodeVerifierKey(witness.key)];
    const { status, stdout } = await run("python3", ["-B", SECOND, "tiles", folder, ...args]);
    return [status, JSON.parse(stdout.toString())];
  };
  const good = writeTiles(BIGGEST);
  expect(await tiles(good)).toMatchObject([
    0,
    { ok: true, size: BIGGEST, root: hex(log.root(BIGGEST)), tiles: 1 },
  ]);
  const [entries, tile] = ["tile/entries/000.p/70", "tile/0/000.p/70"];
  for (const name of [entries, tile, "checkpoint"]) {
    const folder = writeTiles(BIGGEST);
    const other = writeTiles(BIGGEST - 1);
    writeFileSync(join(folder, name), "");
    expect(await tiles(folder), name).toMatchObject([1, { ok: false }]);
    if (name === "checkpoint") writeFileSync(join(folder, name), log.checkpoint(BIGGEST - 1));
    else writeFileSync(join(folder, name), hex(Buffer.from(other)));
    expect(await tiles(folder), name).toMatchObject([1, { ok: false }]);
  }
});
