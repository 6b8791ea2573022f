import { createHash, type Hash } from "node:crypto";
import { readdirSync, rmSync, statSync } from "node:fs";
import { constants, type FileHandle, open, statfs } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import type { AnnouncedFile } from "../exchange/notification.ts";
import { Fault } from "../outcome.ts";
import { encodeSize } from "../policy/quantity.ts";
import { failed } from "./pull-fault.ts";

/** What a file is read by, in bytes. */
const CHUNK_BYTES = 256 * 1024;
/** Files that wait for the signing service, or for the rest of them, at the same time: beyond, the oldest goes. */
const MAX_FILES = 8;

/** Of a file system so much is left to others: a twentieth, at most so many bytes. What sources are remembered by needs room as well. */
const LEFT_FREE = { part: 1 / 20, maxBytes: 2 ** 28 };
/** So often, in parts of that, it is looked at while a file comes: other sources write at the same time. */
const LOOKS = 16;

/** No name of a source has a dot. */
const SPOOL_NAME = /^(?<source>[a-z0-9_-]{1,64})\.[0-9a-f]{64}\.[1-9]\d{0,15}\.spool$/;

type Named = Pick<AnnouncedFile, "seq" | "sha256">;

/** Where the bytes of a file come from, from an offset on. */
export type Download = (from: number) => AsyncIterable<Uint8Array>;

/**
 * Files of one source on their way to the signing service, 0600 in the state folder, named after their requests: what has come
 * before an interruption, or a restart, is not fetched again. Nothing that lies here is believed: each byte is hashed when it is
 * taken up again, and once more on its way to the service.
 */
export class Spool {
  readonly #folder: string;
  readonly #source: string;

  constructor(folder: string, source: string) {
    this.#folder = folder;
    this.#source = source;
  }

