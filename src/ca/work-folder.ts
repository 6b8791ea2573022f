import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { basename, dirname } from "node:path";

/**
 * Runs `work` in a new folder (0700), which is removed afterwards, and with it what killed runs have left there.
 * @param prefix of its name: an absolute path
 */
export function withWorkFolder<T>(prefix: string, work: (folder: string) => T): T {
  removeLeftovers(prefix);
  const folder = mkdtempSync(`${prefix}.work-${process.pid}-`);
  try {
    return work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Folders of processes that are there no more. */
function removeLeftovers(prefix: string): void {
  const parent = dirname(prefix.endsWith("/") ? `${prefix}x` : prefix);
  const start = `${prefix.endsWith("/") ? "" : basename(prefix)}.work-`;
  for (const name of readdirSync(parent)) {
    const pid = name.startsWith(start) ? /^(\d+)-/.exec(name.slice(start.length))?.[1] : undefined;
    if (pid !== undefined && !isRunning(Number(pid)))
      rmSync(`${parent}/${name}`, { recursive: true, force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}
