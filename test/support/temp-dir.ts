import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Cleanup } from "./cleanup.ts";

/** A new folder of mode 0700 under the system's temporary folder, without symbolic links in its path; removed by `cleanup`. */
export async function tempDir(cleanup: Cleanup): Promise<string> {
  const folder = await mkdtemp(join(await realpath(tmpdir()), "signer-test-"));
  cleanup.add(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  return folder;
}
