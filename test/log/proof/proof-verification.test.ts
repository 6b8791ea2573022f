import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { signCheckpoint } from "../../../src/log/checkpoint.ts";
import { cosign } from "../../../src/log/cosignature.ts";
import { encodeLogEntry, parseLogEntry, type SignedEntry } from "../../../src/log/log-entry.ts";
import { EMPTY_ROOT, treeRoot } from "../../../src/log/merkle.ts";
import { inclusionProof } from "../../../src/log/merkle-proof.ts";
import { openProof, type ProofKeys } from "../../../src/log/proof/proof-verification.ts";
import { rootBefore } from "../../../src/log/proof/root-before.ts";
import { encodeTlogProof, parseTlogProof, type TlogProof } from "../../../src/log/proof/tlog-proof.ts";
import { encodeSignatureLine, signNote } from "../../../src/log/signed-note.ts";
import { isRefusal } from "../../../src/outcome.ts";
import { at, ORIGIN, START } from "../fixture.ts";
import { treeOf } from "../memory-tree.ts";
import { newLogSigner, newWitness, SampleLog } from "./fixture.ts";

const log = new SampleLog(20);
const [one, two] = [newWitness(), newWitness("witness.example.org")];
const KEYS: ProofKeys = { log: log.signer.verifier, witnesses: [one.key, two.key] };
const GOOD = log.proof(7, 13, one, two);

/** What was wrong, or `proven`. */
function opening(text: string, keys = KEYS): string {
  const proven = openProof(text, keys);
  if (!isRefusal(proven)) return "proven";
  expect(proven.code).toBe("bad-proof");
  expect(proven.reason).toMatch(/^[\x20-\x7e]+$/);
  return proven.reason;
}

/** A proof with some of its parts replaced. */
function bent(changes: Partial<TlogProof>, text = GOOD): string {
  const proof = parseTlogProof(text);
  if (isRefusal(proof)) throw new Error(proof.reason);
  return encodeTlogProof({ ...proof, ...changes });
}

/** The proof of `line` as entry `index` of a log in which it took the place of what was there. */
function proofOf(line: string, index: number, lines = log.lines): string {
  const tree = treeOf(lines.with(index, line).map((text) => Buffer.from(text)));
  const checkpoint = signCheckpoint({ size: 13, root: treeRoot(13, tree.read) }, log.signer);
  return encodeTlogProof({
    extra: Buffer.from(line),
    index,
    path: inclusionProof(index, 13, tree.read),
    checkpoint,
  });
}

const entry = parseLogEntry(log.lines[7] ?? "") as SignedEntry;
const alone: ProofKeys = { ...KEYS, witnesses: [] };

test("a proof shows the entry, the head, and when each witness cosigned", () => {
  expect(openProof(GOOD, KEYS)).toEqual({
    entry,
    checkpoint: { origin: ORIGIN, size: 13, root: log.root(13) },
    cosigned: [
      { witness: one.key, at: at(13_000) },
      { witness: two.key, at: at(13_000) },
    ],
  });
});

test("each entry is proven in each tree that holds it, the claims of its signature included", () => {
  for (let size = 1; size <= 20; size++) {
    for (let index = 0; index < size; index++)
      expect(opening(log.proof(index, size), alone), `${index} of ${size}`).toBe("proven");
  }
});

test("an inclusion proof leads to the root of all entries before, too", () => {
  const leaves = Array.from({ length: 67 }, (_, i) => Buffer.from(`leaf ${i}`));
  const { read } = treeOf(leaves);
  for (let size = 1; size <= leaves.length; size++) {
    for (let index = 0; index < size; index++) {
      const before = rootBefore(index, size, inclusionProof(index, size, read));
      expect(
        Buffer.compare(before, index === 0 ? EMPTY_ROOT : treeRoot(index, read)),
        `${index} ${size}`,
      ).toBe(0);
    }
  }
});

test("no byte of a proof can be changed, but in signatures that nobody asks about", () => {
  const bytes = Buffer.from(GOOD);
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (position, mask) => {
      const changed = Buffer.from(bytes);
      changed[position] = (changed[position] ?? 0) ^ mask;
      expect(opening(changed.toString("utf8"))).not.toBe("proven");
    }),
    { numRuns: 400 },
  );
});

