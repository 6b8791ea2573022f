import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseDirectory } from "../../src/artefact/desc.ts";
import { PackageDatabase } from "../../src/artefact/pacman-db.ts";
import { ArchiveReader } from "../../src/artefact/ustar.ts";
import {
  descText,
  filesText,
  packageEntries,
  type SamplePackage,
  samplePackage,
} from "../support/database-fixture.ts";
import { type TarEntry, tarArchive, tarEntry } from "../support/tar-fixture.ts";
import { codeOf, factsOf, outcomeOf, pieces } from "./recognition.ts";

const sample = samplePackage(1, 10);
const other = samplePackage(2, 10);
const directory = `${sample.name}-${sample.version}/`;
const entries = (kind: "db" | "files", of: SamplePackage = sample) => packageEntries(of, kind);

/** A db database of the sample package with these changes to its fields; undefined removes one. */
function withFields(change: Readonly<Record<string, readonly string[] | undefined>>): Buffer {
  const fields = new Map(sample.fields);
  for (const [key, lines] of Object.entries(change)) {
    if (lines === undefined) fields.delete(key);
    else fields.set(key, lines);
  }
  return withDesc(descText(fields));
}

function withDesc(content: string | Buffer): Buffer {
  return tarArchive([
    { name: directory, type: "5" },
    { name: `${directory}desc`, content },
  ]);
}

function withFiles(content: string | Buffer): Buffer {
  return tarArchive([...entries("db"), { name: `${directory}files`, content }]);
}

/** A database of one package of this name and version. */
function named(name: string, version: string): Buffer {
  const fields = new Map(sample.fields).set("NAME", [name]).set("VERSION", [version]);
  return tarArchive(packageEntries({ name, version, fields, files: [] }, "db"));
}

/** Accepted or refused the same, whole and byte by byte. */
async function codeBothWays(bytes: Buffer): Promise<string> {
  const whole = await codeOf(bytes);
  expect(await codeOf(pieces(bytes, 1))).toBe(whole);
  return whole;
}

