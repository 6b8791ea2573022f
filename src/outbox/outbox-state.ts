import { join } from "node:path";
import { MAX_NOTIFICATION_BYTES, parseNotification, splitNotification } from "../exchange/notification.ts";
import { encodeCanonicalJson, membersOf, parseCanonicalJson } from "../log/canonical-json.ts";
import { syncDirectory } from "../log/durable-file.ts";
import { readBounded, replaceFile } from "./folder-files.ts";
import { NOTIFICATION, type PullFolder } from "./pull-folder.ts";

/** Raised with every change. */
const VERSION = 1;
const STATE = "state";
const MAX_STATE_BYTES = 256;

/** What an outbox has to remember of all notifications before. */
export interface OutboxState {
  /** The largest number that a request or notification has had. */
  readonly seq: number;
  /** Time of last change of the last notification, in seconds since 1970. */
  readonly stamp: number;
}

/**
 * What the next number has to be larger than: what was written last, the notification's number where that is lost, and the seconds since
 * 1970. So a server that was set up anew, or whose folder came out of a backup, is ahead of what signing hosts remember.
 */
export function readState(folder: PullFolder, nowMs: number): OutboxState {
  const seconds = Math.floor(nowMs / 1000);
  const content = readBounded(join(folder.requests, STATE), MAX_STATE_BYTES);
  const state = Buffer.isBuffer(content) ? parseState(content) : undefined;
  if (state !== undefined) return { ...state, seq: Math.max(seconds, state.seq) };
  const document = readBounded(join(folder.outbox, NOTIFICATION), MAX_NOTIFICATION_BYTES);
  const line = Buffer.isBuffer(document) ? splitNotification(document)?.line : undefined;
  const seq = line === undefined ? undefined : parseNotification(line)?.seq;
  return { seq: Math.max(seconds, seq ?? 0), stamp: 0 };
}

/** Durable: a number that was given out is never given out again, whatever happens. */
export function writeState(folder: PullFolder, { seq, stamp }: OutboxState): void {
  const content = `${encodeCanonicalJson({ version: VERSION, seq, stamp })}\n`;
  replaceFile(join(folder.requests, STATE), content, { mode: folder.modes.requests, isDurable: true });
  syncDirectory(folder.requests);
}

function parseState(content: Buffer): OutboxState | undefined {
  const text = content.toString("latin1");
  const value = text.endsWith("\n") ? parseCanonicalJson(text.slice(0, -1)) : undefined;
  const { version, seq, stamp } = membersOf(value) ?? {};
  if (version !== VERSION || typeof seq !== "number" || typeof stamp !== "number") return undefined;
  return seq >= 1 && stamp >= 0 ? { seq, stamp } : undefined;
}
