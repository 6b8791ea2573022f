import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { Fault } from "../../outcome.ts";

/** Everybody reads: the folder is for a web server of another account. Only the owner writes. */
const FILE_MODE = 0o644;
const FOLDER_MODE = 0o755;
/** Begins the name of a file that is being written, one at a time in each process. */
const UNFINISHED = ".unfinished-";
/** Age after which a process that wrote such a file is taken for dead, in ms. */
const ABANDONED_MS = 24 * 60 * 60_000;

/**
 * A folder that others read while it is written: each file appears whole, by a rename, and is durable before
 * {@link PublicFolder.sync} returns. All methods throw Fault `reply-not-delivered` where the disk says no.
 */
export class PublicFolder {
  readonly #path: string;
  /** Folders with names that may not be durable yet. */
  readonly #unsynced = new Set<string>();

  /** Opens a folder, which is made where it is not there; the one above it must be. */
  constructor(path: string) {
    this.#path = resolve(path);
    this.#guard(() => {
      if (existsSync(path)) this.#removeAbandoned();
      else this.#makeFolder(this.#path);
    });
  }

  /** Names in the folder, without those of unfinished files. */
  names(): readonly string[] {
    return this.#guard(() => readdirSync(this.#path).filter((name) => !name.startsWith(UNFINISHED)));
  }

  /** Where a file of this folder is. */
  path(name: string): string {
    return join(this.#path, name);
  }

  /** Writes a file, its bytes durable before it has its name. An older one of the name is replaced. */
  write(name: string, bytes: Uint8Array): void {
    this.#guard(() => {
      const path = this.path(name);
      this.#makeFolders(dirname(path));
      const unfinished = this.path(`${UNFINISHED}${process.pid}`);
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;
      const file = openSync(unfinished, flags, FILE_MODE);
      try {
        for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
        fchmodSync(file, FILE_MODE);
        fsyncSync(file);
      } finally {
        closeSync(file);
      }
      renameSync(unfinished, path);
      this.keep(name);
    });
  }

  /** Sees to it that {@link PublicFolder.sync} makes a name durable that was there: who made it may have been killed before. */
  keep(name: string): void {
    for (let folder = dirname(this.path(name)); ; folder = dirname(folder)) {
      this.#unsynced.add(folder);
      if (folder.length <= this.#path.length) return;
    }
  }

  /** Makes durable which names there are. */
  sync(): void {
    this.#guard(() => {
      for (const folder of this.#unsynced) syncFolder(folder);
      this.#unsynced.clear();
    });
  }

  /** Removes a folder of files called by numbers; others in it stay, and the folder with them. */
  removeNumbered(name: string): void {
    this.#guard(() => {
      const folder = this.path(name);
      if (!existsSync(folder)) return;
      const names = readdirSync(folder);
      const numbered = names.filter((file) => /^[0-9]{1,3}$/.test(file));
      for (const file of numbered) unlinkSync(join(folder, file));
      if (numbered.length === names.length) rmdirSync(folder);
    });
  }

  #makeFolders(folder: string): void {
    if (existsSync(folder)) return;
    this.#makeFolders(dirname(folder));
    this.#makeFolder(folder);
  }

  #makeFolder(folder: string): void {
    mkdirSync(folder);
    chmodSync(folder, FOLDER_MODE); // whatever the umask
    this.#unsynced.add(dirname(folder));
  }

  #removeAbandoned(): void {
    for (const name of readdirSync(this.#path).filter((name) => name.startsWith(UNFINISHED))) {
      const found = lstatSync(this.path(name), { throwIfNoEntry: false });
      if (found !== undefined && found.mtimeMs < Date.now() - ABANDONED_MS) unlinkSync(this.path(name));
    }
  }

  #guard<T>(action: () => T): T {
    try {
      return action();
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code;
      if (code === undefined) throw cause;
      throw new Fault("reply-not-delivered", `${this.#path} cannot be written (${code})`, { cause });
    }
  }
}

function syncFolder(folder: string): void {
  const handle = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}