describe("packages", () => {
  test("files may come before desc", async () => {
    const [first, desc, files] = entries("files");
    const bytes = tarArchive([first, files, desc].filter((entry) => entry !== undefined));
    expect(await codeBothWays(bytes)).toBe("accepted as files");
  });

  test("are listed by name in the order of bytes, whatever their order in the archive", async () => {
    const names = ["zsh", "a", "a-b", "Zed", "_x", "a+b", "0ad", "@c"];
    const all = names.flatMap((name) => {
      const fields = new Map(sample.fields).set("NAME", [name]).set("VERSION", ["1-1"]);
      return packageEntries({ name, version: "1-1", fields, files: [] }, "db");
    });
    const facts = await factsOf(tarArchive(all));
    const sorted = names
      .map((name) => Buffer.from(name))
      .sort(Buffer.compare)
      .map(String);
    expect(facts.packages.map(({ name }) => name)).toEqual(sorted);
  });

  test("the newest build date is the largest number, not the last one or the largest text", async () => {
    const dated = (of: SamplePackage, date: string) => ({
      ...of,
      fields: new Map(of.fields).set("BUILDDATE", [date]),
    });
    const dates = ["999999999", "1700000000", "1600000000"];
    const all = dates.flatMap((date, index) => packageEntries(dated(samplePackage(index), date), "db"));
    expect((await factsOf(tarArchive(all))).newestBuildDate).toBe(1_700_000_000);
  });

  test.each<[string, readonly TarEntry[]]>([
    ["a package twice", [...entries("db"), ...entries("db")]],
    ["two versions of one package", [...entries("db"), ...entries("db", { ...sample, version: "9-9" })]],
    ["a missing desc", [{ name: directory, type: "5" }]],
    ["a missing desc before another package", [{ name: directory, type: "5" }, ...entries("db", other)]],
    ["files without desc", entries("files").filter((entry) => !String(entry.name).endsWith("desc"))],
    ["two desc", [...entries("db"), ...entries("db").slice(1)]],
    ["two files", [...entries("files"), ...entries("files").slice(2)]],
    ["another file beside desc", [...entries("db"), { name: `${directory}depends`, content: "" }]],
    ["a file in a deeper directory", [...entries("db"), { name: `${directory}x/desc`, content: "" }]],
    ["a directory in a package's", [...entries("db"), { name: `${directory}x/`, type: "5" }]],
    ["a file at the top", [...entries("db"), { name: "desc", content: "" }]],
    ["desc without its directory", entries("db").slice(1)],
    ["desc in another package's directory", [...entries("db"), ...entries("db", other).slice(1)]],
    [
      "a directory whose name continues the package's",
      [
        entries("db")[0] ?? { name: "" },
        { name: `${directory.slice(0, -1)}0/desc`, content: descText(sample.fields) },
      ],
    ],
    ["a file list in the second package only", [...entries("db"), ...entries("files", other)]],
    ["a file list in the first package only", [...entries("files"), ...entries("db", other)]],
    ["a tar archive inside", [{ name: "inner.tar", content: tarArchive(entries("db")) }]],
    [
      "a package",
      [
        { name: ".PKGINFO", content: "pkgname = x\n" },
        { name: "usr/", type: "5" },
      ],
    ],
    [
      "an empty desc",
      [
        { name: directory, type: "5" },
        { name: `${directory}desc`, content: "" },
      ],
    ],
    ["an empty files", [...entries("db"), { name: `${directory}files`, content: "" }]],
  ])("%s is bad-database", async (_, all) => {
    expect(await codeBothWays(tarArchive(all))).toBe("bad-database");
  });

  test("a package's archive is called one", async () => {
    const outcome = await outcomeOf([tarArchive([{ name: ".BUILDINFO", content: "format = 2\n" }])]);
    expect(outcome).toMatchObject({ code: "bad-database", reason: expect.stringContaining("not a package") });
  });

  test.each([
    ["db", "files"],
    ["files", "db"],
  ] as const)("a %s database where only %s is wanted is wrong-type", async (is, wanted) => {
    const bytes = tarArchive([...entries(is), ...entries(is, other)]);
    expect(await codeOf(bytes, { types: [wanted] })).toBe("wrong-type");
    expect(await codeOf(bytes, { name: `core.${wanted}` })).toBe("wrong-type");
    expect(await codeOf(bytes, { types: [is] })).toBe(`accepted as ${is}`);
    expect(await codeOf(bytes, { name: `core.${is}` })).toBe(`accepted as ${is}`);
  });

  test.each([
    // Without a list only the next package shows that there is none; a list shows itself by its header.
    ["db", "files", 6 * 512],
    ["files", "db", 5 * 512],
  ] as const)(
    "a %s database where %s is wanted is refused by what shows it first",
    async (is, wanted, most) => {
      const many = Array.from({ length: 5 }, (_, index) => entries(is, samplePackage(index))).flat();
      let pushed = 0;
      function* counted() {
        for (const piece of pieces(tarArchive(many), 512)) {
          pushed += piece.length;
          yield piece;
        }
      }
      const outcome = await outcomeOf(counted(), { types: [wanted] });
      const expected = wanted === "db" ? "expected a db" : "expected a files database";
      expect(outcome).toMatchObject({ code: "wrong-type", reason: expect.stringContaining(expected) });
      expect(pushed).toBeLessThanOrEqual(most);
    },
  );
});

