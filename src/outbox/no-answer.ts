import { closeSync, futimesSync, lstatSync, openSync, readSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { AnnouncedFile } from "../exchange/notification.ts";
import { Fault, quoted } from "../outcome.ts";
import { encodeDuration } from "../policy/quantity.ts";
import { remove } from "./folder-files.ts";
import { freshName } from "./owner.ts";
import { NOTIFICATION, type PullFolder } from "./pull-folder.ts";

/**
 * Says that nobody has answered, and how far the signing host has come, as far as that can be known: by the times of last access,
 * where the file system keeps them.
 * @param open the requests without an answer, at least one
 */
export function noAnswer(
  folder: PullFolder,
  open: readonly AnnouncedFile[],
  waitedMs: number,
  nowMs: number,
): Fault {
  const names = `${open[0]?.name}${open.length > 1 ? ` and ${open.length - 1} more` : ""}`;
  return new Fault(
    "host-unreachable",
    `no answer about ${names} within ${encodeDuration(waitedMs)}: ${reached(folder, open, nowMs)}`,
  );
}

function reached(folder: PullFolder, open: readonly AnnouncedFile[], nowMs: number): string {
  const notification = join(folder.outbox, NOTIFICATION);
  const file = lstatSync(notification, { throwIfNoEntry: false });
  if (file === undefined) return `${quoted(notification, 300)} is gone`;
  if (!keepsAccessTimes(folder))
    return `the notification is ${Math.max(0, Math.round((nowMs - file.mtimeMs) / 1000))} s old; does "signer pull" run, and reach it?`;
  // Another request may have replaced what the signing host has read: then its file says that it was here.
  const fetched = open.map(({ sha256 }) => readAt(join(folder.outbox, sha256)));
  const first = fetched.find((at) => at !== undefined);
  if (first !== undefined)
    return `the signing host has fetched it (${first}) and not answered; its log says why`;
  const read = readAt(notification);
  return read === undefined
    ? `nobody has fetched the notification; does "signer pull" run, and the web server serve ${quoted(folder.outbox, 300)}?`
    : `the notification was fetched (${read}), the file was not; the log of "signer pull" says why`;
}

/** When somebody has read a file that began as `UNREAD`. */
function readAt(path: string): string | undefined {
  const atimeMs = statSync(path, { throwIfNoEntry: false })?.atimeMs ?? 0;
  return atimeMs < 1000 ? undefined : new Date(atimeMs).toISOString().replace(/\.\d+/, "");
}

/** Not where it is mounted with noatime. */
function keepsAccessTimes({ outbox }: PullFolder): boolean {
  const probe = join(outbox, freshName("new.probe"));
  const file = openSync(probe, "wx+", 0o600);
  try {
    writeSync(file, "x");
    futimesSync(file, 0, new Date());
    readSync(file, Buffer.alloc(1), 0, 1, 0);
    return readAt(probe) !== undefined;
  } finally {
    closeSync(file);
    remove(probe);
  }
}
