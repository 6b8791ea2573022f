import { describe, expect, test } from "vitest";
import { descText, filesText, packageEntries, samplePackage } from "../support/database-fixture.ts";
import { type TarEntry, tarArchive } from "../support/tar-fixture.ts";
import { type Verdict, verdictOn } from "../support/verdict.ts";

const sample = samplePackage(3);
const other = samplePackage(4);
const dir = `${sample.name}-${sample.version}`;
const text = descText(sample.fields);
const file = sample.fields.get("FILENAME")?.[0] ?? "";

function directory(name = dir): TarEntry {
  return { name: `${name}/`, type: "5", mode: 0o755 };
}
function descOf(content: string | Buffer, name = dir): TarEntry {
  return { name: `${name}/desc`, content };
}
function filesOf(content: string | Buffer, name = dir): TarEntry {
  return { name: `${name}/files`, content };
}
/** A db of one package with this desc. */
function db(content: string | Buffer): Buffer {
  return tarArchive([directory(), descOf(content)]);
}
/** A db of one package whose fields are changed; undefined: left out. */
function fields(changes: Readonly<Record<string, readonly string[] | undefined>>): Buffer {
  const map = new Map(sample.fields);
  for (const [key, lines] of Object.entries(changes))
    if (lines === undefined) map.delete(key);
    else map.set(key, lines);
  return db(descText(map));
}
/** A db of one package of this name and version, in a directory that says the same. */
function named(name: string, version: string, filename = `${name}-${version}-any.pkg.tar.zst`): Buffer {
  const map = new Map(sample.fields)
    .set("NAME", [name])
    .set("VERSION", [version])
    .set("FILENAME", [filename]);
  return tarArchive([directory(`${name}-${version}`), descOf(descText(map), `${name}-${version}`)]);
}
/** A files database of one package with this list. */
function files(content: string | Buffer): Buffer {
  return tarArchive([directory(), descOf(text), filesOf(content)]);
}
function latin1(content: string): Buffer {
  return Buffer.from(content, "latin1");
}

