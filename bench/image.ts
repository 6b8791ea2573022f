import { mkdir, open, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Cleanup } from "../test/support/cleanup.ts";
import { runOk } from "../test/support/run.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import type { Comparison } from "./comparison.ts";
import { measure, median, peakMemory } from "./measure.ts";
import { PATH, type Signers } from "./signing.ts";

const RUNS = 5;
const CONTENT_BYTES = 1.3e9;

/** One signature of an image as large as the monthly one, both digests recorded, against one digest by openssl. */
export async function acceptImage(cleanup: Cleanup, signers: Signers): Promise<readonly Comparison[]> {
  const file = await makeLargeImage(await tempDir(cleanup));
  const gigabytes = ((await stat(file)).size / 1e9).toFixed(1);

  let request = 0;
  const ours = () => signers.accept(`bench-${request++}-2026.11.01.iso`, file);
  const peakBytes = await peakMemory(ours());
  const peer = () => ({ command: "openssl", args: ["dgst", "-sha512", file], env: { PATH } });
  const times = measure({ ours, peer }, RUNS);
  const of = (name: string) => median(times.get(name) ?? []);
  return [
    {
      what: `accept of an image of ${gigabytes} GB`,
      peer: "openssl dgst -sha512",
      oursMs: of("ours"),
      peerMs: of("peer"),
      aim: 1.15,
      peakBytes,
    },
  ];
}

/** xorriso's image of one large file; what is in it makes no difference to a digest. */
async function makeLargeImage(folder: string): Promise<string> {
  const tree = join(folder, "tree");
  await mkdir(tree);
  const content = await open(join(tree, "airootfs.sfs"), "w");
  await content.truncate(CONTENT_BYTES);
  await content.close();
  const image = join(folder, "image.iso");
  const options = ["-iso-level", "3", "-full-iso9660-filenames", "-rational-rock", "-volid", "BENCH_202611"];
  await runOk("xorriso", ["-no_rc", "-as", "mkisofs", ...options, "-output", image, tree], {
    timeoutMs: 300_000,
  });
  return image;
}
