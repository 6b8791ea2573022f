import { hash, randomBytes } from "node:crypto";
import { existsSync, linkSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type AnswerKind,
  answerName,
  encodeNotSigned,
  type NotSigned,
  uploadName,
} from "../../src/exchange/answer.ts";
import type { AnnouncedFile } from "../../src/exchange/notification.ts";
import type { Cleanup } from "./cleanup.ts";
import type { PullFolderUnderTest } from "./pull-folder.ts";

/** What a signing host makes of a file: a signature, a no, or nothing at all. */
export type Sign = (file: AnnouncedFile, bytes: Buffer) => Promise<Uint8Array | NotSigned | undefined>;

/** Stands for a signing host that fetches: reads the outbox and puts answers into the inbox, as one would through a web server. */
export interface PullEnclave {
  /** Requests that were answered, in their order. */
  readonly answered: readonly AnnouncedFile[];
  /** Numbers of all notifications that were seen, each once, in the order in which they were seen. */
  readonly seen: readonly number[];
  /** What a signing host would complain of. */
  readonly complaints: readonly string[];
  /** No more answers. */
  stop(): Promise<void>;
}

const POLL_MS = 5;

/** @param put how answers get into the inbox; as by this account where left out */
export function startPullEnclave(
  cleanup: Cleanup,
  folder: PullFolderUnderTest,
  sign: Sign,
  put: typeof putAnswer | ((...args: Parameters<typeof putAnswer>) => Promise<void>) = putAnswer,
): PullEnclave {
  const answered: AnnouncedFile[] = [];
  const seen: number[] = [];
  const complaints: string[] = [];
  const done = new Set<number>();
  const answer = async (file: AnnouncedFile) => {
    const path = join(folder.outbox, file.sha256);
    if ((["sig", "refused"] as const).some((kind) => existsSync(join(folder.inbox, answerName(file, kind)))))
      return;
    if (!existsSync(path)) return; // withdrawn meanwhile
    const bytes = readFileSync(path);
    if (bytes.length !== file.size || hash("sha256", bytes) !== file.sha256)
      return void complaints.push(`${file.seq}: not the file that is announced`);
    done.add(file.seq);
    const result = await sign(file, bytes);
    if (result === undefined) return;
    answered.push(file);
    if (result instanceof Uint8Array) await put(folder, file, "sig", result);
    else await put(folder, file, "refused", encodeNotSigned(result));
  };
  const look = async () => {
    const notification = folder.notification();
    const last = seen.at(-1) ?? 0;
    if (notification === undefined || notification.seq === last) return;
    if (notification.seq < last) complaints.push(`${notification.seq} after ${last}`);
    seen.push(notification.seq);
    for (const file of notification.requests) if (!done.has(file.seq)) await answer(file);
  };
  let isOver = false;
  const loop = async () => {
    while (!isOver) {
      try {
        await look();
      } catch (error) {
        complaints.push(String(error));
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  };
  const running = loop();
  const stop = async () => {
    isOver = true;
    await running;
  };
  cleanup.add(stop);
  return { answered, seen, complaints, stop };
}

/** Puts an answer into the inbox as an upload does: under a name of its own, then moved where nothing is. */
export function putAnswer(
  { inbox }: Pick<PullFolderUnderTest, "inbox">,
  request: Pick<AnnouncedFile, "seq" | "sha256">,
  kind: AnswerKind,
  content: Uint8Array | string,
): void {
  const part = join(inbox, uploadName(request, randomBytes(8).toString("hex")));
  writeFileSync(part, content);
  linkSync(part, join(inbox, answerName(request, kind)));
  unlinkSync(part);
}
