import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ArtefactName, parseArtefactName } from "../../src/artefact/artefact-name.ts";

const database = (over: Partial<ArtefactName>): ArtefactName => ({
  type: "db",
  compression: "gzip",
  unsupported: undefined,
  repository: "core",
  date: undefined,
  ...over,
});
const image = (date: ArtefactName["date"]): ArtefactName =>
  database({ type: "iso", compression: undefined, repository: undefined, date });

describe("names of databases", () => {
  test.each<[string, ArtefactName]>([
    ["core.db.tar.gz", database({})],
    ["core.files.tar.gz", database({ type: "files" })],
    ["core.db.tar", database({ compression: "none" })],
    ["core.files.tar.zst", database({ type: "files", compression: "zstd" })],
    ["core.db", database({ compression: undefined })],
    ["core.files", database({ type: "files", compression: undefined })],
    ["kde-unstable.db.tar.gz", database({ repository: "kde-unstable" })],
    ["my.repo_1+x@y.db.tar.gz", database({ repository: "my.repo_1+x@y" })],
    ["localhost.db.tar.gz", database({ repository: "localhost" })],
    ["local.core.db", database({ repository: "local.core", compression: undefined })],
    ["core.files.db", database({ repository: "core.files", compression: undefined })],
  ])("%s is read", (name, expected) => {
    expect(parseArtefactName(name)).toEqual(expected);
  });

  test.each([
    ["bz2", "bzip2"],
    ["xz", "xz"],
    ["lrz", "lrzip"],
    ["lzo", "lzop"],
    ["Z", "compress"],
    ["lz4", "lz4"],
    ["lz", "lzip"],
  ])("the suffix .%s is named as the unsupported %s", (suffix, unsupported) => {
    const expected = database({ compression: undefined, unsupported });
    expect(parseArtefactName(`core.db.tar.${suffix}`)).toEqual(expected);
    expect(parseArtefactName(`core.files.tar.${suffix}`)).toEqual({ ...expected, type: "files" });
  });

  test.each([
    "",
    "db",
    ".db",
    ".db.tar.gz",
    "db.tar.gz",
    "core",
    "core.db.",
    "core.db.gz",
    "core.db.zst",
    "core.db.tar.",
    "core.db.tar.GZ",
    "core.DB.tar.gz",
    "core.db.tar.z",
    "core.db.tar.tar",
    "core.db.tgz",
    "core.db.tar.gz.sig",
    "core.db.sig",
    "core.db.tar.gz.old",
    "core.db.tar.gz.lck",
    "core.db.tar.constructor",
    "coreXdb.tar.gz",
    "core.tar.gz",
    "core.packages.tar.gz",
    "pacman-7.0.0-1-x86_64.pkg.tar.zst",
    "local.db",
    "local.db.tar.gz",
    "local.files",
    "-core.db",
    "-.db",
    "../core.db",
    "a/core.db",
    "core.db\n",
    "\ncore.db",
    "co\nre.db",
    "co re.db",
    "co?re.db",
    "co!re.db",
    "co\u0000re.db",
    "côre.db",
    "core\u202e.db",
    `${"a".repeat(253)}.db`,
  ])("%j is no name of an artefact", (name) => {
    expect(parseArtefactName(name)).toBeUndefined();
  });

  test("a name of 255 bytes is the longest", () => {
    expect(parseArtefactName(`${"a".repeat(252)}.db`)).toBeDefined();
  });
});

describe("names of images", () => {
  test.each<[string, ArtefactName]>([
    ["archlinux-2026.11.01-x86_64.iso", image({ year: 2026, month: 11, day: 1 })],
    ["2026.11.01.iso", image({ year: 2026, month: 11, day: 1 })],
    ["arch_2028.02.29.iso", image({ year: 2028, month: 2, day: 29 })],
    ["arch-2000.02.29.iso", image({ year: 2000, month: 2, day: 29 })],
    ["arch-2026.12.31.iso", image({ year: 2026, month: 12, day: 31 })],
    ["archlinux-x86_64.iso", image(undefined)],
    ["arch-2026.11-x86_64.iso", image(undefined)],
    ["arch-20261101.iso", image(undefined)],
    ["arch-12026.11.01.iso", image(undefined)],
    ["arch-2026.11.011.iso", image(undefined)],
    ["arch.db.tar.gz.iso", image(undefined)],
  ])("%s is read", (name, expected) => {
    expect(parseArtefactName(name)).toEqual(expected);
  });

  test.each([
    ".iso",
    "iso",
    "arch.ISO",
    "arch.iso.sig",
    "arch-2026.02.29.iso",
    "arch-2100.02.29.iso",
    "arch-2026.00.01.iso",
    "arch-2026.13.01.iso",
    "arch-2026.04.31.iso",
    "arch-2026.01.00.iso",
    "arch-2026.01.32.iso",
    "arch-0000.01.01.iso",
    "arch-2026.11.01-2026.12.01.iso",
    "arch-2026.11.01-2026.11.01.iso",
    "arch-2026.11.01-2026.13.01.iso",
    "../arch.iso",
    "arch.iso\n",
  ])("%j is no name of an artefact", (name) => {
    expect(parseArtefactName(name)).toBeUndefined();
  });

  test("every day of the calendar and no other is a date", () => {
    const digits = (max: number) => fc.integer({ min: 0, max });
    fc.assert(
      fc.property(digits(2400), digits(14), digits(33), (year, month, day) => {
        const pad = (value: number, width: number) => String(value).padStart(width, "0");
        const iso = `${pad(year, 4)}-${pad(month, 2)}-${pad(day, 2)}`;
        const instant = new Date(`${iso}T00:00:00Z`);
        const exists = year > 0 && !Number.isNaN(instant.getTime()) && instant.toISOString().startsWith(iso);
        const parsed = parseArtefactName(`arch-${iso.replaceAll("-", ".")}.iso`);
        expect(parsed).toEqual(exists ? image({ year, month, day }) : undefined);
      }),
      { numRuns: 2000 },
    );
  });
});
