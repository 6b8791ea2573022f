import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { quoted } from "../../src/outcome.ts";
import { descText, packageEntries, samplePackage } from "../support/database-fixture.ts";
import {
  archiveEnd,
  paxEntry,
  paxRecord,
  type TarEntry,
  tarArchive,
  tarEntry,
} from "../support/tar-fixture.ts";
import { codeOf, factsOf, outcomeOf } from "./recognition.ts";

const sample = samplePackage(1, 10);
const directory = `${sample.name}-${sample.version}/`;
const good = (): TarEntry[] => packageEntries(sample, "db");

/** The directory's entry and the desc's, each with something changed. */
function bent(change: { directory?: Partial<TarEntry>; desc?: Partial<TarEntry> }): Buffer {
  return tarArchive(
    good().map((entry, index) => ({ ...entry, ...(index === 0 ? change.directory : change.desc) })),
  );
}

/** The desc under a pax header. */
const withPax = (records: Readonly<Record<string, string>>) => {
  const [first, desc] = good();
  return tarArchive([first, paxEntry(records), desc].filter((entry) => entry !== undefined));
};

/** The desc under a pax header of exactly this content. */
const withPaxContent = (content: string | Buffer) => {
  const [first, desc] = good();
  return tarArchive([first, { ...paxEntry({}), content }, desc].filter((entry) => entry !== undefined));
};

const digits = (value: string) => value.padStart(11, "0");

describe("headers that bsdtar and GNU tar write are read", () => {
  test.each<[string, Buffer]>([
    ["as libarchive writes them", bent({})],
    [
      "numbers as GNU tar writes them",
      bent({
        desc: {
          patch: [
            [100, "0000644\0"],
            [108, "0001750\0"],
          ],
        },
      }),
    ],
    ["the largest mode", bent({ desc: { mode: 0o7777 } })],
    ["mode of a default ACL", bent({ desc: { mode: 0o654 }, directory: { mode: 0o2755 } })],
    [
      "uid and gid that fill their fields",
      bent({
        desc: {
          patch: [
            [108, "10000000"],
            [116, "1000000\0"],
          ],
        },
      }),
    ],
    ["mtime 0", bent({ desc: { patch: [[136, `${digits("0")} `]] } })],
    ["no device numbers at all", bent({ desc: { patch: [[329, Buffer.alloc(16)]] } })],
    ["no names of user and group", bent({ desc: { patch: [[265, Buffer.alloc(64)]] } })],
    ["a user name in UTF-8", bent({ desc: { patch: [[265, "j\u00f6rg"]] } })],
    ["the directory in the prefix field", bent({ desc: { name: "desc", prefix: directory.slice(0, -1) } })],
  ])("%s", async (_, bytes) => {
    expect((await factsOf(bytes)).packages).toHaveLength(1);
  });
});

test("names that fill their fields to the last byte are read", async () => {
  const packageOf = (name: string, desc: Partial<TarEntry>) => {
    const fields = new Map(sample.fields).set("NAME", [name]).set("VERSION", ["1-1"]);
    const top = paxEntry({ path: `${name}-1-1/` });
    return tarArchive([top, { name: "x/", type: "5" }, { name: "", content: descText(fields), ...desc }]);
  };
  const short = "n".repeat(100 - "-1-1/desc".length);
  expect((await factsOf(packageOf(short, { name: `${short}-1-1/desc` }))).packages[0]?.name).toBe(short);
  const long = "n".repeat(155 - "-1-1".length);
  const inPrefix = { name: "desc", prefix: `${long}-1-1` };
  expect((await factsOf(packageOf(long, inPrefix))).packages[0]?.name).toBe(long);
});

