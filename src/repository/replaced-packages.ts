import { basename, dirname, join, resolve } from "node:path";
import { Fault } from "../outcome.ts";
import { type ProgramEnvironment, runProgram } from "./program.ts";

/** A package of a database, as far as `-R` has to know it. */
export interface ListedPackage {
  readonly name: string;
  readonly version: string;
  readonly fileName: string;
}

/** A file name, never a path or an option: what the old database says was not looked at by anybody. */
const FILE_NAME = /^(?![.-])[^/]{1,255}$/;

/** All `desc` of the largest database there is are less than a tenth. */
const MAX_LIST_BYTES = 512 * 1024 * 1024;

/**
 * The packages that a database lists, read with bsdtar as repo-add does.
 */
export async function listPackages(
  database: string,
  env: ProgramEnvironment,
): Promise<readonly ListedPackage[]> {
  const { status, stdout } = await runProgram("bsdtar", ["-xOf", database], {
    env,
    cwd: "/",
    output: "collect",
    maxBytes: MAX_LIST_BYTES,
  });
  if (status !== 0) throw new Fault("repository-failed", `expected bsdtar to read ${basename(database)}`);
  return parsePackages(stdout.toString("latin1"));
}

/** Reads the `desc` of several packages, one behind the other. repo-add begins each with FILENAME. */
export function parsePackages(descs: string): readonly ListedPackage[] {
  const packages: ListedPackage[] = [];
  for (const desc of descs.split(/^(?=%FILENAME%$)/m)) {
    const value = (key: string) => new RegExp(`^%${key}%\n([^\n]+)$`, "m").exec(desc)?.[1];
    const [fileName, name, version] = [value("FILENAME"), value("NAME"), value("VERSION")];
    if (fileName !== undefined && FILE_NAME.test(fileName) && name !== undefined && version !== undefined)
      packages.push({ name, version, fileName });
  }
  return packages;
}

/**
 * What `-R` deletes: beside each package file that is now listed, the file that its predecessor of another version was listed
 * with, and its signature; never one that is still listed. Absolute paths.
 * @param added the package files of the command line, relative to `cwd`
 */
export function replacedFiles(
  before: readonly ListedPackage[],
  after: readonly ListedPackage[],
  added: readonly string[],
  cwd: string,
): readonly string[] {
  const old = new Map(before.map((listed) => [listed.name, listed]));
  const listed = new Map(after.map((listed) => [listed.fileName, listed]));
  const replaced = added.flatMap((path) => {
    const now = listed.get(basename(path));
    const predecessor = now && old.get(now.name);
    if (predecessor === undefined || predecessor.version === now?.version) return [];
    return listed.has(predecessor.fileName) ? [] : [join(resolve(cwd, dirname(path)), predecessor.fileName)];
  });
  return [...new Set(replaced)].flatMap((path) => [path, `${path}.sig`]);
}
