import type { BigIntStats } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { Readable } from "node:stream";
import type { MessageHash } from "../keys/signing-key.ts";
import { startMessageHash } from "../openpgp/message-hash.ts";
import { quoted, type Refusal, refusal } from "../outcome.ts";
import type { FileName } from "../request/request.ts";

const CHUNK_BYTES = 256 * 1024;

/** Something that is sent to be signed, and hashed as it goes. */
export interface SentBytes {
  readonly name: FileName | undefined;
  /** In bytes; undefined where only the end will tell. */
  readonly size: number | undefined;
  /** The bytes, hashed anew each time; throws {@link ChangedWhileSent} where they are not those that were there at first. */
  content(): AsyncGenerator<Uint8Array, void, undefined>;
  /** What the last {@link SentBytes.content} gave, once it has come to its end. */
  readonly message: Pick<MessageHash, "sha512"> | undefined;
  /** Whether {@link SentBytes.content} can be had once more. */
  readonly repeatable: boolean;
  close(): Promise<void>;
}

/** A file was changed while it was being read. */
export class ChangedWhileSent extends Error {
  readonly refusal: Refusal;

  constructor(path: string) {
    super("changed");
    this.refusal = refusal(
      "bad-request",
      `expected ${quoted(path, 300)} to stay as it is while it is being sent`,
    );
  }
}

/** A regular file, opened once: what is read later is this file, whatever the path has come to mean. */
export async function openSentFile(path: string, name: FileName): Promise<SentBytes | Refusal> {
  try {
    const handle = await open(path, "r");
    const stat = await handle.stat({ bigint: true });
    if (stat.isFile()) return new SentFile(handle, path, name, stat);
    await handle.close();
    return refusal("bad-request", `expected ${quoted(path, 300)} to be a file`);
  } catch (error) {
    const { code = "unknown error" } = error as NodeJS.ErrnoException;
    return refusal("bad-request", `expected ${quoted(path, 300)} to be a readable file (${code})`);
  }
}

class SentFile implements SentBytes {
  readonly name: FileName;
  readonly size: number;
  readonly repeatable = true;
  message: Pick<MessageHash, "sha512"> | undefined;
  readonly #handle: FileHandle;
  readonly #path: string;
  readonly #mtimeNs: bigint;

  constructor(handle: FileHandle, path: string, name: FileName, stat: BigIntStats) {
    this.#handle = handle;
    this.#path = path;
    this.#mtimeNs = stat.mtimeNs;
    this.name = name;
    this.size = Number(stat.size);
  }

  async *content(): AsyncGenerator<Uint8Array, void, undefined> {
    this.message = undefined;
    const message = startMessageHash([]);
    let at = 0;
    for (;;) {
      // One byte more than there should be: a file that has grown is noticed.
      const room = Math.min(CHUNK_BYTES, this.size - at + 1);
      const chunk = Buffer.allocUnsafe(room); // of its own: the one before may not have been sent yet
      const { bytesRead } = await this.#handle.read(chunk, 0, room, at);
      at += bytesRead;
      if (at > this.size || (bytesRead === 0 && at < this.size)) throw new ChangedWhileSent(this.#path);
      if (bytesRead === 0) break;
      message.update(chunk.subarray(0, bytesRead));
      yield chunk.subarray(0, bytesRead);
    }
    // Of the same size and written to meanwhile: the signature would be of bytes that are no longer there.
    const { mtimeNs } = await this.#handle.stat({ bigint: true });
    if (mtimeNs !== this.#mtimeNs) throw new ChangedWhileSent(this.#path);
    this.message = message;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/** A stream, which can be read once. */
export class SentStream implements SentBytes {
  readonly name: FileName | undefined;
  readonly size = undefined;
  readonly repeatable = false;
  message: Pick<MessageHash, "sha512"> | undefined;
  readonly #stream: Readable;

  constructor(stream: Readable, name: FileName | undefined) {
    this.#stream = stream;
    this.name = name;
  }

  async *content(): AsyncGenerator<Uint8Array, void, undefined> {
    const message = startMessageHash([]);
    for await (const chunk of this.#stream as AsyncIterable<Uint8Array>) {
      message.update(chunk);
      yield chunk;
    }
    this.message = message;
  }

  async close(): Promise<void> {
    this.#stream.destroy();
  }
}

/** Told how many bytes were handed over, of how many; undefined for a stream. */
export type OnProgress = (sent: number, size: number | undefined) => void;

/** Content that says how much of it has been taken. */
export async function* counting(
  content: AsyncIterable<Uint8Array>,
  size: number | undefined,
  { onProgress }: { readonly onProgress?: OnProgress | undefined },
  add: (bytes: number) => number = sum(),
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of content) {
    yield chunk;
    const sent = add(chunk.length);
    onProgress?.(sent, size);
  }
}

function sum(): (bytes: number) => number {
  let total = 0;
  return (bytes) => (total += bytes);
}