describe("pax headers that occur are read", () => {
  test.each<[string, Buffer]>([
    ["mtime with a fraction", withPax({ mtime: "1700000000.123456789" })],
    ["mtime before 1970", withPax({ mtime: "-315619200" })],
    ["uid and gid", withPax({ uid: "262144", gid: "2000000000" })],
    ["an access ACL", withPax({ "SCHILY.acl.access": "user::rw-\nuser:build:r--:1000\nmask::r--" })],
    ["a default ACL", withPax({ "SCHILY.acl.default": "user::rwx,group::r-x" })],
    ["file flags", withPax({ "SCHILY.fflags": "nodump,noatime" })],
    ["a SELinux label", withPax({ "SCHILY.xattr.security.selinux": "system_u:object_r:tmp_t:s0\0" })],
    ["an attribute in base64", withPax({ "LIBARCHIVE.xattr.security.selinux": "c3lzdGVtX3U" })],
    ["a path", withPax({ path: `${directory}desc` })],
    ["the largest header", withPax({ "SCHILY.xattr.user.x": "x".repeat(64 * 1024 - 27) })],
  ])("%s", async (_, bytes) => {
    expect((await factsOf(bytes)).packages).toHaveLength(1);
  });

  test("a path in the pax header replaces the one in the entry", async () => {
    const [first, desc] = good();
    const bytes = tarArchive([
      paxEntry({ path: directory }),
      { ...first, name: "truncated/" },
      paxEntry({ path: `${directory}desc` }),
      { ...desc, name: "truncated" },
    ]);
    expect((await factsOf(bytes)).packages[0]?.name).toBe(sample.name);
  });

  test("an owner in base 256 needs its number in the pax header, for uid and gid each", async () => {
    const large: TarEntry["patch"] = [[108, Buffer.from("8000000077359400", "hex")]];
    const largeGroup: TarEntry["patch"] = [[116, Buffer.from("8000000077359400", "hex")]];
    const [first = { name: "" }, desc] = good();
    const under = (records: Record<string, string>, patch: TarEntry["patch"]) =>
      codeOf(tarArchive([first, paxEntry(records), { name: "", ...desc, ...(patch && { patch }) }]));
    expect(await under({ uid: "2000000000" }, large)).toBe("accepted as db");
    expect(await under({ gid: "2000000000" }, large)).toBe("bad-archive");
    expect(await under({ gid: "2000000000" }, largeGroup)).toBe("accepted as db");
    expect(await under({ uid: "2000000000" }, largeGroup)).toBe("bad-archive");
    expect(await codeOf(bent({ desc: { patch: large } }))).toBe("bad-archive");
    expect(await codeOf(bent({ desc: { patch: largeGroup } }))).toBe("bad-archive");
  });
});