const DESC: readonly (readonly [string, Buffer, Verdict])[] = [
  ["as repo-add writes it", db(text), "db"],
  ["of nothing", db(""), "bad-database"],
  ["of an empty line", db("\n"), "bad-database"],
  ["of a NUL", db("\0"), "bad-database"],
  ["with a section twice", db(`${text}%NAME%\n${sample.name}\n\n`), "bad-database"],
  ["with a list twice", db(`${text}%DEPENDS%\nx\n\n`), "bad-database"],
  ["with an unknown section", db(`${text}%XDATA%\npkgtype=pkg\n\n`), "bad-database"],
  ["with a section in lower case", db(text.replace("%DESC%", "%desc%")), "bad-database"],
  ["with a space behind a section's name", db(text.replace("%DESC%", "%DESC% ")), "bad-database"],
  ["with a space before a section's name", db(text.replace("%DESC%", " %DESC%")), "bad-database"],
  ["with an unclosed section's name", db(text.replace("%DESC%", "%DESC")), "bad-database"],
  ["with a section of no name", db(text.replace("%DESC%", "%%")), "bad-database"],
  [
    "with a section of no value",
    db(text.replace("%GROUPS%\n", "").replace("%URL%\n", "%GROUPS%\n\n%URL%\n")),
    "bad-database",
  ],
  ["with NAME of no value", db(text.replace(`%NAME%\n${sample.name}\n`, "%NAME%\n")), "bad-database"],
  [
    "with two values where one belongs",
    fields({ URL: ["https://a.example.org", "https://b.example.org"] }),
    "bad-database",
  ],
  ["with two names", fields({ NAME: [sample.name, "openssl"] }), "bad-database"],
  ["with sections in another order", db(text.replace(/^(%FILENAME%\n.*\n\n)(%NAME%\n.*\n\n)/, "$2$1")), "db"],
  ["with an empty line too many", db(text.replace("\n\n", "\n\n\n")), "bad-database"],
  ["with an empty line in front", db(`\n${text}`), "bad-database"],
  ["with an empty line at the end", db(`${text}\n`), "bad-database"],
  ["without its last empty line", db(text.slice(0, -1)), "bad-database"],
  ["without its last newline", db(text.slice(0, -2)), "bad-database"],
  ["with CRLF", db(text.replaceAll("\n", "\r\n")), "bad-database"],
  ["with CR alone", db(text.replaceAll("\n", "\r")), "bad-database"],
  ["with a CR in a value", fields({ DESC: ["a\rb"] }), "bad-database"],
  ["with a NUL in a value", fields({ DESC: ["a\0b"] }), "bad-database"],
  ["with an escape sequence in a value", fields({ DESC: ["\x1b[2J"] }), "bad-database"],
  ["with DEL in a value", fields({ DESC: ["a\x7fb"] }), "bad-database"],
  ["with a C1 control in a value", fields({ DESC: ["a\u009bb"] }), "bad-database"],
  ["with a tab in a value", fields({ DESC: ["a\tb"] }), "bad-database"],
  ["with a byte order mark", db(`\ufeff${text}`), "bad-database"],
  ["in UTF-16", db(Buffer.from(text, "utf16le")), "bad-database"],
  ["with a space before a value", fields({ DESC: [" a"] }), "db"],
  ["with a space behind a value", fields({ DESC: ["a "] }), "db"],
  ["with a space behind the name", fields({ NAME: [`${sample.name} `] }), "bad-database"],
  ["with a value like a section's name", fields({ DESC: ["%NAME%"] }), "bad-database"],
  ["with a list value like a section's name", fields({ DEPENDS: ["a", "%FILENAME%", "b"] }), "bad-database"],
  ["with a section's name behind a space", fields({ DESC: [" %NAME%"] }), "bad-database"],
  ["with a section's name before a space", fields({ DEPENDS: ["a", "%NAME% "] }), "bad-database"],
  [
    "with a section's name between spaces that are not ASCII",
    fields({ DESC: ["\u00a0%NAME%\u3000"] }),
    "bad-database",
  ],
  ["with a section's name between letters", fields({ DESC: ["a %NAME% b"] }), "db"],
  ["with a section's name with an underscore", fields({ DESC: ["%INSTALLED_DB%"] }), "bad-database"],
  ["with a value of a percent sign", fields({ DESC: ["%"] }), "db"],
  ["with a value that begins with a percent sign", fields({ DESC: ["%d of %s"] }), "db"],
  ["with a value that says 100%", fields({ DESC: ["100%"] }), "db"],
  ["with a value of 4,000 characters", fields({ DESC: ["x".repeat(4000)] }), "db"],
  ["with a value of 600 KiB", fields({ DESC: ["x".repeat(600 * 1024)] }), "bad-database"],
  ["with a value of 20 MiB", fields({ DESC: ["x".repeat(20 * 2 ** 20)] }), "bad-database"],
  [
    "with 5,000 dependencies",
    fields({ DEPENDS: Array.from({ length: 5000 }, (_, index) => `dependency-${index}`) }),
    "db",
  ],
  [
    "with a description in Japanese",
    fields({ DESC: ["\u65e5\u672c\u8a9e\u306e\u30d1\u30c3\u30b1\u30fc\u30b8"] }),
    "db",
  ],
  [
    "with a packager of many accents",
    fields({ PACKAGER: ["Ren\u00e9 Dvo\u0159\u00e1k <rene@example.org>"] }),
    "db",
  ],
  ["with a value that is not UTF-8", db(latin1(text.replace("Build Service", "Ren\xe9"))), "bad-database"],
  // Names, versions and file names.
  ["of another name than its directory", fields({ NAME: ["openssl"] }), "bad-database"],
  ["of another version than its directory", fields({ VERSION: ["9-9"] }), "bad-database"],
  ["without FILENAME", fields({ FILENAME: undefined }), "bad-database"],
  ["without NAME", fields({ NAME: undefined }), "bad-database"],
  ["without VERSION", fields({ VERSION: undefined }), "bad-database"],
  ["without BASE, as old packages are", fields({ BASE: undefined }), "db"],
  ["without DESC", fields({ DESC: undefined }), "db"],
  [
    "without URL, LICENSE and PACKAGER",
    fields({ URL: undefined, LICENSE: undefined, PACKAGER: undefined }),
    "db",
  ],
  ["without any checksum", fields({ SHA256SUM: undefined }), "bad-database"],
  ["with MD5SUM alone", fields({ SHA256SUM: undefined, MD5SUM: ["d41d8cd98f00b204e9800998ecf8427e"] }), "db"],
  ["without CSIZE", fields({ CSIZE: undefined }), "bad-database"],
  ["without ARCH", fields({ ARCH: undefined }), "bad-database"],
  ["without BUILDDATE", fields({ BUILDDATE: undefined }), "bad-database"],
  ["of a name with an epoch", named("a", "1:1.0-1"), "db"],
  ["of every character a name may have", named("A@z_+.0-", "1-1"), "db"],
  ["of a name with dashes and digits", named("gcc-12-libs-1.0-2", "3-4"), "db"],
  ["of a name that begins with a dash", named("-a", "1-1"), "bad-database"],
  ["of a name that begins with a dot", named(".a", "1-1"), "bad-database"],
  ["of a name with a space", named("a b", "1-1"), "bad-database"],
  ["of a name with a slash", named("a/b", "1-1"), "bad-database"],
  ["of a name with a letter beyond ASCII", named("caf\u00e9", "1-1"), "bad-database"],
  ["of a name with a star", named("a*", "1-1"), "bad-database"],
  ["of a name in capitals", named("R", "1-1"), "db"],
  ["of a name of 200 characters", named("a".repeat(200), "1-1"), "bad-archive"],
  ["of a version without a release", named("a", "1.0"), "bad-database"],
  ["of a version with a space", named("a", "1 0-1"), "bad-database"],
  ["of a version with a slash", named("a", "1/0-1"), "bad-database"],
  ["of a version with two colons", named("a", "1:2:3-1"), "bad-database"],
  ["of a version with an epoch of letters", named("a", "x:3-1"), "bad-database"],
  ["of a version with an empty epoch", named("a", ":3-1"), "bad-database"],
  ["of a version with a release of letters", named("a", "3-x"), "bad-database"],
  ["of a version with a release of 1.1", named("a", "3-1.1"), "db"],
  ["of a version with a release of 0", named("a", "3-0"), "db"],
  ["of a version with plus, tilde and underscore", named("a", "3+r1_g0+~b^1-1"), "db"],
  ["of a version of a dollar sign", named("a", "$(id)-1"), "db"],
  ["of a version that begins with a dot", named("a", ".1-1"), "db"],
  ["of a file name with a slash", fields({ FILENAME: ["../evil.pkg.tar.zst"] }), "bad-database"],
  ["of an absolute file name", fields({ FILENAME: ["/etc/passwd"] }), "bad-database"],
  ["of a hidden file name", fields({ FILENAME: [`.${file}`] }), "bad-database"],
  ["of a file name of another package", fields({ FILENAME: ["openssl-1-1-any.pkg.tar.zst"] }), "db"],
  ["of a file name with a space", fields({ FILENAME: [file.replace("-", " -")] }), "bad-database"],
  ["of a file name with a question mark", fields({ FILENAME: [`${file}?x`] }), "db"],
  ["of a file name with a percent sign", fields({ FILENAME: [file.replace(":", "%3A")] }), "db"],
  ["of a file name with no extension", fields({ FILENAME: [file.slice(0, -12)] }), "db"],
  ["of a signature's file name", fields({ FILENAME: [`${file}.sig`] }), "db"],
  // Numbers and digests.
  ["with a size of letters", fields({ CSIZE: ["big"] }), "bad-database"],
  ["with a negative size", fields({ CSIZE: ["-1"] }), "bad-database"],
  ["with a size after zeros", fields({ CSIZE: ["007"] }), "bad-database"],
  ["with a size of 2^64", fields({ CSIZE: ["18446744073709551616"] }), "bad-database"],
  ["with a size in hexadecimal", fields({ CSIZE: ["0x10"] }), "bad-database"],
  ["with a size with a fraction", fields({ CSIZE: ["1.5"] }), "bad-database"],
  ["with a size in Arabic digits", fields({ CSIZE: ["\u0661\u0662"] }), "bad-database"],
  ["with a build date of letters", fields({ BUILDDATE: ["yesterday"] }), "bad-database"],
  ["with a build date of 0", fields({ BUILDDATE: ["0"] }), "db"],
  [
    "with a build date that no number holds exactly",
    fields({ BUILDDATE: ["9999999999999999"] }),
    "bad-database",
  ],
  ["with a size that no number holds exactly", fields({ ISIZE: ["9007199254740993"] }), "bad-database"],
  ["with a size of 999 TB", fields({ ISIZE: ["999999999999999"] }), "db"],
  ["with a build date of 2^63", fields({ BUILDDATE: ["9223372036854775808"] }), "bad-database"],
  ["with a digest cut short", fields({ SHA256SUM: ["ab"] }), "bad-database"],
  ["with a digest in capitals", fields({ SHA256SUM: ["A".repeat(64)] }), "bad-database"],
  ["with two digests", fields({ SHA256SUM: ["a".repeat(64), "b".repeat(64)] }), "bad-database"],
  ["with a signature that is not base64", fields({ PGPSIG: ["not base64!"] }), "bad-database"],
  ["with DATA, which local databases have", db(`${text}%DATA%\npkgtype=pkg\n\n`), "db"],
  ["with INSTALLDATE, which local databases have", db(`${text}%INSTALLDATE%\n1\n\n`), "bad-database"],
];

