import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, test } from "vitest";
import { openAcknowledgement } from "../../../src/log/acknowledgements.ts";
import { LogCopy } from "../../../src/log/copy/log-copy.ts";
import { packageList } from "../../../src/log/package-list.ts";
import { encodeVerifierKey } from "../../../src/log/signed-note.ts";
import { at, DAY, faultCode, HOUR, linesOf, MINUTE, sign, tamper } from "../fixture.ts";
import { appendOf, copyVerdict, freshCopy, growLog, reopenCopy, sampleLog, WITNESS_NAME } from "./fixture.ts";

const NOW = at(DAY);

/** The kind of answer, and how large the head is that it shows. */
function outcome(answer: ReturnType<LogCopy["append"]>): string {
  if ("cosignedAt" in answer) return `cosigned ${answer.checkpoint.size}`;
  return answer.kind === "conflict" ? "conflict" : answer.code;
}

describe("a new copy", () => {
  test("is empty, has a witness key of its own, and nobody else may read it", async () => {
    const { ledger } = await sampleLog(1);
    const { copy, directory } = freshCopy(ledger);
    expect(copy.newest()).toMatchObject({ size: 0, acknowledgement: undefined });
    expect(copy.witness.name).toBe(WITNESS_NAME);
    expect(
      readdirSync(directory)
        .filter((file) => !/-(wal|shm)$/.test(file))
        .sort(),
    ).toEqual(["log.db", "log.pub", "witness.key", "witness.pub"]);
    for (const file of readdirSync(directory)) expect(statSync(join(directory, file)).mode & 0o077).toBe(0);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(readFileSync(join(directory, "log.pub"), "utf8")).toBe(`${encodeVerifierKey(ledger.verifier)}\n`);
  });

  test("is not made where a copy or a log is, and not opened where there is none", async () => {
    const { ledger, directory: state } = await sampleLog(1);
    const { directory } = freshCopy(ledger);
    const options = { verifier: ledger.verifier, witnessName: WITNESS_NAME };
    for (const taken of [directory, state])
      expect(await faultCode(() => LogCopy.create(taken, options))).toBe("bad-configuration");
    expect(await faultCode(() => LogCopy.open(state))).toBe("no-state");
    expect(await faultCode(() => LogCopy.open(join(directory, "missing")))).toBe("no-state");
  });
});

describe("an append", () => {
  test("is stored whole, cosigned, and sound, whatever the steps", async () => {
    const { ledger, directory: original } = await sampleLog(23);
    const { copy, directory } = freshCopy(ledger);
    for (const [from, to] of [
      [0, 1],
      [1, 7],
      [7, 8],
      [8, 23],
    ] as const) {
      expect(outcome(copy.append(appendOf(ledger, from, to), NOW))).toBe(`cosigned ${to}`);
      expect(reopenCopy(directory).newest().size).toBe(to);
    }
    expect(linesOf(directory)).toEqual(linesOf(original));
    expect(copyVerdict(directory)).toBe("sound");
    const { acknowledgement, root } = copy.newest();
    expect(openAcknowledgement(acknowledgement?.note ?? "", ledger.verifier, copy.witness)).toMatchObject({
      checkpoint: { size: 23, root },
      cosignedAt: NOW,
    });
  });

  test("may begin below the end, where it must say what the copy says, and is answered with the newest head", async () => {
    const { ledger } = await sampleLog(12);
    const { copy } = freshCopy(ledger);
    expect(outcome(copy.append(appendOf(ledger, 0, 9), NOW))).toBe("cosigned 9");
    expect(outcome(copy.append(appendOf(ledger, 0, 9), NOW))).toBe("cosigned 9");
    expect(outcome(copy.append(appendOf(ledger, 2, 5), NOW))).toBe("cosigned 9");
    expect(outcome(copy.append(appendOf(ledger, 4, 12), NOW))).toBe("cosigned 12");
    await growLog(ledger, 14);
    expect(outcome(copy.append(appendOf(ledger, 13, 14), NOW))).toBe("bad-request");
    expect(copy.newest().size).toBe(12);
  });
});

test("a package list that was replaced before it could be sent has an empty place, and the copy is sound at each step", async () => {
  const { ledger, directory: original } = await sampleLog(2);
  const { copy, directory } = freshCopy(ledger);
  const signWith = (seq: number, version: string) =>
    sign(ledger, at(HOUR + seq * MINUTE), {
      extra: { packages: packageList([{ name: "acl", version, sha256: undefined }]) },
    });
  await signWith(2, "1-1");
  copy.append(appendOf(ledger, 0, 3), NOW);
  await signWith(3, "2-1");
  await signWith(4, "1-1");
  await sign(ledger, at(2 * HOUR), { name: "extra.db.tar.gz", extra: { packages: packageList([]) } });
  for (const [from, to] of [
    [3, 4],
    [4, 5],
    [5, 6],
  ] as const) {
    expect(outcome(copy.append(appendOf(ledger, from, to), NOW))).toBe(`cosigned ${to}`);
    expect(copyVerdict(directory)).toBe("sound");
  }
  const lists = (folder: string) => {
    const database = new DatabaseSync(join(folder, "log.db"));
    const rows = database.prepare("SELECT * FROM package_lists ORDER BY seq").all();
    database.close();
    return rows;
  };
  expect(lists(directory)).toEqual(lists(original));
  tamper(directory, "UPDATE package_lists SET list = 'acl 3-1 -' || char(10) WHERE seq = 4");
  expect(copyVerdict(directory)).toBe("4: the entry's package list was changed");
});
