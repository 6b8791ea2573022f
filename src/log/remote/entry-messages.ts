import { Fault } from "../../outcome.ts";
import { parseLogEntry } from "../log-entry.ts";
import type { StoredEntry } from "../log-source.ts";
import { decodeBase64 } from "../signed-note.ts";
import type { EntryMessage, Message, PackagesMessage } from "./message.ts";

/** Entries as messages, in both directions: an `entry`, and its package list in as many `packages` as it takes. */

/** UTF-16 units of a piece at most: half a message even where each is written `\uxxxx`. */
const PIECE_LENGTH = 10 * 1024;

/** Longest package list, in UTF-16 units: 32 MiB, ten times that of a distribution's largest repository. */
const MAX_LIST_LENGTH = 32 * 1024 ** 2;

/** An entry as it is sent. */
export function* entryMessages(stored: StoredEntry): Generator<EntryMessage | PackagesMessage> {
  const { line, private: secret, packages } = stored;
  yield {
    kind: "entry",
    line,
    ...(secret === undefined
      ? {}
      : { record: secret.record, salt: Buffer.from(secret.salt).toString("base64") }),
    ...(packages === undefined ? {} : { packages: true }),
  };
  if (packages === undefined) return;
  let at = 0;
  do {
    const end = pieceEnd(packages, at);
    yield { kind: "packages", text: packages.slice(at, end), more: end < packages.length };
    at = end;
  } while (at < packages.length);
}

/** Where a piece ends that begins at `at`: never between the halves of a surrogate pair. */
function pieceEnd(text: string, at: number): number {
  const end = Math.min(at + PIECE_LENGTH, text.length);
  const isHalf = end < text.length && /[\uD800-\uDBFF]/.test(text.charAt(end - 1));
  return isHalf ? end - 1 : end;
}

/**
 * Reads entry number `seq`, of which only the form is looked at, and its number. Fault `remote-log-unavailable` for another
 * message, another entry, or a package list beyond {@link MAX_LIST_LENGTH}.
 * @param next waits for the next message. Controlled by: the other side
 */
export async function readEntry(seq: number, next: () => Promise<Message>): Promise<StoredEntry> {
  const message = await next();
  if (message.kind !== "entry") throw unexpected(`entry ${seq}`, message);
  const { line, record, salt } = message;
  if (parseLogEntry(line)?.seq !== seq) throw unexpected(`entry ${seq}`, message);
  const saltBytes = salt === undefined ? undefined : decodeBase64(salt);
  return {
    seq,
    line,
    private: record === undefined || saltBytes === undefined ? undefined : { salt: saltBytes, record },
    packages: message.packages === true ? await readPackages(next) : undefined,
  };
}

async function readPackages(next: () => Promise<Message>): Promise<string> {
  let text = "";
  for (;;) {
    const piece = await next();
    if (piece.kind !== "packages") throw unexpected("a package list", piece);
    text += piece.text;
    if (text.length > MAX_LIST_LENGTH) throw unexpected("a package list of at most 32 MiB", piece);
    if (!piece.more) return text;
    if (piece.text === "") throw unexpected("a piece of a package list", piece);
  }
}

function unexpected(what: string, { kind }: Message): Fault {
  return new Fault("remote-log-unavailable", `the other side sent ${kind} where ${what} was expected`);
}
