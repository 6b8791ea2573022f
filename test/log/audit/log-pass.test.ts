import { describe, expect, test } from "vitest";
import type { AuditedLog } from "../../../src/log/audit/audited-log.ts";
import { readLog } from "../../../src/log/audit/log-pass.ts";
import { signCheckpoint } from "../../../src/log/checkpoint.ts";
import { Contradiction } from "../../../src/log/contradiction.ts";
import { cosign } from "../../../src/log/cosignature.ts";
import { treeRoot } from "../../../src/log/merkle.ts";
import { at, MINUTE } from "../fixture.ts";
import { MemoryTree } from "../memory-tree.ts";
import { newLogSigner, newWitness, SampleLog } from "../proof/fixture.ts";

const sample = new SampleLog(20);
const witness = newWitness();

/** The first ten entries, or as told. */
function logOf(changed: Partial<AuditedLog> = {}, lines: readonly string[] = sample.lines): AuditedLog {
  return {
    checkpoint: sample.checkpoint(10),
    cosigned: [sample.checkpoint(7, witness)],
    lines: (size) => lines.slice(0, size),
    ...changed,
  };
}

/** A log of these lines, its checkpoint signed by the key of the sample: what whoever has the key can make. */
function forged(lines: readonly string[]): AuditedLog {
  const tree = new MemoryTree();
  for (const line of lines) tree.append(Buffer.from(line));
  const head = { size: lines.length, root: treeRoot(lines.length, tree.read) };
  return logOf({ checkpoint: signCheckpoint(head, sample.signer), cosigned: [] }, lines);
}

function read(log: AuditedLog, numbers: readonly number[] = [], witnesses = [witness.key]) {
  return readLog(log, { verifier: sample.signer.verifier, witnesses, numbers: new Set(numbers) });
}

/** What is wrong with the log; `sound` where nothing is. */
function verdict(log: AuditedLog): string {
  try {
    read(log);
    return "sound";
  } catch (error) {
    if (error instanceof Contradiction) return `${error.seq ?? "-"}: ${error.message}`;
    throw error;
  }
}

describe("a log", () => {
  test("that is sound gives the entries and roots asked for, as far as it goes", () => {
    const log = read(logOf(), [0, 4, 10, 11]);
    expect([...log.entries.keys()]).toEqual([0, 4]);
    expect([...log.roots]).toEqual([0, 4, 10].map((size) => [size, sample.root(size)]));
    expect(log.cosigned).toMatchObject([{ head: { size: 7 }, at: at(7000) }]);
    expect([...log.newest.values()]).toMatchObject([{ seq: 9, name: "core.db.tar.gz" }]);
  });

  test("gives the newest states before a time", () => {
    const wanted = {
      verifier: sample.signer.verifier,
      witnesses: [],
      numbers: new Set<number>(),
      until: at(4000),
    };
    expect([...readLog(logOf(), wanted).newest.values()]).toMatchObject([{ seq: 3 }]);
  });

  test("counts only heads that the log signed and the witness cosigned, and of those the largest", () => {
    const stranger = signCheckpoint({ size: 9, root: sample.root(9) }, newLogSigner());
    const cosigned = [
      sample.checkpoint(5, witness),
      sample.checkpoint(2, witness),
      sample.checkpoint(8, newWitness()),
      cosign(stranger, witness, at(MINUTE)),
      "nonsense",
    ];
    expect(read(logOf({ cosigned })).cosigned).toMatchObject([{ head: { size: 5 } }]);
    expect(read(logOf({ cosigned: [] })).cosigned).toEqual([]);
  });
});

describe("a log is broken", () => {
  const [first = "", second = "", third = ""] = sample.lines;
  const other = new SampleLog(10);
  const cosigned = (size: number, root: Uint8Array) => [
    cosign(signCheckpoint({ size, root }, sample.signer), witness, at(0)),
  ];

  test.each<readonly [string, AuditedLog, RegExp]>([
    [
      "signed by another key",
      logOf({ checkpoint: other.checkpoint(10) }),
      /^-: its checkpoint is not signed by/,
    ],
    ["without a checkpoint", logOf({ checkpoint: "" }), /^-: its checkpoint is not signed by/],
    [
      "that ends early",
      logOf({}, sample.lines.slice(0, 9)),
      /^-: it has 9 entries and its checkpoint is of 10$/,
    ],
    [
      "that goes on",
      logOf({ lines: () => sample.lines }),
      /^-: it has 20 entries and its checkpoint is of 10$/,
    ],
    ["of other entries", logOf({}, other.lines), /^0: the log began with another key$/],
    [
      "whose last entry is another",
      logOf({}, [...sample.lines.slice(0, 9), (sample.lines[9] ?? "").replace("repos-db", "repos-dx")]),
      /^-: its entries are not the ones that its checkpoint was made of$/,
    ],
    [
      "cut off below what a witness cosigned",
      logOf({ cosigned: [sample.checkpoint(11, witness)] }),
      /^-: witness\.example\.net\/w1 cosigned 11 entries and it has 10/,
    ],
    [
      "other than what a witness cosigned",
      logOf({ cosigned: cosigned(7, Buffer.alloc(32)) }),
      /^-: its first 7 entries are not the ones that witness/,
    ],
    [
      "other than what a witness cosigned at its end",
      logOf({ cosigned: cosigned(10, Buffer.alloc(32)) }),
      /^-: its first 10 entries are not/,
    ],
    ["with a line that is no entry", forged([first, "{}"]), /^1: the line is not that entry$/],
    ["with an entry in another's place", forged([first, third]), /^1: the line is not that entry$/],
    [
      "that begins with a signature",
      forged([second.replace('"seq":1', '"seq":0')]),
      /^0: a log begins with a started entry/,
    ],
    [
      "that starts twice",
      forged([first, first.replace('"seq":0', '"seq":1')]),
      /^1: a log begins with a started entry, and once$/,
    ],
    [
      "whose time runs backwards",
      forged([first.replace("T12:00:00", "T12:00:05"), second]),
      /^1: the entry's time is before/,
    ],
    [
      "whose signature was made on another head",
      forged([first.replace("T12:00:00.000Z", "T11:59:59.000Z"), second]),
      /^1: the entry's signature was made for another log/,
    ],
  ])("%s", (_what, log, why) => {
    expect(verdict(log)).toMatch(why);
  });
});
