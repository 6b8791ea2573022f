import { chmodSync, cpSync, existsSync } from "node:fs";
import { join } from "node:path";
import type { TestAccount } from "./accounts.ts";
import type { Cleanup } from "./cleanup.ts";
import { tempDir } from "./temp-dir.ts";

const ROOT = join(import.meta.dirname, "..", "..");

/** What an installation is made of, as README tells: the launchers, the bundle, the runtime and what is not bundled. */
const PARTS = ["bin", "dist", "package.json", "node_modules/openpgp"] as const;
const RUNTIME = join("node_modules", ".bin", "node");

/** Folder of a program that these accounts can run: this checkout, or a copy where it lies in somebody's home. */
export async function installedProgram(cleanup: Cleanup, accounts: readonly TestAccount[]): Promise<string> {
  const test = (each: TestAccount) => each.run("test", ["-x", join(ROOT, "bin", "signer")]);
  const reached = await Promise.all(accounts.map(test));
  if (reached.every(({ status }) => status === 0)) return ROOT;
  const folder = await tempDir(cleanup);
  chmodSync(folder, 0o755);
  for (const part of PARTS) cpSync(join(ROOT, part), join(folder, part), { recursive: true });
  if (existsSync(join(ROOT, RUNTIME)))
    cpSync(join(ROOT, RUNTIME), join(folder, RUNTIME), { dereference: true });
  return folder;
}
