import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";

/** The executables under test run from `dist/`: never from an older one than the sources. */
export function setup(): void {
  if (!existsSync("src/cli/signer.ts") || !existsSync("src/cli/signer-log.ts")) return;
  execFileSync("bash", ["scripts/build.sh"], { stdio: "inherit" });
}
