import { createReadStream } from "node:fs";
import { statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LOG_FILE } from "../../src/log/log-file.ts";
import type { Cleanup } from "../../test/support/cleanup.ts";
import { tempDir } from "../../test/support/temp-dir.ts";
import type { Comparison } from "../comparison.ts";
import { measureCalls, median } from "../measure.ts";
import { generateLog } from "./log-generator.ts";
import { LOG_OPERATIONS } from "./log-operations.ts";

const RUNS = 200;
const SMALL = 10;
const WANTED = 10_000_000;
/** Disk that building takes for each entry: 780 bytes of the file, and those of a sorted index on their way. */
const BYTES_TO_BUILD = 900;

/**
 * A log's everyday operations with ten million entries against the same with ten. `BENCH_LOG_ENTRIES` is another number of
 * entries, for who has less than 9 GB in the temporary folder or five minutes.
 */
export async function largeLog(cleanup: Cleanup): Promise<readonly Comparison[]> {
  const size = await sizeThatFits(Number(process.env["BENCH_LOG_ENTRIES"] ?? WANTED));
  const folder = await tempDir(cleanup);
  const end = new Date();
  const large = join(folder, "large");
  const small = join(folder, "small");
  const began = Date.now();
  await generateLog(large, { size, end });
  await generateLog(small, { size: SMALL, end });
  const seconds = Math.round((Date.now() - began) / 1000);
  process.stderr.write(`\nbench: a log of ${size} entries was built in ${seconds} s\n`);
  // What a small log has anyway: its pages in memory. A disk that has to be asked costs what the disk costs.
  for await (const _ of createReadStream(join(large, LOG_FILE), { highWaterMark: 1 << 20 }));
  const rows: Comparison[] = [];
  for (const { what, run, aim } of LOG_OPERATIONS) {
    const times = await measureCalls({ large: () => run(large, end), small: () => run(small, end) }, RUNS);
    const of = (name: string) => median(times.get(name) ?? []);
    rows.push({
      what: `${what}, ${size} entries`,
      peer: `the same with ${SMALL} entries`,
      ours: of("large"),
      theirs: of("small"),
      aim,
    });
  }
  return rows;
}

async function sizeThatFits(wanted: number): Promise<number> {
  const { bavail, bsize } = await statfs(tmpdir());
  const fitting = Math.floor((bavail * bsize) / BYTES_TO_BUILD);
  if (wanted <= fitting) return wanted;
  process.stderr.write(`\nbench: ${tmpdir()} has room for a log of ${fitting} entries, not of ${wanted}\n`);
  return fitting;
}
