import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { descText, filesText, samplePackage } from "../support/database-fixture.ts";
import {
  archiveEnd,
  paxEntry,
  paxRecord,
  type TarEntry,
  tarArchive,
  tarEntry,
} from "../support/tar-fixture.ts";
import { type Verdict, verdictOn } from "../support/verdict.ts";

const sample = samplePackage(3);
const other = samplePackage(4);
const dir = `${sample.name}-${sample.version}`;
const directory: TarEntry = { name: `${dir}/`, type: "5", mode: 0o755 };
const descContent = descText(sample.fields);
const desc: TarEntry = { name: `${dir}/desc`, content: descContent };
const files: TarEntry = { name: `${dir}/files`, content: filesText(sample.files) };
const entries = [directory, desc];

function raw(...parts: readonly (TarEntry | Buffer)[]): Buffer {
  return Buffer.concat(parts.map((part) => (Buffer.isBuffer(part) ? part : tarEntry(part))));
}
function ended(...parts: readonly (TarEntry | Buffer)[]): Buffer {
  const body = raw(...parts);
  return Buffer.concat([body, archiveEnd(body.length)]);
}
/** A database whose desc entry is changed. */
function withDesc(change: Partial<TarEntry>): Buffer {
  return tarArchive([directory, { ...desc, ...change }]);
}
function withDirectory(change: Partial<TarEntry>): Buffer {
  return tarArchive([{ ...directory, ...change }, desc]);
}
/** A header field written over, before the checksum is made. */
function patched(offset: number, bytes: Buffer | string): Buffer {
  return withDesc({ patch: [[offset, bytes]] });
}
/** A database whose desc comes after a pax header of these records. */
function withPax(records: Readonly<Record<string, string>>, change: Partial<TarEntry> = {}): Buffer {
  return tarArchive([directory, paxEntry(records), { ...desc, ...change }]);
}
function withPaxText(content: string | Buffer, change: Partial<TarEntry> = {}): Buffer {
  return tarArchive([directory, { ...paxEntry({}), content }, { ...desc, ...change }]);
}
function base256(value: number, length: number): Buffer {
  const field = Buffer.alloc(length);
  field.writeUIntBE(value, length - 6, 6);
  field[0] = 0x80;
  return field;
}
const size11 = Buffer.byteLength(descContent).toString(8).padStart(11, "0");
const end = Buffer.alloc(1024);
const body = raw(...entries);

