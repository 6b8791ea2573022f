import type { Answered, AnswerKind } from "../exchange/answer.ts";
import type { AnnouncedFile } from "../exchange/notification.ts";
import type { Address } from "../request/peer.ts";

/**
 * A repository server as the signing host sees it, over whatever connects them. What it says is believed nothing; its answers are
 * bounded. Everything throws Fault `source-unavailable` where the server cannot be reached, is not the one that it should be, or
 * does not answer as one of ours; the reason says which.
 */
export interface SourceServer {
  /**
   * The notification, unless it is the one of `etag`.
   * @param etag of the notification that is known; undefined: none
   */
  notification(etag: string | undefined, signal: AbortSignal): Promise<NotificationAnswer>;
  /**
   * The bytes of a file of the outbox from `from` on, at most its announced size. The iterable throws where the connection breaks,
   * so that the caller can go on from where it was. MUST NOT give bytes of another version of the file: where the server says that
   * it has changed, or is of another size than announced, a Fault.
   */
  download(file: AnnouncedFile, from: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** Whether the request is answered, and how. */
  answered(request: Answered, signal: AbortSignal): Promise<AnswerKind | undefined>;
  /** Puts an answer into the inbox. `taken`: somebody else's answer, or an earlier one, is there, and stays. */
  upload(
    request: Answered,
    kind: AnswerKind,
    content: Uint8Array,
    signal: AbortSignal,
  ): Promise<"uploaded" | "taken">;
  /** Where the last connection led; with a proxy, the proxy's. Undefined before the first. */
  readonly address: Address | undefined;
  /** Ends what is kept open. */
  close(): void;
}

export type NotificationAnswer =
  | { readonly kind: "unchanged" }
  /** There is none: nothing was ever asked. */
  | { readonly kind: "none" }
  /** At most `MAX_NOTIFICATION_BYTES` + 1 bytes: one more than allowed says that it is larger. */
  | { readonly kind: "document"; readonly document: Uint8Array; readonly etag: string | undefined };
