import { execFileSync } from "node:child_process";

/** The executables under test run from `dist/`: never from an older one than the sources. */
export function setup(): void {
  execFileSync("node_modules/.bin/rolldown", ["-c", "rolldown.config.ts", "--log-level", "warn"], { stdio: "inherit" });
}