/** The checksum as the sum of signed bytes, as some old tars wrote it. */
function signedChecksum(entry: TarEntry): Buffer {
  const block = tarEntry(entry);
  let sum = 0;
  for (let index = 0; index < 512; index++) sum += index >= 148 && index < 156 ? 32 : block.readInt8(index);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

const HEADERS: readonly (readonly [string, Buffer, Verdict])[] = [
  ["as bsdtar writes it", tarArchive(entries), "db"],
  ["with a files entry", tarArchive([...entries, files]), "files"],
  ["without magic, as v7 wrote", patched(257, Buffer.alloc(8)), "bad-archive"],
  ["with GNU magic", patched(257, "ustar  \0"), "bad-archive"],
  ["with version 01", patched(263, "01"), "bad-archive"],
  ["with version of spaces", patched(263, "  "), "bad-archive"],
  ["with magic in capitals", patched(257, "USTAR\0"), "bad-archive"],
  // Numbers.
  ["with its size in base-256", patched(124, base256(Buffer.byteLength(descContent), 12)), "bad-archive"],
  [
    "with a size of 2^63 in base-256",
    patched(124, Buffer.from("80000000ffffffffffffffff", "hex")),
    "bad-archive",
  ],
  ["with a negative size in base-256", patched(124, Buffer.alloc(12, 0xff)), "bad-archive"],
  [
    "with its size after spaces",
    patched(124, `${Buffer.byteLength(descContent).toString(8).padStart(11, " ")} `),
    "bad-archive",
  ],
  ["with its size ended by NUL", patched(124, `${size11}\0`), "db"],
  ["with its size in twelve digits", patched(124, `0${size11}`), "bad-archive"],
  ["with its size in three digits", patched(124, `${size11.slice(-3)}\0${"7".repeat(8)}`), "bad-archive"],
  ["with digits after the size's NUL", patched(124, `${size11.slice(-4)}\0\0\0\0\0\x001\0`), "bad-archive"],
  ["with an 8 in its size", patched(124, "00000000008 "), "bad-archive"],
  ["with an empty size", patched(124, Buffer.alloc(12)), "bad-archive"],
  ["with a size of spaces", patched(124, " ".repeat(12)), "bad-archive"],
  ["with a signed size", patched(124, `-${size11.slice(1)} `), "bad-archive"],
  ["with a size in hexadecimal", patched(124, "0x000000001 "), "bad-archive"],
  ["with a size of 8 GiB", patched(124, "77777777777 "), "bad-database"],
  ["with mode in base-256", patched(100, base256(0o644, 8)), "bad-archive"],
  ["with uid in base-256, as GNU tar writes large ones", patched(108, base256(3000000, 8)), "bad-archive"],
  ["with mtime in base-256", patched(136, base256(1_700_000_000, 12)), "bad-archive"],
  ["with an empty mtime", patched(136, Buffer.alloc(12)), "bad-archive"],
  ["with a uid of letters", patched(108, "root\0\0\0\0"), "bad-archive"],
  ["with a set-user-id mode", patched(100, "004755 \0"), "db"],
  ["with file type bits in its mode", patched(100, "100644 \0"), "bad-archive"],
  ["with a mode of 7777777", patched(100, "7777777\0"), "bad-archive"],
  ["with a device number", patched(329, "000001 \0"), "bad-archive"],
  [
    "with device numbers of NULs, as GNU tar --format=ustar may",
    withDesc({ patch: [[329, Buffer.alloc(16)]] }),
    "db",
  ],
  // The checksum.
  ["with a wrong checksum", withDesc({ patchAfterChecksum: [[148, "000000\0 "]] }), "bad-archive"],
  ["with a checksum of spaces", withDesc({ patchAfterChecksum: [[148, "        "]] }), "bad-archive"],
  ["with a checksum of NULs", withDesc({ patchAfterChecksum: [[148, Buffer.alloc(8)]] }), "bad-archive"],
  [
    "with its checksum signed",
    ended(directory, signedChecksum({ ...desc, patch: [[265, "r\u00f6\u00f6t\0"]] })),
    "bad-archive",
  ],
  // Names.
  ["with a name of a hundred bytes and no NUL", withDesc({ name: `${"a".repeat(95)}/desc` }), "bad-database"],
  ["with text after the name's NUL", withDesc({ name: Buffer.from(`${dir}/desc\0hidden`) }), "bad-archive"],
  ["with no name", withDesc({ name: "" }), "bad-archive"],
  ["with its directory in the prefix", withDesc({ name: "desc", prefix: dir }), "db"],
  ["with a slash at the end of the prefix", withDesc({ name: "desc", prefix: `${dir}/` }), "bad-archive"],
  [
    "with a slash in front of the name behind a prefix",
    withDesc({ name: "/desc", prefix: dir }),
    "bad-archive",
  ],
  ["with everything in the prefix", withDesc({ name: "", prefix: `${dir}/desc` }), "bad-archive"],
  ["with another package in the prefix", withDesc({ prefix: "x-1-1" }), "bad-database"],
  ["with dots in the prefix", withDesc({ prefix: ".." }), "bad-archive"],
  ["with one dot in the prefix", withDesc({ prefix: "." }), "bad-archive"],
  [
    "with text after the prefix's NUL",
    withDesc({ name: "desc", patch: [[345, `${dir}\0hidden`]] }),
    "bad-archive",
  ],
  ["with text after the prefix", patched(500, "hidden"), "bad-archive"],
  ["with a prefix on the directory", withDirectory({ name: "/", prefix: dir }), "bad-archive"],
  ["with ./ before the name", withDesc({ name: `./${dir}/desc` }), "bad-archive"],
  ["with / before the name", withDesc({ name: `/${dir}/desc` }), "bad-archive"],
  ["with ../ before the name", withDesc({ name: `../${dir}/desc` }), "bad-archive"],
  ["with // in the name", withDesc({ name: `${dir}//desc` }), "bad-archive"],
  ["with /./ in the name", withDesc({ name: `${dir}/./desc` }), "bad-archive"],
  ["with /../ in the name", withDesc({ name: `${dir}/../${dir}/desc` }), "bad-archive"],
  ["with a slash behind the name", withDesc({ name: `${dir}/desc/` }), "bad-archive"],
  ["with a newline behind the name", withDesc({ name: `${dir}/desc\n` }), "bad-archive"],
  ["with a space behind the name", withDesc({ name: `${dir}/desc ` }), "bad-database"],
  ["with a backslash for a slash", withDesc({ name: `${dir}\\desc` }), "bad-database"],
  ["with DESC for desc", withDesc({ name: `${dir}/DESC` }), "bad-database"],
  [
    "with an unknown file",
    tarArchive([...entries, { name: `${dir}/install`, content: "x" }]),
    "bad-database",
  ],
  [
    "with depends, as pacman 3 wrote",
    tarArchive([...entries, { name: `${dir}/depends`, content: "x" }]),
    "bad-database",
  ],
  ["with a dot directory", tarArchive([{ name: "./", type: "5" }, ...entries]), "bad-archive"],
  [
    "with a name that is not UTF-8",
    withDesc({ name: Buffer.from(`\xff\xfe/desc`, "latin1") }),
    "bad-archive",
  ],
  [
    "with a name in overlong UTF-8",
    withDesc({ name: Buffer.from(`${dir}\xc0\xafdesc`, "latin1") }),
    "bad-archive",
  ],
  ["with a byte order mark", withDesc({ name: `\ufeff${dir}/desc` }), "bad-database"],
  [
    "with no slash behind the directory, as GNU ustar never writes",
    withDirectory({ name: dir }),
    "bad-archive",
  ],
  ["with two slashes behind the directory", withDirectory({ name: `${dir}//` }), "bad-archive"],
  [
    "with a file beside the directories",
    tarArchive([...entries, { name: "README", content: "x" }]),
    "bad-database",
  ],
  // Types.
  ...[
    "\0",
    "1",
    "2",
    "3",
    "4",
    "6",
    "7",
    "8",
    "S",
    "g",
    "L",
    "K",
    "V",
    "M",
    "N",
    "D",
    "A",
    "X",
    "I",
    "E",
    "Z",
    " ",
    "\xff",
  ].map((type): [string, Buffer, Verdict] => [
    `with desc of type ${JSON.stringify(type)}`,
    withDesc({ type: "0", patch: [[156, Buffer.from(type, "latin1")]] }),
    "bad-archive",
  ]),
  ["with a symbolic link", withDesc({ type: "2", linkname: "files", content: "" }), "bad-archive"],
  ["with a hard link that has content", withDesc({ type: "1", linkname: `${dir}/x` }), "bad-archive"],
  [
    "with a hard link of size 0",
    tarArchive([...entries, { name: `${dir}/files`, type: "1", linkname: `${dir}/desc` }]),
    "bad-archive",
  ],
  ["with a link name on a file", withDesc({ linkname: "elsewhere" }), "bad-archive"],
  ["with a link name on the directory", withDirectory({ linkname: "elsewhere" }), "bad-archive"],
  ["with a directory that has content", withDirectory({ content: "x".repeat(512) }), "bad-archive"],
  ["with a directory that claims a size", withDirectory({ size: 512 }), "bad-archive"],
  ["with the directory as a file", withDirectory({ type: "0" }), "bad-archive"],
  ["with desc as a directory", withDesc({ type: "5", content: "" }), "bad-archive"],
  [
    "with a global pax header",
    tarArchive([{ ...paxEntry({ comment: "x" }), type: "g" }, ...entries]),
    "bad-archive",
  ],
  [
    "with a GNU long name",
    tarArchive([directory, { name: "././@LongLink", type: "L", content: `${dir}/desc\0` }, desc]),
    "bad-archive",
  ],
  ["with something behind the content in its last block", withDesc({ padding: "hidden" }), "bad-archive"],
  // Texts that carry nothing.
  ["with a user name in UTF-8", patched(265, "ren\u00e9\0"), "db"],
  ["with a user name with an escape", patched(265, "\x1b[31m\0"), "bad-archive"],
  ["with a user name of 32 bytes", patched(265, "u".repeat(32)), "db"],
  ["with text after the user name's NUL", patched(265, "root\0hidden\0"), "bad-archive"],
  ["with text after the group name's NUL", patched(297, "root\0hidden\0"), "bad-archive"],
];

const PAX: readonly (readonly [string, Buffer, Verdict])[] = [
  ["with the same path", withPax({ path: `${dir}/desc` }), "db"],
  ["with a path in place of the header's", withPax({ path: `${dir}/desc` }, { name: "short" }), "db"],
  ["with another path", withPax({ path: `${other.name}-${other.version}/desc` }), "bad-database"],
  ["with an absolute path", withPax({ path: `/${dir}/desc` }), "bad-archive"],
  ["with a path of ..", withPax({ path: `../${dir}/desc` }), "bad-archive"],
  ["with a path with a newline", withPax({ path: `${dir}/desc\n` }), "bad-archive"],
  ["with a path with a NUL", withPax({ path: `${dir}/desc\0hidden` }), "bad-archive"],
  ["with a path with a NUL at its end", withPax({ path: `${dir}/desc\0` }), "bad-archive"],
  ["with an empty path", withPax({ path: "" }), "bad-archive"],
  [
    "with two paths",
    withPaxText(paxRecord(["path", "x"]) + paxRecord(["path", `${dir}/desc`])),
    "bad-archive",
  ],
  ["with the same path twice", withPaxText(paxRecord(["path", `${dir}/desc`]).repeat(2)), "bad-archive"],
  ["with a path and a prefix", withPax({ path: `${dir}/desc` }, { name: "desc", prefix: "x" }), "db"],
  [
    "with a path that is not UTF-8",
    withPaxText(Buffer.from(`${13 + dir.length} path=\xff${dir}\n`, "latin1")),
    "bad-archive",
  ],
  ["with a size", withPax({ size: String(Buffer.byteLength(descContent)) }), "bad-archive"],
  ["with a smaller size", withPax({ size: "1" }), "bad-archive"],
  ["with a larger size", withPax({ size: "1024" }), "bad-archive"],
  ["with a size of zero", withPax({ size: "0" }), "bad-archive"],
  ["with a size of a path's own", withPax({ size: "1" }, {}), "bad-archive"],
  ["with linkpath", withPax({ linkpath: "x" }), "bad-archive"],
  ["with hdrcharset", withPax({ hdrcharset: "BINARY" }), "bad-archive"],
  ["with charset", withPax({ charset: "BINARY" }), "bad-archive"],
  ["with comment", withPax({ comment: "hidden" }), "bad-archive"],
  ["with GNU.sparse.major", withPax({ "GNU.sparse.major": "1", "GNU.sparse.minor": "0" }), "bad-archive"],
  ["with GNU.sparse.name", withPax({ "GNU.sparse.name": "x" }), "bad-archive"],
  ["with SCHILY.realsize", withPax({ "SCHILY.realsize": "5" }), "bad-archive"],
  ["with SCHILY.filetype", withPax({ "SCHILY.filetype": "directory" }), "bad-archive"],
  ["with SUN.holesdata", withPax({ "SUN.holesdata": " 0 5" }), "bad-archive"],
  ["with LIBARCHIVE.creationtime", withPax({ "LIBARCHIVE.creationtime": "1" }), "bad-archive"],
  ["with LIBARCHIVE.symlinktype", withPax({ "LIBARCHIVE.symlinktype": "dir" }), "bad-archive"],
  [
    "with RHT.security.selinux, as star and GNU tar write",
    withPax({ "RHT.security.selinux": "x" }),
    "bad-archive",
  ],
  ["with PATH in capitals", withPax({ PATH: "x" }), "bad-archive"],
  ["with a key of nothing", withPax({ "": "x" }), "bad-archive"],
  [
    "with atime and ctime, as bsdtar --format=pax writes",
    withPax({ atime: "1.5", ctime: "1.5" }),
    "bad-archive",
  ],
  ["with mtime", withPax({ mtime: "1700000000.123456789" }), "db"],
  ["with mtime of a whole second", withPax({ mtime: "1700000000" }), "db"],
  ["with mtime before 1970", withPax({ mtime: "-1.5" }), "db"],
  ["with mtime of letters", withPax({ mtime: "now" }), "bad-archive"],
  ["with an empty mtime", withPax({ mtime: "" }), "bad-archive"],
  ["with mtime 1e9", withPax({ mtime: "1e9" }), "bad-archive"],
  ["with mtime of 10,000 digits", withPax({ mtime: `1.${"0".repeat(10000)}` }), "bad-archive"],
  ["with a large uid and gid", withPax({ uid: "4294967294", gid: "4294967294" }), "db"],
  ["with a negative uid", withPax({ uid: "-1" }), "bad-archive"],
  ["with a uid of letters", withPax({ uid: "root" }), "bad-archive"],
  ["with uname and gname", withPax({ uname: "ren\u00e9", gname: "users" }), "bad-archive"],
  [
    "with an access control list",
    withPax({ "SCHILY.acl.access": "user::rw-,group::r--,other::r--,user:x:r--:1000" }),
    "db",
  ],
  [
    "with an attribute",
    withPax({ "SCHILY.xattr.user.note": "x", "LIBARCHIVE.xattr.user.note": "eA==" }),
    "db",
  ],
  [
    "with a binary attribute",
    withPaxText(Buffer.from(`${29} SCHILY.xattr.user.n=\0\n\xff\xfe\x01\n`, "latin1")),
    "db",
  ],
  // Records.
  ["with no record", withPaxText(""), "bad-archive"],
  ["with too small a length", withPaxText("5 path=x\n"), "bad-archive"],
  ["with too large a length", withPaxText("50 path=x\n"), "bad-archive"],
  ["with a length of 0", withPaxText("0 path=x\n"), "bad-archive"],
  ["with a length of 3", withPaxText("3 \n"), "bad-archive"],
  ["with a length after zeros", withPaxText("0010 path=x\n"), "bad-archive"],
  ["with a length after a space", withPaxText(" 10 path=x\n"), "bad-archive"],
  ["with a length after a plus", withPaxText("+10 path=x\n"), "bad-archive"],
  ["with a negative length", withPaxText("-9 path=x\n"), "bad-archive"],
  ["with a length of 2^64 + 9", withPaxText("18446744073709551625 path=x\n"), "bad-archive"],
  ["with no length", withPaxText("path=x\n"), "bad-archive"],
  ["with a tab behind the length", withPaxText("9\tpath=x\n"), "bad-archive"],
  ["with no equals sign", withPaxText("8 path\n"), "bad-archive"],
  ["with no newline", withPaxText("9 mtime=1"), "bad-archive"],
  ["with a NUL for the newline", withPaxText("10 mtime=1\0"), "bad-archive"],
  ["with NULs behind the records", withPaxText(`${paxRecord(["mtime", "1"])}\0\0\0`), "bad-archive"],
  ["with a newline behind the records", withPaxText(`${paxRecord(["mtime", "1"])}\n`), "bad-archive"],
  ["with an empty record in front", withPaxText(`\n${paxRecord(["mtime", "1"])}`), "bad-archive"],
  ["with two keys in one record", withPaxText("19 mtime=1\n9 path=x\n"), "bad-archive"],
  // Headers.
  [
    "twice before an entry",
    tarArchive([directory, paxEntry({ mtime: "1" }), paxEntry({ mtime: "2" }), desc]),
    "bad-archive",
  ],
  ["before nothing", tarArchive([...entries, paxEntry({ mtime: "1" })]), "bad-archive"],
  ["before the directory", tarArchive([paxEntry({ mtime: "1.5" }), ...entries]), "db"],
  [
    "before the directory with a path of a file",
    tarArchive([paxEntry({ path: `${dir}/desc` }), ...entries]),
    "bad-archive",
  ],
  [
    "before the directory with a path without a slash",
    tarArchive([paxEntry({ path: dir }), ...entries]),
    "bad-archive",
  ],
  ["before the directory with its path", tarArchive([paxEntry({ path: `${dir}/` }), ...entries]), "db"],
  ["of 2 MiB", withPax({ "SCHILY.xattr.user.note": "x".repeat(2 ** 21) }), "bad-archive"],
  ["of 64 KiB", withPax({ "SCHILY.xattr.user.note": "x".repeat(65000) }), "db"],
  [
    "with a name as long as can be",
    tarArchive([directory, { ...paxEntry({ mtime: "1" }), name: "P".repeat(100) }, desc]),
    "db",
  ],
  [
    "with the name of a bzip2 stream, which libarchive decompresses below gzip",
    gzipSync(tarArchive([{ ...paxEntry({ mtime: "1" }), name: "BZh91AY&SY" }, ...entries])),
    "bad-archive",
  ],
  [
    "with the name of a bzip2 stream and a prefix",
    gzipSync(tarArchive([{ ...paxEntry({ mtime: "1" }), name: "BZh11AY&SYx", prefix: "x" }, ...entries])),
    "bad-archive",
  ],
  [
    "with the name of a cpio archive",
    gzipSync(tarArchive([{ ...paxEntry({ mtime: "1" }), name: "070701" }, ...entries])),
    "db",
  ],
  [
    "with a hidden padding",
    tarArchive([directory, { ...paxEntry({ mtime: "1" }), padding: "hidden" }, desc]),
    "bad-archive",
  ],
  ["of Solaris", tarArchive([directory, { ...paxEntry({ mtime: "1" }), type: "X" }, desc]), "bad-archive"],
  ["before the end of a db and a name", withPax({ path: `${dir}/files` }), "bad-database"],
];

const ENDS: readonly (readonly [string, Buffer, Verdict])[] = [
  ["of a whole record", ended(body), "db"],
  ["of two blocks and no padding, as tar -b1 writes", Buffer.concat([body, end]), "truncated"],
  ["of one block", Buffer.concat([body, end.subarray(512)]), "truncated"],
  ["of none", body, "truncated"],
  ["of one block, then the rest of the database", ended(directory, end.subarray(512), desc), "bad-archive"],
  ["of one block, then the same again", ended(body, end.subarray(512), body), "bad-archive"],
  ["of two blocks, then the same again", ended(body, end, body), "trailing-data"],
  [
    "of two blocks, then another package",
    ended(body, end, { ...directory, name: "x-1-1/" }),
    "trailing-data",
  ],
  [
    "with a byte in the padding",
    Buffer.concat([body, end, Buffer.from("x"), archiveEnd(body.length + 1025)]),
    "trailing-data",
  ],
  ["with a record too many", Buffer.concat([ended(body), Buffer.alloc(10240)]), "trailing-data"],
  ["with a block too many", Buffer.concat([ended(body), Buffer.alloc(512)]), "trailing-data"],
  ["with a byte too many", Buffer.concat([ended(body), Buffer.alloc(1)]), "trailing-data"],
  ["with a record of garbage", Buffer.concat([ended(body), Buffer.alloc(10240, 1)]), "trailing-data"],
  ["with a block too few", ended(body).subarray(0, -512), "truncated"],
  ["with a byte too few", ended(body).subarray(0, -1), "truncated"],
  ["at the front", ended(end, body), "not-recognised"],
  ["of one block at the front", ended(end.subarray(512), body), "not-recognised"],
  ["between header and content", ended(directory, tarEntry(desc).subarray(0, 512), end), "bad-database"],
];

describe("a database archive", () => {
  test.each(HEADERS)("%s", async (_title, bytes, verdict) => {
    expect(await verdictOn(bytes)).toBe(verdict);
    expect(await verdictOn(bytes, { chunk: 509 })).toBe(verdict);
  });
});
describe("an extended header", () => {
  test.each(PAX)("%s", async (_title, bytes, verdict) => {
    expect(await verdictOn(bytes)).toBe(verdict);
    expect(await verdictOn(bytes, { chunk: 509 })).toBe(verdict);
  });
});
describe("an end of archive", () => {
  test.each(ENDS)("%s", async (_title, bytes, verdict) => {
    expect(await verdictOn(bytes)).toBe(verdict);
    expect(await verdictOn(bytes, { chunk: 509 })).toBe(verdict);
  });
});
