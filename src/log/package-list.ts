import { createHash } from "node:crypto";
import type { PackageFact } from "../artefact/artefact.ts";

/** The packages of a database as text that can be compared and hashed: `NAME VERSION SHA256` lines, sorted by name. */
export interface PackageList {
  /** A newline after each line; `-` where a package has no SHA-256. Empty for an empty database. */
  readonly text: string;
  /** SHA-256 of the text, lower-case hex. */
  readonly sha256: string;
}

/**
 * The list of a recognised database's packages, whose names MUST be unique and, like the versions, free of spaces and
 * control characters: a TypeError otherwise.
 */
export function packageList(packages: readonly PackageFact[]): PackageList {
  const lines = packages
    .map(({ name, version, sha256 }) => ({ name, line: `${name} ${version} ${sha256 ?? "-"}\n` }))
    .sort((a, b) => compare(a.name, b.name));
  const text = lines.map(({ line }) => line).join("");
  if (parsePackageList(text) === undefined) throw new TypeError("not the packages of a database");
  return { text, sha256: packageListDigest(text) };
}

/** SHA-256 of a list's text, lower-case hex: `packages_sha256` among an entry's facts. */
export function packageListDigest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** Reads a list's text; undefined unless {@link packageList} would have written it. */
export function parsePackageList(text: string): readonly PackageFact[] | undefined {
  if (text === "") return [];
  if (!text.endsWith("\n")) return undefined;
  const packages: PackageFact[] = [];
  let previous: string | undefined;
  for (const line of text.slice(0, -1).split("\n")) {
    const [, name, version, sha256] =
      /^([^\s\u0000-\u0020\u007f]+) ([^\s\u0000-\u0020\u007f]+) (-|[0-9a-f]{64})$/.exec(line) ?? [];
    if (name === undefined || version === undefined || sha256 === undefined) return undefined;
    if (previous !== undefined && compare(previous, name) >= 0) return undefined;
    packages.push({ name, version, sha256: sha256 === "-" ? undefined : sha256 });
    previous = name;
  }
  return packages;
}

/** Order of UTF-16 code units: the same on every machine, whatever its locale. */
function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