describe("the directory's name", () => {
  test.each([
    ["a", "1-1"],
    ["lib32-gcc-libs", "14.2.1+r753+g1cd744a6828f-1"],
    ["@scope+x_y.z", "1:2.0~rc1-1.1"],
    ["0ad", "a26-3"],
    ["x", "10:1^git_20261101-12.34"],
    ["n".repeat(251), "1-1"],
  ])("%s-%s is NAME-VERSION", async (name, version) => {
    expect(parseDirectory(`${name}-${version}`)).toEqual({ name, version });
    if (name.length < 90)
      expect((await factsOf(named(name, version))).packages[0]).toMatchObject({ name, version });
  });

  test.each([
    "a",
    "a-1",
    "-1-1",
    ".a-1-1",
    "--1-1",
    "a b-1-1",
    "\u00e4-1-1",
    "a-1-",
    "a--1",
    "a-1-x",
    "a-1-1.",
    "a-1-1.1.1",
    "a-:1-1",
    "a-x:1-1",
    "a-1:2:3-1",
    "a-1 2-1",
    "a-1\u00e4-1",
    "a:b-1-1",
    "a-1<2-1",
    "a-1=2-1",
    "a-1>2-1",
    `${"n".repeat(252)}-1-1`,
  ])("%s is not", (text) => {
    expect(parseDirectory(text)).toBeUndefined();
  });

  test("names and versions come back out of their directory", () => {
    const name = fc.stringMatching(/^[A-Za-z0-9@_+][A-Za-z0-9@._+-]{0,20}$/);
    const version = fc.stringMatching(/^([0-9]{1,3}:)?[!-,.0-9;?-~]{1,20}-[0-9]{1,3}(\.[0-9]{1,2})?$/);
    fc.assert(
      fc.property(name, version, (name, version) => {
        expect(parseDirectory(`${name}-${version}`)).toEqual({ name, version });
      }),
    );
  });

  test("a directory that is no NAME-VERSION is bad-database", async () => {
    expect(await codeOf(tarArchive([{ name: "sample/", type: "5" }]))).toBe("bad-database");
    expect(await codeOf(tarArchive([{ name: "a/b-1-1/", type: "5" }]))).toBe("bad-database");
  });
});

