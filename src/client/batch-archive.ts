import { BLOCK_BYTES } from "../artefact/tar-header.ts";
import type { FileName } from "../request/request.ts";

/** The name field of a header (POSIX.1-2017, pax, "ustar Header Block"). */
const NAME_BYTES = 100;
/** GNU tar manual, "Basic Tar Format". */
const LONG_NAME = "././@LongLink";
/** Eleven octal digits. */
export const MAX_BATCH_FILE_BYTES = 0o77777777777;

/** A file of a batch. `content` gives `size` bytes, which is at most {@link MAX_BATCH_FILE_BYTES}. */
export interface BatchFile {
  readonly name: FileName;
  readonly size: number;
  content(): AsyncIterable<Uint8Array>;
}

/** The tar archive that `batch` reads: ustar, in GNU tar's own format where a name is longer than ustar's field. */
export async function* encodeBatch(files: readonly BatchFile[]): AsyncGenerator<Uint8Array, void, undefined> {
  for (const file of files) {
    const { name, size } = file;
    if (name.length > NAME_BYTES) {
      const long = Buffer.from(`${name}\0`, "latin1");
      yield Buffer.concat([encodeHeader(LONG_NAME, "L", long.length), long, padding(long.length)]);
    }
    yield encodeHeader(name.slice(0, NAME_BYTES), "0", size);
    yield* file.content();
    yield padding(size);
  }
  yield Buffer.alloc(2 * BLOCK_BYTES);
}

function encodeHeader(name: string, type: "0" | "L", size: number): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const isGnu = type === "L" || name.length === NAME_BYTES;
  block.write(name, 0, "latin1");
  block.write("0000644\x000000000\x000000000\0", 100, "latin1"); // mode, uid, gid
  block.write(`${octal(size, 11)}\0${octal(0, 11)}\0        ${type}`, 124, "latin1"); // size, time, checksum as spaces
  block.write(isGnu ? "ustar  \0" : "ustar\x0000", 257, "latin1");
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)}\0 `, 148, "latin1");
  return block;
}

function padding(size: number): Buffer {
  return Buffer.alloc((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES);
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, "0");
}
