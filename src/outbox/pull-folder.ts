import { accessSync, constants, statSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { Fault, quoted } from "../outcome.ts";
import { errorCode } from "../repository/repository-fault.ts";

/** The folder through which a signing host is asked (docs/REPOSITORY.md, "The folder of pull"): absolute paths. */
export interface PullFolder {
  readonly path: string;
  /** What the web server reads: the notification, and each file under its digest. */
  readonly outbox: string;
  /** What the web server writes: answers. */
  readonly inbox: string;
  /** Nobody else's: who waits for what. */
  readonly requests: string;
  /** Modes of files in the two folders: group and others may read where they may read the folder. */
  readonly modes: { readonly outbox: number; readonly requests: number };
}

export const NOTIFICATION = "notification";
const PARTS = ["outbox", "inbox", "requests"] as const;

/**
 * Opens the folder. It is not made here: who may write to which part of it is for an administrator to say.
 * @throws Fault `bad-configuration` where a part is missing or this account may not write to it; the message says what to do
 */
export function openPullFolder(path: string): PullFolder {
  const [outbox, inbox, requests] = PARTS.map((part) => join(path, part)) as [string, string, string];
  const modes = { outbox: fileMode(outbox, path), requests: fileMode(requests, path) };
  fileMode(inbox, path);
  return { path, outbox, inbox, requests, modes };
}

function fileMode(folder: string, path: string): number {
  try {
    const stat = statSync(folder);
    if (!stat.isDirectory()) throw Object.assign(new Error("not a folder"), { code: "ENOTDIR" });
    accessSync(folder, constants.R_OK | constants.W_OK | constants.X_OK);
    return 0o600 | (stat.mode & 0o044);
  } catch (cause) {
    const why = errorCode(cause) ?? String(cause);
    throw new Fault(
      "bad-configuration",
      `expected the folder ${quoted(folder, 300)}, writable for this account (${why}); ${remedy(path, why)}`,
      { cause },
    );
  }
}

/** A folder that is another account's, or a group's, is not to be taken away from it by a command that somebody copies. */
function remedy(path: string, why: string): string {
  const owner = why === "EACCES" ? statSync(path, { throwIfNoEntry: false })?.uid : undefined;
  if (owner === undefined || owner === process.geteuid?.()) return `as root: ${commands(path)}`;
  return owner === 0
    ? "run this as an account of its group"
    : `${quoted(path, 300)} is account ${owner}'s: run this as that account`;
}

/** What makes the folder, for one account; the web server's group has another name elsewhere. */
function commands(path: string): string {
  const made = (mode: string, group: string, part: string) =>
    `install -d -m ${mode} -o ${accountName()} -g ${group} ${join(path, part)}`;
  const all = [
    made("0750", "www-data", ""),
    made("2750", "www-data", "outbox"),
    made("2770", "www-data", "inbox"),
    made("0700", accountName(), "requests"),
  ];
  return `${all.join(" && ")} (www-data: the web server's group)`;
}

function accountName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.geteuid?.()); // an account without an entry in passwd(5)
  }
}
