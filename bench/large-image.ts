import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { runOk } from "../test/support/run.ts";

/** As much as the monthly image of a distribution has. */
const CONTENT_BYTES = 1.3e9;

/** xorriso's image of one large file; what is in it makes no difference to a digest. */
export async function makeLargeImage(folder: string): Promise<string> {
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