const PACKAGES: readonly (readonly [string, Buffer, Verdict])[] = [
  ["of two packages", tarArchive([...packageEntries(sample, "db"), ...packageEntries(other, "db")]), "db"],
  ["of none", tarArchive([]), "unknown"],
  ["of a directory alone", tarArchive([directory()]), "bad-database"],
  [
    "of a directory alone, and a package",
    tarArchive([directory("x-1-1"), ...packageEntries(sample, "db")]),
    "bad-database",
  ],
  [
    "of a package, and a directory alone",
    tarArchive([...packageEntries(sample, "db"), directory("x-1-1")]),
    "bad-database",
  ],
  ["of desc with no directory", tarArchive([descOf(text)]), "bad-database"],
  ["of desc before its directory", tarArchive([descOf(text), directory()]), "bad-database"],
  ["of a directory twice", tarArchive([directory(), directory(), descOf(text)]), "bad-database"],
  ["of a directory again at the end", tarArchive([directory(), descOf(text), directory()]), "bad-database"],
  ["of desc twice", tarArchive([directory(), descOf(text), descOf(text)]), "bad-database"],
  [
    "of two packages, their entries mixed",
    tarArchive([
      directory(),
      { ...directory(`${other.name}-${other.version}`) },
      descOf(text),
      descOf(descText(other.fields), `${other.name}-${other.version}`),
    ]),
    "bad-database",
  ],
  [
    "of the same package twice",
    tarArchive([...packageEntries(sample, "db"), ...packageEntries(sample, "db")]),
    "bad-database",
  ],
  [
    "of the same name twice, in two versions",
    Buffer.from(
      tarArchive([
        ...packageEntries(sample, "db"),
        directory(`${sample.name}-99-1`),
        descOf(
          descText(
            new Map(sample.fields)
              .set("VERSION", ["99-1"])
              .set("FILENAME", [`${sample.name}-99-1-any.pkg.tar.zst`]),
          ),
          `${sample.name}-99-1`,
        ),
      ]),
    ),
    "bad-database",
  ],
  [
    "of two names for one directory",
    tarArchive([
      directory("a-1-1-1"),
      descOf(
        descText(
          new Map(sample.fields)
            .set("NAME", ["a"])
            .set("VERSION", ["1-1-1"])
            .set("FILENAME", ["a-1-1-1-any.pkg.tar.zst"]),
        ),
        "a-1-1-1",
      ),
    ]),
    "bad-database",
  ],
  [
    "of two packages of one file name",
    tarArchive([
      ...packageEntries(sample, "db"),
      directory("b-1-1"),
      descOf(descText(new Map(sample.fields).set("NAME", ["b"]).set("VERSION", ["1-1"])), "b-1-1"),
    ]),
    "db",
  ],
  [
    "of a files list in one package only",
    tarArchive([...packageEntries(sample, "files"), ...packageEntries(other, "db")]),
    "bad-database",
  ],
  [
    "of a files list in the second package only",
    tarArchive([...packageEntries(sample, "db"), ...packageEntries(other, "files")]),
    "bad-database",
  ],
  ["of files and no desc", tarArchive([directory(), filesOf("%FILES%\n")]), "bad-database"],
  ["of files before desc", tarArchive([directory(), filesOf("%FILES%\nusr/\n"), descOf(text)]), "files"],
  [
    "of files twice",
    tarArchive([directory(), descOf(text), filesOf("%FILES%\n"), filesOf("%FILES%\n")]),
    "bad-database",
  ],
  [
    "of names that differ in case",
    tarArchive([
      ...packageEntries(sample, "db"),
      directory(dir.toUpperCase().replace(sample.version.toUpperCase(), sample.version)),
      descOf(
        descText(
          new Map(sample.fields)
            .set("NAME", [sample.name.toUpperCase()])
            .set("FILENAME", [file.replace(sample.name, sample.name.toUpperCase())]),
        ),
        `${sample.name.toUpperCase()}-${sample.version}`,
      ),
    ]),
    "db",
  ],
];