test("no line of a proof can go, come twice, or change places with the next", () => {
  const lines = GOOD.split("\n").slice(0, -1);
  const isCosignature = (i: number) => i >= lines.length - 3;
  for (const i of lines.keys()) {
    const line = lines[i] ?? "";
    const next = lines[i + 1] ?? "";
    expect(opening(`${lines.toSpliced(i, 1).join("\n")}\n`), `without ${i}`).not.toBe("proven");
    // Signature lines are a set (signed-note, "Signatures").
    if (isCosignature(i)) continue;
    expect(opening(`${lines.toSpliced(i, 0, line).join("\n")}\n`), `twice ${i}`).not.toBe("proven");
    expect(opening(`${lines.toSpliced(i, 2, next, line).join("\n")}\n`), `swapped ${i}`).not.toBe("proven");
  }
  const swapped = [...lines.slice(0, -3), ...lines.slice(-3).reverse()];
  expect(opening(`${swapped.join("\n")}\n`)).toBe("proven");
});

test("a proof that ends early is refused, wherever", () => {
  for (let length = 0; length < GOOD.length; length++)
    expect(opening(GOOD.slice(0, length))).not.toBe("proven");
});

describe("the first thing wrong is named:", () => {
  const no = "the path does not lead from entry 7 to the checkpoint's root";
  const path = inclusionProof(7, 13, log.tree.read);
  const foreign = newLogSigner("other.example.org");
  const root = log.root(13);
  test.each([
    ["no extra", bent({ extra: undefined }), "the entry expected as the extra data"],
    [
      "an extra that is no entry",
      bent({ extra: Buffer.from("{}") }),
      "the extra data is no well-formed entry",
    ],
    [
      "an extra of bytes",
      bent({ extra: Buffer.from("\u00e4\ud83d\ude00") }),
      "the extra data is no well-formed entry",
    ],
    ["an empty extra", bent({ extra: Buffer.of() }), "the extra data is no well-formed entry"],
    [
      "an entry with a newline",
      bent({ extra: Buffer.from(`${log.lines[7]}\n`) }),
      "the extra data is no well-formed entry",
    ],
    [
      "an extra as long as fits",
      bent({ extra: Buffer.alloc(200_000, 0x7b) }),
      "the extra data is no well-formed entry",
    ],
    [
      "another entry",
      bent({ extra: Buffer.from(log.lines[8] ?? "") }),
      "the index is 7, and the entry says that it is 8",
    ],
    ["another index", bent({ index: 6 }), "the index is 6, and the entry says that it is 7"],
    [
      "a huge index",
      bent({ index: Number.MAX_SAFE_INTEGER }),
      "the index is 9007199254740991, and the entry says that it is 7",
    ],
    ["a changed entry", bent({ extra: Buffer.from((log.lines[7] ?? "").replace("core", "c0re")) }), no],
    [
      "a checkpoint from before",
      bent({ checkpoint: log.checkpoint(7, one, two) }),
      "the checkpoint is of 7 entries, before there was an entry 7",
    ],
    ["a checkpoint of another size", bent({ checkpoint: log.checkpoint(14, one, two) }), no],
    ["a path too short", bent({ path: path.slice(1) }), no],
    ["a path too long", bent({ path: [...path, root] }), no],
    ["sixty-three hashes", bent({ path: Array(63).fill(root) }), no],
    ["a path in another order", bent({ path: path.toReversed() }), no],
    ["no path", bent({ path: [] }), no],
    [
      "another log's checkpoint",
      bent({ checkpoint: signCheckpoint({ size: 13, root }, foreign) }),
      `the checkpoint is of the log "other.example.org", expected "${ORIGIN}"`,
    ],
    [
      "one witness less",
      log.proof(7, 13, one),
      `the witness "witness.example.org" has not cosigned the checkpoint`,
    ],
    ["no witness", log.proof(7, 13), `the witness "witness.example.net/w1" has not cosigned the checkpoint`],
    [
      "another witness of that name",
      log.proof(7, 13, newWitness(), two),
      `the witness "witness.example.net/w1" has not cosigned the checkpoint`,
    ],
  ])("%s", (_why, text, what) => {
    expect(opening(text)).toBe(what);
  });

  test("the checkpoint of another key of the same name", () => {
    const checkpoint = signCheckpoint({ size: 13, root }, newLogSigner());
    expect(opening(bent({ checkpoint }))).toMatch(
      /^the checkpoint is not signed by the key signer\.example\.org\/repo\+/,
    );
  });

  test("a checkpoint that only witnesses signed", () => {
    const text = log.checkpoint(13).split("\n\n")[0] ?? "";
    const lines = log.checkpoint(13, one, two).split("\n").slice(-3, -1).join("\n");
    expect(opening(bent({ checkpoint: `${text}\n\n${lines}\n` }))).toMatch(
      /^the checkpoint is not signed by the key /,
    );
  });

  test("a cosignature made for another head", () => {
    const [, , stolen] = log.checkpoint(14, one, two).split("\n\n")[1]?.split("\n") ?? [];
    const checkpoint = `${log.checkpoint(13, one)}${stolen}\n`;
    expect(opening(bent({ checkpoint }))).toBe(
      `the witness "witness.example.org" has not cosigned the checkpoint`,
    );
  });
});

