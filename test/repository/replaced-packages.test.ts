import { expect, test } from "vitest";
import { type ListedPackage, parsePackages, replacedFiles } from "../../src/repository/replaced-packages.ts";

const listed = (name: string, version: string, fileName = `${name}-${version}.pkg`): ListedPackage => ({
  name,
  version,
  fileName,
});

test("the file that the database listed before, and its signature, are replaced; beside the new package, wherever that is", () => {
  const before = [listed("apple", "1"), listed("pear", "1")];
  const after = [listed("apple", "2"), listed("pear", "1")];
  expect(replacedFiles(before, after, ["./pool/apple-2.pkg"], "/srv/x y")).toEqual([
    "/srv/x y/pool/apple-1.pkg",
    "/srv/x y/pool/apple-1.pkg.sig",
  ]);
});

test.each([
  ["was not listed before", [], [listed("apple", "2")], ["apple-2.pkg"]],
  ["has the same version", [listed("apple", "2", "apple-2.xz")], [listed("apple", "2")], ["apple-2.pkg"]],
  ["was not taken (-p)", [listed("apple", "3")], [listed("apple", "3")], ["apple-2.pkg"]],
  [
    "has the name of the file that is listed now",
    [listed("apple", "1", "same.pkg")],
    [listed("apple", "2", "same.pkg")],
    ["same.pkg"],
  ],
  [
    "is still listed by another package",
    [listed("apple", "1", "both.pkg"), listed("pear", "1", "both.pkg")],
    [listed("apple", "2"), listed("pear", "1", "both.pkg")],
    ["apple-2.pkg"],
  ],
] as const)("nothing is replaced where a package %s", (_, before, after, added) => {
  expect(replacedFiles(before, after, added, "/srv")).toEqual([]);
});

test("packages are read from desc files one behind the other, whatever else is in them", () => {
  const desc = (fileName: string, name: string) =>
    `%FILENAME%\n${fileName}\n\n%NAME%\n${name}\n\n%VERSION%\n1-1\n\n%DESC%\nof %NAME%\n\n`;
  expect(parsePackages(desc("a.pkg", "a") + desc("b.pkg", "b"))).toEqual([
    { name: "a", version: "1-1", fileName: "a.pkg" },
    { name: "b", version: "1-1", fileName: "b.pkg" },
  ]);
  expect(parsePackages("")).toEqual([]);
});

test.each(["../../etc/passwd", "/etc/passwd", "..", ".hidden", "-rf"])(
  "a file name that is a path or an option, %j, is never deleted",
  (fileName) => {
    expect(parsePackages(`%FILENAME%\n${fileName}\n\n%NAME%\na\n\n%VERSION%\n1-1\n`)).toEqual([]);
  },
);