const FILES: readonly (readonly [string, Buffer, Verdict])[] = [
  ["as repo-add writes it", files(filesText(sample.files)), "files"],
  ["of the header alone", files("%FILES%\n"), "files"],
  ["of the header and no newline", files("%FILES%"), "bad-database"],
  ["of nothing", files(""), "bad-database"],
  ["of an empty line", files("\n"), "bad-database"],
  ["without the header", files("usr/\n"), "bad-database"],
  ["with the header twice", files("%FILES%\nusr/\n%FILES%\nvar/\n"), "bad-database"],
  [
    "with BACKUP behind it, as local databases have",
    files("%FILES%\netc/\netc/x\n\n%BACKUP%\netc/x\n"),
    "bad-database",
  ],
  ["with desc behind it", files(`%FILES%\nusr/\n\n%NAME%\nopenssl\n\n`), "bad-database"],
  ["with an empty line at the end", files("%FILES%\nusr/\n\n"), "bad-database"],
  ["with an empty line inside", files("%FILES%\nusr/\n\nvar/\n"), "bad-database"],
  ["with no newline at the end", files("%FILES%\nusr/"), "bad-database"],
  ["with CRLF", files("%FILES%\r\nusr/\r\n"), "bad-database"],
  ["with a NUL", files("%FILES%\nusr/\0\n"), "bad-database"],
  ["with an absolute path", files("%FILES%\n/etc/passwd\n"), "bad-database"],
  ["with ..", files("%FILES%\n../x\n"), "bad-database"],
  ["with .. inside", files("%FILES%\nusr/\nusr/../x\n"), "bad-database"],
  ["with .. at the end", files("%FILES%\nusr/..\n"), "bad-database"],
  ["with ./", files("%FILES%\n./usr\n"), "bad-database"],
  ["with . inside", files("%FILES%\nusr/./x\n"), "bad-database"],
  ["with //", files("%FILES%\nusr//x\n"), "bad-database"],
  ["with two slashes at the end", files("%FILES%\nusr//\n"), "bad-database"],
  ["with a path of one slash", files("%FILES%\n/\n"), "bad-database"],
  ["with a path of one dot", files("%FILES%\n.\n"), "bad-database"],
  ["with the same path twice", files("%FILES%\nusr/\nusr/\n"), "files"],
  ["with a path as a file and a directory", files("%FILES%\nusr\nusr/\n"), "files"],
  ["out of order", files("%FILES%\nvar/\nusr/\n"), "files"],
  ["in the order of a locale", files("%FILES%\nusr/\nusr/a\nusr/B\n"), "files"],
  ["with a hidden path inside", files("%FILES%\nusr/\nusr/.hidden\n"), "files"],
  ["with a path that begins with three dots", files("%FILES%\nusr/\nusr/...\n"), "files"],
  ["with a space in a path", files("%FILES%\nusr/\nusr/a b\n"), "files"],
  ["with a path in Japanese", files("%FILES%\nusr/\nusr/\u65e5\n"), "files"],
  ["with a path with bsdtar's escapes", files("%FILES%\nusr/\nusr/\\346\\227\\245\n"), "files"],
  ["with a path that is not UTF-8", files(latin1("%FILES%\nusr/\nusr/\xe9\n")), "bad-database"],
  ["with an escape sequence in a path", files("%FILES%\nusr/\nusr/\x1b[2J\n"), "bad-database"],
  ["with a percent sign in a path", files("%FILES%\nusr/\nusr/%41\n"), "files"],
  [
    "with a section's name behind a space for a path",
    files("%FILES%\nusr/\n\u00a0 %NAME% \n"),
    "bad-database",
  ],
  ["with a section's name for the last path", files("%FILES%\nusr/\n%NAME%\n"), "bad-database"],
  ["with a section's name inside a path", files("%FILES%\nusr/\nusr/%NAME%\n"), "files"],
  ["with a section's name for a path", files("%FILES%\n%NAME%\n"), "bad-database"],
  ["with a path of 5,000 bytes", files(`%FILES%\nusr/\nusr/${"x".repeat(5000)}\n`), "files"],
  ["with a path of 600 KiB", files(`%FILES%\n${"x/".repeat(300 * 1024)}\n`), "bad-database"],
  ["with a path of 4,000 bytes", files(`%FILES%\nusr/\nusr/${"xxxxxxx/".repeat(499)}\n`), "files"],
  [
    "with 200,000 paths",
    files(
      `%FILES%\nusr/\n${Array.from({ length: 200_000 }, (_, index) => `usr/${String(index).padStart(7, "0")}`).join("\n")}\n`,
    ),
    "files",
  ],
];

describe("a desc", () => {
  test.each(DESC)("%s", async (_title, bytes, verdict) => {
    expect(await verdictOn(bytes)).toBe(verdict);
    if (bytes.length < 2 ** 16) expect(await verdictOn(bytes, { chunk: 61 })).toBe(verdict);
  });
});
describe("a database", () => {
  test.each(PACKAGES)("%s", async (_title, bytes, verdict) => {
    expect(await verdictOn(bytes)).toBe(verdict);
    expect(await verdictOn(bytes, { chunk: 61 })).toBe(verdict);
  });
});
describe("a list of files", () => {
  test.each(FILES)("%s", async (_title, bytes, verdict) => {
    expect(await verdictOn(bytes)).toBe(verdict);
    if (bytes.length < 2 ** 16) expect(await verdictOn(bytes, { chunk: 61 })).toBe(verdict);
  });
});