  /** Removes all but those of these requests. */
  keepOnly(requests: readonly Named[]): void {
    const kept = new Set(requests.map((request) => this.#name(request)));
    for (const name of this.#names()) if (!kept.has(name)) this.#remove(name);
  }

  remove(request: Named): void {
    this.#remove(this.#name(request));
  }

  /** How many bytes of it are there. */
  size(request: Named): number {
    return statSync(this.#path(request), { throwIfNoEntry: false })?.size ?? 0;
  }

  /**
   * Sees to it that the announced bytes are there, all of them and no others.
   * @throws Fault `source-unavailable` where what comes is not what was announced, and is gone then; `pull-state-failed` where there
   *   is no room for it; and what `download` throws, after which the next attempt goes on from there
   */
  async fetch(file: AnnouncedFile, download: Download): Promise<void> {
    this.#makeRoom(file);
    const handle = await this.#guard(() =>
      open(this.#path(file), constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600),
    );
    try {
      if (await this.#complete(handle, file, download)) return;
    } finally {
      await handle.close();
    }
    this.remove(file);
    throw new Fault(
      "source-unavailable",
      `${shown(file)} is not the file that was announced: its digest is another one`,
    );
  }

  /**
   * Its bytes, for the signing service. The stream ends where they were the announced ones, and otherwise fails: what has
   * not ended is not signed.
   */
  read(file: AnnouncedFile): Readable {
    return Readable.from(this.#verified(file), { objectMode: false, highWaterMark: CHUNK_BYTES });
  }

  /** Whether, at the end, the digest is the announced one. */
  async #complete(handle: FileHandle, file: AnnouncedFile, download: Download): Promise<boolean> {
    let hash = createHash("sha256");
    let size = await this.#guard(() => hashAll(handle, hash, file.size));
    if (size === file.size && hash.copy().digest("hex") === file.sha256) return true;
    if (size === undefined || size === file.size) {
      await this.#guard(() => handle.truncate(0)); // something else, that a disk or somebody has put there
      hash = createHash("sha256");
      size = 0;
    }
    let nextLook = size + (await this.#checkRoom(file, file.size - size));
    for await (const chunk of download(size)) {
      if (size + chunk.byteLength > file.size)
        throw new Fault("source-unavailable", `${shown(file)} is larger than announced`);
      hash.update(chunk);
      await this.#write(handle, file, chunk, size);
      size += chunk.byteLength;
      if (size >= nextLook) nextLook = size + (await this.#checkRoom(file, 0));
    }
    if (size < file.size)
      throw new Fault("source-unavailable", `${shown(file)} ended after ${size} of ${file.size} bytes`);
    return hash.digest("hex") === file.sha256;
  }

  async *#verified(file: AnnouncedFile): AsyncGenerator<Uint8Array, void, undefined> {
    const handle = await this.#guard(() => open(this.#path(file), constants.O_RDONLY | constants.O_NOFOLLOW));
    try {
      const hash = createHash("sha256");
      let size = 0;
      for await (const chunk of chunksOf(handle)) {
        hash.update(chunk);
        size += chunk.byteLength;
        yield chunk;
      }
      if (size === file.size && hash.digest("hex") === file.sha256) return;
    } finally {
      await handle.close();
    }
    this.remove(file);
    throw new Fault("pull-state-failed", `${this.#path(file)} has changed since it was fetched`);
  }

  async #write(handle: FileHandle, file: AnnouncedFile, chunk: Uint8Array, position: number): Promise<void> {
    try {
      for (let written = 0; written < chunk.byteLength; ) {
        const rest = chunk.byteLength - written;
        written += (await handle.write(chunk, written, rest, position + written)).bytesWritten;
      }
    } catch (cause) {
      this.remove(file); // others may fit
      throw failed(`${shown(file)} cannot be kept in ${this.#folder}`, cause);
    }
  }

  /** A file that cannot fit need not fill the disk first. After how many bytes to look again. */
  async #checkRoom(file: AnnouncedFile, neededBytes: number): Promise<number> {
    const { bavail, blocks, bsize } = await this.#guard(() => statfs(this.#folder));
    const leftFree = Math.min(blocks * bsize * LEFT_FREE.part, LEFT_FREE.maxBytes);
    if (bavail * bsize >= neededBytes + leftFree) return leftFree / LOOKS;
    if (neededBytes === 0) this.remove(file); // others may fit
    throw new Fault(
      "pull-state-failed",
      `${this.#folder} has no room for ${shown(file)}, of ${encodeSize(file.size)}`,
    );
  }

  /** What waits for long gives way to what is new. */
  #makeRoom(file: AnnouncedFile): void {
    const age = (name: string) => statSync(join(this.#folder, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;
    const others = this.#names().filter((name) => name !== this.#name(file));
    const oldest = others.toSorted((one, other) => age(one) - age(other));
    for (const name of oldest.slice(0, Math.max(0, others.length - MAX_FILES + 1))) this.#remove(name);
  }

  #names(): readonly string[] {
    try {
      return readdirSync(this.#folder).filter((name) => isSpoolOf(name, this.#source));
    } catch (cause) {
      throw failed(`${this.#folder} cannot be read`, cause);
    }
  }

  #name({ sha256, seq }: Named): string {
    return `${this.#source}.${sha256}.${seq}.spool`;
  }

  #path(request: Named): string {
    return join(this.#folder, this.#name(request));
  }

  #remove(name: string): void {
    try {
      rmSync(join(this.#folder, name), { force: true });
    } catch (cause) {
      throw failed(`${join(this.#folder, name)} cannot be removed`, cause);
    }
  }

  async #guard<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (cause) {
      throw failed(`${this.#folder} cannot be used`, cause);
    }
  }
}

/** Whether a file of the state folder is one of a Spool's; of that source, where one is named. */
export function isSpoolOf(name: string, source: string | undefined): boolean {
  const found = SPOOL_NAME.exec(name)?.groups?.["source"];
  return found !== undefined && (source === undefined || found === source);
}

/** Hashes what is there; how much it is, undefined where it is more than can be right. */
async function hashAll(handle: FileHandle, hash: Hash, maxBytes: number): Promise<number | undefined> {
  let size = 0;
  for await (const chunk of chunksOf(handle)) {
    size += chunk.byteLength;
    if (size > maxBytes) return undefined;
    hash.update(chunk);
  }
  return size;
}

async function* chunksOf(handle: FileHandle): AsyncGenerator<Uint8Array, void, undefined> {
  for (let position = 0; ; ) {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES); // the reader may still have the last one
    const { bytesRead } = await handle.read(buffer, 0, CHUNK_BYTES, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/** A file as messages name it. */
function shown({ name, seq }: Pick<AnnouncedFile, "name" | "seq">): string {
  return `${name} (request ${seq})`;
}