test("cosignatures of strangers are passed over, and those that come twice count once", () => {
  const stranger = cosign(log.checkpoint(13, one, two), newWitness("stranger.example.com"), START);
  const twice = cosign(stranger, one, at(99_000));
  const proven = openProof(bent({ checkpoint: twice }), KEYS);
  if (isRefusal(proven)) throw new Error(proven.reason);
  expect(proven.cosigned.map(({ at }) => at)).toEqual([at(99_000), at(13_000)]);
  const claims = { name: one.key.name, id: one.key.id, bytes: Buffer.alloc(72) };
  const spoilt = bent({ checkpoint: stranger + encodeSignatureLine(claims) });
  expect(opening(spoilt)).toBe(`the witness "witness.example.net/w1" has not cosigned the checkpoint`);
});

test("an extension line is part of what was signed", () => {
  const [text = ""] = log.checkpoint(13).split("\n\n");
  const extended = signNote(`${text}\nextension\n`, log.signer);
  expect(opening(bent({ checkpoint: extended }), alone)).toBe("proven");
  expect(opening(bent({ checkpoint: extended.replace("extension", "extensioN") }), alone)).toMatch(
    /^the checkpoint is not signed/,
  );
  expect(opening(bent({ checkpoint: extended.replace("extension\n", "") }), alone)).toMatch(
    /^the checkpoint is not signed/,
  );
});

describe("an entry in the log whose signature contradicts the log is none:", () => {
  const change = (changes: object) => proofOf(encodeLogEntry({ ...entry, ...changes } as SignedEntry), 7);
  const other = parseLogEntry(log.lines[6] ?? "") as SignedEntry;
  test.each([
    [
      "another name",
      change({ name: "extra.db.tar.gz" }),
      "entry 7: the entry's signature is for another type or name",
    ],
    ["another key", change({ key: "F".repeat(40) }), "entry 7: the entry's signature names another key"],
    [
      "another time",
      change({ time: at(8000).toISOString() }),
      "entry 7: the entry's signature was made at another time",
    ],
    [
      "another entry's signature",
      change({ signature: other.signature, time: other.time }),
      "entry 7: the entry's signature says that it is entry 6",
    ],
    [
      "no signature of ours",
      change({ signature: "AAAA" }),
      "entry 7: the entry's signature is not one made here: ",
    ],
    [
      "another log before it",
      proofOf(log.lines[7] ?? "", 7, log.lines.with(2, log.lines[1] ?? "")),
      "entry 7: the entry's signature was made for another log than the entries before it",
    ],
  ])("%s", (_why, text, what) => {
    expect(opening(text, alone).slice(0, what.length)).toBe(what);
  });

  const { expires: _expires, facts: _facts, ...shared } = { expires: undefined, ...entry };
  const reissue = (changes: object = {}) =>
    proofOf(
      encodeLogEntry({
        ...shared,
        kind: "reissued",
        seq: 9,
        of: 7,
        time: at(9000).toISOString(),
        ...changes,
      } as never),
      9,
    );
  test("but a reissued one is proven, where its signature is that of the entry it names", () => {
    expect(opening(reissue(), alone)).toBe("proven");
    for (const changes of [
      { of: 6 },
      { of: 9 },
      { name: "x" },
      { type: "iso" },
      { key: "F".repeat(40) },
      { signature: other.signature },
    ])
      expect(opening(reissue(changes), alone), JSON.stringify(changes)).toBe(
        `entry 9: the signature is not that of entry ${"of" in changes ? changes.of : 7} that the entry reissues`,
      );
    const later = parseLogEntry(log.lines[12] ?? "") as SignedEntry;
    expect(opening(reissue({ of: 12, signature: later.signature }), alone)).toBe(
      "entry 9: the signature is not that of entry 12 that the entry reissues",
    );
    expect(opening(reissue({ signature: "AAAA" }), alone)).toMatch(
      /^entry 9: the signature is not one made here: /,
    );
  });
});
