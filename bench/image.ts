import { stat } from "node:fs/promises";
import type { Cleanup } from "../test/support/cleanup.ts";
import { tempDir } from "../test/support/temp-dir.ts";
import type { Comparison } from "./comparison.ts";
import { makeLargeImage } from "./large-image.ts";
import { measure, median, peakMemory } from "./measure.ts";
import { PATH, type Signers } from "./signing.ts";

const RUNS = 5;

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
      ours: of("ours"),
      theirs: of("peer"),
      aim: 1.15,
      peakBytes,
    },
  ];
}