describe("desc", () => {
  test.each<[string, Buffer]>([
    [
      "all sections",
      withFields({
        GROUPS: ["a", "b"],
        MD5SUM: ["0".repeat(32)],
        REPLACES: ["x"],
        CONFLICTS: ["y"],
        PROVIDES: ["z=1"],
        CHECKDEPENDS: ["c"],
        DATA: ["pkgtype=pkg"],
      }),
    ],
    ["several lines of DATA", withFields({ DATA: ["pkgtype=split", "x-y_1="] })],
    ["an MD5 sum alone", withFields({ SHA256SUM: undefined, MD5SUM: ["0123456789abcdef".repeat(2)] })],
    [
      "free text in UTF-8",
      withFields({
        DESC: ["\u00a1 \u0106wiczenie \u2013 \u{1f600}"],
        PACKAGER: ["J\u00f6rg <j@example.org>"],
      }),
    ],
    [
      "no optional section",
      withFields({
        BASE: undefined,
        DESC: undefined,
        URL: undefined,
        LICENSE: undefined,
        PACKAGER: undefined,
        PGPSIG: undefined,
        DEPENDS: undefined,
        OPTDEPENDS: undefined,
        MAKEDEPENDS: undefined,
      }),
    ],
    ["the largest signature", withFields({ PGPSIG: [Buffer.alloc(16384).toString("base64")] })],
    ["size 0 and build date 0", withFields({ ISIZE: ["0"], BUILDDATE: ["0"] })],
    ["an epoch's colon in the file name", withFields({ FILENAME: ["x-1:1-1-any.pkg.tar.zst"] })],
    ["a file name of 255 characters", withFields({ FILENAME: ["x".repeat(255)] })],
    ["percent signs in a value", withFields({ DESC: ["%DESC% and %NAME"], LICENSE: ["100%", "%"] })],
    [
      "the largest desc",
      withFields({
        DEPENDS: undefined,
        DESC: [
          `${"x".repeat(512 * 1024 - Buffer.byteLength(descText(new Map([...sample.fields].filter(([key]) => key !== "DEPENDS" && key !== "DESC")))) - 9)}`,
        ],
      }),
    ],
  ])("with %s is read", async (_, bytes) => {
    expect((await factsOf(bytes)).packages).toHaveLength(1);
  });

  test("in another order of sections has the same facts", async () => {
    const reversed = withDesc(descText(new Map([...sample.fields].reverse())));
    const { packages } = await factsOf(withFields({}));
    expect((await factsOf(reversed)).packages).toEqual(packages);
  });

  test("without a SHA-256 sum gives none", async () => {
    const facts = await factsOf(withFields({ SHA256SUM: undefined, MD5SUM: ["0".repeat(32)] }));
    expect(facts.packages[0]?.sha256).toBeUndefined();
  });

  test.each(["FILENAME", "NAME", "VERSION", "CSIZE", "ISIZE", "ARCH", "BUILDDATE", "SHA256SUM"])(
    "without %s is bad-database",
    async (key) => {
      expect(await codeOf(withFields({ [key]: undefined }))).toBe("bad-database");
    },
  );

  const text = descText(sample.fields);

  test.each<[string, Buffer]>([
    ["NAME that differs from the directory", withFields({ NAME: ["another"] })],
    ["VERSION that differs from the directory", withFields({ VERSION: ["9-9"] })],
    ["an unknown section", withFields({ INSTALLDATE: ["1"] })],
    ["a section with an underscore", withFields({ INSTALLED_DB: ["1"] })],
    ["an unknown section in lower case", withDesc(`${text}%name%\nx\n\n`)],
    ["a section twice", withDesc(`${text}%ARCH%\nany\n\n`)],
    ["a list twice", withDesc(`${text}%LICENSE%\nMIT\n\n`)],
    ["a section without lines", withDesc(`${text}%GROUPS%\n\n`)],
    ["a header that its text follows on the line", withDesc(`${text}%GROUPS%x\n\n`)],
    ["a value without a header", withDesc(`x\n\n${text}`)],
    ["a header as a value", withFields({ DESC: ["%DEPENDS%"] })],
    ["a header as a further value", withFields({ DEPENDS: ["bash", "%VERSION%", "9-9"] })],
    ["no empty line at the end", withDesc(text.slice(0, -1))],
    ["no newline at the end", withDesc(text.slice(0, -2))],
    ["two empty lines at the end", withDesc(`${text}\n`)],
    ["two empty lines in the middle", withDesc(text.replace("\n\n", "\n\n\n"))],
    ["an empty line at the beginning", withDesc(`\n${text}`)],
    ["carriage returns", withDesc(text.replaceAll("\n", "\r\n"))],
    ["a NUL", withFields({ DESC: ["a\0b"] })],
    ["a tab", withFields({ DESC: ["a\tb"] })],
    ["an escape sequence", withFields({ DESC: ["\x1b[2J"] })],
    ["DEL", withFields({ PACKAGER: ["a\x7f"] })],
    ["a C1 control character", withFields({ DESC: ["a\u009b2J"] })],
    ["a byte-order mark", withDesc(`\ufeff${text}`)],
    ["text that is not UTF-8", withDesc(Buffer.from(text.replace("The ", "The \xe4"), "latin1"))],
    [
      "a surrogate in UTF-8",
      withDesc(
        Buffer.concat([Buffer.from(text.slice(0, -2)), Buffer.from("eda080", "hex"), Buffer.from("\n\n")]),
      ),
    ],
    ["two lines of FILENAME", withFields({ FILENAME: ["a", "b"] })],
    ["two lines of DESC", withFields({ DESC: ["a", "b"] })],
    ["two lines of SHA256SUM", withFields({ SHA256SUM: ["0".repeat(64), "0".repeat(64)] })],
    ["a slash in FILENAME", withFields({ FILENAME: ["../x.pkg.tar.zst"] })],
    ["a slash inside FILENAME", withFields({ FILENAME: ["a/x.pkg.tar.zst"] })],
    ["a dot before FILENAME", withFields({ FILENAME: [".x.pkg.tar.zst"] })],
    ["a dash before FILENAME", withFields({ FILENAME: ["-x.pkg.tar.zst"] })],
    ["a space in FILENAME", withFields({ FILENAME: ["a b"] })],
    ["FILENAME outside ASCII", withFields({ FILENAME: ["\u00e4"] })],
    ["FILENAME of 256 characters", withFields({ FILENAME: ["x".repeat(256)] })],
    ["BASE that is no name", withFields({ BASE: ["-x"] })],
    ["CSIZE that is no number", withFields({ CSIZE: ["1k"] })],
    ["CSIZE in hex", withFields({ CSIZE: ["0x10"] })],
    ["CSIZE below 0", withFields({ CSIZE: ["-1"] })],
    ["CSIZE with a leading zero", withFields({ CSIZE: ["01"] })],
    ["ISIZE with a fraction", withFields({ ISIZE: ["1.5"] })],
    ["ISIZE of 17 digits", withFields({ ISIZE: ["1".repeat(17)] })],
    ["BUILDDATE as a date", withFields({ BUILDDATE: ["Mon Nov 23 2026"] })],
    ["BUILDDATE with a space", withFields({ BUILDDATE: ["1 "] })],
    ["MD5SUM of 31 digits", withFields({ MD5SUM: ["0".repeat(31)] })],
    ["MD5SUM of 33 digits", withFields({ MD5SUM: ["0".repeat(33)] })],
    ["SHA256SUM of 63 digits", withFields({ SHA256SUM: ["0".repeat(63)] })],
    ["SHA256SUM of 65 digits", withFields({ SHA256SUM: ["0".repeat(65)] })],
    ["SHA256SUM in capitals", withFields({ SHA256SUM: ["A".repeat(64)] })],
    ["SHA256SUM that is not hex", withFields({ SHA256SUM: ["g".repeat(64)] })],
    ["PGPSIG that is not base64", withFields({ PGPSIG: ["iQ*="] })],
    ["PGPSIG without padding", withFields({ PGPSIG: ["iQE"] })],
    ["PGPSIG padded in the middle", withFields({ PGPSIG: ["iQ==iQ=="] })],
    ["PGPSIG of more than 16 KiB", withFields({ PGPSIG: [Buffer.alloc(16386).toString("base64")] })],
    ["ARCH with a dash", withFields({ ARCH: ["x86-64"] })],
    ["DATA without an equals sign", withFields({ DATA: ["pkgtype=pkg", "x"] })],
    ["DATA without a key", withFields({ DATA: ["=x"] })],
    ["more than 512 KiB", withFields({ DESC: ["x".repeat(512 * 1024)] })],
  ])("with %s is bad-database", async (_, bytes) => {
    expect(await codeOf(bytes)).toBe("bad-database");
  });

  test("of 64 KiB and one byte, in pieces of 3, is read", async () => {
    const bytes = withFields({ DESC: ["d".repeat(65537)] });
    expect((await factsOf(pieces(bytes, 3, 1))).packages).toHaveLength(1);
  });
});

