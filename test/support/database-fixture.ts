import { createHash } from "node:crypto";
import { gzipSync, constants as zlib, zstdCompressSync } from "node:zlib";
import { archiveEnd, type TarEntry, tarEntry } from "./tar-fixture.ts";

/** What to generate; the same options give the same bytes (compressors of other versions aside). */
export interface DatabaseOptions {
  readonly packages: number;
  readonly kind: "db" | "files";
  readonly compression?: "none" | "gzip" | "zstd";
  /** Average number of paths in a package's file list; a few packages have fifty times as many. Default 8. */
  readonly filesPerPackage?: number;
  readonly seed?: number;
}

/** One package, as repo-add would have found it in a package file. */
export interface SamplePackage {
  readonly name: string;
  readonly version: string;
  readonly fields: ReadonlyMap<string, readonly string[]>;
  readonly files: readonly string[];
}

/** Numbers in [0, bound) that follow from the seed alone (xorshift32). */
function numbersFrom(seed: number): (bound: number) => number {
  let state = seed | 1;
  return (bound) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % bound;
  };
}

const SYLLABLES =
  "ar be co da el fo gi ha in jo ka li mo na or pe qu ro sa te un va wi xe yo zu str ing gtk lib py th on net db ui".split(
    " ",
  );
const ENDINGS = [".so", ".h", ".py", ".html", ".3.gz", "", ".mo", ".png", ".svg", ".pc"];

function word(number: (bound: number) => number): string {
  let text = "";
  for (let left = 1 + number(3); left >= 0; left--) text += SYLLABLES[number(SYLLABLES.length)];
  return text;
}

/** A list as `LC_ALL=C sort -u` leaves it: directories with a trailing slash, each before what it holds. */
function fileList(name: string, count: number, number: (bound: number) => number): string[] {
  const trees = [
    "usr/bin/",
    `usr/include/${name}/`,
    `usr/lib/${name}/`,
    `usr/share/doc/${name}/`,
    "usr/share/man/man3/",
  ];
  const paths = ["usr/"];
  let parent = "";
  for (const tree of trees) {
    const top = tree.slice(0, tree.indexOf("/", 4) + 1);
    if (top !== parent) paths.push(top);
    parent = top;
    if (tree.includes("man3")) paths.push("usr/share/man/");
    else if (tree.includes("doc/")) paths.push("usr/share/doc/");
    if (tree !== top) paths.push(tree);
    const share = Math.floor(count / trees.length);
    for (let index = 0; index < share; index++) {
      const place = index.toString(36).padStart(4, "0");
      paths.push(`${tree}${place}${word(number)}-${word(number)}${ENDINGS[number(ENDINGS.length)]}`);
    }
  }
  return paths;
}

/** Package `index` of a generated database: what follows from the seed and the index alone. */
export function samplePackage(index: number, filesPerPackage = 8, seed = 1): SamplePackage {
  const number = numbersFrom((seed + 1) * 2654435761 + index * 40503);
  for (let warm = 0; warm < 4; warm++) number(2);
  const name = `${word(number)}-${index.toString(36).padStart(4, "0")}`;
  const version = `${index % 7 === 0 ? "1:" : ""}${number(20)}.${number(40)}.${number(10)}-${1 + number(9)}`;
  const digest = createHash("sha512").update(`${seed}/${index}`).digest();
  const fields = new Map<string, readonly string[]>([
    ["FILENAME", [`${name}-${version}-x86_64.pkg.tar.zst`]],
    ["NAME", [name]],
    ["BASE", [name]],
    ["VERSION", [version]],
    ["DESC", [`The ${word(number)} ${word(number)} for ${word(number)} \u2013 ${word(number)}`]],
    ["CSIZE", [String(1000 + number(9_000_000))]],
    ["ISIZE", [String(4000 + number(90_000_000))]],
    ["SHA256SUM", [digest.toString("hex").slice(0, 64)]],
    ["PGPSIG", [Buffer.concat([digest, digest]).subarray(0, 119).toString("base64")]],
    ["URL", [`https://${word(number)}.example.org/${name}`]],
    ["LICENSE", ["GPL-3.0-or-later"]],
    ["ARCH", ["x86_64"]],
    ["BUILDDATE", [String(1_600_000_000 + number(150_000_000))]],
    ["PACKAGER", ["Build Service <build@example.org>"]],
    ["DEPENDS", Array.from({ length: 1 + number(9) }, () => `${word(number)}>=${number(9)}`)],
    ["OPTDEPENDS", Array.from({ length: number(3) }, () => `${word(number)}: for ${word(number)} support`)],
    ["MAKEDEPENDS", Array.from({ length: number(5) }, () => word(number))],
  ]);
  const count =
    filesPerPackage === 0 ? 0 : index % 100 === 99 ? filesPerPackage * 50 : Math.ceil(filesPerPackage / 2);
  return { name, version, fields, files: fileList(name, count, number) };
}

/** A `desc` in the layout of repo-add: each section its header, its lines and an empty line; empty sections left out. */
export function descText(fields: ReadonlyMap<string, readonly string[]>): string {
  let text = "";
  for (const [key, lines] of fields) if (lines.length > 0) text += `%${key}%\n${lines.join("\n")}\n\n`;
  return text;
}

/** A `files` file: its header and one path per line. */
export function filesText(paths: readonly string[]): string {
  return `%FILES%\n${paths.map((path) => `${path}\n`).join("")}`;
}

/** The two or three entries of a package, as bsdtar writes them. */
export function packageEntries(sample: SamplePackage, kind: "db" | "files"): TarEntry[] {
  const directory = `${sample.name}-${sample.version}/`;
  const entries: TarEntry[] = [
    { name: directory, type: "5", mode: 0o755 },
    { name: `${directory}desc`, content: descText(sample.fields) },
  ];
  if (kind === "files") entries.push({ name: `${directory}files`, content: filesText(sample.files) });
  return entries;
}

/** The archive of a generated database before compression, a package at a time: never in memory as a whole. */
export function* archiveChunks(options: DatabaseOptions): Generator<Buffer> {
  let length = 0;
  for (let index = 0; index < options.packages; index++) {
    const sample = samplePackage(index, options.filesPerPackage, options.seed);
    const chunk = Buffer.concat(packageEntries(sample, options.kind).map(tarEntry));
    length += chunk.length;
    yield chunk;
  }
  yield archiveEnd(length);
}

/** Compressed as repo-add does it (`gzip -n`, `zstd` from a pipe), up to the compressor's version and level. */
export function compress(archive: Buffer, compression: "none" | "gzip" | "zstd"): Buffer {
  if (compression === "none") return archive;
  if (compression === "gzip") return gzipSync(archive);
  return zstdCompressSync(archive, {
    params: { [zlib.ZSTD_c_checksumFlag]: 1, [zlib.ZSTD_c_contentSizeFlag]: 0 },
  });
}

/** A generated database in memory; gzip unless told otherwise. For one of hundreds of MB use {@link archiveChunks}. */
export function buildDatabase(options: DatabaseOptions): Buffer {
  return compress(Buffer.concat([...archiveChunks(options)]), options.compression ?? "gzip");
}
