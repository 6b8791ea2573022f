import { join } from "node:path";
import { makePackage } from "./packages.ts";
import { runOk } from "./run.ts";

/** A repository as repo-add leaves it in a folder: paths of its two databases. */
export interface Repository {
  readonly folder: string;
  readonly name: string;
  /** `FOLDER/NAME.db.tar.gz`, to which `NAME.db` is a symbolic link. */
  readonly db: string;
  readonly files: string;
}

/** Suffixes after `.db.tar` whose compressors the tests have. */
export type Suffix = "" | ".gz" | ".zst" | ".bz2" | ".xz";

/** Adds packages, paths of files, to the repository with the real repo-add, which makes it where it is not there yet. */
export async function addPackages(
  folder: string,
  name: string,
  packages: readonly string[],
  suffix: Suffix = ".gz",
): Promise<Repository> {
  const db = join(folder, `${name}.db.tar${suffix}`);
  const env = { PATH: process.env["PATH"], LC_ALL: "C" };
  await runOk("repo-add", ["--quiet", db, ...packages], { env, cwd: folder });
  return { folder, name, db, files: join(folder, `${name}.files.tar${suffix}`) };
}

/** A repository of two small packages. */
export async function makeRepository(
  folder: string,
  name: string,
  suffix: Suffix = ".gz",
): Promise<Repository> {
  const packages = [
    await makePackage(folder, "apple"),
    await makePackage(folder, "pear", { version: "1:2.0-3" }),
  ];
  return addPackages(folder, name, packages, suffix);
}
