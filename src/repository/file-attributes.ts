import { chmodSync, lutimesSync } from "node:fs";
import { Fault } from "../outcome.ts";
import { type ProgramEnvironment, runProgram } from "./program.ts";

/** A file that everybody may read: what repo-add's umask of 022 gives. */
const NEW_FILE_MODE = 0o644;

/**
 * Gives `paths` the owner, group, mode and ACL of `like`, through GNU cp: Node knows nothing of ACLs. An owner or group that
 * this user may not give away stays as it is, as after repo-add.
 */
export async function copyAttributes(
  like: string,
  paths: readonly string[],
  env: ProgramEnvironment,
): Promise<void> {
  for (const path of paths) {
    const args = ["--attributes-only", "--preserve=mode,ownership", "--", like, path];
    const { status } = await runProgram("cp", args, { env, cwd: "/", output: "pass" });
    if (status !== 0)
      throw new Fault("repository-failed", "expected cp to copy a database's owner, mode and ACL");
  }
}

/** The mode of a file that was not there before. */
export function makeReadable(path: string): void {
  chmodSync(path, NEW_FILE_MODE);
}

/** The moment at which a pair may be published and that its files bear, in whole seconds since 1970. */
export function nextStamp(nowMs: number, previousMs: number): number {
  // HTTP compares whole seconds: one that did not grow is answered with 304, however new the content.
  return Math.max(Math.floor(nowMs / 1000), Math.floor(previousMs / 1000) + 1);
}

/** Sets when a file was last changed, in seconds since 1970. */
export function stamp(path: string, seconds: number): void {
  lutimesSync(path, seconds, seconds);
}
