import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { runOk } from "./run.ts";

export interface PackageOptions {
  /** `[epoch:]pkgver-pkgrel`; 1.0-1 where left out. */
  readonly version?: string;
  /** Seconds since 1970. */
  readonly buildDate?: number;
  /** Paths and contents; one small file where left out. */
  readonly files?: Readonly<Record<string, string>>;
}

/**
 * Makes a small package that repo-add and pacman accept in `folder`, as makepkg would (which refuses to run as root): its
 * path. It is called `NAME-VERSION-any.pkg.tar.zst`.
 */
export async function makePackage(
  folder: string,
  name: string,
  options: PackageOptions = {},
): Promise<string> {
  const { version = "1.0-1", buildDate = 1_793_534_400 } = options;
  const files = options.files ?? { [`usr/share/${name}/README`]: `This is ${name}.\n` };
  const info = [
    `pkgname = ${name}`,
    `pkgbase = ${name}`,
    `pkgver = ${version}`,
    `pkgdesc = A small package called ${name}`,
    "url = https://example.org",
    `builddate = ${buildDate}`,
    "packager = Example Packager <packager@example.org>",
    `size = ${Object.values(files).join("").length}`,
    "arch = any",
    "license = CC0-1.0",
  ];
  const tree = join(folder, `.${name}`);
  await mkdir(tree, { recursive: true });
  for (const [path, content] of Object.entries({ ".PKGINFO": `${info.join("\n")}\n`, ...files })) {
    await mkdir(dirname(join(tree, path)), { recursive: true });
    await writeFile(join(tree, path), content);
  }
  const file = join(folder, `${name}-${version}-any.pkg.tar.zst`);
  const owner = ["--uid", "0", "--gid", "0", "--uname", "root", "--gname", "root"];
  await runOk("bsdtar", [
    "-c",
    "--zstd",
    ...owner,
    "-f",
    file,
    "-C",
    tree,
    ...(await readdir(tree)).toSorted(),
  ]);
  await rm(tree, { recursive: true });
  return file;
}
