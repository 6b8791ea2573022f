import { closeSync, openSync, renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import type { Journal } from "../journal.ts";

/** Anyone may read them: there are no secrets in metrics, and their collector has an account of its own. */
const MODE = 0o644;

/**
 * The file that metrics are written to, always as a whole. What goes wrong is in the journal once until it goes well again,
 * and disturbs nobody.
 */
export class MetricsFile {
  /** Where there are metrics of ours. */
  #file: string | undefined;
  #isFailing = false;

  /**
   * Puts metrics at `file`; those that are elsewhere go, or their collector would find them twice.
   * @param makeText makes them; where it throws, that is as if the file could not be written
   */
  write(file: string, makeText: () => string, journal: Journal): void {
    try {
      replaceFile(file, makeText());
    } catch (error) {
      this.fail(error, journal);
      return;
    }
    if (this.#file !== file) this.remove();
    this.#file = file;
    if (this.#isFailing) journal.info({ file }, "metrics are written again");
    this.#isFailing = false;
  }

  /** Takes away what there is of ours. */
  remove(): void {
    try {
      if (this.#file !== undefined) rmSync(this.#file, { force: true });
    } catch {
      // Its folder is not ours any more, nor is it.
    }
    this.#file = undefined;
  }

  /** Says that there are no metrics, unless that was said. */
  fail(error: unknown, journal: Journal): void {
    if (!this.#isFailing) journal.error({ err: error }, "metrics cannot be written");
    this.#isFailing = true;
  }
}

/**
 * Replaces a file: whoever reads sees the old one or the new one. The temporary file beside it, `FILE.tmp`, has no name that
 * node_exporter's textfile collector reads. Throws errors of the file system.
 * @param file absolute; others may be able to write its folder, and nothing that they put there is followed
 */
function replaceFile(file: string, text: string): void {
  const temporary = `${file}.tmp`;
  const descriptor = create(temporary);
  try {
    try {
      writeFileSync(descriptor, text);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** A file that is new. What a process that was killed has left goes; a link goes itself, not what it leads to. */
function create(path: string): number {
  try {
    return createNew(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    unlinkSync(path);
    return createNew(path);
  }
}

/** Node's permission model has no fchmod, and chmod follows a link: hence the umask, which is back before anything else runs. */
function createNew(path: string): number {
  const before = process.umask(0o777 & ~MODE);
  try {
    return openSync(path, "wx", MODE);
  } finally {
    process.umask(before);
  }
}
