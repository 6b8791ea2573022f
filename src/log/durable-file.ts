import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";

/** Files and names that are there after a power failure. */

/** Writes a new file (0600) durably; EEXIST where there is one. Its name is durable when its directory is synced. */
export function writeNewFile(path: string, content: string | Uint8Array): void {
  const file = openSync(path, "wx", 0o600);
  try {
    const bytes = Buffer.from(content);
    for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Makes names that were added to a directory durable. */
export function syncDirectory(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
