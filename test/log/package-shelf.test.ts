import { expect, test } from "vitest";
import { LogReader } from "../../src/log/log-reader.ts";
import { packageList } from "../../src/log/package-list.ts";
import { MAX_LISTS_PER_CLIENT } from "../../src/log/package-shelf.ts";
import { at, entriesOf, freshLedger, refused, sign, verdict } from "./fixture.ts";
import { signatureRecord } from "./signature-record.ts";

const packages = (version: string) => packageList([{ name: "acl", version, sha256: undefined }]);

function shelf(directory: string): readonly unknown[] {
  const reader = LogReader.open(directory);
  try {
    const rows = reader.database.all("SELECT client, type, name, seq, list FROM package_lists ORDER BY seq");
    return rows.map(({ client, type, name, seq, list }) => [client, type, name, seq, list]);
  } finally {
    reader.close();
  }
}

test("a signed database's list is kept, its digest among the entry's facts", async () => {
  const { ledger, directory } = freshLedger();
  const list = packages("1");
  const { entry } = await sign(ledger, at(1), { extra: { packages: list } });
  expect(entry).toMatchObject({ facts: { packages: 1, packages_sha256: list.sha256 } });
  expect(shelf(directory)).toEqual([["repos", "db", "core.db.tar.gz", 1, "acl 1 -\n"]]);
});

test("only the newest of each client, type and name is kept; the digests stay", async () => {
  const { ledger, directory } = freshLedger();
  await sign(ledger, at(1), { extra: { packages: packages("1") } });
  await sign(ledger, at(2), { extra: { packages: packages("2") } });
  await sign(ledger, at(3), { extra: { packages: packages("3") }, type: "files" });
  await sign(ledger, at(4), { extra: { packages: packages("4") }, client: "other" });
  await sign(ledger, at(5), { extra: { packages: packages("5") }, name: null });
  expect(shelf(directory)).toEqual([
    ["repos", "db", "core.db.tar.gz", 2, "acl 2 -\n"],
    ["repos", "files", "core.db.tar.gz", 3, "acl 3 -\n"],
    ["other", "db", "core.db.tar.gz", 4, "acl 4 -\n"],
    ["repos", "db", "", 5, "acl 5 -\n"],
  ]);
  expect(entriesOf(directory)[1]).toMatchObject({ facts: { packages_sha256: packages("1").sha256 } });
  expect(verdict(directory)).toBe("sound");
});

test("the same list again is not written again; another and the same are", async () => {
  const { ledger, directory } = freshLedger();
  const seqs: unknown[] = [];
  for (const version of ["1", "1", "2", "1"]) {
    await sign(ledger, at(1), { extra: { packages: packages(version) } });
    seqs.push(shelf(directory).map((row) => (row as unknown[])[3]));
  }
  expect(seqs).toEqual([[1], [1], [3], [4]]);
  expect(verdict(directory)).toBe("sound");
});

test("a client has a thousand lists at most: what has been the same the longest goes, of this client only", async () => {
  const { ledger, directory } = freshLedger();
  await ledger.transact(at(1), (tx) => {
    const append = (client: string, name: string, version: string) => {
      const record = signatureRecord(tx, { client, name, content: "x" });
      tx.append(record.fields, { packages: packages(version) });
    };
    append("other", "first", "1");
    for (let i = 0; i < MAX_LISTS_PER_CLIENT; i++) append("repos", `name-${i}`, "1");
    append("repos", "name-0", "2");
    append("repos", "name-1", "1");
    append("repos", "one-more", "1");
    append("repos", "two-more", "1");
  });
  const names = shelf(directory).map((row) => (row as unknown[])[2]);
  expect(names).toHaveLength(MAX_LISTS_PER_CLIENT + 1);
  expect(names.slice(0, 2)).toEqual(["first", "name-3"]);
  expect(names.slice(-3)).toEqual(["name-0", "one-more", "two-more"]);
  expect(verdict(directory)).toBe("sound");
});

test("only signatures have package lists", async () => {
  const { ledger } = freshLedger();
  const work = ledger.recordRefusal(at(1), refused(), { packages: packages("1") });
  await expect(work).rejects.toThrow(TypeError);
});