describe("bad-archive", () => {
  test.each<[string, Buffer]>([
    ["GNU tar's own magic", bent({ desc: { patch: [[257, "ustar  \0"]] } })],
    ["version 01", bent({ desc: { patch: [[263, "01"]] } })],
    ["no magic", bent({ desc: { patch: [[257, Buffer.alloc(8)]] } })],
    ["a wrong checksum", bent({ desc: { patchAfterChecksum: [[148, "000000"]] } })],
    ["a checksum in another layout", bent({ desc: { patchAfterChecksum: [[154, " \0"]] } })],
    ["an old-style file", bent({ desc: { type: "\0" } })],
    ["a hard link", bent({ desc: { type: "1", linkname: "x" } })],
    ["a hard link without a target", bent({ desc: { type: "1" } })],
    ["a symbolic link", bent({ desc: { type: "2", linkname: "/etc/passwd" } })],
    ["a symbolic link without a target", bent({ desc: { type: "2" } })],
    ["a character device", bent({ desc: { type: "3" } })],
    ["a block device", bent({ desc: { type: "4" } })],
    ["a FIFO", bent({ desc: { type: "6" } })],
    ["a contiguous file", bent({ desc: { type: "7" } })],
    ["a global pax header", bent({ desc: { type: "g" } })],
    ["a GNU long name", bent({ desc: { type: "L" } })],
    ["a GNU long link", bent({ desc: { type: "K" } })],
    ["a GNU sparse file", bent({ desc: { type: "S" } })],
    ["an unknown type", bent({ desc: { type: "Z" } })],
    ["a link name on a file", bent({ desc: { linkname: "x" } })],
    ["bytes in the reserved field", bent({ desc: { patch: [[511, "x"]] } })],
    ["a name ended twice behind a prefix", bent({ desc: { prefix: "x-1-1", patch: [[99, "x"]] } })],
    ["a name ended twice", bent({ desc: { patch: [[99, "x"]] } })],
    ["a name of nothing", bent({ desc: { name: "" } })],
    ["a name of nothing with a prefix", bent({ desc: { name: "", prefix: directory.slice(0, -1) } })],
    ["bytes behind the prefix", bent({ desc: { patch: [[499, "x"]] } })],
    ["bytes behind the user name", bent({ desc: { patch: [[296, "x"]] } })],
    ["bytes behind the group name", bent({ desc: { patch: [[328, "x"]] } })],
    ["an escape sequence in the user name", bent({ desc: { patch: [[265, "\x1b[2J"]] } })],
    ["a user name that is not UTF-8", bent({ desc: { patch: [[265, Buffer.of(0xff)]] } })],
    ["a device number", bent({ desc: { patch: [[329, "000001"]] } })],
    ["a minor device number", bent({ desc: { patch: [[337, "000001"]] } })],
    ["a mode that is not octal", bent({ desc: { patch: [[100, "000648"]] } })],
    ["a mode with a sign", bent({ desc: { patch: [[100, "-00644"]] } })],
    ["a mode with a leading space", bent({ desc: { patch: [[100, " 00644"]] } })],
    ["an empty mode", bent({ desc: { patch: [[100, "        "]] } })],
    ["a number with digits behind its end", bent({ desc: { patch: [[100, "00644 0\0"]] } })],
    ["a uid that is not octal", bent({ desc: { patch: [[108, "00000x"]] } })],
    ["a gid that is not octal", bent({ desc: { patch: [[116, "00000x"]] } })],
    [
      "a size in base 256",
      bent({ desc: { patch: [[124, Buffer.from("800000000000000000000100", "hex")]] } }),
    ],
    ["a size that is not octal", bent({ desc: { patch: [[124, "0000000000x"]] } })],
    [
      "an mtime in base 256",
      bent({ desc: { patch: [[136, Buffer.from("ffffffffffffffffed300880", "hex")]] } }),
    ],
    ["an absolute name", bent({ desc: { name: `/${directory}desc` } })],
    ["a name with ..", bent({ desc: { name: `${directory}../desc` } })],
    ["a name that is ..", bent({ desc: { name: ".." } })],
    ["a name that begins with ../", bent({ desc: { name: "../desc" } })],
    ["a name that ends with /..", bent({ desc: { name: `${directory}..` } })],
    ["a name with .", bent({ desc: { name: `${directory}./desc` } })],
    ["a name that begins with ./", bent({ directory: { name: `./${directory}` } })],
    ["a name with an empty component", bent({ desc: { name: `${directory}/desc` } })],
    ["a directory with two slashes", bent({ directory: { name: `${directory}/` } })],
    ["a name with a newline", bent({ desc: { name: `${directory}de\nsc` } })],
    ["a name with an escape sequence", bent({ desc: { name: `${directory}\x1b[2Jdesc` } })],
    ["a name with DEL", bent({ desc: { name: `${directory}\x7fdesc` } })],
    ["a name with a C1 control character", bent({ desc: { name: `${directory}\u009bdesc` } })],
    [
      "a name that is not UTF-8",
      bent({ desc: { name: Buffer.concat([Buffer.from(directory), Buffer.of(0xe4)]) } }),
    ],
    [
      "an overlong form of /",
      bent({ desc: { name: Buffer.concat([Buffer.from(directory), Buffer.of(0xc0, 0xaf)]) } }),
    ],
    ["a file with a trailing slash", bent({ desc: { name: `${directory}desc/` } })],
    ["a directory without a trailing slash", bent({ directory: { name: directory.slice(0, -1) } })],
    ["a directory with content", bent({ directory: { content: "x" } })],
    ["content not padded with NULs", bent({ desc: { padding: "x" } })],
    ["a size without an end", bent({ desc: { patch: [[124, digits("1000").padStart(12, "0")]] } })],
    ["an mtime without an end", bent({ desc: { patch: [[136, digits("0").padStart(12, "0")]] } })],
    ["a mode without an end", bent({ desc: { patch: [[100, "00000644"]] } })],
    ["a mode with a file's type in it", bent({ desc: { mode: 0o100644 } })],
  ])("%s", async (_, bytes) => {
    expect(await codeOf(bytes)).toBe("bad-archive");
  });

  test.each([
    ["before an entry", [tarEntry({ name: "x" })]],
    ["before a byte", [Buffer.alloc(511), Buffer.from("x")]],
    ["at the front, before a package", good().map(tarEntry)],
  ])("a lone zero block %s", async (where, behind) => {
    const front = where.startsWith("at the front") ? [] : good().map(tarEntry);
    const body = Buffer.concat([...front, Buffer.alloc(512), ...behind]);
    const bytes = gzipSync(Buffer.concat([body, archiveEnd(body.length)]));
    expect(await codeOf(bytes)).toBe("bad-archive");
  });

  test.each<[string, Buffer]>([
    ["an unknown key", withPax({ comment: "hello" })],
    ["a key of GNU tar's sparse files", withPax({ "GNU.sparse.name": "desc" })],
    ["a size", withPax({ size: "1" })],
    ["a link target", withPax({ linkpath: "x" })],
    ["a character set", withPax({ hdrcharset: "BINARY" })],
    ["an attribute without a name", withPax({ "SCHILY.xattr.": "x" })],
    ["an attribute with a control character in its name", withPax({ "SCHILY.xattr.user\n": "x" })],
    ["an mtime that is no number", withPax({ mtime: "now" })],
    ["an mtime with ten decimals", withPax({ mtime: "1.0123456789" })],
    ["a negative uid", withPax({ uid: "-1" })],
    ["a gid that is no number", withPax({ gid: "0x10" })],
    ["an empty value", withPax({ uid: "" })],
    ["an ACL with an escape sequence", withPax({ "SCHILY.acl.access": "user::rw-\x1b" })],
    ["a default ACL with a NUL", withPax({ "SCHILY.acl.default": "\0" })],
    ["file flags in capitals", withPax({ "SCHILY.fflags": "NODUMP" })],
    ["an absolute path", withPax({ path: `/${directory}desc` })],
    ["a path with ..", withPax({ path: `${directory}../desc` })],
    ["a path with a NUL", withPax({ path: `${directory}desc\0` })],
    ["an empty path", withPax({ path: "" })],
    ["a path that is not UTF-8", withPaxContent(Buffer.from("11 path=\xff\xfe\n", "latin1"))],
    ["a path of 1025 bytes", withPax({ path: "x".repeat(1025) })],
    ["a path with a trailing slash for a file", withPax({ path: directory })],
    ["a key twice", withPaxContent(paxRecord(["uid", "1"]).repeat(2))],
    ["no record", withPaxContent("")],
    ["a length too short", withPaxContent("9 uid=10\n9 uid=10")],
    ["a length too long", withPaxContent("11 uid=10\n")],
    ["a length with a leading zero", withPaxContent("011 uid=10\n")],
    ["a length with a sign", withPaxContent("+11 uid=10\n")],
    ["a length in hexadecimal", withPaxContent("0xb uid=10\n")],
    ["a length of six digits", withPaxContent("100000 uid=10\n")],
    ["no length", withPaxContent(" uid=10\n")],
    ["length 0", withPaxContent("0 uid=10\n")],
    ["a length that ends inside the key", withPaxContent("4 u\n9 uid=10\n")],
    ["no space", withPaxContent("9uid=10\n")],
    ["no equals sign", withPaxContent("7 uid1\n")],
    ["an equals sign in the next record only", withPaxContent("6 uid\n9 gid=10\n")],
    ["no newline", withPaxContent("9 uid=100")],
    ["NULs behind the last record", withPaxContent("9 uid=10\n\0\0")],
    ["a header of more than 64 KiB", withPax({ "SCHILY.xattr.user.x": "x".repeat(64 * 1024 - 26) })],
  ])("a pax header with %s", async (_, bytes) => {
    expect(await codeOf(bytes)).toBe("bad-archive");
  });

  test("two pax headers before one entry", async () => {
    const [first = { name: "" }, desc = { name: "" }] = good();
    const bytes = tarArchive([first, paxEntry({ uid: "1" }), paxEntry({ gid: "1" }), desc]);
    expect(await codeOf(bytes)).toBe("bad-archive");
  });

  test("a pax header before the end of the archive", async () => {
    expect(await codeOf(tarArchive([...good(), paxEntry({ uid: "1" })]))).toBe("bad-archive");
  });

  test("a pax header counts for one entry only", async () => {
    const [first = { name: "" }, desc = { name: "" }] = good();
    const bytes = tarArchive([
      paxEntry({ uid: "2000000000" }),
      first,
      { ...desc, patch: [[108, Buffer.from("8000000077359400", "hex")]] },
    ]);
    expect(await codeOf(bytes)).toBe("bad-archive");
  });
});

