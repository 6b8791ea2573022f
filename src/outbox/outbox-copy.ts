import { createHash } from "node:crypto";
import {
  closeSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  futimesSync,
  lstatSync,
  openSync,
  renameSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { MAX_ANNOUNCED_BYTES } from "../exchange/notification.ts";
import { Fault, isRefusal, type Refusal, refusal } from "../outcome.ts";
import { remove, UNREAD } from "./folder-files.ts";
import { freshName } from "./owner.ts";
import type { PullFolder } from "./pull-folder.ts";

/** A copy of what is to be signed, on its way into the outbox: not yet under its digest, and so not served. */
export interface OutboxCopy {
  /** 64 hex digits. */
  readonly sha256: string;
  /** In bytes, at least 1. */
  readonly size: number;
  /** Puts it under its digest, unless it is there. Only the lock's holder may. */
  place(): void;
  /** Removes it where it was not placed. */
  discard(): void;
}

/**
 * Copies into the outbox, hashing what it writes; the copy is durable before it is announced.
 * @param content throws where what it is read from changes meanwhile
 * @returns `empty-input` or `too-large`
 */
export async function copyIntoOutbox(
  folder: PullFolder,
  content: AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): Promise<OutboxCopy | Refusal> {
  const path = join(folder.outbox, freshName("copy"));
  const file = openSync(path, "wx", 0o600);
  let copy: OutboxCopy | Refusal | undefined;
  try {
    const hash = createHash("sha256");
    let size = 0;
    for await (const chunk of content) {
      signal?.throwIfAborted();
      size += chunk.length;
      if (size > MAX_ANNOUNCED_BYTES) {
        copy = refusal("too-large", "expected at most 1 TiB");
        return copy;
      }
      hash.update(chunk);
      for (let at = 0; at < chunk.length; ) at += writeSync(file, chunk, at);
    }
    fchmodSync(file, folder.modes.outbox);
    futimesSync(file, UNREAD, new Date());
    fsyncSync(file);
    if (fstatSync(file).size !== size) throw new Fault("repository-failed", "expected the copy to be whole");
    copy =
      size === 0
        ? refusal("empty-input", "expected at least one byte")
        : placeable(folder, path, hash.digest("hex"), size);
    return copy;
  } finally {
    closeSync(file);
    if (copy === undefined || isRefusal(copy)) remove(path);
  }
}

function placeable({ outbox }: PullFolder, path: string, sha256: string, size: number): OutboxCopy {
  return {
    sha256,
    size,
    place: () => {
      const placed = join(outbox, sha256);
      const found = lstatSync(placed, { throwIfNoEntry: false });
      // The same bytes again: a signing host that is in the middle of them is not to see another file.
      if (found?.isFile() && found.size === size) remove(path);
      else renameSync(path, placed);
    },
    discard: () => remove(path),
  };
}
