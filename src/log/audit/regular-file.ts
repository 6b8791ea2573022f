import { closeSync, constants, fstatSync, openSync, readSync, statSync } from "node:fs";

/** Files of a tree that somebody else fills: only regular ones are ever opened, and none is waited for. */

/** Why a file was not read: one phrase for people. */
export interface UnreadableFile {
  readonly kind: "unreadable-file";
  /** Whether there is nothing of that name, or a link to nothing. */
  readonly missing: boolean;
  readonly reason: string;
}

/** Whether a reading failed. */
export function isUnreadable(value: object): value is UnreadableFile {
  return (value as { kind?: unknown }).kind === "unreadable-file";
}

/** An open file. */
export interface RegularFile {
  readonly kind: "regular-file";
  /** The same for the same content: device, inode, size and time of change. */
  readonly identity: string;
  /** Bytes. */
  readonly size: number;
  /** The file's bytes, `chunk` at most at once; the same buffer each time. */
  readonly chunks: () => Generator<Uint8Array, void, undefined>;
}

const CHUNK_BYTES = 1024 * 1024;

/** Opens a regular file, links to one included, for as long as `use` runs. Never throws for what the file is. */
export function withRegularFile<T>(path: string, use: (file: RegularFile) => T): T | UnreadableFile {
  let descriptor: number | undefined;
  try {
    // Before it is opened: the opening of a device can do something.
    if (!statSync(path).isFile()) return unreadable("it is no regular file");
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stat = fstatSync(descriptor, { bigint: true });
    if (!stat.isFile()) return unreadable("it is no regular file");
    return use({
      kind: "regular-file",
      identity: `${stat.dev}:${stat.ino}:${stat.size}:${stat.ctimeNs}`,
      size: Number(stat.size),
      chunks: chunksOf(descriptor),
    });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    if (code === "ELOOP") return unreadable("it is a symbolic link to itself");
    return { ...unreadable(`it cannot be read (${code})`), missing: code === "ENOENT" };
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

function unreadable(reason: string): UnreadableFile {
  return { kind: "unreadable-file", missing: false, reason };
}

function chunksOf(descriptor: number): RegularFile["chunks"] {
  return function* () {
    const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
    for (let position = 0; ; ) {
      const read = readSync(descriptor, buffer, 0, CHUNK_BYTES, position);
      if (read === 0) return;
      position += read;
      yield buffer.subarray(0, read);
    }
  };
}

/** The whole of a small file. One that is longer, also than it said, is unreadable. */
export function readSmallFile(path: string, maxBytes: number): Buffer | UnreadableFile {
  return withRegularFile(path, ({ size, chunks }) => {
    if (size > maxBytes) return unreadable(`it has ${size} bytes, at most ${maxBytes} expected`);
    const parts: Buffer[] = [];
    let length = 0;
    for (const chunk of chunks()) {
      length += chunk.length;
      if (length > maxBytes) return unreadable(`it grows; at most ${maxBytes} bytes expected`);
      parts.push(Buffer.from(chunk));
    }
    return Buffer.concat(parts);
  });
}
