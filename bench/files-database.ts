import { createWriteStream } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import type { Cleanup } from "../test/support/cleanup.ts";
import { archiveChunks } from "../test/support/database-fixture.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import type { Comparison } from "./comparison.ts";
import { measure, median, peakMemory } from "./measure.ts";
import type { Signers } from "./signing.ts";

const RUNS = 5;
/** Together 300 MB, 72 MB after gzip, as extra.files.tar.gz is. */
const SHAPE = { packages: 14_500, kind: "files", filesPerPackage: 420 } as const;

/** One signature of a database like extra.files, against libarchive merely listing it and GnuPG signing it. */
export async function acceptFilesDatabase(
  cleanup: Cleanup,
  signers: Signers,
): Promise<readonly Comparison[]> {
  const file = join(await tempDir(cleanup), "extra.files.tar.gz");
  await pipeline(Readable.from(archiveChunks(SHAPE)), createGzip(), createWriteStream(file));
  const megabytes = Math.round((await stat(file)).size / 1e6);

  let request = 0;
  const ours = () => signers.accept(`extra-${request++}.files.tar.gz`, file);
  const peakBytes = await peakMemory(ours());
  const times = measure({ ours, peer: () => signers.gpg(file, 'bsdtar -tf "$1" > /dev/null') }, RUNS);
  const of = (name: string) => median(times.get(name) ?? []);
  return [
    {
      what: `accept of file lists of ${SHAPE.packages} packages, ${megabytes} MB`,
      peer: "bsdtar -tf && gpg --detach-sign",
      ours: of("ours"),
      theirs: of("peer"),
      aim: 1.5,
      peakBytes,
    },
  ];
}