describe("files", () => {
  test.each<[string, string | Buffer]>([
    ["the header alone", "%FILES%\n"],
    ["directories and files", filesText(["usr/", "usr/bin/", "usr/bin/x"])],
    [
      "names with dots",
      filesText(["a", "a..b", "..a", "...", "a/..b", "a/.b", ".a/", "a.", "a/b..", "a/.../b"]),
    ],
    ["names in UTF-8", filesText(["usr/na\u00efve", "usr/\u{1f600}"])],
    ["names as bsdtar escapes them", filesText(["usr/a\\tb\\033c", "usr/\\303\\244"])],
    ["a name around which a header stands", filesText(["%FILES%x", "x%FILES%", "x/%FILES%"])],
    ["spaces", filesText([" ", "usr/ /x"])],
    ["a line of 16 KiB", filesText([`${"x".repeat(16 * 1024 - 1)}`])],
    ["many long lines", filesText(Array.from({ length: 5 }, () => "x".repeat(16 * 1024 - 1)))],
  ])("with %s are read", async (_, content) => {
    expect(await codeBothWays(withFiles(content))).toBe("accepted as files");
  });

  test.each<[string, string | Buffer]>([
    ["no header", "usr/\nusr/bin/\n"],
    ["a header in lower case", "%files%\nusr/\n"],
    ["a header that is cut", "%FILES%"],
    ["half a header", "%FIL"],
    ["a short first line", "%\n"],
    ["an empty line before the header", "\n%FILES%\n"],
    ["a name like the header", filesText(["%FILES%"])],
    ["text behind the header", "%FILES% \nusr/\n"],
    ["a last line without newline", "%FILES%\nusr/"],
    ["an empty line at the end", "%FILES%\nusr/\n\n"],
    ["an empty line", "%FILES%\nusr/\n\nusr/bin/\n"],
    ["an empty first line", "%FILES%\n\nusr/\n"],
    ["an absolute path", "%FILES%\nusr/\n/etc/passwd\n"],
    ["an absolute first path", "%FILES%\n/etc/passwd\n"],
    ["the root", "%FILES%\n/\n"],
    ["..", "%FILES%\n..\n"],
    ["../", "%FILES%\nusr/\n../\n"],
    ["../ at the beginning", "%FILES%\n../etc/passwd\n"],
    ["/../", "%FILES%\nusr/../etc/passwd\n"],
    ["/.. at the end", "%FILES%\nusr/..\n"],
    [".", "%FILES%\nusr/\n.\n"],
    ["./", "%FILES%\n./usr/\n"],
    ["/./", "%FILES%\nusr/./bin\n"],
    ["/. at the end", "%FILES%\nusr/.\n"],
    ["//", "%FILES%\nusr//bin\n"],
    ["// at the end", "%FILES%\nusr//\n"],
    ["a NUL", "%FILES%\nusr/\0\n"],
    ["a backspace", "%FILES%\nusr/\b\n"],
    ["a carriage return", "%FILES%\r\nusr/\r\n"],
    ["a carriage return in a path", "%FILES%\nusr/\r\n"],
    ["an escape sequence", "%FILES%\nusr/\x1b[2J\n"],
    ["DEL", "%FILES%\nusr/\x7f\n"],
    ["a path that is not UTF-8", Buffer.from("%FILES%\nusr/\xe4\n", "latin1")],
    ["a path cut inside a character", Buffer.from("%FILES%\nusr/\xc3\n\xa4\n", "latin1")],
    ["a line of more than 16 KiB", filesText([`${"x".repeat(16 * 1024)}`])],
    ["a line of more than 16 KiB behind others", filesText(["usr/", "x".repeat(16 * 1024), "y"])],
    ["a line of more than 16 KiB that does not end", `%FILES%\n${"x".repeat(40_000)}`],
  ])("with %s are bad-database", async (_, content) => {
    expect(await codeBothWays(withFiles(content))).toBe("bad-database");
  });

  test("cut anywhere are judged the same", async () => {
    const good = withFiles(filesText(["usr/", "usr/\u00e4", "usr/a..b", "usr/\u{1f600}/..c/.d"]));
    const bad = withFiles(filesText(["usr/", "usr/\u00e4", "usr/a/..", "usr/\u{1f600}"]));
    const start = good.indexOf("%FILES%");
    for (let cut = start; cut < start + 80; cut++) {
      expect(await codeOf(pieces(good, good.length, cut))).toBe("accepted as files");
      expect(await codeOf(pieces(bad, bad.length, cut))).toBe("bad-database");
    }
  });
});

test("the 100001st package is bad-database", async () => {
  const fields = new Map(
    ["FILENAME", "CSIZE", "ISIZE", "SHA256SUM", "ARCH", "BUILDDATE"].map((key) => [
      key,
      sample.fields.get(key) ?? [],
    ]),
  );
  function* packages(count: number) {
    for (let from = 0; from < count; from += 100) {
      const batch: Buffer[] = [];
      for (let index = from; index < Math.min(from + 100, count); index++) {
        const name = `p${index}`;
        fields.set("NAME", [name]).set("VERSION", ["1-1"]);
        batch.push(
          tarEntry({ name: `${name}-1-1/`, type: "5" }),
          tarEntry({ name: `${name}-1-1/desc`, content: descText(fields) }),
        );
      }
      yield Buffer.concat(batch);
    }
  }
  const database = new PackageDatabase(new Set(["db"]));
  const reader = new ArchiveReader(database);
  for (const batch of packages(100_000)) expect(reader.push(batch)).toBeUndefined();
  expect(reader.push(tarEntry({ name: "one-more-1-1/", type: "5" }))).toMatchObject({ code: "bad-database" });
});
