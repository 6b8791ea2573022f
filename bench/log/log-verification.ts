import { join } from "node:path";
import type { Cleanup } from "../../test/support/cleanup.ts";
import { tempDir } from "../../test/support/temp-dir.ts";
import type { Comparison } from "../comparison.ts";
import { measure, median, type Program, peakMemory } from "../measure.ts";
import { PATH } from "../signing.ts";
import { generateLog } from "./log-generator.ts";

const RUNS = 1;
/** Of a log of any length: what a JavaScript heap grows to before it is tidied up, three times what is in it. */
const MEMORY_AIM_BYTES = 250e6;
const SMALL = 100_000;
const LARGE = 1_000_000;
const SIGNER_LOG = join(import.meta.dirname, "..", "..", "bin", "signer-log");

/** `signer-log verify` of whole logs: ten times the entries take ten times as long, and no more memory. */
export async function verifyLogs(cleanup: Cleanup): Promise<readonly Comparison[]> {
  const folder = await tempDir(cleanup);
  const end = new Date();
  const verify = (size: number): Program => ({
    command: SIGNER_LOG,
    args: ["--state", join(folder, String(size)), "verify", "--quiet"],
    env: { PATH },
  });
  for (const size of [SMALL, LARGE])
    await generateLog(join(folder, String(size)), { size, end, verifiable: true });
  const times = measure({ large: () => verify(LARGE), small: () => verify(SMALL) }, RUNS);
  const of = (name: string) => median(times.get(name) ?? []);
  return [
    {
      what: `verify of ${LARGE} entries`,
      peer: `${SMALL} entries`,
      ours: of("large"),
      theirs: of("small"),
      aim: 11,
      peakBytes: await peakMemory(verify(LARGE)),
      peakAimBytes: MEMORY_AIM_BYTES,
    },
    {
      what: `verify of ${SMALL} entries`,
      peer: "itself, for its memory",
      ours: of("small"),
      theirs: of("small"),
      peakBytes: await peakMemory(verify(SMALL)),
      peakAimBytes: MEMORY_AIM_BYTES,
    },
  ];
}
