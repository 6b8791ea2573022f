import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeLogNotations, parseLogNotations } from "../../src/log/notations.ts";
import { packageList, parsePackageList } from "../../src/log/package-list.ts";
import { encodePrivateRecord, parsePrivateRecord, privateCommitment } from "../../src/log/private-record.ts";

describe("a private record", () => {
  test("is canonical JSON of what is known, and comes back", () => {
    const record = { sshKey: "SHA256:abc", for: "alice", address: "192.0.2.10" };
    expect(encodePrivateRecord(record)).toBe('{"address":"192.0.2.10","for":"alice","sshKey":"SHA256:abc"}');
    expect(parsePrivateRecord(encodePrivateRecord(record))).toEqual(record);
    expect(parsePrivateRecord(encodePrivateRecord({}))).toEqual({});
  });

  test("is nothing else", () => {
    for (const line of [
      "",
      "[]",
      '"for"',
      '{"For":"a"}',
      '{"for":1}',
      '{"for": "a"}',
      '{"sshKey":"a","for":"b"}',
      '{"constructor":"a"}',
      `{"for":"${"x".repeat(1025)}"}`,
    ]) {
      expect(parsePrivateRecord(line), line).toBeUndefined();
    }
    expect(() => encodePrivateRecord({ for: "x".repeat(1025) })).toThrow(TypeError);
    expect(encodePrivateRecord({ for: "x".repeat(1024) })).toHaveLength(1034);
  });

  test("is committed to by SHA-256 of salt and record", () => {
    const salt = Buffer.from("000102030405060708090a0b0c0d0e0f", "hex");
    const expected = createHash("sha256")
      .update(Buffer.concat([salt, Buffer.from("{}")]))
      .digest("hex");
    expect(privateCommitment(salt, "{}")).toBe(expected);
  });
});

describe("a package list", () => {
  const packages = [
    { name: "zlib", version: "1:1.3.1-2", sha256: "b".repeat(64) },
    { name: "Zlib", version: "1-1", sha256: undefined },
    { name: "acl", version: "2.3.2-1", sha256: "a".repeat(64) },
  ];

  test("is sorted by name in code units, one line each, and hashed as text", () => {
    const list = packageList(packages);
    expect(list.text).toBe(`Zlib 1-1 -\nacl 2.3.2-1 ${"a".repeat(64)}\nzlib 1:1.3.1-2 ${"b".repeat(64)}\n`);
    expect(list.sha256).toBe(createHash("sha256").update(list.text).digest("hex"));
    expect(packageList(packages.toReversed())).toEqual(list);
  });

  test("comes back, sorted", () => {
    expect(parsePackageList(packageList(packages).text)).toEqual([packages[1], packages[2], packages[0]]);
    expect(parsePackageList("")).toEqual([]);
    expect(packageList([]).text).toBe("");
  });

  test("has each name once, and names, versions and digests of their form", () => {
    for (const bad of [
      [packages[0], packages[0]],
      [{ name: "a b", version: "1", sha256: undefined }],
      [{ name: "", version: "1", sha256: undefined }],
      [{ name: "a", version: "1\n2", sha256: undefined }],
      [{ name: "a", version: "", sha256: undefined }],
      [{ name: "a\u001b[31m", version: "1", sha256: undefined }],
      [{ name: "a", version: "1", sha256: "B".repeat(64) }],
      [{ name: "a", version: "1", sha256: "b".repeat(63) }],
    ]) {
      expect(() => packageList(bad.filter((fact) => fact !== undefined)), JSON.stringify(bad)).toThrow(
        TypeError,
      );
    }
  });

  test("is refused in any other spelling", () => {
    for (const text of [
      "a 1 -",
      "\n",
      "a 1 -\n\n",
      "b 1 -\na 1 -\n",
      "a 1 -\na 2 -\n",
      "a  1 -\n",
      " a 1 -\n",
      "a 1 - \n",
      "a 1\n",
      "a 1 --",
      "a 1 -\nb 1 --",
      "a 1 -\r\n",
      "a\t1 -\n",
    ]) {
      expect(parsePackageList(text), JSON.stringify(text)).toBeUndefined();
    }
  });
});

describe("the notations of a log", () => {
  const tree = { size: 41, root: Buffer.alloc(32, 7) };
  const good = { domain: "signer.example.org", type: "db", name: "core.db.tar.gz", tree };
  const pairs = encodeLogNotations(good);

  test("are four, in this order, with the tree as size and root", () => {
    expect(pairs).toEqual([
      ["type@signer.example.org", "db"],
      ["name@signer.example.org", "core.db.tar.gz"],
      ["index@signer.example.org", "41"],
      ["tree@signer.example.org", `41 ${tree.root.toString("base64")}`],
    ]);
  });

  test("are found again, among others and in any order", () => {
    expect(parseLogNotations(pairs)).toEqual(good);
    expect(parseLogNotations([["salt@notations.example", "x"], ...pairs.toReversed()])).toEqual(good);
    expect(parseLogNotations(encodeLogNotations({ ...good, name: undefined }))).toEqual({
      ...good,
      name: undefined,
    });
  });

  test("are refused where one is missing, doubled, malformed or of another domain", () => {
    const replace = (key: string, value: string) =>
      pairs.map(([name, old]) => [name, name.startsWith(key) ? value : old] as const);
    const root = tree.root.toString("base64");
    for (const bad of [
      [],
      pairs.filter(([name]) => !name.startsWith("type")),
      pairs.filter(([name]) => !name.startsWith("index")),
      pairs.filter(([name]) => !name.startsWith("tree")),
      [...pairs, ["type@signer.example.org", "db"] as const],
      [...pairs, ["tree@signer.example.org", `41 ${root}`] as const],
      [...pairs, ["tree@other.example.org", `41 ${root}`] as const],
      [...pairs, ["index@other.example.org", "41"] as const],
      pairs.map(
        ([name, value]) => [name.startsWith("type") ? "type@other.example.org" : name, value] as const,
      ),
      pairs.map(([name, value]) => [name.replace("signer.example.org", ""), value] as const),
      replace("index", "42"),
      replace("index", "041"),
      replace("tree", `42 ${root}`),
      replace("tree", `41  ${root}`),
      replace("tree", `41 ${root} `),
      replace("tree", `41 ${root.slice(0, 40)}`),
      replace("tree", `41 ${root.replace("c=", "d=")}`),
      replace("tree", root),
    ]) {
      expect(parseLogNotations(bad), JSON.stringify(bad)).toBeUndefined();
    }
    expect(
      parseLogNotations([
        ...replace("tree", `041 ${root}`).filter(([name]) => !name.startsWith("index")),
        ["index@signer.example.org", "041"],
      ]),
    ).toBeUndefined();
    expect(
      parseLogNotations([
        ["type@d", "db"],
        ["index@d", "9007199254740993"],
        ["tree@d", `9007199254740993 ${root}`],
      ]),
    ).toBeUndefined();
  });

  test("come back for any tree", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.uint8Array({ minLength: 32, maxLength: 32 }), (size, root) => {
        const notations = { ...good, tree: { size, root: Buffer.from(root) } };
        expect(parseLogNotations(encodeLogNotations(notations))).toEqual(notations);
      }),
    );
  });
});
