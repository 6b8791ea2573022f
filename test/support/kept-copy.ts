import type { Cleanup } from "./cleanup.ts";
import { runOk } from "./run.ts";
import { SIGNER_LOG, type SigningHostUnderTest } from "./signing-host.ts";
import { tempDir } from "./temp-dir.ts";

/** A log host's copy of a signing host's log, as `signer-log init` makes it. */
export interface KeptCopy {
  readonly folder: string;
  /** Arguments of signer-log that name it. */
  readonly here: readonly string[];
  /** What `init` printed. */
  readonly said: string;
}

/** Makes it; `name` is the log host's, and of its witness. */
export async function makeKeptCopy(
  cleanup: Cleanup,
  host: SigningHostUnderTest,
  name: string,
): Promise<KeptCopy> {
  const folder = await tempDir(cleanup);
  const here = ["--copies", folder, "--log", "repo"];
  const verifier = (await runOk(SIGNER_LOG, ["--config", host.configFile, "key"])).toString().trim();
  const init = ["init", "--verifier", verifier, "--witness", `${name}.example.org/repo`];
  const said = (await runOk(SIGNER_LOG, [...here, ...init])).toString();
  return { folder, here, said };
}
