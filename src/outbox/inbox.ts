import { type FSWatcher, watch } from "node:fs";
import { join } from "node:path";
import {
  type Answered,
  type AnswerKind,
  answerName,
  MAX_ANSWER_BYTES,
  type NotSigned,
  parseNotSigned,
} from "../exchange/answer.ts";
import { Fault, quoted } from "../outcome.ts";
import { errorCode } from "../repository/repository-fault.ts";
import { readBounded } from "./folder-files.ts";
import type { PullFolder } from "./pull-folder.ts";

/** What lies in the inbox for a request. */
export type InboxAnswer =
  | { readonly kind: "signature"; readonly bytes: Uint8Array }
  | ({ readonly kind: "not-signed" } & NotSigned)
  /** Something that no signing host puts there; `what` is a phrase. */
  | { readonly kind: "odd"; readonly what: string };

/** inotify says it at once; a file system that has none, such as NFS, is looked at so often. */
const POLL_MS = 2000;

/**
 * The answer to a request; undefined where there is none yet. A signature comes before a no: two signing hosts may differ. Controlled
 * by: who may write to the inbox.
 * @throws Fault `bad-configuration` where this account may not read it
 */
export function readAnswer({ inbox }: PullFolder, request: Answered): InboxAnswer | undefined {
  const read = (kind: AnswerKind) => readOne(join(inbox, answerName(request, kind)));
  const signature = read("sig");
  if (typeof signature === "string") return { kind: "odd", what: signature };
  if (signature !== undefined) return { kind: "signature", bytes: signature };
  const content = read("refused");
  if (content === undefined) return undefined;
  const refused = typeof content === "string" ? undefined : parseNotSigned(content);
  if (refused !== undefined) return { kind: "not-signed", ...refused };
  return { kind: "odd", what: typeof content === "string" ? content : "it is no refusal of a signing host" };
}

function readOne(path: string): Buffer | string | undefined {
  try {
    return readBounded(path, MAX_ANSWER_BYTES);
  } catch (cause) {
    if (errorCode(cause) !== "EACCES") throw cause;
    throw new Fault(
      "bad-configuration",
      `expected ${quoted(path, 300)} to be readable for this account: nginx needs dav_access user:rw group:r all:r`,
      { cause },
    );
  }
}

/** Says when there may be something new in the inbox. {@link InboxWatch.close} MUST be called. */
export class InboxWatch {
  readonly #watcher: FSWatcher | undefined;
  readonly #pollMs: number;
  #isNews = false;
  #wake: () => void = () => undefined;

  /** @param pollMs how long it relies on being told */
  constructor({ inbox }: PullFolder, pollMs = POLL_MS) {
    this.#pollMs = pollMs;
    try {
      this.#watcher = watch(inbox, () => this.#tell());
      // Watches are a resource of the account, and the folder may go away: there is the poll.
      this.#watcher.on("error", () => undefined);
    } catch {
      this.#watcher = undefined;
    }
  }

  /** Resolves when something has changed since it resolved last, now and then without it, and after `ms` at the latest. */
  async news(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (!this.#isNews) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, Math.min(ms, this.#pollMs));
      const stop = () => reject(signal?.reason);
      signal?.addEventListener("abort", stop, { once: true });
      this.#wake = resolve;
      try {
        await promise;
      } finally {
        clearTimeout(timer);
        signal?.removeEventListener("abort", stop);
        this.#wake = () => undefined;
      }
    }
    this.#isNews = false;
  }

  close(): void {
    this.#watcher?.close();
  }

  #tell(): void {
    this.#isNews = true;
    this.#wake();
  }
}