describe("the end of the archive", () => {
  const entries = Buffer.concat(good().map(tarEntry));
  const end = archiveEnd(entries.length);

  test("is two zero blocks, filled up to a multiple of 10240 bytes", async () => {
    expect(await codeOf(Buffer.concat([entries, end]))).toBe("accepted as db");
  });

  test.each([0, 512, 1024, end.length - 1])(
    "with %i bytes of it the archive is truncated",
    async (length) => {
      expect(await codeOf(Buffer.concat([entries, end.subarray(0, length)]))).toBe("truncated");
    },
  );

  test.each([
    ["one more NUL", Buffer.alloc(1)],
    ["another record of NULs", Buffer.alloc(10240)],
    ["another archive", tarArchive(good())],
    ["text", Buffer.from("hello")],
  ])("with %s behind it is refused", async (_, more) => {
    expect(await codeOf(Buffer.concat([entries, end, more]))).toBe("trailing-data");
  });

  test("has no entries behind it inside the filling", async () => {
    const short = Buffer.concat(packageEntries(sample, "db").map(tarEntry));
    const bytes = Buffer.concat([short, Buffer.alloc(1024), tarEntry({ name: "hidden-1-1/", type: "5" })]);
    expect(await codeOf(Buffer.concat([bytes, archiveEnd(bytes.length)]))).toBe("trailing-data");
  });

  test.each([
    [10240 - 1024, 10240],
    [10240 - 512, 20480],
  ])("after %i bytes of entries is at %i", async (length, total) => {
    const [first = { name: "" }] = good();
    const fields = new Map(sample.fields);
    const missing = length - 1024 - Buffer.byteLength(descText(fields));
    fields.set("DESC", [`${fields.get("DESC")?.[0]}${"x".repeat(missing)}`]);
    const bytes = tarArchive([first, { name: `${directory}desc`, content: descText(fields) }]);
    expect(bytes.length).toBe(total);
    expect(await codeOf(bytes)).toBe("accepted as db");
    expect(await codeOf(bytes.subarray(0, -512))).toBe("truncated");
    expect(await codeOf(Buffer.concat([bytes, Buffer.alloc(512)]))).toBe("trailing-data");
  });
});

test("a refusal quotes a stranger's name only escaped and cut", async () => {
  const name = `${"n".repeat(80)}`;
  const outcome = await outcomeOf([bent({ desc: { name, type: "2" } })]);
  expect(outcome).toMatchObject({ code: "bad-archive" });
  expect("reason" in outcome && outcome.reason).toContain(quoted(name));
  expect("reason" in outcome && outcome.reason).toContain("symbolic link");
});
