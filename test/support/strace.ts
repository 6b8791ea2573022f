import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Whether strace is here; throws under CI, where a missing tool must not look like a test that passed. */
export function hasStrace(): boolean {
  const found = (process.env["PATH"] ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, "strace"), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  if (!found && process.env["CI"] === "true") throw new Error("strace is missing");
  return found;
}
