import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { PullSettings } from "../../src/client/client-config.ts";
import { parseHostKey } from "../../src/config/setting.ts";
import { type Notification, parseNotification, splitNotification } from "../../src/exchange/notification.ts";
import { NOTIFICATION_NAMESPACE, sshSignatureObjection } from "../../src/exchange/ssh-signature.ts";
import type { Cleanup } from "./cleanup.ts";
import { runOk } from "./run.ts";
import { tempDir } from "./temp-dir.ts";

/** The folder of pull on a repository server, and the key that signs its notifications. */
export interface PullFolderUnderTest extends PullSettings {
  readonly outbox: string;
  readonly inbox: string;
  readonly requests: string;
  /** As `notification_key` of the signing host's configuration has it. */
  readonly publicKey: string;
  /** The notification that is there now; throws where it is not well-formed and signed by the key; undefined where there is none. */
  notification(): Notification | undefined;
  /** Names in each part of it, but for what is always there: the notification, and what is remembered of it. */
  left(): { readonly outbox: string[]; readonly inbox: string[]; readonly requests: string[] };
}

export async function makePullFolder(
  cleanup: Cleanup,
  { timeoutMs = 20_000 }: { readonly timeoutMs?: number } = {},
): Promise<PullFolderUnderTest> {
  const folder = await tempDir(cleanup);
  const [outbox, inbox, requests] = ["outbox", "inbox", "requests"].map((part) => {
    mkdirSync(join(folder, part));
    return join(folder, part);
  }) as [string, string, string];
  const keyFile = join(await tempDir(cleanup), "notification");
  await runOk("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", keyFile]);
  const publicKey = readFileSync(`${keyFile}.pub`, "utf8").trim();
  const names = (part: string, ...usual: readonly string[]) =>
    readdirSync(part)
      .filter((name) => !usual.includes(name))
      .toSorted();
  return {
    folder,
    keyFile,
    timeoutMs,
    outbox,
    inbox,
    requests,
    publicKey,
    notification: () => {
      const document = readIfThere(join(outbox, "notification"));
      return document === undefined ? undefined : readNotification(document, publicKey);
    },
    left: () => ({
      outbox: names(outbox, "notification"),
      inbox: names(inbox),
      requests: names(requests, "state"),
    }),
  };
}

/** A notification that is well-formed and signed by this key; throws for any other. */
export function readNotification(document: Buffer, publicKey: string): Notification {
  const key = parseHostKey(publicKey);
  const { line = "", signature = "" } = splitNotification(document) ?? {};
  const namespace = NOTIFICATION_NAMESPACE;
  const objection = sshSignatureObjection(signature, Buffer.from(line), {
    publicKey: key?.blob ?? Buffer.alloc(0),
    namespace,
  });
  const notification = parseNotification(line);
  if (objection !== undefined || notification === undefined)
    throw new Error(`no notification: ${objection ?? line}`);
  return notification;
}

function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
